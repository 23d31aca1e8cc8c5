/**
 * Compares two names as docker sorts tags: runs of digits by their value, so that v2 comes before v10;
 * a digit before anything else; everything else by its bytes. Of equal numbers the one with fewer leading
 * zeros comes first.
 * @returns negative where `a` comes first, positive where `b` does, 0 where they are the same
 */
export function compareNatural(a: string, b: string): number {
  const [left, right] = [Buffer.from(a), Buffer.from(b)];
  let [i, j] = [0, 0];
  while (i < left.length && j < right.length) {
    const [x, y] = [left[i] as number, right[j] as number];
    if (isDigit(x) && isDigit(y)) {
      const [one, other] = [numberAt(left, i), numberAt(right, j)];
      const order =
        one.digits.length - other.digits.length ||
        compareText(one.digits, other.digits) ||
        one.zeros - other.zeros;
      if (order !== 0) return order;
      i = one.end;
      j = other.end;
      continue;
    }
    if (isDigit(x) !== isDigit(y)) return isDigit(x) ? -1 : 1;
    if (x !== y) return x - y;
    i++;
    j++;
  }
  return left.length - i - (right.length - j);
}

/** Compares by bytes, as Go does. */
export function compareBytes(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}

interface NumberIn {
  readonly zeros: number;
  /** Without leading zeros. */
  readonly digits: string;
  readonly end: number;
}

function numberAt(bytes: Buffer, start: number): NumberIn {
  let end = start;
  while (end < bytes.length && isDigit(bytes[end] as number)) end++;
  const text = bytes.toString('latin1', start, end);
  const digits = text.replace(/^0+/, '');
  return { zeros: text.length - digits.length, digits, end };
}

function isDigit(byte: number): boolean {
  return byte >= 0x30 && byte <= 0x39;
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

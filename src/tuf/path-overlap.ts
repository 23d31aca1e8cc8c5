/**
 * Whether some path matches both PATHPATTERNs (see `matchesPathPattern`): two delegations that do not
 * overlap can stand in any order.
 */
export function patternsOverlap(a: string, b: string): boolean {
  const [left, right] = [a.split('/'), b.split('/')];
  return (
    left.length === right.length &&
    left.every((segment, index) => segmentsOverlap(Array.from(segment), Array.from(right[index] ?? '')))
  );
}

/** `overlap[j]`: the rest of `a` and the rest of `b` from j on have a text in common; filled from the end. */
function segmentsOverlap(a: readonly string[], b: readonly string[]): boolean {
  let below: boolean[] = [];
  for (let i = a.length; i >= 0; i--) {
    const row: boolean[] = [];
    for (let j = b.length; j >= 0; j--) {
      if (i === a.length && j === b.length) row[j] = true;
      else if (a[i] === '*' || b[j] === '*')
        row[j] =
          (i < a.length && (below[j] ?? false) && isFree(a[i], b[j])) ||
          (j < b.length && (row[j + 1] ?? false) && isFree(b[j], a[i]));
      else row[j] = i < a.length && j < b.length && agree(a[i], b[j]) && (below[j + 1] ?? false);
    }
    below = row;
  }
  return below[0] ?? false;
}

/** Whether `passed` can be left behind while the other pattern stays: it is a star, or the other one is. */
function isFree(passed: string | undefined, other: string | undefined): boolean {
  return passed === '*' || other === '*';
}

function agree(a: string | undefined, b: string | undefined): boolean {
  return a === '?' || b === '?' || a === b;
}

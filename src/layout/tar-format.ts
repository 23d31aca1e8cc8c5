import { decodeUtf8, utf8 } from '../encoding/bytes.ts';
import { BullaError } from '../errors.ts';

/** Everything in a tar comes in blocks of so many bytes (POSIX.1-1988, ustar). */
export const BLOCK: number = 512;

/** One header block, understood. */
export interface TarHeader {
  readonly name: string;
  readonly size: number;
  /** The type flag as a character; `0` for a regular file. */
  readonly type: string;
  readonly linkName: string;
}

/** Length of `size` bytes with the padding behind them. */
export function padded(size: number): number {
  return Math.ceil(size / BLOCK) * BLOCK;
}

/** Whether a block is all zero: the end of an archive. */
export function isZero(block: Uint8Array): boolean {
  return block.every((byte) => byte === 0);
}

/**
 * Reads one header block.
 * @throws BullaError content-invalid
 */
export function parseHeader(block: Uint8Array, where: string): TarHeader {
  const stated = octal(block.subarray(148, 156), where);
  if (stated !== checksum(block)) throw damaged(where, 'a header has the wrong checksum');
  const name = text(block.subarray(0, 100), where);
  const isUstar = text(block.subarray(257, 262), where) === 'ustar';
  // GNU's old format has other things where ustar has the prefix.
  const isPosix = isUstar && block[262] === 0;
  const prefix = isPosix ? text(block.subarray(345, 500), where) : '';
  const type = String.fromCharCode(block[156] ?? 0);
  return {
    name: prefix === '' ? name : `${prefix}/${name}`,
    size: number(block.subarray(124, 136), where),
    type: type === '\0' || type === '7' ? '0' : type,
    linkName: text(block.subarray(157, 257), where),
  };
}

function checksum(block: Uint8Array): number {
  let sum = 0;
  for (const [at, byte] of block.entries()) sum += at >= 148 && at < 156 ? 0x20 : byte;
  return sum;
}

function text(field: Uint8Array, where: string): string {
  const end = field.indexOf(0);
  return decodeUtf8(end < 0 ? field : field.subarray(0, end), `${where}: a name`);
}

/** A number in octal digits or, as GNU writes large ones, in base 256. */
function number(field: Uint8Array, where: string): number {
  if (((field[0] ?? 0) & 0x80) === 0) return octal(field, where);
  let value = BigInt((field[0] ?? 0) & 0x7f);
  for (const byte of field.subarray(1)) value = value * 256n + BigInt(byte);
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw damaged(where, 'a size is out of range');
  return Number(value);
}

function octal(field: Uint8Array, where: string): number {
  const digits = String.fromCharCode(...field)
    .replace(/[\0 ]+$/, '')
    .trimStart();
  if (!/^[0-7]*$/.test(digits)) throw damaged(where, 'a header has an invalid number');
  return digits === '' ? 0 : Number.parseInt(digits, 8);
}

/**
 * Records of a pax header: `LENGTH KEY=VALUE\n`, again and again.
 * @throws BullaError content-invalid
 */
export function parsePax(bytes: Uint8Array, where: string): ReadonlyMap<string, string> {
  const records = new Map<string, string>();
  let at = 0;
  while (at < bytes.byteLength) {
    const space = bytes.indexOf(0x20, at);
    const digits = space < 0 ? '' : String.fromCharCode(...bytes.subarray(at, Math.min(space, at + 10)));
    const length = /^[1-9][0-9]{0,8}$/.test(digits) ? Number(digits) : 0;
    const end = at + length;
    if (length < digits.length + 4 || end > bytes.byteLength || bytes[end - 1] !== 0x0a) {
      throw damaged(where, 'an extended header is malformed');
    }
    const record = decodeUtf8(bytes.subarray(space + 1, end - 1), `${where}: an extended header`);
    const equals = record.indexOf('=');
    if (equals < 1) throw damaged(where, 'an extended header is malformed');
    records.set(record.slice(0, equals), record.slice(equals + 1));
    at = end;
  }
  return records;
}

/** Header blocks of a regular file, the same for the same name and size: no time, no owner. */
export function encodeHeader(name: string, size: number): Uint8Array {
  const bytes = utf8(name);
  if (bytes.byteLength <= 100) return encodeBlock(name, size, '0');
  const record = paxRecord('path', name);
  const extended = new Uint8Array(padded(record.byteLength));
  extended.set(record);
  return new Uint8Array(
    Buffer.concat([
      encodeBlock('PaxHeader', record.byteLength, 'x'),
      extended,
      encodeBlock(name.slice(0, 100), size, '0'),
    ]),
  );
}

function paxRecord(key: string, value: string): Uint8Array {
  const rest = ` ${key}=${value}\n`;
  const restLength = utf8(rest).byteLength;
  let length = restLength + 1;
  while (String(length).length + restLength !== length) length++;
  return utf8(`${length}${rest}`);
}

const MAX_OCTAL_SIZE = 8 ** 11;

function encodeBlock(name: string, size: number, type: string): Uint8Array {
  const block = Buffer.alloc(BLOCK);
  block.write(name, 0, 100, 'utf8');
  block.write('0000644\0', 100);
  block.write('0000000\0', 108);
  block.write('0000000\0', 116);
  if (size < MAX_OCTAL_SIZE) block.write(`${size.toString(8).padStart(11, '0')}\0`, 124);
  else {
    block[124] = 0x80;
    block.writeBigUInt64BE(BigInt(size), 128);
  }
  block.write('00000000000\0', 136);
  block.write(type, 156);
  block.write('ustar\x0000', 257, 'latin1');
  block.write(`${checksum(block).toString(8).padStart(6, '0')}\0 `, 148);
  return new Uint8Array(block);
}

/** What an archive that cannot be read comes to. */
export function damaged(where: string, why: string): BullaError {
  return new BullaError('content-invalid', `${where} is not a sound archive: ${why}`, {
    hint: 'it is truncated, damaged, or malicious: get it again from its source',
  });
}

import { createHash } from 'node:crypto';

/** Hexadecimal SHA-256 of a target path: what `path_hash_prefixes` are prefixes of (TUF 1.0.34 §4.5). */
export function targetPathHash(targetPath: string): string {
  return createHash('sha256').update(targetPath, 'utf8').digest('hex');
}

/** Shape of TAP 15's `succinct_roles`, without its keys. */
export interface BinLayout {
  /** The path's hash is cut to so many leading bits: 2^bitLength bins; 1 to 32. */
  readonly bitLength: number;
  readonly namePrefix: string;
}

/** How many bins a layout has. */
export function binCount(layout: BinLayout): number {
  return 2 ** layout.bitLength;
}

/** Name of the bin with this number: the prefix, a hyphen, the number in hex at full width (TAP 15). */
export function binName(layout: BinLayout, index: number): string {
  const width = (binCount(layout) - 1).toString(16).length;
  return `${layout.namePrefix}-${index.toString(16).padStart(width, '0')}`;
}

/** Number of the bin that a target path belongs to: the leading bits of its SHA-256. */
export function binIndexFor(layout: BinLayout, targetPath: string): number {
  const leading = createHash('sha256').update(targetPath, 'utf8').digest().readUInt32BE(0);
  return Math.floor(leading / 2 ** (32 - layout.bitLength));
}

/** Name of the only bin that may hold a target path. */
export function binFor(layout: BinLayout, targetPath: string): string {
  return binName(layout, binIndexFor(layout, targetPath));
}

/** Whether `role` is one of a layout's bins. */
export function isBin(layout: BinLayout, role: string): boolean {
  const digits = role.slice(layout.namePrefix.length + 1);
  if (!/^[0-9a-f]{1,8}$/.test(digits)) return false;
  const index = Number.parseInt(digits, 16);
  return index < binCount(layout) && binName(layout, index) === role;
}

/** Names of all bins, in order. */
export function* binNames(layout: BinLayout): Generator<string> {
  for (let index = 0; index < binCount(layout); index++) yield binName(layout, index);
}

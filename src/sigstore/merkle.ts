import { createHash } from 'node:crypto';
import { equalBytes } from '../encoding/bytes.ts';

const HASH_BYTES = 32;

/** Hash of a leaf of a log (RFC 6962 §2.1). */
export function leafHash(entry: Uint8Array): Uint8Array {
  return sha256(Uint8Array.of(0), entry);
}

/** An audit path: which leaf, in a tree of which size and root. */
export interface AuditPath {
  readonly index: number;
  readonly treeSize: number;
  readonly rootHash: Uint8Array;
  readonly hashes: readonly Uint8Array[];
}

/**
 * Whether `hashes` lead from the leaf at `index` to the root of a tree of `treeSize` leaves (RFC 9162 §2.1.3.2).
 * Sizes go up to 2^53 - 1.
 */
export function isIncluded(leaf: Uint8Array, { index, treeSize, rootHash, hashes }: AuditPath): boolean {
  if (index >= treeSize || hashes.some(({ byteLength }) => byteLength !== HASH_BYTES)) return false;
  let node = BigInt(index);
  let last = BigInt(treeSize) - 1n;
  let hash = leaf;
  for (const sibling of hashes) {
    if (last === 0n) return false;
    if ((node & 1n) === 1n || node === last) {
      hash = sha256(Uint8Array.of(1), sibling, hash);
      // A node without a right sibling is carried up unchanged until it has one.
      while ((node & 1n) === 0n && node !== 0n) {
        node >>= 1n;
        last >>= 1n;
      }
    } else {
      hash = sha256(Uint8Array.of(1), hash, sibling);
    }
    node >>= 1n;
    last >>= 1n;
  }
  return last === 0n && equalBytes(hash, rootHash);
}

function sha256(...parts: readonly Uint8Array[]): Uint8Array {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return new Uint8Array(hash.digest());
}

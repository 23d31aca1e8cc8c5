import { createHash } from 'node:crypto';
import { canonicalRfc8785 } from '../../encoding/canonical.ts';
import type { MetadataFile } from '../../tuf/metadata-file.ts';
import type { CollectionId } from '../format/binding.ts';

/** Fewest digits of the id of a change that a person may type. */
export const TYPED_DIGITS = 8;

/** Everything that is approved. */
export interface ChangeContent {
  readonly collection: CollectionId;
  /** New files, bins among them. */
  readonly files: Iterable<MetadataFile>;
  /** Logs that come with the files, by role. */
  readonly logs: ReadonlyMap<string, Uint8Array>;
}

/**
 * Id of a change: the SHA-256 of what is to be signed in each of its files, and of its logs (spec/trust-roles.md,
 * "Ids"). It does not depend on the number of signatures, and changes as soon as anything else would be
 * approved.
 */
export function changeIdOf({ collection, files, logs }: ChangeContent): string {
  const signed = (list: Iterable<MetadataFile>): readonly (readonly [string, string])[] =>
    sorted([...list].map(({ role, message }) => [role, sha256(message)] as const));
  const content = {
    type: 'application/vnd.bulla.trust.change.v1+json',
    collection,
    files: signed(files),
    logs: sorted([...logs].map(([role, bytes]) => [role, sha256(bytes)] as const)),
  };
  return sha256(canonicalRfc8785(content));
}

/** Whether this is the whole id of a change, and not only the beginning of one. */
export function isWholeId(id: string): boolean {
  return /^[0-9a-f]{64}$/.test(id);
}

function sorted(pairs: readonly (readonly [string, string])[]): readonly (readonly [string, string])[] {
  return pairs.toSorted(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

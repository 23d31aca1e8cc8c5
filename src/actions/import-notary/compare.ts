import type { Digest } from '../../oci/digest.ts';
import type { Tag } from '../../oci/reference.ts';
import type { CallOptions } from '../../oci/target.ts';
import { NAMES_ROLE } from '../../trust/format/vocabulary.ts';
import type { WorkingCopy } from '../../trust/read/working-copy.ts';
import { listNames } from '../../trust/report/listing.ts';

/** A name in the old repository and in the collection. */
export interface ComparedName {
  readonly tag: string;
  /** What Notary signs for it. */
  readonly notary?: Digest | undefined;
  /** What `names` of the collection signs for it. */
  readonly collection?: Digest | undefined;
  /** `added`: only the collection has it. */
  readonly state: 'same' | 'different' | 'missing' | 'added';
}

/** Every name that the collection signs. @throws BullaError trust-invalid, content-invalid; what the source throws */
export async function collectionNames(
  copy: WorkingCopy,
  options: CallOptions = {},
): Promise<ReadonlyMap<string, Digest>> {
  const names = new Map<string, Digest>();
  for await (const piece of listNames(copy, options))
    for (const { name, digest, signers } of piece)
      if (signers.includes(NAMES_ROLE)) names.set(name, digest as Digest);
  return names;
}

/** Compares name by name, in their order. */
export function compareNames(
  notary: ReadonlyMap<string, { readonly digest: Digest }>,
  collection: ReadonlyMap<string, Digest>,
): readonly ComparedName[] {
  return [...new Set([...notary.keys(), ...collection.keys()])].sort().map((tag) => {
    const [old, now] = [notary.get(tag)?.digest, collection.get(tag)];
    return { tag, notary: old, collection: now, state: stateOf(old, now) };
  });
}

function stateOf(old: Digest | undefined, now: Digest | undefined): ComparedName['state'] {
  if (old === undefined) return 'added';
  if (now === undefined) return 'missing';
  return old === now ? 'same' : 'different';
}

/** A name that changed on the old server since the import, and in the collection as well: a person decides. */
export interface NameConflict {
  readonly tag: Tag;
  readonly before?: Digest | undefined;
  readonly notary?: Digest | undefined;
  readonly collection?: Digest | undefined;
}

/** What an update of names comes to. */
export interface NameUpdate {
  readonly set: ReadonlyMap<Tag, { readonly digest: Digest; readonly length: number }>;
  readonly unset: ReadonlySet<Tag>;
  readonly conflicts: readonly NameConflict[];
}

/**
 * What changed on the old server between two states, as a change of the collection's names. A name that the
 * collection has changed itself since is a conflict, and not touched.
 * @param before names as they were imported last
 */
export function updateOf(
  before: ReadonlyMap<Tag, { readonly digest: Digest }>,
  after: ReadonlyMap<Tag, { readonly digest: Digest; readonly length: number }>,
  collection: ReadonlyMap<string, Digest>,
): NameUpdate {
  const set = new Map<Tag, { readonly digest: Digest; readonly length: number }>();
  const unset = new Set<Tag>();
  const conflicts: NameConflict[] = [];
  for (const tag of [...new Set([...before.keys(), ...after.keys()])].sort()) {
    const [old, next, now] = [before.get(tag)?.digest, after.get(tag), collection.get(tag)];
    // A run that was killed halfway has made some of the changes already.
    if (old === next?.digest || now === next?.digest) continue;
    if (now !== old) conflicts.push({ tag, before: old, notary: next?.digest, collection: now });
    else if (next === undefined) unset.add(tag);
    else set.set(tag, next);
  }
  return { set, unset, conflicts };
}

import type { Digest } from '../../oci/digest.ts';
import { resolveIfThere } from '../../oci/if-there.ts';
import { isTag, type Tag } from '../../oci/reference.ts';
import type { CallOptions, Resolver } from '../../oci/target.ts';
import type { WorkingCopy } from '../../trust/read/working-copy.ts';
import { type ListedName, listNames } from '../../trust/report/listing.ts';
import { mapConcurrently } from '../copy/concurrency.ts';

/** A name or a tag: signed, in the registry, or both. */
export interface NameEntry {
  readonly tag: string;
  readonly signed: ListedName | undefined;
  /** Whether the registry lists the tag. */
  readonly isListed: boolean;
  /** Where the registry's tag points; undefined where that was not asked, or there is none. */
  readonly points?: Digest | undefined;
}

export interface NameEntriesOptions extends CallOptions {
  /** Tags of the registry that are to be compared with the names, in order. */
  readonly tags: readonly Tag[];
  /** Asked where each tag points; left out, that is not asked. */
  readonly source?: Resolver | undefined;
  /** How many tags are asked for at the same time. */
  readonly concurrency: number;
}

/** The names of a collection, part by part as its bins are read; last, the tags that are not signed. */
export async function* nameEntries(
  copy: WorkingCopy,
  { tags, source, concurrency, signal }: NameEntriesOptions,
): AsyncGenerator<readonly NameEntry[]> {
  const listed = new Set<string>(tags);
  const unsigned = new Set<string>(tags);
  const pointed = async (entries: readonly NameEntry[]): Promise<readonly NameEntry[]> => {
    if (source === undefined) return entries;
    return await mapConcurrently(entries, concurrency, async (entry) => {
      if (!entry.isListed || !isTag(entry.tag)) return entry;
      // It may have been removed since it was listed.
      return { ...entry, points: (await resolveIfThere(source, entry.tag, { signal }))?.digest };
    });
  };
  for await (const names of listNames(copy, { signal })) {
    for (const { name } of names) unsigned.delete(name);
    yield await pointed(
      names.map((signed) => ({ tag: signed.name, signed, isListed: listed.has(signed.name) })),
    );
  }
  yield await pointed([...unsigned].map((tag) => ({ tag, signed: undefined, isListed: true })));
}

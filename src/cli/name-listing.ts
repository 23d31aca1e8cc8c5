import { mapConcurrently } from '../actions/copy/concurrency.ts';
import { isBullaError } from '../errors.ts';
import type { Digest } from '../oci/digest.ts';
import { isTag, type Tag } from '../oci/reference.ts';
import type { Source } from '../oci/target.ts';
import { type ListedName, listNames } from '../trust/report/listing.ts';
import type { Shown } from './flags/shown-collection.ts';
import { type Line, plainName } from './render/style.ts';
import type { Context } from './shell/context.ts';

export interface ListingOptions {
  /** The repository of the images, for `-o json`. */
  readonly repository: string;
  readonly source: Source;
  /** Tags of the registry that are to be held against the names, in order. */
  readonly tags: readonly Tag[];
  /** Also ask the registry where each tag points. */
  readonly long: boolean;
}

/** A name or a tag: signed, in the registry, or both. */
interface Entry {
  readonly tag: string;
  readonly signed: ListedName | undefined;
  /** Whether the registry lists the tag. */
  readonly isListed: boolean;
  /** Where the registry's tag points; undefined where that was not asked, or there is none. */
  readonly points?: Digest | undefined;
}

/**
 * Prints the names of a collection with their digests and who signed them, then the unsigned
 * signed. In text it goes along as bins are read; only JSON is gathered first.
 */
export async function printNames(context: Context, shown: Shown, options: ListingOptions): Promise<void> {
  const { json } = context.settings;
  const listed = new Set<string>(options.tags);
  const unsigned = new Set<string>(options.tags);
  const gathered: Entry[] = [];
  const print = async (entries: readonly Entry[]): Promise<void> => {
    const known = options.long ? await resolveAll(context, options.source, entries) : entries;
    if (json) gathered.push(...known);
    else context.output.lines(linesOf(known));
  };
  for await (const names of listNames(shown.copy, { signal: context.signal })) {
    for (const { name } of names) unsigned.delete(name);
    await print(names.map((signed) => ({ tag: signed.name, signed, isListed: listed.has(signed.name) })));
  }
  await print([...unsigned].map((tag) => ({ tag, signed: undefined, isListed: true })));
  const { collection } = shown.looked;
  if (json)
    context.output.result([], {
      repository: options.repository,
      collection: collection.id,
      trusted: shown.trusted,
      tags: gathered.map((entry) => entryJson(entry, options.long)),
    });
}

async function resolveAll(
  context: Context,
  source: Source,
  entries: readonly Entry[],
): Promise<readonly Entry[]> {
  return await mapConcurrently(entries, context.settings.concurrency, async (entry) => {
    if (!entry.isListed || !isTag(entry.tag)) return entry;
    const points = await source.resolve(entry.tag, { signal: context.signal }).catch((error: unknown) => {
      // It may have been taken away since it was listed.
      if (isBullaError(error, 'not-found')) return undefined;
      throw error;
    });
    return { ...entry, points: points?.digest };
  });
}

function* linesOf(entries: readonly Entry[]): Generator<Line> {
  const width = entries.reduce((most, { tag }) => Math.max(most, plainName(tag).length), 0);
  for (const { tag, signed, isListed, points } of entries) {
    const name = plainName(tag).padEnd(width);
    if (signed === undefined) {
      yield [name, '  ', ['soon', 'unsigned'], points === undefined ? '' : `  ${points}`];
      continue;
    }
    const moved = points !== undefined && points !== signed.digest;
    yield [
      name,
      `  ${signed.digest}  `,
      ['good', signed.signers.map(plainName).join(', ')],
      isListed ? '' : ['soon', '  not a tag here'],
      moved ? ['bad', `  the tag points to ${points}`] : '',
    ];
  }
}

function entryJson({ tag, signed, isListed, points }: Entry, long: boolean): Record<string, unknown> {
  const { name: _, ...rest } = signed ?? { name: tag };
  return {
    tag,
    signed: signed === undefined ? null : rest,
    listed: isListed,
    ...(long && { points: points ?? null }),
  };
}

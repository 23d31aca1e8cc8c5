import { fetchEarly } from '../actions/verify/prefetch.ts';
import { BullaError } from '../errors.ts';
import { parseReference, type Reference, type Tag } from '../oci/reference.ts';
import { mayHaveOldSpellings, peekHead } from '../state/head-peek.ts';
import type { ObjectSource } from '../trust/format/object.ts';
import { HEAD_TAG } from '../trust/format/vocabulary.ts';
import type { ReadOptions } from '../trust/read/collection.ts';
import { mayHavePins, memoryPath, openCollection, repositoryOf } from './flags/collection-flags.ts';
import { asksForName, type NameFlags } from './flags/name-flags.ts';
import type { Context, Image } from './shell/context.ts';

/** The collection that a name is to be looked up in. */
export interface BegunName {
  /**
   * The name to be looked up; undefined where nobody pinned, saw or demanded a collection, so that what
   * one says would not be believed.
   */
  readonly tag: Tag | undefined;
  /** How the collection is read. @throws BullaError those of openCollection */
  open(): Promise<{ readonly source: ObjectSource; readonly read: ReadOptions }>;
}

/**
 * Finds out whether a name is to be looked up in a collection (spec/trust-names.md, "Verification"), and
 * asks for its head, so that what judges the answer can be loaded meanwhile. It loads next to nothing
 * itself where no collection was ever pinned or seen.
 * @param signal gives the request up
 * @returns undefined where detached signatures alone are to be looked at
 * @throws BullaError usage; those of openCollection
 */
export async function beginName(
  context: Context,
  { reference }: Pick<Image, 'reference'>,
  flags: NameFlags,
  signal: AbortSignal = context.signal,
): Promise<BegunName | undefined> {
  const asked = asksForName(flags);
  checkFlags(flags, asked);
  const { tag } = reference;
  if (flags.name === false || (tag === undefined && !asked)) return undefined;
  // Then a proof beside the image is looked for, which says what the image is called.
  if (tag === undefined && context.settings.offline && flags.maxStaleness !== undefined) return undefined;
  if (tag === undefined)
    throw new BullaError('usage', 'a digest is no name, and only names are looked up in a collection', {
      hint: 'give the tag as well, REPOSITORY:TAG@DIGEST: they must agree then',
    });
  const place = placeOf(reference, flags);
  const seen = peekHead(memoryPath(context), repositoryOf(context, place));
  const isCertain = asked || seen !== undefined;
  const open = async () => {
    const { target, read, ...opened } = await openCollection(context, reference, flags);
    return { ...opened, source: target, read };
  };
  if (!isCertain) {
    if (!mayHavePins(context) && !mayHaveOldSpellings(memoryPath(context))) return { tag: undefined, open };
    const { source, read, pin, place: pinned } = await open();
    if (pin === undefined && (await read.memory.seen(pinned)) === undefined)
      return { tag: undefined, open: async () => ({ source, read }) };
    const known = peekHead(memoryPath(context), pinned)?.digest;
    const early = fetchEarly(source, HEAD_TAG, { signal }, known);
    return { tag, open: async () => ({ source: early, read: { ...read, isDemanded: true } }) };
  }
  const early = fetchEarly(await context.openTarget(place), HEAD_TAG, { signal }, seen?.digest);
  return {
    tag,
    open: async () => {
      const { source, read, place: found } = await open();
      const isThere = found === repositoryOf(context, place);
      return { source: isThere ? early : source, read: { ...read, isDemanded: true } };
    },
  };
}

/** Where the collection lies, as far as the command line says it; a pin may say otherwise. */
function placeOf(reference: Reference, { at }: NameFlags): Reference {
  const { tag: _, digest: __, ...rest } = at === undefined ? reference : parseReference(at);
  return rest as Reference;
}

/** @throws BullaError usage */
function checkFlags(flags: NameFlags, asked: boolean): void {
  if (flags.name === false && asked)
    throw new BullaError('usage', '--no-name is given along with what the signed name must be like', {
      hint: 'leave one of them out: no name is looked up with --no-name',
    });
  if (flags.signer !== undefined && flags.anySigner === true)
    throw new BullaError('usage', '--signer and --any-signer exclude each other', {
      hint: 'give --signer for each role that must have signed, or --any-signer if any will do',
    });
}

import { fetchEarly } from '../actions/early.ts';
import { BullaError } from '../errors.ts';
import type { Tag } from '../oci/reference.ts';
import type { ReadOptions } from '../trust/collection.ts';
import type { ObjectSource } from '../trust/object.ts';
import { HEAD_TAG } from '../trust/vocabulary.ts';
import { openCollection } from './collections.ts';
import type { Context, Image } from './context.ts';
import { asksForName, type NameFlags } from './name-flags.ts';

/** The collection that a name is to be looked up in. */
export interface BegunName {
  readonly source: ObjectSource;
  readonly read: ReadOptions;
  /**
   * The name to be looked up; undefined where nobody pinned, saw or demanded a collection, so that what
   * one says would not be believed.
   */
  readonly tag: Tag | undefined;
}

/**
 * Finds out whether a name is to be looked up in a collection (spec/trust-names.md, "Verification"), and
 * asks for its head, so that what judges the answer can be loaded meanwhile.
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
  if (flags.name === false) {
    if (!asked) return undefined;
    throw new BullaError('usage', '--no-name is given along with what the signed name must be like', {
      hint: 'leave one of them out: no name is looked up with --no-name',
    });
  }
  if (flags.signer !== undefined && flags.anySigner === true)
    throw new BullaError('usage', '--signer and --any-signer exclude each other', {
      hint: 'give --signer for each role that must have signed, or --any-signer if any will do',
    });
  const { tag } = reference;
  if (tag === undefined) {
    if (!asked) return undefined;
    throw new BullaError('usage', 'a digest is no name, and only names are looked up in a collection', {
      hint: 'give the tag as well, REPOSITORY:TAG@DIGEST: they must agree then',
    });
  }
  const { place, target, read, pin } = await openCollection(context, reference, flags);
  const seen = await read.memory.seen(place);
  if (!asked && pin === undefined && seen === undefined) return { source: target, read, tag: undefined };
  const known = seen && (await (await read.memory.open(seen)).loadHead(place));
  const source = fetchEarly(target, HEAD_TAG, { signal }, known?.content.descriptor.digest);
  return { source, read: { ...read, isDemanded: true }, tag };
}

import { BullaError } from '../../errors.ts';
import type { Digest } from '../../oci/digest.ts';
import { isTag, type Tag } from '../../oci/reference.ts';
import type { CallOptions } from '../../oci/target.ts';
import type { readCollection } from '../../trust/read/collection.ts';
import { WorkingCopy } from '../../trust/read/working-copy.ts';
import { listNames } from '../../trust/report/listing.ts';
import type { OpenedCollection } from './collection.ts';

/** Collections with more bins are not searched: a digest may be in any of them. */
const BINS_SEARCHED = 256;

export interface NamesOfDigestOptions extends CallOptions {
  /** The reference as it was written, for messages. */
  readonly text: string;
  readonly open: typeof readCollection;
}

/**
 * The names of a collection that mean a digest, in order.
 * @throws BullaError name-not-signed where there are none; usage where the collection is too large to be searched;
 *   those of reading a collection
 */
export async function namesOfDigest(
  { target, read, place, repository }: OpenedCollection,
  digest: Digest,
  { text, open, signal }: NamesOfDigestOptions,
): Promise<readonly [Tag, ...Tag[]]> {
  const collection = await open(target, { ...read, isDemanded: true, signal });
  const named = `${repository}:TAG@${digest}`;
  if (collection === undefined)
    throw new BullaError('name-not-signed', `${place} has no collection`, {
      hint: `sign it: bulla init ${repository}`,
    });
  const copy = await WorkingCopy.open(collection, { signal });
  if (copy.bins !== undefined && 2 ** copy.bins.bitLength > BINS_SEARCHED)
    throw new BullaError(
      'usage',
      `${text} has no tag, and ${place} has too many names to search all of them for a digest`,
      {
        hint: `give the tag as well, so that they must agree: ${named}`,
      },
    );
  const found = new Set<Tag>();
  for await (const names of listNames(copy, { signal }))
    for (const { name, digest: signed } of names) if (signed === digest && isTag(name)) found.add(name);
  const [first, ...others] = [...found].sort();
  if (first !== undefined) return [first, ...others];
  throw new BullaError(
    'name-not-signed',
    `${text}: no name in the collection at ${place} means this digest`,
    {
      hint: `bulla ls ${repository} lists the names; to verify detached signatures: --key or --ca`,
    },
  );
}

import { BullaError, isBullaError, messageOf } from '../../errors.ts';
import type { Digest } from '../../oci/digest.ts';
import { fetchIfThere } from '../../oci/if-there.ts';
import { MAX_MANIFEST_BYTES } from '../../oci/manifest.ts';
import type { Tag } from '../../oci/reference.ts';
import type { ManifestFetcher } from '../../oci/target.ts';
import type { NamedContent } from '../../trust/format/log.ts';
import { namedContentOf } from '../../trust/format/named-content.ts';
import { mapConcurrently } from '../copy/concurrency.ts';
import type { NotCarried, PlannedName } from './plan.ts';

/** The signed statements about each name, and the images that are missing in the registry. */
export interface LookedUpNames {
  readonly contents: ReadonlyMap<Tag, NamedContent>;
  readonly notCarried: readonly NotCarried[];
}

export interface LookUpOptions {
  readonly concurrency: number;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Asks the registry once for each distinct digest: whether it is there, how long it is, and whether it says
 * its media type itself. A name whose manifest is absent, or of another length than was signed, is listed and
 * not carried.
 * @throws BullaError what the registry throws: that it could not be asked never counts as absent
 */
export async function lookUpNames(
  images: ManifestFetcher,
  names: ReadonlyMap<Tag, Pick<PlannedName, 'digest' | 'length'>>,
  { concurrency, signal }: LookUpOptions,
): Promise<LookedUpNames> {
  const readable = [...names.values()].filter(({ length }) => length <= MAX_MANIFEST_BYTES);
  const digests = [...new Set(readable.map(({ digest }) => digest))];
  const found = new Map<Digest, NamedContent | string>();
  await mapConcurrently(digests, concurrency, async (digest) => {
    found.set(digest, await lookUp(images, digest, signal));
  });
  const contents = new Map<Tag, NamedContent>();
  const notCarried: NotCarried[] = [];
  for (const [tag, { digest, length }] of names) {
    const content = found.get(digest);
    const why =
      typeof content === 'object' && content.length !== length
        ? `${digest} has ${content.length} bytes, and ${length} were signed`
        : content;
    if (typeof why === 'object') contents.set(tag, why);
    else
      notCarried.push({
        kind: 'name',
        what: tag,
        why: why ?? `${length} bytes are more than is read of a manifest`,
      });
  }
  return { contents, notCarried };
}

async function lookUp(
  images: ManifestFetcher,
  digest: Digest,
  signal: AbortSignal | undefined,
): Promise<NamedContent | string> {
  // What is not the content of this digest is a failure of the registry, and says nothing about the image.
  const content = await fetchIfThere(images, digest, { signal });
  if (content === undefined) return `${digest} is not in the registry`;
  try {
    return namedContentOf(content);
  } catch (error) {
    if (isBullaError(error, 'content-invalid')) return messageOf(error);
    throw error;
  }
}

/** The error where none of the names that were signed is in the registry: it is most likely another one. */
export function nothingThere(gun: string, place: string): BullaError {
  return new BullaError('not-found', `none of the images that ${gun} names is in ${place}`, {
    hint: 'push or copy the images first, by digest; give --gun where the repository had another name',
    details: { gun, place },
  });
}

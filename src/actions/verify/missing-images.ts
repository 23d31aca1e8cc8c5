import { BullaError } from '../../errors.ts';
import type { Descriptor } from '../../oci/descriptor.ts';
import type { Digest } from '../../oci/digest.ts';
import { fetchIfThere } from '../../oci/if-there.ts';
import type { ManifestContent } from '../../oci/manifest.ts';
import { formatPlatform } from '../../oci/platform.ts';
import type { CallOptions, Source } from '../../oci/target.ts';

/** Images that an error names one by one. */
const MAX_NAMED = 16;

/** An entry of an index, by its platform. */
export function entryName({ platform, digest }: Descriptor): string {
  return platform === undefined ? digest : formatPlatform(platform);
}

/**
 * The images of an index, all of them.
 * @param hint what to do instead, from the names of the images that are there
 * @throws BullaError image-missing with the platforms that are not there (details.missing: their digests)
 */
export async function fetchEntries(
  source: Pick<Source, 'name' | 'fetchManifest'>,
  index: Digest,
  entries: readonly Descriptor[],
  hint: (there: readonly string[]) => string,
  { signal }: CallOptions = {},
): Promise<readonly ManifestContent[]> {
  const fetched = await Promise.all(entries.map(({ digest }) => fetchIfThere(source, digest, { signal })));
  const missing = entries.filter((_, at) => fetched[at] === undefined);
  if (missing.length === 0) return fetched.filter((one) => one !== undefined);
  const there = entries.filter((_, at) => fetched[at] !== undefined).map(entryName);
  const named = missing.slice(0, MAX_NAMED).map((entry) => `${entryName(entry)} (${entry.digest})`);
  const more = missing.length > MAX_NAMED ? ` and ${missing.length - MAX_NAMED} more` : '';
  throw new BullaError(
    'image-missing',
    `${source.name}: ${index} names images that are not there: ${named.join(', ')}${more}`,
    { hint: hint(there.slice(0, MAX_NAMED)), details: { missing: missing.map(({ digest }) => digest) } },
  );
}

import { BullaError } from '../errors.ts';
import type { Descriptor, Platform } from '../oci/descriptor.ts';
import type { IndexManifest } from '../oci/manifest.ts';
import { isManifestType } from '../oci/media-types.ts';

/** `linux/arm64/v8`. */
export function formatPlatform(platform: Platform): string {
  return [platform.os, platform.architecture, platform.variant].filter(Boolean).join('/');
}

/**
 * Entries of an index that are images to be run. BuildKit's attestations stand in the index as images
 * of the platform unknown/unknown, which no runtime chooses.
 */
export function platformEntries(index: IndexManifest): Descriptor[] {
  return index.manifests.filter(
    ({ mediaType, platform }) =>
      isManifestType(mediaType) && !(platform?.os === 'unknown' && platform.architecture === 'unknown'),
  );
}

/**
 * The one entry of an index for a platform. Without a variant in `wanted`, an entry may have any.
 * @param wanted `linux/amd64`, `linux/arm64/v8`
 * @throws BullaError usage where `wanted` is no platform; not-found where no entry, or more than one, is for it
 */
export function selectPlatform(index: IndexManifest, wanted: string, name: string): Descriptor {
  if (!/^[a-z0-9]+\/[a-z0-9]+(?:\/[a-z0-9.]+)?$/.test(wanted)) {
    throw new BullaError('usage', `${JSON.stringify(wanted)} is not a platform`, {
      hint: 'write os/architecture or os/architecture/variant, such as linux/amd64',
    });
  }
  const entries = platformEntries(index);
  const matching = entries.filter(({ platform }) => {
    if (platform === undefined) return false;
    const full = formatPlatform(platform);
    return full === wanted || `${platform.os}/${platform.architecture}` === wanted;
  });
  const [only, second] = matching;
  if (only !== undefined && second === undefined) return only;
  const have = entries.flatMap(({ platform }) => (platform === undefined ? [] : [formatPlatform(platform)]));
  throw new BullaError(
    'not-found',
    `${name} has ${matching.length === 0 ? 'no image' : `${matching.length} images`} for ${wanted}`,
    { hint: `it has ${have.join(', ') || 'no platforms'}` },
  );
}

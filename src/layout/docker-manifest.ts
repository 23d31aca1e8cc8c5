import { utf8 } from '../encoding/bytes.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import { algorithmOf, type Digest, hexOf } from '../oci/digest.ts';
import { fetchIfThere } from '../oci/if-there.ts';
import { type ImageManifest, parseManifest } from '../oci/manifest.ts';
import { isManifestType, MEDIA_TYPES } from '../oci/media-types.ts';
import { matchesPlatform } from '../oci/platform.ts';
import { isBesideTag, isTag } from '../oci/reference.ts';
import type { Source } from '../oci/target.ts';
import type { RepoTags } from './docker-archive.ts';
import { IMAGE_NAME, type LayoutIndex, nameOfEntry } from './index-file.ts';

/** What {@link buildDockerManifest} needs to know beside the layout. */
export interface DockerManifestOptions {
  /** Architecture (as Go names it) whose image of an index docker should load. */
  readonly architecture: string;
  /** Repository under which docker files the tags; without it, a tag alone gives no name. */
  readonly imageName?: string | undefined;
  /** Names that images had before. */
  readonly repoTags: RepoTags;
}

/** Path of a blob in a layout. */
export function blobName(digest: Digest): string {
  return `blobs/${algorithmOf(digest)}/${hexOf(digest)}`;
}

/**
 * docker's manifest.json for the images of a layout, so that `docker load` and `podman load` read its
 * archive. Of an index it names the image for this machine, or the first. Artifacts are left out.
 */
export async function buildDockerManifest(
  store: Source,
  index: LayoutIndex,
  options: DockerManifestOptions,
): Promise<Uint8Array> {
  const images = new Map<string, { manifest: ImageManifest; names: Set<string> }>();
  for (const entry of index.entries) {
    const name = nameOfEntry(entry);
    if (!isManifestType(entry.mediaType) || (name !== undefined && isBesideTag(name))) continue;
    const manifest = await imageOf(store, entry.digest, options.architecture);
    if (manifest === undefined) continue;
    const config = blobName(manifest.config.digest);
    const image = images.get(config) ?? { manifest, names: new Set(options.repoTags.get(config)) };
    for (const full of fullNames(entry, name, options.imageName)) image.names.add(full);
    images.set(config, image);
  }
  const items = [...images].map(([config, { manifest, names }]) => ({
    Config: config,
    RepoTags: names.size > 0 ? [...names] : null,
    Layers: manifest.layers.map(({ digest }) => blobName(digest)),
  }));
  return utf8(`${JSON.stringify(items)}\n`);
}

function fullNames(entry: Descriptor, name: string | undefined, imageName: string | undefined): string[] {
  const full = entry.annotations?.[IMAGE_NAME];
  if (full !== undefined) return [full];
  return name !== undefined && isTag(name) && imageName !== undefined ? [`${imageName}:${name}`] : [];
}

/** The image of a manifest or, of an index, for an architecture; undefined where there is none. */
async function imageOf(
  store: Source,
  digest: Digest,
  architecture: string,
  depth = 0,
): Promise<ImageManifest | undefined> {
  // An index may name platforms that its layout does not have.
  const content = await fetchIfThere(store, digest);
  if (content === undefined) return undefined;
  const manifest = parseManifest(content);
  if (manifest.subject !== undefined || manifest.artifactType !== undefined) return undefined;
  if (manifest.kind === 'manifest') return isLoadable(manifest) ? manifest : undefined;
  const entries = manifest.manifests.filter((entry) => isManifestType(entry.mediaType));
  const wanted = entries.find((entry) => matchesPlatform({ os: 'linux', architecture }, entry.platform));
  const chosen = wanted ?? entries[0];
  return chosen === undefined || depth > 4
    ? undefined
    : imageOf(store, chosen.digest, architecture, depth + 1);
}

const CONFIG_TYPES: readonly string[] = [MEDIA_TYPES.ociConfig, MEDIA_TYPES.dockerConfig];
const LAYER_TYPE =
  /^application\/vnd\.(?:oci\.image\.layer\.v1\.tar|docker\.image\.rootfs\.diff\.tar)(?:[.+](?:gzip|zstd))?$/;

function isLoadable(manifest: ImageManifest): boolean {
  return (
    CONFIG_TYPES.includes(manifest.config.mediaType) &&
    manifest.layers.every(({ mediaType }) => LAYER_TYPE.test(mediaType))
  );
}

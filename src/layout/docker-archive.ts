import { posix } from 'node:path';
import * as z from 'zod/mini';
import { canonicalRfc8785 } from '../encoding/canonical.ts';
import { isJsonObject, parseJson, parseJsonObject } from '../encoding/json.ts';
import { BullaError } from '../errors.ts';
import { type Descriptor, describe } from '../oci/descriptor.ts';
import { type Digest, Digester, hexOf } from '../oci/digest.ts';
import { MAX_MANIFEST_BYTES, type ManifestContent } from '../oci/manifest.ts';
import { MEDIA_TYPES } from '../oci/media-types.ts';
import { isTag } from '../oci/reference.ts';
import { describeIssues, listOf } from '../oci/shape.ts';
import { type Place, placeInMemory, readPlace, streamPlace } from './byte-source.ts';
import { IMAGE_NAME, type LayoutIndex, REF_NAME } from './index-file.ts';
import { damaged } from './tar-format.ts';
import { placeOf, type TarIndex } from './tar-index.ts';

/** Names (`repository:tag`) of images in docker's manifest.json, by the path of their config. */
export type RepoTags = ReadonlyMap<string, readonly string[]>;

/** One image of docker's manifest.json. */
export interface DockerItem {
  /** Path of the config in the archive. */
  readonly config: string;
  readonly repoTags: readonly string[];
  /** Paths of the layers, the lowest first. */
  readonly layers: readonly string[];
}

const schema = listOf(
  z.looseObject({
    Config: z.string(),
    RepoTags: z.nullish(listOf(z.string())),
    Layers: z.nullish(listOf(z.string())),
  }),
);

/** Reads the manifest.json of `docker save`. @throws BullaError content-invalid */
export function parseDockerManifest(bytes: Uint8Array, where: string): readonly DockerItem[] {
  const parsed = schema.safeParse(parseJson(bytes, { what: where }));
  if (!parsed.success) throw damaged(where, describeIssues(parsed.error));
  return parsed.data.map((item) => ({
    config: posix.normalize(item.Config),
    repoTags: item.RepoTags ?? [],
    layers: (item.Layers ?? []).map((path) => posix.normalize(path)),
  }));
}

/**
 * What an archive without a layout, as docker wrote it before version 25, comes to: for each image an
 * OCI manifest of its config and layers as they are, in one deterministic spelling.
 * @throws BullaError content-invalid
 */
export async function dockerSaveContent(
  tar: TarIndex,
  items: readonly DockerItem[],
  where: string,
): Promise<{ index: LayoutIndex; blobs: ReadonlyMap<Digest, Place>; repoTags: RepoTags }> {
  const blobs = new Map<Digest, Place>();
  const layers = new LayerTable(tar, where, blobs);
  const entries: Descriptor[] = [];
  for (const item of items) {
    const manifest = await manifestOf(item, tar, layers, where);
    blobs.set(manifest.descriptor.digest, placeInMemory(manifest.bytes));
    entries.push(...entriesOf(item, manifest.descriptor));
  }
  const repoTags = new Map(items.map((item) => [item.config, item.repoTags]));
  return { index: { entries, rest: {} }, blobs, repoTags };
}

function entriesOf(item: DockerItem, manifest: Descriptor): readonly Descriptor[] {
  const named = item.repoTags.map((name) => {
    const tag = name.slice(name.lastIndexOf(':') + 1);
    // What follows the last colon may be a port.
    const isNamed = isTag(tag) && tag !== name;
    return { ...manifest, annotations: { ...(isNamed && { [REF_NAME]: tag }), [IMAGE_NAME]: name } };
  });
  return named.length > 0 ? named : [manifest];
}

async function manifestOf(
  item: DockerItem,
  tar: TarIndex,
  layers: LayerTable,
  where: string,
): Promise<ManifestContent> {
  const place = placeOf(tar, item.config);
  if (place === undefined) throw damaged(where, `the config ${quote(item.config)} is missing`);
  if (place.size > MAX_MANIFEST_BYTES) throw damaged(where, `the config has ${place.size} bytes`);
  const bytes = await readPlace(place);
  const config = describe(MEDIA_TYPES.ociConfig, bytes);
  checkName(item.config, config.digest, where);
  layers.blobs.set(config.digest, place);
  const diffIds = diffIdsOf(bytes, `${where}: ${quote(item.config)}`);
  if (diffIds.length !== item.layers.length) {
    throw damaged(
      where,
      `${quote(item.config)} speaks of ${diffIds.length} layers, and there are ${item.layers.length}`,
    );
  }
  const descriptors: Descriptor[] = [];
  for (const [at, path] of item.layers.entries()) descriptors.push(await layers.layer(path, diffIds[at]));
  const manifest = canonicalRfc8785({
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.ociManifest,
    config,
    layers: descriptors,
  });
  return { descriptor: describe(MEDIA_TYPES.ociManifest, manifest), bytes: manifest };
}

/** docker names a config after its digest: then it must have it. */
function checkName(path: string, digest: Digest, where: string): void {
  const hex = /(?:^|\/)([0-9a-f]{64})(?:\.json)?$/.exec(path)?.[1];
  if (hex !== undefined && hex !== hexOf(digest))
    throw damaged(where, `${quote(path)} has the digest ${digest}`);
}

function diffIdsOf(bytes: Uint8Array, where: string): readonly unknown[] {
  const { rootfs } = parseJsonObject(bytes, { what: where, floats: true });
  const ids = isJsonObject(rootfs) ? rootfs['diff_ids'] : undefined;
  if (!Array.isArray(ids)) throw damaged(where, 'it has no rootfs.diff_ids');
  return ids;
}

/** Layers of an archive by path; each is read once for its digest. */
class LayerTable {
  readonly blobs: Map<Digest, Place>;
  private readonly tar: TarIndex;
  private readonly where: string;
  private readonly known = new Map<Place, Descriptor>();

  constructor(tar: TarIndex, where: string, blobs: Map<Digest, Place>) {
    this.tar = tar;
    this.where = where;
    this.blobs = blobs;
  }

  async layer(path: string, diffId: unknown): Promise<Descriptor> {
    const place = placeOf(this.tar, path);
    if (place === undefined) throw damaged(this.where, `the layer ${quote(path)} is missing`);
    let descriptor = this.known.get(place);
    if (descriptor === undefined) {
      descriptor = await describePlace(place);
      this.known.set(place, descriptor);
      this.blobs.set(descriptor.digest, place);
    }
    // A compressed layer's diff id is checked when it is unpacked.
    if (descriptor.mediaType === MEDIA_TYPES.ociLayer && descriptor.digest !== diffId) {
      throw new BullaError(
        'content-invalid',
        `${this.where}: the layer ${quote(path)} should be ${quote(String(diffId))} and is ${descriptor.digest}`,
        { hint: 'the archive was changed or damaged; nothing of it was used' },
      );
    }
    return descriptor;
  }
}

async function describePlace(place: Place): Promise<Descriptor> {
  const digester = new Digester();
  let mediaType: string | undefined;
  for await (const piece of streamPlace(place)) {
    mediaType ??= layerTypeOf(piece);
    digester.update(piece);
  }
  return { mediaType: mediaType ?? MEDIA_TYPES.ociLayer, digest: digester.digest(), size: place.size };
}

function layerTypeOf(start: Uint8Array): string {
  if (start[0] === 0x1f && start[1] === 0x8b) return MEDIA_TYPES.ociLayerGzip;
  const isZstd = start[0] === 0x28 && start[1] === 0xb5 && start[2] === 0x2f && start[3] === 0xfd;
  return isZstd ? MEDIA_TYPES.ociLayerZstd : MEDIA_TYPES.ociLayer;
}

function quote(text: string): string {
  return JSON.stringify(text.slice(0, 200));
}

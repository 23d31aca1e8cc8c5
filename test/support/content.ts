import { utf8 } from '../../src/encoding/bytes.ts';
import { streamOf } from '../../src/oci/content.ts';
import { type Descriptor, describe, EMPTY_BYTES, EMPTY_DESCRIPTOR } from '../../src/oci/descriptor.ts';
import { buildArtifact, buildIndex, type ManifestContent } from '../../src/oci/manifest.ts';
import { MEDIA_TYPES } from '../../src/oci/media-types.ts';
import { parseTag, type Tag } from '../../src/oci/reference.ts';
import type { Target } from '../../src/oci/target.ts';

/** A blob with its descriptor. */
export interface Blob {
  readonly descriptor: Descriptor;
  readonly bytes: Uint8Array;
}

export function blobOf(text: string, mediaType: string = MEDIA_TYPES.ociLayer): Blob {
  const bytes = utf8(text);
  return { descriptor: describe(mediaType, bytes), bytes };
}

export function pushBytes(target: Target, blob: Blob): Promise<string> {
  return target.pushBlob(blob.descriptor, async () => streamOf(blob.bytes));
}

/** Pushes a small image and what it is made of; different `text`, different image. */
export async function pushImage(target: Target, text: string, tag?: string): Promise<ManifestContent> {
  const config = blobOf(
    JSON.stringify({ architecture: 'amd64', os: 'linux', rootfs: { type: 'layers', diff_ids: [] }, text }),
    MEDIA_TYPES.ociConfig,
  );
  const layer = blobOf(`layer of ${text}`);
  await pushBytes(target, config);
  await pushBytes(target, layer);
  const content = imageOf(config.descriptor, [layer.descriptor]);
  await target.pushManifest(content, tag === undefined ? {} : { tag: parseTag(tag) });
  return content;
}

/** The manifest of an image, not pushed. */
export function imageOf(config: Descriptor, layers: readonly Descriptor[]): ManifestContent {
  const bytes = utf8(
    JSON.stringify({ schemaVersion: 2, mediaType: MEDIA_TYPES.ociManifest, config, layers }),
  );
  return { descriptor: describe(MEDIA_TYPES.ociManifest, bytes), bytes };
}

export const SIGNATURE_TYPE = 'application/vnd.example.signature';

/** Pushes an artifact that refers to `subject`. */
export async function pushReferrer(
  target: Target,
  subject: Descriptor,
  text: string,
  artifactType: string = SIGNATURE_TYPE,
): Promise<ManifestContent> {
  const layer = blobOf(`says ${text}`, 'text/plain');
  await pushBytes(target, layer);
  await pushBytes(target, { descriptor: EMPTY_DESCRIPTOR, bytes: EMPTY_BYTES });
  const { mediaType, digest, size } = subject;
  const content = buildArtifact({
    artifactType,
    layers: [layer.descriptor],
    subject: { mediaType, digest, size },
    annotations: { 'org.example.note': text },
  });
  await target.pushManifest(content);
  return content;
}

/** Pushes an index of two images, one for each platform. */
export async function pushIndex(
  target: Target,
  text: string,
  tag?: string,
): Promise<{ readonly index: ManifestContent; readonly images: readonly ManifestContent[] }> {
  const images = [await pushImage(target, `${text} amd64`), await pushImage(target, `${text} arm64`)];
  const index = buildIndex({
    manifests: images.map(({ descriptor }, at) => ({
      ...descriptor,
      platform: { os: 'linux', architecture: at === 0 ? 'amd64' : 'arm64' },
    })),
  });
  await target.pushManifest(index, tag === undefined ? {} : { tag: parseTag(tag) });
  return { index, images };
}

export function tagOf(text: string): Tag {
  return parseTag(text);
}

import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { utf8 } from '../../../src/encoding/bytes.ts';
import { describe as describeBytes } from '../../../src/oci/descriptor.ts';
import type { Digest } from '../../../src/oci/digest.ts';
import type { ManifestContent } from '../../../src/oci/manifest.ts';
import { MEDIA_TYPES } from '../../../src/oci/media-types.ts';
import { namedContentOf } from '../../../src/trust/format/named-content.ts';

const config = describeBytes(MEDIA_TYPES.ociConfig, utf8('{}'));

function served(manifest: object, as: string): ManifestContent {
  const bytes = utf8(JSON.stringify(manifest));
  return { descriptor: describeBytes(as, bytes), bytes };
}

describe('what is signed about a name', () => {
  it.each([
    ['says its type', { mediaType: MEDIA_TYPES.ociManifest, config, layers: [] }, MEDIA_TYPES.ociManifest],
    ['does not', { config, layers: [] }, MEDIA_TYPES.ociManifest],
    ['is an index', { mediaType: MEDIA_TYPES.ociIndex, manifests: [] }, MEDIA_TYPES.ociIndex],
  ])('is size and hash, and the media type only of a manifest that %s', (_, manifest, as) => {
    const content = served({ schemaVersion: 2, ...manifest }, as);
    expect(namedContentOf(content)).toEqual({
      length: content.bytes.byteLength,
      sha256: createHash('sha256').update(content.bytes).digest('hex'),
      ...('mediaType' in manifest ? {} : { mediaType: as }),
    });
  });

  it.each([
    ['with both manifests and layers', { manifests: [], config, layers: [] }, MEDIA_TYPES.ociManifest],
    ['with both, served as an index', { manifests: [], layers: [] }, MEDIA_TYPES.ociIndex],
    [
      'served as what it says it is not',
      { mediaType: MEDIA_TYPES.ociIndex, config, layers: [] },
      MEDIA_TYPES.ociManifest,
    ],
  ])('is nothing for a manifest that could be two things: %s', (_, manifest, as) => {
    expect(() => namedContentOf(served({ schemaVersion: 2, ...manifest }, as))).toThrow(
      expect.objectContaining({ code: 'content-invalid' }),
    );
  });

  it('is nothing for a digest that no name can stand for', () => {
    const { descriptor, bytes } = served({ schemaVersion: 2, config, layers: [] }, MEDIA_TYPES.ociManifest);
    const digest = `sha512:${createHash('sha512').update(bytes).digest('hex')}` as Digest;
    expect(() => namedContentOf({ descriptor: { ...descriptor, digest }, bytes })).toThrow(
      expect.objectContaining({ code: 'usage' }),
    );
  });
});

import { describe, expect, it } from 'vitest';
import { base64, utf8 } from '../../src/encoding/bytes.ts';
import { describe as describeBytes } from '../../src/oci/descriptor.ts';
import { parseManifest } from '../../src/oci/manifest.ts';
import { buildSignatureArtifact, guessArtifact, locateEnvelope } from '../../src/signatures/artifact.ts';
import { MAX_INLINE_BYTES, RELEASE_PURPOSE } from '../../src/signatures/formats.ts';
import { issueChain } from '../support/issue.ts';

const image = {
  ...describeBytes('application/vnd.oci.image.manifest.v1+json', utf8('an image')),
  annotations: { 'not.of.the': 'image itself' },
};
const created = new Date('2026-12-01T00:00:00Z');
const { chain } = issueChain();

describe('the artifact of a signature', () => {
  it('of Notation is found by its type and by its config, and names the certificates', () => {
    const { manifest, blobs } = buildSignatureArtifact('notation-jws', utf8('{}'), { image, created, chain });
    expect(JSON.parse(Buffer.from(manifest.bytes).toString())).toEqual({
      schemaVersion: 2,
      mediaType: 'application/vnd.oci.image.manifest.v1+json',
      artifactType: 'application/vnd.cncf.notary.signature',
      config: expect.objectContaining({ mediaType: 'application/vnd.cncf.notary.signature', size: 2 }),
      layers: [expect.objectContaining({ mediaType: 'application/jose+json', data: 'e30=' })],
      subject: { mediaType: image.mediaType, digest: image.digest, size: image.size },
      annotations: {
        'org.opencontainers.image.created': '2026-12-01T00:00:00Z',
        'io.cncf.notary.x509chain.thumbprint#S256': JSON.stringify(chain.map(({ thumbprint }) => thumbprint)),
      },
    });
    expect(blobs.map(({ bytes }) => Buffer.from(bytes).toString())).toEqual(['{}', '{}']);
  });

  it('of a bundle says its purpose', () => {
    const details = { image, created, purpose: RELEASE_PURPOSE };
    const parsed = parseManifest(buildSignatureArtifact('sigstore-bundle', utf8('{}'), details).manifest);
    expect(parsed).toMatchObject({
      artifactType: 'application/vnd.dev.sigstore.bundle.v0.3+json',
      config: { mediaType: 'application/vnd.oci.empty.v1+json' },
      annotations: {
        'dev.sigstore.bundle.content': 'dsse-envelope',
        'dev.sigstore.bundle.predicateType': RELEASE_PURPOSE,
      },
    });
  });

  it('is the same each time, and carries its envelope up to 8 KiB', () => {
    for (const [size, inline] of [
      [MAX_INLINE_BYTES, true],
      [MAX_INLINE_BYTES + 1, false],
    ] as const) {
      const envelope = new Uint8Array(size).fill(0x20);
      const build = () => buildSignatureArtifact('notation-cose', envelope, { image, created, chain });
      expect(build().manifest.bytes).toEqual(build().manifest.bytes);
      const { layer } = locateEnvelope(build().manifest, image.digest)!;
      expect(layer.data).toBe(inline ? base64(envelope) : undefined);
    }
  });

  it.each([
    [{ artifactType: 'application/vnd.cncf.notary.signature' }, 'notation'],
    [{ artifactType: 'application/vnd.dev.sigstore.bundle.v0.3+json' }, 'bundle'],
    [{}, 'unknown'],
    [{ artifactType: 'application/vnd.oci.empty.v1+json' }, 'unknown'],
    [{ artifactType: 'application/spdx+json' }, 'other'],
  ])('%j may be: %s', (extra, guess) => {
    expect(guessArtifact({ ...describeBytes('a/b', utf8('')), ...extra })).toBe(guess);
  });
});

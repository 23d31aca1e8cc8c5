import { generateKeyPairSync, sign } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { ed25519, ed25519ph } from '@noble/curves/ed25519.js';
import { describe, expect, it } from 'vitest';
import { algorithm } from '../../src/crypto/algorithm.ts';
import { verifyEd25519ph } from '../../src/crypto/ed25519ph.ts';
import { parsePublicKeyPem, publicKeyOf } from '../../src/crypto/public-key.ts';
import { verifySignature } from '../../src/crypto/signature.ts';
import { utf8 } from '../../src/encoding/bytes.ts';
import type { Digest } from '../../src/oci/digest.ts';
import { MEDIA_TYPES } from '../../src/oci/media-types.ts';
import { readLegacySignature } from '../../src/signatures/cosign-legacy.ts';
import type { Envelope } from '../../src/signatures/envelope.ts';
import { examineEnvelope } from '../../src/signatures/evidence.ts';
import { SIGNATURE_ANNOTATIONS, SIGNATURE_TYPES } from '../../src/signatures/formats.ts';
import { readBundle } from '../../src/signatures/sigstore-bundle.ts';

const data = new URL('../../testdata/signatures/ed25519ph/', import.meta.url);
const bytes = (name: string): Uint8Array => new Uint8Array(readFileSync(new URL(name, data)));
const text = (name: string): string => readFileSync(new URL(name, data), 'utf8');
const key = parsePublicKeyPem(text('cosign.pub'), 'cosign.pub');
const other = publicKeyOf(generateKeyPairSync('ed25519').publicKey);
const p256 = publicKeyOf(generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey);
const DIGEST = 'sha256:39e41b36f11b222507c4a3951e993887f601d29b687ea018a43d2c69709988ba' as Digest;
const image = { mediaType: MEDIA_TYPES.ociManifest, digest: DIGEST, size: 394 };
const manifest = `sha256:${'a'.repeat(64)}` as Digest;

function legacy(signature: string, payload: Uint8Array = bytes('payload.json')): Envelope {
  const annotations = { [SIGNATURE_ANNOTATIONS.legacySignature]: signature };
  const layer = {
    mediaType: SIGNATURE_TYPES.simpleSigning,
    digest: manifest,
    size: payload.length,
    annotations,
  };
  return readLegacySignature(layer, payload, 'it');
}

describe('Ed25519 signatures by cosign', () => {
  const honest: [string, Envelope][] = [
    ['a bundle', readBundle(bytes('bundle.json'), 'it')],
    ['a .sig tag', legacy(text('payload.sig').trim())],
  ];
  it.each(honest)('%s counts for its key, whatever others are trusted', async (_, envelope) => {
    expect(await examineEnvelope(envelope, manifest, image, [p256, other, key])).toMatchObject({
      outcome: 'verified',
      evidence: { key: { fingerprint: key.fingerprint } },
    });
    expect(await examineEnvelope(envelope, manifest, image, [p256, other])).toMatchObject({
      outcome: 'refused',
      refusal: { code: 'signature-mismatch' },
    });
  });

  it.each([
    ['another payload', legacy(text('payload.sig').trim(), utf8(text('payload.json').replace('app', 'App')))],
    ['a changed signature', legacy(`A${text('payload.sig').trim().slice(1)}`)],
    ['a signature that is too short', legacy(text('payload.sig').trim().slice(0, 80))],
    ['a signature that is empty but for zeros', legacy(Buffer.alloc(64).toString('base64'))],
  ])('%s does not count', async (_, envelope) => {
    expect(await examineEnvelope(envelope, manifest, image, [key])).toMatchObject({ outcome: 'refused' });
  });

  it('is over another image there, and says so', async () => {
    const elsewhere = { ...image, digest: `sha256:${'0'.repeat(64)}` as Digest };
    const [, envelope] = honest[0]!;
    expect(await examineEnvelope(envelope, manifest, elsewhere, [key])).toMatchObject({
      outcome: 'refused',
      refusal: { code: 'digest-mismatch' },
    });
  });
});

describe('Ed25519ph', () => {
  it('is not plain Ed25519, nor the other way round', async () => {
    const { privateKey, publicKey } = generateKeyPairSync('ed25519');
    const own = publicKeyOf(publicKey);
    const message = utf8('m');
    const plain = new Uint8Array(sign(null, message, privateKey));
    const secret = Buffer.from(privateKey.export({ format: 'jwk' }).d as string, 'base64url');
    const hashed = ed25519ph.sign(message, secret);
    expect(ed25519.verify(plain, message, own.spki.slice(-32))).toBe(true);
    expect(await verifyEd25519ph(own, message, plain)).toBe(false);
    expect(await verifyEd25519ph(own, message, hashed)).toBe(true);
    for (const id of ['Ed25519', 'Ed25519ph'] as const)
      expect(verifySignature(own, algorithm(id), message, hashed, 'der')).toBe(false);
    expect(await verifyEd25519ph(p256, message, hashed)).toBe(false);
  });
});

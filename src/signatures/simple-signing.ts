import type { PublicKey } from '../crypto/public-key.ts';
import { ecdsaToDer, verifySignature } from '../crypto/signature.ts';
import type { Signer } from '../crypto/signer.ts';
import { base64, fromBase64 } from '../encoding/bytes.ts';
import { canonicalRfc8785 } from '../encoding/canonical.ts';
import { BullaError } from '../errors.ts';
import { type Descriptor, describe } from '../oci/descriptor.ts';
import type { Digest } from '../oci/digest.ts';
import type { ImageManifest, ManifestContent } from '../oci/manifest.ts';
import { MEDIA_TYPES } from '../oci/media-types.ts';
import { sigstoreAlgorithms } from '../sigstore/algorithms.ts';
import type { SignatureBlob } from './artifact.ts';
import { MAX_LEGACY_SIGNATURES, SIGNATURE_ANNOTATIONS, SIGNATURE_TYPES } from './formats.ts';

const CONFIG_TYPE = 'application/vnd.oci.image.config.v1+json';

/** A signature for the `.sig` tag: its payload is a blob, the signature is in the layer's annotations. */
export interface SimpleSignature {
  readonly layer: Descriptor;
  readonly bytes: Uint8Array;
}

/**
 * Signs a simple signing document about an image (spec/signatures.md, "cosign `.sig`").
 * @param dockerReference `HOST/REPOSITORY:TAG`, which podman compares with what it pulls; without a tag it demands less
 * @throws BullaError key-invalid for a key that podman does not verify with
 */
export async function signSimply(
  image: Digest,
  dockerReference: string,
  annotations: ReadonlyMap<string, string>,
  signer: Signer,
): Promise<SimpleSignature> {
  const { type } = signer.publicKey;
  if (type !== 'P-256' && type !== 'Ed25519') {
    throw new BullaError('key-invalid', `a ${type} key cannot make a simple signature`, {
      hint: 'use a P-256 or Ed25519 key for images that podman or CRI-O verify',
    });
  }
  const bytes = canonicalRfc8785({
    critical: {
      identity: { 'docker-reference': dockerReference },
      image: { 'docker-manifest-digest': image },
      type: 'cosign container image signature',
    },
    optional: annotations.size === 0 ? null : Object.fromEntries(annotations),
  });
  const plain = await signer.sign(bytes);
  const signature = base64(type === 'P-256' ? ecdsaToDer(plain) : plain);
  const layer = describe(SIGNATURE_TYPES.simpleSigning, bytes, {
    annotations: { [SIGNATURE_ANNOTATIONS.legacySignature]: signature },
  });
  return { layer, bytes };
}

/** Whether a manifest at a `.sig` tag has a signature of the same document by the same key. */
export function hasSignature(
  { layers }: ImageManifest,
  { layer, bytes }: SimpleSignature,
  key: PublicKey,
): boolean {
  return layers.some(({ digest, annotations }) => {
    const signature = fromBase64(annotations?.[SIGNATURE_ANNOTATIONS.legacySignature] ?? '');
    if (digest !== layer.digest || signature === undefined) return false;
    return sigstoreAlgorithms(key).some((each) => verifySignature(key, each, bytes, signature, 'der'));
  });
}

/**
 * The manifest of a `.sig` tag with more signatures, as cosign writes it: those that are there stay.
 * @throws BullaError conflict where the tag holds something else, or too many signatures
 */
export function withSignatures(
  existing: ImageManifest | undefined,
  added: readonly SimpleSignature[],
  where: string,
): { readonly manifest: ManifestContent; readonly blobs: readonly SignatureBlob[] } {
  const before = existing?.layers ?? [];
  const stranger = before.find(({ mediaType }) => mediaType !== SIGNATURE_TYPES.simpleSigning);
  if (stranger !== undefined || before.length + added.length > MAX_LEGACY_SIGNATURES) {
    const what =
      stranger === undefined ? `${before.length} signatures` : `a layer of type ${stranger.mediaType}`;
    throw new BullaError('conflict', `${where} holds ${what}`, {
      hint: 'remove it if it is no longer needed: bulla signature rm',
    });
  }
  const layers = [...before, ...added.map(({ layer }) => layer)];
  const config = canonicalRfc8785({
    architecture: '',
    config: {},
    created: '0001-01-01T00:00:00Z',
    history: layers.map(() => ({ created: '0001-01-01T00:00:00Z' })),
    os: '',
    rootfs: { type: 'layers', diff_ids: layers.map(({ digest }) => digest) },
  });
  const described = describe(CONFIG_TYPE, config);
  const bytes = canonicalRfc8785({
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.ociManifest,
    config: { ...described },
    layers: layers.map((layer) => ({ ...layer })),
  } as never);
  return {
    manifest: { descriptor: describe(MEDIA_TYPES.ociManifest, bytes), bytes },
    blobs: [
      { descriptor: described, bytes: config },
      ...added.map(({ layer, bytes: blob }) => ({ descriptor: layer, bytes: blob })),
    ],
  };
}

import type { Certificate } from '../crypto/certificate.ts';
import { base64 } from '../encoding/bytes.ts';
import { canonicalRfc8785 } from '../encoding/canonical.ts';
import { formatTime } from '../encoding/time.ts';
import type { BullaError } from '../errors.ts';
import {
  type Annotations,
  bareDescriptor,
  type Descriptor,
  describe,
  EMPTY_BYTES,
  EMPTY_DESCRIPTOR,
} from '../oci/descriptor.ts';
import type { Digest } from '../oci/digest.ts';
import { buildArtifact, type ImageManifest, type ManifestContent, parseManifest } from '../oci/manifest.ts';
import { isBundleType } from '../sigstore/bundle.ts';
import type { Envelope, SignatureKind } from './envelope.ts';
import { malformed, unsupported } from './errors.ts';
import {
  isUnreadSignatureType,
  MAX_ATTESTATION_BYTES,
  MAX_INLINE_BYTES,
  MAX_NOTATION_BYTES,
  SIGNATURE_ANNOTATIONS,
  SIGNATURE_TYPES,
} from './formats.ts';
import { readNotationCose } from './notation-cose.ts';
import { readNotationJws } from './notation-jws.ts';
import { readBundle } from './sigstore-bundle.ts';

/** Kinds of signature that are artifacts of their own, with the image as subject. */
export type ArtifactKind = Exclude<SignatureKind, 'cosign-legacy'>;

/** Something that must be stored before the manifest that names it. */
export interface SignatureBlob {
  readonly descriptor: Descriptor;
  readonly bytes: Uint8Array;
}

/** A signature as it is stored: its manifest, and the blobs that come before it. */
export interface SignatureArtifact {
  readonly manifest: ManifestContent;
  readonly blobs: readonly SignatureBlob[];
}

/** What the manifest of a signature says, beside the envelope. */
export interface ArtifactDetails {
  /** The image: the manifest's subject. */
  readonly image: Descriptor;
  readonly created: Date;
  /** Notation: the signer's chain, leaf first. */
  readonly chain?: readonly Certificate[];
  /** Sigstore bundle: its predicate type. */
  readonly purpose?: string;
}

/**
 * The manifest of a signature (spec/signatures.md, "The artifact"), in one deterministic spelling. An
 * envelope up to 8 KiB stands in it as well.
 */
export function buildSignatureArtifact(
  kind: ArtifactKind,
  envelope: Uint8Array,
  details: ArtifactDetails,
): SignatureArtifact {
  const inline = envelope.byteLength <= MAX_INLINE_BYTES;
  const layer = describe(LAYER_TYPES[kind], envelope, inline ? { data: base64(envelope) } : {});
  const isBundle = kind === 'sigstore-bundle';
  // notation looks at the config's type alone in an OCI layout, and at artifactType in a registry.
  const config = isBundle ? EMPTY_DESCRIPTOR : describe(SIGNATURE_TYPES.notation, EMPTY_BYTES);
  const manifest = buildArtifact({
    artifactType: isBundle ? SIGNATURE_TYPES.bundle : SIGNATURE_TYPES.notation,
    config,
    layers: [layer],
    subject: bareDescriptor(details.image),
    annotations: {
      [SIGNATURE_ANNOTATIONS.created]: formatTime(details.created),
      ...(isBundle ? bundleAnnotations(details.purpose) : notationAnnotations(details.chain ?? [])),
    },
  });
  return {
    manifest,
    blobs: [
      { descriptor: config, bytes: EMPTY_BYTES },
      { descriptor: bareDescriptor(layer), bytes: envelope },
    ],
  };
}

const LAYER_TYPES: Readonly<Record<ArtifactKind, string>> = {
  'notation-jws': SIGNATURE_TYPES.jws,
  'notation-cose': SIGNATURE_TYPES.cose,
  'sigstore-bundle': SIGNATURE_TYPES.bundle,
};

function bundleAnnotations(purpose: string | undefined): Annotations {
  return {
    [SIGNATURE_ANNOTATIONS.bundleContent]: 'dsse-envelope',
    ...(purpose !== undefined && { [SIGNATURE_ANNOTATIONS.bundlePurpose]: purpose }),
  };
}

function notationAnnotations(chain: readonly Certificate[]): Annotations {
  const thumbprints = chain.map((certificate) => certificate.thumbprint);
  return { [SIGNATURE_ANNOTATIONS.thumbprints]: new TextDecoder().decode(canonicalRfc8785(thumbprints)) };
}

/** What a descriptor in a list of referrers may be; only a guess, from unverified claims. */
export type ArtifactGuess = 'notation' | 'bundle' | 'cosign' | 'unknown' | 'other';

export function guessArtifact(descriptor: Descriptor): ArtifactGuess {
  switch (descriptor.artifactType) {
    case SIGNATURE_TYPES.notation:
      return 'notation';
    case SIGNATURE_TYPES.cosign:
    case SIGNATURE_TYPES.simpleSigning:
      return 'cosign';
    // Lists that other tools copied have lost the type, or name the config's.
    case undefined:
    case EMPTY_DESCRIPTOR.mediaType:
      return 'unknown';
    default:
      if (isBundleType(descriptor.artifactType)) return 'bundle';
      return isUnreadSignatureType(descriptor.artifactType) ? 'unknown' : 'other';
  }
}

/** Where the envelope of a signature manifest is, and how it is read. */
export interface LocatedEnvelope {
  readonly layer: Descriptor;
  /** @throws BullaError content-invalid, unsupported-signature */
  read(bytes: Uint8Array): Envelope;
}

/**
 * Reads the manifest of a signature. Undefined if it is not a signature (an SBOM, say).
 * @param subject digest of the image, which the manifest must name as its subject
 * @throws BullaError content-invalid, unsupported-signature
 */
export function locateEnvelope(content: ManifestContent, subject: Digest): LocatedEnvelope | undefined {
  const where = `signature ${content.descriptor.digest}`;
  const manifest = parseManifest(content);
  if (manifest.kind !== 'manifest') return undefined;
  const type = manifest.artifactType ?? manifest.config.mediaType;
  if (isUnreadSignatureType(type)) {
    throw unsupported(
      where,
      `it is of type ${type}`,
      `${SIGNATURE_TYPES.notation}, ${SIGNATURE_TYPES.bundle} and ${SIGNATURE_TYPES.cosign} are read`,
    );
  }
  if (type !== SIGNATURE_TYPES.notation && !isBundleType(type)) return undefined;
  if (manifest.subject?.digest !== subject) {
    throw otherSubject(where, subject, manifest);
  }
  const layer = onlyLayer(manifest, where);
  const most = type === SIGNATURE_TYPES.notation ? MAX_NOTATION_BYTES : MAX_ATTESTATION_BYTES;
  if (layer.size > most) {
    throw malformed(where, `its envelope has ${layer.size} bytes, more than the ${most} allowed`);
  }
  return { layer, read: readerOf(type, layer.mediaType, where) };
}

/**
 * Layers of a manifest that cosign wrote with the image as its subject (`--registry-referrers-mode=oci-1-1`), each a
 * signature as in its `.sig` tags. Undefined where it is not such a manifest.
 * @throws BullaError content-invalid, unsupported-signature
 */
export function locateCosignLayers(
  content: ManifestContent,
  subject: Digest,
): readonly Descriptor[] | undefined {
  const where = `signature ${content.descriptor.digest}`;
  const manifest = parseManifest(content);
  if (manifest.kind !== 'manifest') return undefined;
  const types = [manifest.artifactType, manifest.config.mediaType];
  const isCosign =
    types.includes(SIGNATURE_TYPES.cosign) ||
    manifest.layers.some(({ mediaType }) => mediaType === SIGNATURE_TYPES.simpleSigning);
  if (!isCosign || types.some((type) => type === SIGNATURE_TYPES.notation || isBundleType(type ?? '')))
    return undefined;
  if (manifest.subject?.digest !== subject) throw otherSubject(where, subject, manifest);
  const layers = manifest.layers.filter(({ mediaType }) => mediaType === SIGNATURE_TYPES.simpleSigning);
  if (layers.length > 0) return layers;
  throw unsupported(
    where,
    `its layers are of type ${manifest.layers[0]?.mediaType ?? 'nothing'}`,
    `of cosign's, ${SIGNATURE_TYPES.simpleSigning} is read`,
  );
}

function otherSubject(where: string, subject: Digest, manifest: ImageManifest): BullaError {
  return malformed(
    where,
    `it is listed for ${subject} and its subject is ${manifest.subject?.digest ?? 'missing'}`,
  );
}

function onlyLayer(manifest: ImageManifest, where: string): Descriptor {
  const [layer, second] = manifest.layers;
  if (layer === undefined || second !== undefined) {
    throw malformed(where, `it should have one layer and has ${manifest.layers.length}`);
  }
  return layer;
}

function readerOf(artifactType: string, layerType: string, where: string): (bytes: Uint8Array) => Envelope {
  const isNotation = artifactType === SIGNATURE_TYPES.notation;
  if (isNotation && layerType === SIGNATURE_TYPES.jws) return (bytes) => readNotationJws(bytes, where);
  if (isNotation && layerType === SIGNATURE_TYPES.cose) return (bytes) => readNotationCose(bytes, where);
  if (!isNotation && isBundleType(layerType)) return (bytes) => readBundle(bytes, where);
  throw unsupported(
    where,
    `its envelope is of type ${layerType}`,
    `${Object.values(LAYER_TYPES).join(', ')} are read`,
  );
}

import { isBundleType } from '../sigstore/bundle.ts';

/** Names and limits of the signature formats (spec/signatures.md). */

/** Media types and artifact types. */
export const SIGNATURE_TYPES = {
  /** Artifact type of a Notation signature; the config's media type in its older form. */
  notation: 'application/vnd.cncf.notary.signature',
  notationPayload: 'application/vnd.cncf.notary.payload.v1+json',
  jws: 'application/jose+json',
  cose: 'application/cose',
  /** Artifact type and layer type of a Sigstore bundle. */
  bundle: 'application/vnd.dev.sigstore.bundle.v0.3+json',
  inToto: 'application/vnd.in-toto+json',
  /** Type of the config, or artifact type, of a manifest that cosign wrote with the image as its subject. */
  cosign: 'application/vnd.dev.cosign.artifact.sig.v1+json',
  /** Layer type of cosign's `.sig` tags, and of such manifests. */
  simpleSigning: 'application/vnd.dev.cosign.simplesigning.v1+json',
  /** Layer type of cosign's `.att` tags. */
  envelope: 'application/vnd.dsse.envelope.v1+json',
} as const;

/** Types of signatures in versions of their formats that are not read: they are named, never overlooked. */
const UNREAD_TYPES =
  /^application\/vnd\.(?:dev\.sigstore\.bundle(?:\.v[0-9.]+)?\+json(?: *;.*)?|cncf\.notary\.v2(?:\.[a-z.]+)*(?:\+[a-z]+)?|dev\.cosign\.artifact\.sig\.v[0-9]+\+json)$/;

/** Whether an artifact type is that of a signature which is not read, by its version. */
export function isUnreadSignatureType(type: string): boolean {
  return (
    !isBundleType(type) && !Object.values<string>(SIGNATURE_TYPES).includes(type) && UNREAD_TYPES.test(type)
  );
}

/**
 * What a signature means where it does not say anything else: "released". The predicate type that
 * cosign gives a plain signature; Notation and cosign's older format have no purposes and mean this.
 */
export const RELEASE_PURPOSE = 'https://sigstore.dev/cosign/sign/v1';

/** Annotations of signature manifests, and of the layers of `.sig` tags. */
export const SIGNATURE_ANNOTATIONS = {
  created: 'org.opencontainers.image.created',
  thumbprints: 'io.cncf.notary.x509chain.thumbprint#S256',
  bundleContent: 'dev.sigstore.bundle.content',
  bundlePurpose: 'dev.sigstore.bundle.predicateType',
  legacySignature: 'dev.cosignproject.cosign/signature',
  legacyCertificate: 'dev.sigstore.cosign/certificate',
  /** Rekor v1's entry and promise. */
  legacyEntry: 'dev.sigstore.cosign/bundle',
  legacyTimeStamp: 'dev.sigstore.cosign/rfc3161timestamp',
  legacyPredicateType: 'predicateType',
} as const;

/** Signed annotation of a Sigstore bundle of ours that says when the signature ends; RFC 3339. */
export const EXPIRY_ANNOTATION = 'vnd.bulla.expires';

/** Annotations with this prefix are reserved for bulla; users cannot set them. */
export const RESERVED_ANNOTATION_PREFIX = 'vnd.bulla.';

/** Largest envelope that is read of a signature, in bytes. Signatures are a few kilobytes. */
export const MAX_ENVELOPE_BYTES: number = 4 * 1024 * 1024;

/**
 * Largest envelope that is read where attestations are asked for, in bytes: an SBOM of 16 MiB in base64, as much as
 * GitHub attests. One larger than {@link MAX_ENVELOPE_BYTES} is read alone.
 */
export const MAX_ATTESTATION_BYTES: number = 24 * 1024 * 1024;

/**
 * Largest envelope of Notation that is read, in bytes: its payload is one descriptor. CBOR of a few bytes can
 * expand to a few hundred in memory.
 */
export const MAX_NOTATION_BYTES: number = 256 * 1024;

/** Largest envelope that is also carried as `data` of its descriptor, in bytes. */
export const MAX_INLINE_BYTES: number = 8 * 1024;

/** Most signatures that one cosign `.sig` manifest may hold. */
export const MAX_LEGACY_SIGNATURES = 50;

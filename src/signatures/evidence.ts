import type { Certificate } from '../crypto/certificate.ts';
import type { StatusFinding } from '../crypto/certificate-status.ts';
import { verifyEd25519ph } from '../crypto/ed25519ph.ts';
import type { PublicKey } from '../crypto/public-key.ts';
import { verifySignature } from '../crypto/signature.ts';
import type { JsonObject } from '../encoding/json.ts';
import { BullaError, type ErrorCode } from '../errors.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import type { Digest } from '../oci/digest.ts';
import type { Bundle } from '../sigstore/bundle.ts';
import type { Claims, Envelope, SignatureKind, SignedTarget } from './envelope.ts';
import { malformed, unsupported } from './errors.ts';
import { hintText } from './sigstore-bundle.ts';

/**
 * A signature whose bytes were verified, over exactly the given image. Whether it is counted (trusted by
 * whom, for what, until when) is for policy/ to decide.
 */
export interface Evidence {
  readonly kind: SignatureKind;
  /** Digest of the manifest that holds the signature. */
  readonly manifest: Digest;
  /** The key that verified it: one of those that were tried, or the leaf certificate's. */
  readonly key: PublicKey;
  /** The signer's certificates, leaf first, not verified; none for a bare key. */
  readonly certificates: readonly Certificate[];
  /** Of Sigstore's formats: log entries, times and certificate, which are not verified. */
  readonly bundle?: Bundle;
  /** Of Notation's formats: a time-stamp token and what it stamps, the signature; not verified. */
  readonly timeStamp?: { readonly token: Uint8Array; readonly stamped: Uint8Array };
  /** What authorities say about its certificates, and those of its time stamp; left out where nothing was asked. */
  readonly revocation?: readonly StatusFinding[];
  /** A predicate type. */
  readonly purpose: string;
  /** Signed annotations. */
  readonly annotations: ReadonlyMap<string, string>;
  /** When it says it was made. */
  readonly signingTime?: Date;
  /** From then on it does not count. */
  readonly expiry?: Date;
  /** Of an attestation: what it says about the image. */
  readonly predicate?: JsonObject;
}

/** A signature that was examined and is not evidence. */
export interface Refusal {
  readonly manifest: Digest;
  readonly kind?: SignatureKind;
  readonly code: ErrorCode;
  readonly message: string;
  readonly hint?: string;
}

/** What became of one signature. */
export type Finding =
  | { readonly outcome: 'verified'; readonly evidence: Evidence }
  | { readonly outcome: 'refused'; readonly refusal: Refusal };

/** Codes that say something about a signature; all others are about the way to it, and are thrown on. */
const REFUSALS: readonly ErrorCode[] = [
  'content-invalid',
  'unsupported-signature',
  'signature-mismatch',
  'digest-mismatch',
  'certificate-invalid',
  'key-invalid',
];

/**
 * Turns what `examine` throws about a signature into a finding, so that one broken signature does not
 * hide the others.
 * @throws BullaError whatever is not about the signature itself
 */
export function refusalOf(manifest: Digest, error: unknown, kind?: SignatureKind): Finding {
  if (!(error instanceof BullaError) || !REFUSALS.includes(error.code)) throw error;
  const { code, message, hint } = error;
  return {
    outcome: 'refused',
    refusal: { manifest, code, message, ...(kind && { kind }), ...(hint !== undefined && { hint }) },
  };
}

/**
 * Verifies one signature over the given image (spec/signatures.md, "Verification", steps 5 to 8).
 * @param image media type, digest and size computed from the image's own bytes
 * @param keys trusted keys
 */
export async function examineEnvelope(
  envelope: Envelope,
  manifest: Digest,
  image: Descriptor,
  keys: readonly PublicKey[],
): Promise<Finding> {
  try {
    const key = await verifyingKey(envelope, manifest, keys);
    const claims = envelope.claims();
    const target = targetOf(claims, image, manifest);
    return { outcome: 'verified', evidence: evidenceOf(envelope, manifest, key, claims, target) };
  } catch (error) {
    return refusalOf(manifest, error, envelope.kind);
  }
}

function evidenceOf(
  envelope: Envelope,
  manifest: Digest,
  key: PublicKey,
  claims: Claims,
  target: SignedTarget,
): Evidence {
  return {
    kind: envelope.kind,
    manifest,
    key,
    certificates: envelope.certificates,
    ...(envelope.bundle !== undefined && { bundle: envelope.bundle }),
    ...(envelope.timeStampToken !== undefined && {
      timeStamp: { token: envelope.timeStampToken, stamped: envelope.signature },
    }),
    purpose: claims.purpose,
    annotations: target.annotations,
    ...(claims.signingTime !== undefined && { signingTime: claims.signingTime }),
    ...(claims.expiry !== undefined && { expiry: claims.expiry }),
    ...(claims.predicate !== undefined && { predicate: claims.predicate }),
  };
}

/** The key that made the signature: the leaf's where there are certificates, else a trusted one. */
async function verifyingKey(
  envelope: Envelope,
  manifest: Digest,
  keys: readonly PublicKey[],
): Promise<PublicKey> {
  const where = `signature ${manifest}`;
  const leaf = envelope.certificates[0];
  if (leaf !== undefined) {
    if (await verifies(envelope, leaf.publicKey, where)) return leaf.publicKey;
    throw new BullaError('signature-mismatch', `${where} does not verify with its own certificate`, {
      hint: 'it was changed after it was made, or never was one; do not use the image before you know why',
    });
  }
  for (const key of keys) {
    if (envelope.algorithmsOf(key).length > 0 && (await verifies(envelope, key, where))) return key;
  }
  const says = envelope.keyHint === undefined ? '' : ` (it says it is from ${hintText(envelope.keyHint)})`;
  throw new BullaError(
    'signature-mismatch',
    `${where} is not by ${keys.length === 0 ? 'a certificate' : 'a trusted key'}${says}`,
    { hint: 'give the public key of the signer with --key if you trust it' },
  );
}

async function verifies(envelope: Envelope, key: PublicKey, where: string): Promise<boolean> {
  const algorithms = envelope.algorithmsOf(key);
  if (algorithms.length === 0) {
    const size = key.modulusBits === undefined ? '' : ` of ${key.modulusBits} bits`;
    throw unsupported(
      where,
      `signatures of its format are not made with a ${key.type} key${size}`,
      'sign with a P-256, P-384 or P-521 key, or RSA of 2048, 3072 or 4096 bits',
    );
  }
  const { namedAlgorithm, message, signature, encoding } = envelope;
  if (namedAlgorithm !== undefined && !algorithms.some(({ id }) => id === namedAlgorithm)) {
    const expected = algorithms.map(({ id }) => id).join(' or ');
    throw malformed(where, `it names ${namedAlgorithm}, and its key signs with ${expected}`);
  }
  if (algorithms.some((algorithm) => verifySignature(key, algorithm, message, signature, encoding)))
    return true;
  return algorithms.some(({ id }) => id === 'Ed25519ph') && (await verifyEd25519ph(key, message, signature));
}

/** The part of the claims that concerns the given image. */
function targetOf(claims: Claims, image: Descriptor, manifest: Digest): SignedTarget {
  const target = claims.targets.find((candidate) => candidate.digest === image.digest);
  if (target === undefined) {
    const named = claims.targets[0]?.digest ?? 'nothing known';
    throw new BullaError(
      'digest-mismatch',
      `signature ${manifest} is attached to ${image.digest} and signs ${named}`,
      { hint: 'it is the signature of another image: it was put here by mistake, or to deceive' },
    );
  }
  const { mediaType = image.mediaType, size = image.size } = target;
  if (mediaType !== image.mediaType || size !== image.size) {
    throw new BullaError(
      'signature-mismatch',
      `signature ${manifest} signs ${image.digest} as ${mediaType} of ${size} bytes; it is ${image.mediaType} of ${image.size} bytes`,
      { hint: 'the image is served as something else than what was signed' },
    );
  }
  return target;
}

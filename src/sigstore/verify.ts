import { createHash } from 'node:crypto';
import type { Algorithm } from '../crypto/algorithm.ts';
import type { Certificate } from '../crypto/certificate.ts';
import { checkCertificationPath } from '../crypto/certification-path.ts';
import { verifyDigest } from '../crypto/digest-signature.ts';
import type { PublicKey } from '../crypto/public-key.ts';
import { verifySignature } from '../crypto/signature.ts';
import { equalBytes, fromHex } from '../encoding/bytes.ts';
import { isJsonObject, parseJsonObject } from '../encoding/json.ts';
import { BullaError } from '../errors.ts';
import { sigstoreAlgorithms } from './algorithms.ts';
import {
  type Bundle,
  type DsseEnvelope,
  MAX_BUNDLE_BYTES,
  type MessageSignature,
  parseBundle,
} from './bundle.ts';
import { preAuthEncoding } from './dsse.ts';
import { type FulcioIdentity, fulcioIdentityOf, type IdentityRule, matchesRule } from './fulcio-identity.ts';
import { type HashName, hashNamed, type LoggedContent } from './log-body.ts';
import { checkLogValidity, type VerifiedLogEntry, verifyLogEntry } from './log-entry.ts';
import { verifyCertificateTimestamp } from './sct.ts';
import { parseTimeStamp, verifyTimeStamp } from './time-stamp.ts';
import { isWithin, type TrustedRoot } from './trusted-root.ts';

/** Payload type of in-toto statements. */
const IN_TOTO = 'application/vnd.in-toto+json';

/** What was signed, as the verifier has it. */
export type Artifact =
  | { readonly bytes: Uint8Array }
  /** Only its digest; Ed25519 signatures over the bytes cannot be verified so. */
  | { readonly digest: { readonly algorithm: HashName; readonly value: Uint8Array } };

/** Who must have signed: one of some identities that Fulcio certifies, or a key. */
export type ExpectedSigner = { readonly identities: readonly IdentityRule[] } | { readonly key: PublicKey };

/** What trusted logs and authorities say about a signature. */
export interface VerifiedMaterial {
  readonly logEntries: readonly VerifiedLogEntry[];
  /** When trusted logs and time-stamp authorities saw the signature. */
  readonly times: readonly Date[];
  /** Those of time-stamp authorities alone. */
  readonly stamped: readonly Date[];
}

/** A bundle whose signature, signer, log entries and times have all been verified. */
export interface VerifiedBundle extends VerifiedMaterial {
  readonly bundle: Bundle;
  readonly key: PublicKey;
  /** Left out for a bare key. */
  readonly identity?: FulcioIdentity;
}

/**
 * Verifies a Sigstore bundle over an artifact (spec/sigstore.md, "Verification"): log entries and times →
 * certificate → identity → signature.
 * @param bytes the bundle as it was received
 * @throws BullaError content-invalid, unsupported-signature, signature-mismatch, certificate-invalid,
 *   certificate-expired, untrusted-identity
 */
export function verifyBundle(
  bytes: Uint8Array,
  artifact: Artifact,
  expected: ExpectedSigner,
  root: TrustedRoot,
  where: string,
): VerifiedBundle {
  const bundle = parseBundle(bytes, where);
  const { signer, content } = bundle;
  if ('certificate' in signer !== 'identities' in expected) throw otherKindOfSigner(bundle, where);
  const key = 'certificate' in signer ? signer.certificate.publicKey : (expected as { key: PublicKey }).key;
  const material = verifyMaterial(bundle, key, root, where, (algorithm) => digestOf(artifact, algorithm));
  const identity =
    'certificate' in signer ? verifyCertificate(signer.certificate, material, root, where) : undefined;
  if (identity !== undefined && 'identities' in expected) checkIdentity(identity, expected.identities, where);
  verifyContent(content, key, artifact, where);
  return { bundle, key, ...material, ...(identity !== undefined && { identity }) };
}

/**
 * Verifies a bundle's log entries and time stamps. Those that are there must be right; that some are there is for
 * {@link verifyCertificate} to demand.
 * @param digestBy the artifact's digest, for bundles that do not hold what was signed
 * @throws BullaError signature-mismatch, content-invalid, unsupported-signature, certificate-invalid, certificate-expired
 */
export function verifyMaterial(
  bundle: Bundle,
  key: PublicKey,
  root: TrustedRoot,
  where: string,
  digestBy: LoggedContent['digestBy'] = () => undefined,
): VerifiedMaterial {
  const { signer, content } = bundle;
  const certificate = 'certificate' in signer ? { certificate: signer.certificate.der } : {};
  const logged: LoggedContent = { content, key, digestBy, ...certificate };
  const logEntries = bundle.logEntries.map((entry) =>
    verifyLogEntry(entry, bundle.version, logged, root.logs),
  );
  const stamped = bundle.timestamps.flatMap((response, at) => {
    const name = `time stamp ${at + 1} of ${where}`;
    const stamp = parseTimeStamp(response, name);
    return verifyTimeStamp(stamp, content.signature, root.timestampAuthorities, name) ?? [];
  });
  const times = [...logEntries.flatMap(({ time }) => time ?? []), ...stamped];
  for (const { log } of logEntries) for (const time of times) checkLogValidity(log, time, where);
  return { logEntries, times, stamped };
}

/**
 * Verifies a certificate that Fulcio issued: the signature is in a trusted log and has a trusted time, and at every
 * time that is known the certificate was valid, and it was published.
 * @returns whom it was issued to; whether that identity is accepted is the caller's question
 * @throws BullaError signature-mismatch, certificate-invalid, certificate-expired
 */
export function verifyCertificate(
  certificate: Certificate,
  { logEntries, times, stamped }: VerifiedMaterial,
  root: TrustedRoot,
  where: string,
): FulcioIdentity {
  const isUnlogged = root.isUnlogged === true;
  if (isUnlogged && stamped.length === 0) throw unproven(where, 'it has no trusted time stamp');
  if (!isUnlogged && logEntries.length === 0) throw unproven(where, 'it is in no transparency log');
  if (times.length === 0)
    throw unproven(where, 'no trusted log or time-stamp authority says when it was made');
  for (const time of times) {
    const issuer = issuerAt(certificate, time, root, where);
    if (!isUnlogged) verifyCertificateTimestamp(certificate, issuer, root.certificateLogs, where);
  }
  return fulcioIdentityOf(certificate);
}

/** Demands one of the accepted identities. @throws BullaError untrusted-identity */
export function checkIdentity(
  identity: FulcioIdentity,
  accepted: readonly IdentityRule[],
  where: string,
): void {
  if (accepted.some((rule) => matchesRule(identity, rule))) return;
  throw new BullaError(
    'untrusted-identity',
    `${where} is signed by ${identity.subject} (${identity.issuer}), which is not an accepted identity`,
    { hint: 'correct --certificate-identity and --certificate-oidc-issuer, or find out who signed' },
  );
}

function otherKindOfSigner({ signer }: Bundle, where: string): BullaError {
  return 'certificate' in signer
    ? new BullaError('signature-mismatch', `${where} is signed with a certificate, and a key was expected`, {
        hint: 'give --certificate-identity and --certificate-oidc-issuer',
      })
    : new BullaError('signature-mismatch', `${where} is signed with a key, and an identity was expected`, {
        hint: 'give the public key with --key',
      });
}

/** The authority's certificate that issued this one, both valid at `time`. */
function issuerAt(certificate: Certificate, time: Date, root: TrustedRoot, where: string): Certificate {
  let failure: unknown;
  for (const { chain, validFor } of root.authorities) {
    const [issuer] = chain;
    const isNamed = issuer !== undefined && equalBytes(certificate.issuerDer, issuer.subjectDer);
    if (!isNamed || !isWithin(time, validFor)) continue;
    try {
      checkCertificationPath([certificate, ...chain.slice(0, -1)], chain.slice(-1), time);
      return issuer;
    } catch (error) {
      // An authority may have renewed its keys under the same name.
      failure ??= error;
    }
  }
  if (failure !== undefined) throw failure;
  throw new BullaError(
    'certificate-invalid',
    `${where}: the certificate is not issued by an authority that was trusted at ${time.toISOString()}`,
    { hint: 'the trusted root belongs to another Sigstore instance, or is out of date' },
  );
}

function verifyContent(content: Bundle['content'], key: PublicKey, artifact: Artifact, where: string): void {
  const algorithms = sigstoreAlgorithms(key);
  if (content.kind === 'dsse') {
    const message = preAuthEncoding(content.payloadType, content.payload);
    if (!algorithms.some((each) => verifySignature(key, each, message, content.signature, 'der')))
      throw wrong(where);
    checkSubject(content, artifact, where);
    return;
  }
  checkMessageDigest(content, artifact, where);
  if (algorithms.some((each) => isSigned(artifact, key, each, content.signature))) return;
  throw wrong(where);
}

/** Demands that the statement in a verified envelope is about the artifact. */
function checkSubject({ payload, payloadType }: DsseEnvelope, artifact: Artifact, where: string): void {
  if (payloadType !== IN_TOTO)
    throw new BullaError(
      'unsupported-signature',
      `${where} has a payload of type ${JSON.stringify(payloadType).slice(0, 120)}`,
      { hint: `only ${IN_TOTO} says what was signed` },
    );
  const limits = { what: `the statement of ${where}`, maxBytes: MAX_BUNDLE_BYTES, floats: true };
  const { subject } = parseJsonObject(payload, limits);
  const subjects = Array.isArray(subject) ? subject.filter(isJsonObject) : [];
  const isNamed = subjects.some(({ digest }) =>
    Object.entries(isJsonObject(digest) ? digest : {}).some(([name, value]) => {
      const algorithm = hashNamed(name);
      const found = algorithm && digestOf(artifact, algorithm);
      const named = typeof value === 'string' ? fromHex(value) : undefined;
      return found !== undefined && named !== undefined && equalBytes(found, named);
    }),
  );
  if (!isNamed) throw otherArtifact(where);
}

function isSigned(artifact: Artifact, key: PublicKey, algorithm: Algorithm, signature: Uint8Array): boolean {
  if ('bytes' in artifact) return verifySignature(key, algorithm, artifact.bytes, signature, 'der');
  const { hash } = algorithm;
  const { digest } = artifact;
  return hash === digest.algorithm && verifyDigest(key, algorithm, digest.value, signature);
}

function checkMessageDigest({ digest }: MessageSignature, artifact: Artifact, where: string): void {
  if (digest === undefined) return;
  const algorithm = hashNamed(digest.algorithm);
  const found = algorithm && digestOf(artifact, algorithm);
  if (found !== undefined && equalBytes(found, digest.value)) return;
  throw otherArtifact(where);
}

/** The artifact's digest; undefined where only one of another algorithm is known. */
function digestOf(artifact: Artifact, algorithm: HashName): Uint8Array | undefined {
  if ('bytes' in artifact) return new Uint8Array(createHash(algorithm).update(artifact.bytes).digest());
  return artifact.digest.algorithm === algorithm ? artifact.digest.value : undefined;
}

function otherArtifact(where: string): BullaError {
  return new BullaError('signature-mismatch', `${where} is for another artifact`, {
    hint: 'the bundle belongs to other bytes than those that were given',
  });
}

function wrong(where: string): BullaError {
  return new BullaError('signature-mismatch', `the signature of ${where} is wrong`, {
    hint: 'the artifact or the bundle was altered, or the key is another one',
  });
}

function unproven(where: string, why: string): BullaError {
  return new BullaError('signature-mismatch', `${where} cannot be verified: ${why}`, {
    hint: 'keyless signatures need a log entry and a time; sign again with a current tool',
  });
}

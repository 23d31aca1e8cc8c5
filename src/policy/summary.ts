import { type Certificate, subjectOf } from '../crypto/certificate.ts';
import { formatTime } from '../encoding/time.ts';
import type { ErrorCode } from '../errors.ts';
import type { Digest } from '../oci/digest.ts';
import type { SignatureKind } from '../signatures/envelope.ts';
import type { Evidence, Refusal } from '../signatures/evidence.ts';
import { keylessIdentity } from './signers.ts';

/** Kinds as people know them. */
export const KIND_NAMES: Readonly<Record<SignatureKind, string>> = {
  'notation-jws': 'Notation JWS',
  'notation-cose': 'Notation COSE',
  'sigstore-bundle': 'Sigstore bundle',
  'cosign-legacy': 'cosign .sig',
};

/** One line about a signature that counts, for people: who, how, from when until when. */
export function describeEvidence(evidence: Evidence): string {
  const [leaf] = evidence.certificates;
  const who = leaf === undefined ? `key ${evidence.key.fingerprint.slice(0, 12)}` : signerOf(leaf, evidence);
  const when = evidence.signingTime === undefined ? '' : `, made ${formatTime(evidence.signingTime)}`;
  const until = evidence.expiry === undefined ? '' : `, until ${formatTime(evidence.expiry)}`;
  return `${who} (${KIND_NAMES[evidence.kind]}${when}${until})`;
}

/** Fulcio's certificates have no subject: whom they were issued to stands in extensions. */
function signerOf(leaf: Certificate, evidence: Evidence): string {
  const identity = keylessIdentity(evidence);
  return identity === undefined ? subjectOf(leaf) : `${identity.subject} (${identity.issuer})`;
}

/** A signature that counts, as `-o json` shows it (spec/signatures.md, "Output"). */
export interface EvidenceSummary {
  readonly signature: Digest;
  readonly kind: SignatureKind;
  /** SHA-256 of the signer's SubjectPublicKeyInfo, in hexadecimal. */
  readonly key: string;
  readonly subject: string | null;
  /** Why the signature is accepted: null for a trusted key, an identity, or `*` for any certified identity. */
  readonly identity: string | null;
  /** Of a keyless signature: the OpenID Connect issuer that vouched for the identity. */
  readonly issuer?: string;
  readonly purpose: string;
  readonly annotations: Readonly<Record<string, string>>;
  readonly signingTime: string | null;
  readonly expires: string | null;
  /** Of each certificate whose status was asked for: what its authority says. */
  readonly revocation?: readonly { readonly subject: string; readonly status: string }[];
}

export function summarizeEvidence(
  evidence: Evidence & { readonly identity: string | null },
): EvidenceSummary {
  const [leaf] = evidence.certificates;
  const issuer = keylessIdentity(evidence)?.issuer;
  return {
    signature: evidence.manifest,
    kind: evidence.kind,
    key: evidence.key.fingerprint,
    subject: leaf === undefined ? null : subjectOf(leaf),
    identity: evidence.identity,
    ...(issuer !== undefined && { issuer }),
    purpose: evidence.purpose,
    annotations: Object.fromEntries(evidence.annotations),
    signingTime: evidence.signingTime === undefined ? null : formatTime(evidence.signingTime),
    expires: evidence.expiry === undefined ? null : formatTime(evidence.expiry),
    ...(evidence.revocation !== undefined && {
      revocation: evidence.revocation.map(({ certificate, outcome }) => ({
        subject: subjectOf(certificate),
        status: outcome.kind,
      })),
    }),
  };
}

/** A signature that does not count, as `-o json` shows it. */
export interface RefusalSummary {
  readonly signature: Digest;
  readonly kind: SignatureKind | null;
  readonly code: ErrorCode;
  readonly message: string;
}

export function summarizeRefusal({ manifest, kind, code, message }: Refusal): RefusalSummary {
  return { signature: manifest, kind: kind ?? null, code, message };
}

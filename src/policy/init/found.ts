import type { Certificate } from '../../crypto/certificate.ts';
import type { PublicKey } from '../../crypto/public-key.ts';
import type { ErrorCode } from '../../errors.ts';
import type { Digest } from '../../oci/digest.ts';
import type { SignatureKind } from '../../signatures/envelope.ts';

/** A signer as a policy names it. */
export type SignerIdentity =
  | { readonly kind: 'key'; readonly key: PublicKey }
  /** @member subject `x509.subject: …` */
  | { readonly kind: 'certificate'; readonly authority: Certificate; readonly subject: string }
  | { readonly kind: 'keyless'; readonly subject: string; readonly issuer: string };

/** A signature that verifies, and whom a policy would have to trust for it to count. */
export interface FoundSigner {
  /** Digest of its manifest. */
  readonly signature: Digest;
  readonly kind: SignatureKind;
  readonly identity: SignerIdentity;
  /** Predicate type. */
  readonly purpose: string;
}

/** A signature of which nothing is known for certain. */
export interface UnconfirmedSignature {
  readonly signature: Digest;
  readonly kind: SignatureKind | null;
  /** Who it says it is by: anyone can write that. */
  readonly claims: string | null;
  readonly code: ErrorCode;
  readonly message: string;
}

/** What was found of one image in use. */
export interface ImageInUse {
  /** As it was named. */
  readonly text: string;
  /** Its repository: the scope of a rule. */
  readonly place: string;
  /** Undefined where it could not be looked at; `failure` says why. */
  readonly digest?: Digest | undefined;
  readonly failure?: { readonly code: ErrorCode; readonly message: string } | undefined;
  readonly signers: readonly FoundSigner[];
  readonly unconfirmed: readonly UnconfirmedSignature[];
  readonly unexamined: number;
  /** Of the trust collection beside it; undefined without one. */
  readonly collection?: FoundCollection | undefined;
}

/** Ids of the root keys of a collection, which nothing vouches for; or why it cannot be used. */
export type FoundCollection =
  | { readonly rootKeyIds: readonly string[] }
  | { readonly failure: { readonly code: ErrorCode; readonly message: string } };

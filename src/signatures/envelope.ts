import type { Algorithm, AlgorithmId } from '../crypto/algorithm.ts';
import type { Certificate } from '../crypto/certificate.ts';
import type { PublicKey } from '../crypto/public-key.ts';
import type { SignatureEncoding } from '../crypto/signature.ts';
import type { JsonObject } from '../encoding/json.ts';
import type { Digest } from '../oci/digest.ts';
import type { Bundle } from '../sigstore/bundle.ts';

/** The formats that are read. */
export type SignatureKind = 'notation-jws' | 'notation-cose' | 'sigstore-bundle' | 'cosign-legacy';

/** An artifact that a signature names: Notation says type and size too. */
export interface SignedTarget {
  readonly digest: Digest;
  readonly mediaType?: string;
  /** In bytes. */
  readonly size?: number;
  /** What was signed along with this artifact. */
  readonly annotations: ReadonlyMap<string, string>;
}

/** What a signature says. Use it only after its bytes were verified. */
export interface Claims {
  /** One in Notation and cosign's older format; a statement may name several. */
  readonly targets: readonly SignedTarget[];
  /** A predicate type; `RELEASE_PURPOSE` where the format has none. */
  readonly purpose: string;
  readonly signingTime?: Date;
  readonly expiry?: Date;
  /** Of an attestation: what it says about the artifact. */
  readonly predicate?: JsonObject;
}

/** A signature of any format, taken apart and not verified. */
export interface Envelope {
  readonly kind: SignatureKind;
  /** What was signed, as the format puts it together: the JWS signing input, COSE's Sig_structure, DSSE's PAE. */
  readonly message: Uint8Array;
  /** Of Notation's formats: the signed payload, byte for byte. */
  readonly payload?: Uint8Array;
  readonly signature: Uint8Array;
  readonly encoding: SignatureEncoding;
  /** Algorithm that the envelope names, where the format has it do so. It must be the key's. */
  readonly namedAlgorithm?: AlgorithmId;
  /** Certificates of the signer, leaf first; none for a bare key. */
  readonly certificates: readonly Certificate[];
  /** Of Sigstore's formats: what logs and time-stamp authorities say, not verified. */
  readonly bundle?: Bundle;
  /** Of Notation's formats: a time-stamp token over the signature, not verified (RFC 3161). */
  readonly timeStampToken?: Uint8Array;
  /** Which key it claims to be from: for people, never used for decisions. */
  readonly keyHint?: string;
  /** The algorithms with which the format uses a key, mostly one; none for keys that it does not use. */
  algorithmsOf(key: PublicKey): readonly Algorithm[];
  /**
   * Reads the payload.
   * @throws BullaError content-invalid, unsupported-signature
   */
  claims(): Claims;
}

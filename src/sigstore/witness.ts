import type { Certificate } from '../crypto/certificate.ts';
import type { PublicKey } from '../crypto/public-key.ts';
import type { Signer, SigningOptions } from '../crypto/signer.ts';
import type { JsonObject } from '../encoding/json.ts';
import type { DsseEnvelope } from './bundle.ts';
import type { TrustedRoot } from './trusted-root.ts';

/** A key that is used for a short time, and what Fulcio certified about it. */
export interface CertifiedSigner {
  readonly signer: Signer;
  readonly certificate: Certificate;
}

/** A new signature that logs and time-stamp authorities are to see. */
export interface SignatureToWitness {
  readonly envelope: DsseEnvelope;
  readonly key: PublicKey;
  /** Of a keyless signature. */
  readonly certificate?: Certificate | undefined;
}

/** What they say about it, as a bundle holds it. */
export interface Testimony {
  readonly logEntries: readonly JsonObject[];
  /** DER of TimeStampResp. */
  readonly timestamps: readonly Uint8Array[];
}

/**
 * A Sigstore instance that signatures are sent to before they are stored (spec/sigstore.md, "Signing"). What it says is
 * verified against its trusted root, so that nothing is stored that its users would refuse.
 */
export interface Witness {
  /** Left out where the caller's own key signs. @throws BullaError usage without a token; unauthorized, registry-… */
  identity?(options: SigningOptions): Promise<CertifiedSigner>;
  /** @throws BullaError registry-…, timeout, unauthorized, forbidden; details.service names the service */
  testify(signature: SignatureToWitness, options: SigningOptions): Promise<Testimony>;
  readonly root: TrustedRoot;
}

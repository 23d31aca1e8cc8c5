import { constants, createHash, type KeyObject, sign as nodeSign } from 'node:crypto';
import { BullaError } from '../errors.ts';
import { type Algorithm, defaultAlgorithm } from './algorithm.ts';
import type { Certificate } from './certificate.ts';
import { type EcdsaCurve, signDigest } from './ecdsa.ts';
import { isMlDsa, mlDsa, readMlDsaKey } from './ml-dsa-keys.ts';
import { type PublicKey, publicKeyOf } from './public-key.ts';
import { verifySignature } from './signature.ts';

/** How a signature is asked for. */
export interface SigningOptions {
  /** Ends the waiting for a back end, which may be far away. */
  readonly signal?: AbortSignal | undefined;
  /** Another signature each time, also over the same message: a log takes each only once. Back ends mostly do so anyway. */
  readonly isFresh?: boolean | undefined;
}

/** How a key is opened. */
export interface OpeningOptions extends SigningOptions {
  /** Never prompt: if a prompt would be needed, opening fails with `usage`, and is done when the key signs. */
  readonly unattended?: boolean | undefined;
}

/** A whole envelope that is asked for, where a key signs only content that it wraps itself. */
export interface EnvelopeRequest {
  /** Media type of the envelope. */
  readonly type: string;
  readonly payloadType: string;
  readonly payload: Uint8Array;
  /** How long the signature is to be valid, in seconds. */
  readonly lifetime?: number | undefined;
}

/**
 * Something that signs: a key in a file, an agent, an HSM, a KMS (decision 0320). Everything in bulla that signs takes
 * this port: detached signatures, roles of a collection, certificate requests, the re-signer.
 *
 * What there is to know of a key is known before it signs: its public key, its algorithm, its certificates. It may
 * not have been opened by then. Opening may ask for a passphrase or a PIN, or go over the network; `sign` does it on
 * its own, and `open` early.
 *
 * What `sign` returns is the algorithm's plain form: r‖s for ECDSA (`ecdsaToDer` where a format wants DER), the
 * signature itself elsewhere. It rejects with a `BullaError` and never returns something that does not verify.
 * Calls may overlap.
 */
export interface Signer {
  /** Fingerprint of the public key. */
  readonly keyId: string;
  readonly publicKey: PublicKey;
  readonly algorithm: Algorithm;
  /** From the signing certificate to the root; left out or empty for a bare key. */
  readonly certificates?: readonly Certificate[];
  /** Signs the message itself, not a hash of it. */
  sign(message: Uint8Array, options?: SigningOptions): Promise<Uint8Array>;
  /**
   * Signs several messages at once, in their order: all of them or none. For back ends that are asked over a
   * network; {@link signMany} does without where it is missing.
   */
  signMany?(messages: readonly Uint8Array[], options?: SigningOptions): Promise<readonly Uint8Array[]>;
  /** Makes the key ready, so that the first signature does not wait for it. @throws BullaError as `sign` */
  open?(options?: OpeningOptions): Promise<void>;
  /**
   * Of a key that makes whole envelopes (some plug-ins of Notation): one of them. Undefined for a key that signs
   * what it is given. Nothing in it is verified.
   * @throws BullaError as `sign`
   */
  signEnvelope?(request: EnvelopeRequest, options?: SigningOptions): Promise<Uint8Array | undefined>;
  /** The same key with another algorithm; it is opened once for both. @throws BullaError key-invalid where it cannot */
  using?(algorithm: Algorithm): Signer;
}

/** Signatures over several messages, in their order. @throws BullaError what the signer throws */
export async function signMany(
  signer: Pick<Signer, 'sign' | 'signMany'>,
  messages: readonly Uint8Array[],
  options: SigningOptions = {},
): Promise<readonly Uint8Array[]> {
  if (messages.length === 0) return [];
  if (signer.signMany !== undefined && messages.length > 1) return await signer.signMany(messages, options);
  return await Promise.all(messages.map((message) => signer.sign(message, options)));
}

/**
 * A signer with a private key in memory. ECDSA is deterministic (RFC 6979): no nonce to get wrong, and
 * the same document signed twice has the same bytes. RSA-PSS is salted and therefore isn't.
 * @param chosen another algorithm than the key's default; it must fit the key
 * @throws BullaError key-invalid
 */
export function createSigner(privateKey: KeyObject, chosen?: Algorithm): Signer {
  const publicKey = publicKeyOf(privateKey);
  const algorithm = chosen ?? defaultAlgorithm(publicKey.type, publicKey.modulusBits);
  const isPrivate = privateKey.type === 'private' || isMlDsa(publicKey.type);
  if (!isPrivate || algorithm.keyType !== publicKey.type) {
    throw new BullaError(
      'key-invalid',
      `a ${privateKey.type} ${publicKey.type} key cannot sign with ${algorithm.id}`,
      {
        hint: 'choose a key of the type that the algorithm needs',
      },
    );
  }
  return {
    keyId: publicKey.fingerprint,
    publicKey,
    algorithm,
    sign: async (message, { isFresh = false } = {}) =>
      signWith(privateKey, publicKey, algorithm, message, isFresh),
    using: (another) => createSigner(privateKey, another),
  };
}

function signWith(
  privateKey: KeyObject,
  publicKey: PublicKey,
  algorithm: Algorithm,
  message: Uint8Array,
  isFresh: boolean,
): Uint8Array {
  const { keyType, hash } = algorithm;
  const mlDsaKey = readMlDsaKey(privateKey);
  if (mlDsaKey !== undefined) return mlDsa().sign(mlDsaKey.type, mlDsaKey.seed, message);
  if (keyType === 'RSA') {
    const padding =
      algorithm.padding === 'pss'
        ? { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST }
        : { padding: constants.RSA_PKCS1_PADDING };
    return new Uint8Array(nodeSign(hash, message, { key: privateKey, ...padding }));
  }
  if (keyType === 'Ed25519') return new Uint8Array(nodeSign(null, message, privateKey));
  if (isFresh) return new Uint8Array(nodeSign(hash, message, { key: privateKey, dsaEncoding: 'ieee-p1363' }));
  const secret = scalarOf(privateKey);
  try {
    const digest = createHash(hash as string)
      .update(message)
      .digest();
    const signature = signDigest(keyType as EcdsaCurve, secret, digest);
    // The same nonce signs the same message again: one wrong signature beside a right one would reveal the key.
    if (verifySignature(publicKey, algorithm, message, signature, 'raw')) return signature;
  } finally {
    secret.fill(0);
  }
  throw new BullaError('internal', 'a signature does not verify with the key that made it', {
    hint: 'check the memory of this machine, and report this as a bug',
  });
}

function scalarOf(privateKey: KeyObject): Uint8Array {
  return new Uint8Array(Buffer.from(privateKey.export({ format: 'jwk' }).d ?? '', 'base64url'));
}

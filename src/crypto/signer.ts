import { constants, createHash, type KeyObject, sign as nodeSign } from 'node:crypto';
import { BullaError } from '../errors.ts';
import { type Algorithm, defaultAlgorithm } from './algorithm.ts';
import { type EcdsaCurve, signDigest } from './ecdsa.ts';
import { type PublicKey, publicKeyOf } from './public-key.ts';
import { verifySignature } from './signature.ts';

/**
 * Something that signs: a key in a file, an agent, an HSM, a KMS. What it returns is the algorithm's
 * plain form: r‖s for ECDSA (`ecdsaToDer` where a format wants DER), the signature itself elsewhere.
 */
export interface Signer {
  /** Fingerprint of the public key. */
  readonly keyId: string;
  readonly publicKey: PublicKey;
  readonly algorithm: Algorithm;
  /** Signs the message itself, not a hash of it. */
  sign(message: Uint8Array): Promise<Uint8Array>;
}

/**
 * Signer of a private key in memory. ECDSA is deterministic (RFC 6979): no nonce to get wrong, and
 * the same document signed twice has the same bytes. RSA-PSS is salted and therefore isn't.
 * @param chosen another algorithm than the key's default; it must fit the key
 * @throws BullaError key-invalid
 */
export function createSigner(privateKey: KeyObject, chosen?: Algorithm): Signer {
  const publicKey = publicKeyOf(privateKey);
  const algorithm = chosen ?? defaultAlgorithm(publicKey.type, publicKey.modulusBits);
  if (privateKey.type !== 'private' || algorithm.keyType !== publicKey.type) {
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
    sign: async (message) => signWith(privateKey, publicKey, algorithm, message),
  };
}

function signWith(
  privateKey: KeyObject,
  publicKey: PublicKey,
  algorithm: Algorithm,
  message: Uint8Array,
): Uint8Array {
  const { keyType, hash } = algorithm;
  if (keyType === 'RSA') {
    const padding =
      algorithm.padding === 'pss'
        ? { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST }
        : { padding: constants.RSA_PKCS1_PADDING };
    return new Uint8Array(nodeSign(hash, message, { key: privateKey, ...padding }));
  }
  if (keyType === 'Ed25519') return new Uint8Array(nodeSign(null, message, privateKey));
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

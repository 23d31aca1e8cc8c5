import { constants, createHash, type KeyObject, sign as nodeSign } from 'node:crypto';
import { p256, p384, p521 } from '@noble/curves/nist.js';
import { BullaError } from '../errors.ts';
import { type Algorithm, defaultAlgorithm } from './algorithm.ts';
import { type PublicKey, publicKeyOf } from './public-key.ts';

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

const CURVES = { 'P-256': p256, 'P-384': p384, 'P-521': p521 } as const;

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
    sign: async (message) => signWith(privateKey, algorithm, message),
  };
}

function signWith(privateKey: KeyObject, algorithm: Algorithm, message: Uint8Array): Uint8Array {
  const { keyType, hash } = algorithm;
  if (keyType === 'RSA') {
    const padding =
      algorithm.padding === 'pss'
        ? { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST }
        : { padding: constants.RSA_PKCS1_PADDING };
    return new Uint8Array(nodeSign(hash, message, { key: privateKey, ...padding }));
  }
  if (keyType === 'Ed25519') return new Uint8Array(nodeSign(null, message, privateKey));
  return signDeterministically(privateKey, algorithm, message);
}

function signDeterministically(privateKey: KeyObject, algorithm: Algorithm, message: Uint8Array): Uint8Array {
  const curve = CURVES[algorithm.keyType as keyof typeof CURVES];
  const { d } = privateKey.export({ format: 'jwk' });
  const secret = new Uint8Array(Buffer.from(d ?? '', 'base64url'));
  try {
    // The curve's own hash is the one that also draws the nonce. P-384 and P-521 with SHA-256 hash first; their
    // nonce is then drawn with the curve's hash, which RFC 6979 does not foresee and which is as deterministic.
    const prehash = !algorithm.id.endsWith('-SHA256');
    const input = prehash ? message : new Uint8Array(createHash('sha256').update(message).digest());
    return curve.sign(input, secret, { prehash, lowS: false, format: 'compact' });
  } finally {
    secret.fill(0);
  }
}

import { constants, publicDecrypt } from 'node:crypto';
import { p256, p384, p521 } from '@noble/curves/nist.js';
import { concatBytes, equalBytes } from '../encoding/bytes.ts';
import type { Algorithm } from './algorithm.ts';
import { TAG } from './der.ts';
import { DER_NULL, der, derOid, derSequence } from './der-write.ts';
import { isMlDsa } from './ml-dsa-keys.ts';
import type { PublicKey } from './public-key.ts';
import { ecdsaFromDer } from './signature.ts';

const CURVES = { 'P-256': p256, 'P-384': p384, 'P-521': p521 } as const;
const HASH_OIDS = {
  sha256: '2.16.840.1.101.3.4.2.1',
  sha384: '2.16.840.1.101.3.4.2.2',
  sha512: '2.16.840.1.101.3.4.2.3',
} as const;

/**
 * Whether `signature` is `key`'s over the message that has this digest, for readers who have only the digest, which
 * Node's own functions do not take. ECDSA signatures are in DER. Ed25519 and RSA-PSS signatures are never verified so.
 * @param digest by the hash of `algorithm`
 */
export function verifyDigest(
  key: PublicKey,
  algorithm: Algorithm,
  digest: Uint8Array,
  signature: Uint8Array,
): boolean {
  const { keyType, hash, scalarBytes, padding } = algorithm;
  if (keyType !== key.type || hash === undefined) return false;
  if (keyType === 'RSA') return padding === 'pkcs1' && isPkcs1Signature(key, hash, digest, signature);
  if (keyType === 'Ed25519' || isMlDsa(keyType) || scalarBytes === undefined) return false;
  const raw = ecdsaFromDer(signature, scalarBytes);
  if (raw === undefined) return false;
  // The uncompressed point is the end of a SubjectPublicKeyInfo.
  const point = key.spki.subarray(-(1 + 2 * scalarBytes));
  return CURVES[keyType].verify(raw, digest, point, { prehash: false, lowS: false });
}

/** RFC 8017 §8.2.2: the encoded digest is compared as a whole. */
function isPkcs1Signature(
  key: PublicKey,
  hash: keyof typeof HASH_OIDS,
  digest: Uint8Array,
  signature: Uint8Array,
): boolean {
  const info = derSequence(derSequence(derOid(HASH_OIDS[hash]), DER_NULL), der(TAG.octetString, digest));
  const bytes = (key.modulusBits ?? 0) / 8;
  const encoded = concatBytes([
    Uint8Array.of(0, 1),
    new Uint8Array(Math.max(0, Math.ceil(bytes) - info.byteLength - 3)).fill(0xff),
    Uint8Array.of(0),
    info,
  ]);
  try {
    const found = publicDecrypt({ key: key.keyObject, padding: constants.RSA_NO_PADDING }, signature);
    return equalBytes(new Uint8Array(found), encoded);
  } catch {
    return false;
  }
}

import { constants, verify as nodeVerify } from 'node:crypto';
import { concatBytes } from '../encoding/bytes.ts';
import type { Algorithm } from './algorithm.ts';
import { isMlDsa, mlDsa } from './ml-dsa-keys.ts';
import type { PublicKey } from './public-key.ts';

/**
 * How an ECDSA signature is written: `raw` is r‖s at full length (JOSE, COSE, Notary v1), `der` the
 * ASN.1 sequence (cosign, TUF). Other algorithms have one form and ignore it.
 */
export type SignatureEncoding = 'raw' | 'der';

/**
 * Whether `signature` is `key`'s over `message`. The algorithm is the caller's, taken from what it
 * trusts, never from the message; one that does not fit the key is false, as is a malformed signature.
 * Ed25519ph is false as well: crypto/ed25519ph.ts verifies it.
 */
export function verifySignature(
  key: PublicKey,
  algorithm: Algorithm,
  message: Uint8Array,
  signature: Uint8Array,
  encoding: SignatureEncoding,
): boolean {
  if (algorithm.keyType !== key.type || algorithm.id === 'Ed25519ph') return false;
  if (isMlDsa(key.type)) return mlDsa().verify(key.type, key.spki, message, signature);
  if (algorithm.scalarBytes === undefined)
    return nodeVerify(algorithm.hash ?? null, message, nodeKey(key, algorithm), signature);
  // Only the strict DER spelling is taken, so that a signature can't be respelled by a stranger.
  const raw = encoding === 'raw' ? signature : ecdsaFromDer(signature, algorithm.scalarBytes);
  if (raw === undefined || raw.byteLength !== 2 * algorithm.scalarBytes) return false;
  return nodeVerify(algorithm.hash ?? null, message, { key: key.keyObject, dsaEncoding: 'ieee-p1363' }, raw);
}

function nodeKey(key: PublicKey, algorithm: Algorithm): Parameters<typeof nodeVerify>[2] {
  if (algorithm.padding === 'pss') {
    return {
      key: key.keyObject,
      padding: constants.RSA_PKCS1_PSS_PADDING,
      saltLength: constants.RSA_PSS_SALTLEN_AUTO,
    };
  }
  return key.keyObject;
}

/** DER `SEQUENCE { INTEGER r, INTEGER s }` of r‖s. */
export function ecdsaToDer(raw: Uint8Array): Uint8Array {
  const half = raw.byteLength / 2;
  const body = concatBytes([derInteger(raw.subarray(0, half)), derInteger(raw.subarray(half))]);
  // 2 × 66-byte scalars make at most 138 bytes: the length takes one byte more from 128 on.
  const length = body.byteLength < 0x80 ? [body.byteLength] : [0x81, body.byteLength];
  return concatBytes([Uint8Array.from([0x30, ...length]), body]);
}

/** r‖s of a strict DER signature; undefined where it is spelled in any other way or is too long. */
export function ecdsaFromDer(der: Uint8Array, scalarBytes: number): Uint8Array | undefined {
  const long = der[1] === 0x81;
  let at = long ? 3 : 2;
  const length = long ? der[2] : der[1];
  if (der[0] !== 0x30 || length === undefined || length + at !== der.byteLength) return undefined;
  if (long ? length < 0x80 : length >= 0x80) return undefined;
  const raw = new Uint8Array(2 * scalarBytes);
  for (const end of [scalarBytes, 2 * scalarBytes]) {
    const size = der[at + 1];
    if (der[at] !== 0x02 || size === undefined || size === 0 || size >= 0x80) return undefined;
    const integer = der.subarray(at + 2, at + 2 + size);
    if (integer.byteLength !== size || !isMinimal(integer)) return undefined;
    const magnitude = integer[0] === 0 ? integer.subarray(1) : integer;
    if (magnitude.byteLength > scalarBytes) return undefined;
    raw.set(magnitude, end - magnitude.byteLength);
    at += 2 + size;
  }
  return at === der.byteLength ? raw : undefined;
}

/** A non-negative integer without a superfluous leading zero (X.690 §8.3.2). */
function isMinimal(integer: Uint8Array): boolean {
  const [first = 0, second = 0] = integer;
  if (first >= 0x80) return false;
  return !(first === 0 && integer.byteLength > 1 && second < 0x80);
}

function derInteger(scalar: Uint8Array): Uint8Array {
  let start = 0;
  while (start < scalar.byteLength - 1 && scalar[start] === 0) start++;
  const magnitude = scalar.subarray(start);
  const padded = (magnitude[0] ?? 0) >= 0x80 ? concatBytes([Uint8Array.of(0), magnitude]) : magnitude;
  return concatBytes([Uint8Array.of(0x02, padded.byteLength), padded]);
}

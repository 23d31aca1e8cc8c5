import { createECDH, createHmac, randomBytes } from 'node:crypto';
import { concatBytes, hex } from '../encoding/bytes.ts';
import { BullaError } from '../errors.ts';

/** Curves that keys are accepted on (SEC 2 §2.4.2, §2.5.1, §2.6.1). */
export type EcdsaCurve = 'P-256' | 'P-384' | 'P-521';

interface Parameters {
  /** As OpenSSL calls it. */
  readonly name: string;
  readonly order: bigint;
  readonly orderBits: number;
  /** Bytes of a scalar, and of a coordinate. */
  readonly bytes: number;
  /** Hash of the curve's size, from which nonces are drawn. */
  readonly hash: 'sha256' | 'sha384' | 'sha512';
}

const CURVES: Readonly<Record<EcdsaCurve, Parameters>> = {
  'P-256': {
    name: 'prime256v1',
    order: 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n,
    orderBits: 256,
    bytes: 32,
    hash: 'sha256',
  },
  'P-384': {
    name: 'secp384r1',
    order:
      0xffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973n,
    orderBits: 384,
    bytes: 48,
    hash: 'sha384',
  },
  'P-521': {
    name: 'secp521r1',
    order:
      0x1fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffa51868783bf2f966b7fcc0148f709a5d03bb5c9b8899c47aebb6fb71e91386409n,
    orderBits: 521,
    bytes: 66,
    hash: 'sha512',
  },
};

/**
 * ECDSA signature r‖s of a digest, deterministic after RFC 6979 §3.2 with the hash of the curve's size as HMAC.
 * OpenSSL multiplies the point, which is where time goes and where time could tell the nonce.
 * @param secret the private scalar, at full length
 * @param digest no longer than the curve's order
 */
export function signDigest(curve: EcdsaCurve, secret: Uint8Array, digest: Uint8Array): Uint8Array {
  const { name, order, bytes } = CURVES[curve];
  const d = numberOf(secret);
  const z = numberOf(digest) % order;
  for (const nonce of nonces(CURVES[curve], secret, bytesOf(z, bytes))) {
    const ecdh = createECDH(name);
    ecdh.setPrivateKey(bytesOf(nonce, bytes));
    const r = numberOf(ecdh.getPublicKey().subarray(1, 1 + bytes)) % order;
    // s = (z + r·d) / nonce, with all terms multiplied by a random number: how long it takes says nothing of them.
    const blind = randomScalar(order, bytes);
    const sum = (((blind * z) % order) + ((((blind * d) % order) * r) % order)) % order;
    const s = (inverse((blind * nonce) % order, order) * sum) % order;
    if (r !== 0n && s !== 0n) return concatBytes([bytesOf(r, bytes), bytesOf(s, bytes)]);
  }
  throw new BullaError('internal', 'no nonce made a signature', { hint: 'report this as a bug' });
}

/** Candidates for the nonce, in the order of RFC 6979 §3.2; the first is taken but once in 2³² times. */
function* nonces(curve: Parameters, secret: Uint8Array, digest: Uint8Array): Generator<bigint> {
  const { order, orderBits, bytes, hash } = curve;
  const hmac = (key: Uint8Array, ...parts: readonly Uint8Array[]): Uint8Array =>
    createHmac(hash, key).update(concatBytes(parts)).digest();
  const size = Number(hash.slice(3)) / 8;
  let key: Uint8Array = new Uint8Array(size);
  let value: Uint8Array = new Uint8Array(size).fill(1);
  for (const step of [0, 1]) {
    key = hmac(key, value, Uint8Array.of(step), secret, digest);
    value = hmac(key, value);
  }
  for (;;) {
    const drawn: Uint8Array[] = [];
    for (let length = 0; length < bytes; length += size) {
      value = hmac(key, value);
      drawn.push(value);
    }
    const nonce = numberOf(concatBytes(drawn).subarray(0, bytes)) >> BigInt(8 * bytes - orderBits);
    if (nonce > 0n && nonce < order) yield nonce;
    key = hmac(key, value, Uint8Array.of(0));
    value = hmac(key, value);
  }
}

/** From 1 to below `order`; 64 bits more than it has make all of them as likely. */
function randomScalar(order: bigint, bytes: number): bigint {
  return (numberOf(randomBytes(bytes + 8)) % (order - 1n)) + 1n;
}

/** Inverse modulo a prime, by Euclid's extended algorithm. */
function inverse(number: bigint, prime: bigint): bigint {
  let [rest, next] = [prime, number];
  let [factor, nextFactor] = [0n, 1n];
  while (next !== 0n) {
    const quotient = rest / next;
    [rest, next] = [next, rest - quotient * next];
    [factor, nextFactor] = [nextFactor, factor - quotient * nextFactor];
  }
  return factor < 0n ? factor + prime : factor;
}

function numberOf(bytes: Uint8Array): bigint {
  return BigInt(`0x${hex(bytes)}`);
}

function bytesOf(number: bigint, length: number): Uint8Array {
  return Buffer.from(number.toString(16).padStart(2 * length, '0'), 'hex');
}

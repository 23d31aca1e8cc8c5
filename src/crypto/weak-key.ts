import type { SpkiShape } from './spki.ts';

/** Largest public exponent of RSA that is accepted, as in Go's crypto/rsa. */
const MAX_EXPONENT: bigint = 2n ** 31n - 1n;

/** p of edwards25519 (RFC 8032 §5.1). */
const FIELD: bigint = 2n ** 255n - 19n;
/** d of edwards25519. */
const D = 37095705934669439343138083508754565189542113879843219016388785533085940283555n;
/** y of a point of order 8; the other three have -y, and x of the other sign. */
const ORDER_8 = 2707385501144840649318225287225658788936804267575313519463743609750303402022n;
/** y of every point whose order divides 8: with such a key, signatures can be made without a private key. */
const SMALL_ORDER: ReadonlySet<bigint> = new Set([0n, 1n, FIELD - 1n, ORDER_8, FIELD - ORDER_8]);

/** The seed of the matrix, before t1 in a public key of ML-DSA. */
const RHO_BYTES = 32;
/** No modulus has a factor as small as these (NIST SP 800-89 §5.3.3). */
const FACTORS_BELOW = 752;

/**
 * Why a public key must not be trusted, regardless of its owner: with it, signatures could be made without its
 * private key, or one key could be written in several ways. Undefined for a sound key. Whether a point is
 * on its NIST curve is checked by OpenSSL when it reads it.
 */
export function weaknessOf(key: SpkiShape): string | undefined {
  if (key.type === 'RSA') return weaknessOfRsa(key.modulus, key.exponent);
  if (!('raw' in key)) return undefined;
  if (key.type === 'Ed25519') return weaknessOfEd25519(key.raw);
  // With t1 = 0 (FIPS 204 §5.1) the challenge is multiplied by zero, and anyone can sign.
  return key.raw.subarray(RHO_BYTES).every((octet) => octet === 0) ? 'its vector t1 is zero' : undefined;
}

/** Partial validation (NIST SP 800-89 §5.3.3); that the modulus is composite is not proven. */
function weaknessOfRsa(modulus: bigint, exponent: bigint): string | undefined {
  if (exponent < 3n || exponent % 2n === 0n || exponent > MAX_EXPONENT)
    return `its exponent is not an odd number from 3 to ${MAX_EXPONENT}`;
  // Made when an RSA key is read: most commands read none.
  const primes = primesBelow(FACTORS_BELOW);
  const rest = modulus % primes.reduce((product, prime) => product * BigInt(prime), 1n);
  const factor = primes.find((prime) => rest % BigInt(prime) === 0n);
  return factor === undefined ? undefined : `its modulus is divisible by ${factor}`;
}

/** @param raw the 32 bytes of RFC 8032 §5.1.2: y, little-endian, and the sign of x in the highest bit */
function weaknessOfEd25519(raw: Uint8Array): string | undefined {
  const bytes = Buffer.from(raw).reverse();
  bytes[0] = (bytes[0] ?? 0) & 0x7f;
  const y = BigInt(`0x${bytes.toString('hex')}`);
  if (y >= FIELD) return 'its point is not in its one encoding';
  if (SMALL_ORDER.has(y)) return 'its point has a small order';
  return isOnCurve(y) ? undefined : 'it is not a point of the curve';
}

/** Whether x² = (y² - 1) / (dy² + 1) has a solution (RFC 8032 §5.1.3), by Euler's criterion. */
function isOnCurve(y: bigint): boolean {
  const square = (y * y) % FIELD;
  return power((square - 1n) * (D * square + 1n), (FIELD - 1n) / 2n) === 1n;
}

function power(base: bigint, exponent: bigint): bigint {
  let result = 1n;
  let factor = base % FIELD;
  for (let left = exponent; left > 0n; left >>= 1n) {
    if ((left & 1n) === 1n) result = (result * factor) % FIELD;
    factor = (factor * factor) % FIELD;
  }
  return result;
}

function primesBelow(end: number): number[] {
  const primes: number[] = [];
  for (let candidate = 2; candidate < end; candidate++)
    if (primes.every((prime) => candidate % prime !== 0)) primes.push(candidate);
  return primes;
}

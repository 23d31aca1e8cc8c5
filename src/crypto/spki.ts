import { BullaError } from '../errors.ts';
import { type DerValue, derChildren, expectTag, readDer, readOid, TAG } from './der.ts';
import { DER_NULL, derBitString, derOid, derSequence } from './der-write.ts';
import { ML_DSA, type MlDsaType, mlDsa, mlDsaOf } from './ml-dsa-keys.ts';

/** A SubjectPublicKeyInfo (RFC 5280 §4.1.2.7) of an accepted type, taken apart. */
export type SpkiShape =
  | { readonly type: 'RSA'; readonly modulus: bigint; readonly exponent: bigint }
  | { readonly type: 'Ed25519' | MlDsaType; readonly raw: Uint8Array }
  | { readonly type: 'P-256' | 'P-384' | 'P-521'; readonly isCompressed: boolean };

const RSA = '1.2.840.113549.1.1.1';
const EC = '1.2.840.10045.2.1';
const ED25519 = '1.3.101.112';

interface Curve {
  readonly type: 'P-256' | 'P-384' | 'P-521';
  /** Of a coordinate (SEC 1 §2.3.5). */
  readonly bytes: number;
}
const CURVES: ReadonlyMap<string, Curve> = new Map([
  ['1.2.840.10045.3.1.7', { type: 'P-256', bytes: 32 }],
  ['1.3.132.0.34', { type: 'P-384', bytes: 48 }],
  ['1.3.132.0.35', { type: 'P-521', bytes: 66 }],
]);

/**
 * Takes a SubjectPublicKeyInfo apart before OpenSSL sees it: DER only, curves by name only, no point at
 * infinity, of which Node's own functions abort the process when they describe it.
 * @throws BullaError content-invalid for an invalid one; key-invalid for types that are not accepted
 */
export function readSpki(bytes: Uint8Array): SpkiShape {
  const [algorithm, key] = exactly(readDer(bytes, TAG.sequence), 2);
  const [oid, parameters, ...more] = derChildren(expectTag(algorithm, TAG.sequence));
  if (more.length > 0) throw malformed('an algorithm with several parameters');
  const { content } = expectTag(key, TAG.bitString);
  if (content[0] !== 0) throw malformed('a key that is not of whole octets');
  return readKey(readOid(oid), parameters, content.subarray(1));
}

/** The SubjectPublicKeyInfo around a key in PKCS #1 (RFC 8017 appendix A.1.1). */
export function spkiOfPkcs1(pkcs1: Uint8Array): Uint8Array {
  return derSequence(derSequence(derOid(RSA), DER_NULL), derBitString(pkcs1));
}

function readKey(algorithm: string, parameters: DerValue | undefined, key: Uint8Array): SpkiShape {
  switch (algorithm) {
    case RSA: {
      // RFC 3279 §2.3.1 wants NULL; leaving it out is a mistake that OpenSSL mends.
      if (parameters !== undefined && parameters.tag !== DER_NULL[0])
        throw malformed('an RSA key with parameters');
      const [modulus, exponent] = exactly(readDer(key, TAG.sequence), 2);
      return { type: 'RSA', modulus: readInteger(modulus), exponent: readInteger(exponent) };
    }
    case EC:
      return readPoint(parameters, key);
    case ED25519:
      if (parameters !== undefined || key.byteLength !== 32) throw malformed('not 32 bytes of Ed25519');
      return { type: 'Ed25519', raw: key };
    default:
      return readMlDsa(algorithm, parameters, key);
  }
}

function readMlDsa(algorithm: string, parameters: DerValue | undefined, raw: Uint8Array): SpkiShape {
  const type = mlDsaOf(algorithm);
  if (type === undefined) throw notAccepted(`of algorithm ${algorithm}`);
  mlDsa();
  if (parameters !== undefined || raw.byteLength !== ML_DSA.get(type)?.publicBytes)
    throw malformed(`not a key of ${type}`);
  return { type, raw };
}

function readPoint(parameters: DerValue | undefined, point: Uint8Array): SpkiShape {
  if (parameters?.tag !== TAG.oid) throw notAccepted('whose curve is not given by its name');
  const name = readOid(parameters);
  const curve = CURVES.get(name);
  if (curve === undefined) throw notAccepted(`of the curve ${name}`);
  const form = point[0] ?? 0;
  const isCompressed = form === 2 || form === 3;
  // 4: uncompressed; 6 and 7: hybrid (SEC 1 §2.3.3, X9.62). 0, infinity, is not accepted.
  if (!isCompressed && form !== 4 && form !== 6 && form !== 7) throw malformed('no point of a curve');
  if (point.byteLength !== 1 + (isCompressed ? 1 : 2) * curve.bytes)
    throw malformed(`a point of ${point.byteLength} bytes on ${curve.type}`);
  return { type: curve.type, isCompressed };
}

/** A non-negative INTEGER of any size, in its canonical form. */
function readInteger(value: DerValue | undefined): bigint {
  const { content } = expectTag(value, TAG.integer);
  const [first, second = 0] = content;
  if (first === undefined || first >= 0x80) throw malformed('a number that is negative or missing');
  if (first === 0 && content.byteLength > 1 && second < 0x80) throw malformed('a number with leading zeros');
  return BigInt(`0x${Buffer.from(content).toString('hex')}`);
}

function exactly(parent: DerValue, count: number): DerValue[] {
  const children = derChildren(parent);
  if (children.length !== count) throw malformed(`${children.length} parts instead of ${count}`);
  return children;
}

function malformed(why: string): BullaError {
  return new BullaError('content-invalid', `this is not a SubjectPublicKeyInfo: ${why}`, {
    hint: 'the key is damaged or was not written in DER',
  });
}

function notAccepted(what: string): BullaError {
  return new BullaError('key-invalid', `keys ${what} are not accepted`, {
    hint: 'use P-256, P-384, P-521, Ed25519, or RSA from 2048 bits',
  });
}

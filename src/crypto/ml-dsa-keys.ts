import { createSecretKey, type KeyObject, randomBytes } from 'node:crypto';
import { concatBytes } from '../encoding/bytes.ts';
import { BullaError } from '../errors.ts';
import { type DerValue, derChildren, expectTag, readDer, readOid, readSmallInteger, TAG } from './der.ts';
import { der, derOid, derSequence } from './der-write.ts';

/** Parameter sets of ML-DSA (FIPS 204), as types of keys. */
export type MlDsaType = 'ML-DSA-44' | 'ML-DSA-65' | 'ML-DSA-87';

/** What is known of a parameter set: its OID (RFC 9881 §2), and sizes in bytes (FIPS 204 §4). */
export interface MlDsaParameters {
  readonly oid: string;
  readonly publicBytes: number;
  readonly signatureBytes: number;
}

export const ML_DSA: ReadonlyMap<MlDsaType, MlDsaParameters> = new Map([
  ['ML-DSA-44', { oid: '2.16.840.1.101.3.4.3.17', publicBytes: 1312, signatureBytes: 2420 }],
  ['ML-DSA-65', { oid: '2.16.840.1.101.3.4.3.18', publicBytes: 1952, signatureBytes: 3309 }],
  ['ML-DSA-87', { oid: '2.16.840.1.101.3.4.3.19', publicBytes: 2592, signatureBytes: 4627 }],
]);

/** Whether a type of key is of ML-DSA. */
export function isMlDsa(type: string): type is MlDsaType {
  return ML_DSA.has(type as MlDsaType);
}

/** The parameter set that an OID names. */
export function mlDsaOf(oid: string): MlDsaType | undefined {
  return [...ML_DSA].find(([, parameters]) => parameters.oid === oid)?.[0];
}

/** ML-DSA itself: pure, with an empty context. It is slow to load, and most programs need none. */
export interface MlDsa {
  verify(type: MlDsaType, spki: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean;
  sign(type: MlDsaType, seed: Uint8Array, message: Uint8Array): Uint8Array;
  /** The raw public key, and the expanded private one. */
  expand(
    type: MlDsaType,
    seed: Uint8Array,
  ): { readonly publicKey: Uint8Array; readonly secretKey: Uint8Array };
}

let present: MlDsa | undefined;

/** Has keys of ML-DSA accepted in this process, or, without an implementation, refused as unknown. It is an experiment. */
export function useMlDsa(implementation: MlDsa | undefined): void {
  present = implementation;
}

/** @throws BullaError key-invalid where ML-DSA is not in use */
export function mlDsa(): MlDsa {
  if (present !== undefined) return present;
  throw new BullaError('key-invalid', 'keys of ML-DSA are not accepted', {
    hint: 'they are an experiment: set BULLA_EXPERIMENTAL=ml-dsa to use them for roles of trust collections',
  });
}

const SEED_BYTES = 32;
/** [0] IMPLICIT OCTET STRING: the seed by itself (RFC 9881 §6). */
const SEED_TAG = 0x80;

/** A private key as it is handed around: PKCS #8 of the seed, in an object that does not show it. */
export function mlDsaPrivateKey(type: MlDsaType, seed: Uint8Array): KeyObject {
  const { oid } = ML_DSA.get(type) as MlDsaParameters;
  const version = Uint8Array.of(0x02, 0x01, 0x00);
  return createSecretKey(derSequence(version, derSequence(derOid(oid)), der(0x04, der(SEED_TAG, seed))));
}

/** A new private key. @throws BullaError key-invalid where ML-DSA is not in use */
export function generateMlDsaKey(type: MlDsaType): KeyObject {
  mlDsa();
  return mlDsaPrivateKey(type, randomBytes(SEED_BYTES));
}

/** What a private key of ML-DSA is made of: one of {@link mlDsaPrivateKey}, or of Node where it has ML-DSA. */
export function readMlDsaKey(
  key: KeyObject,
): { readonly type: MlDsaType; readonly seed: Uint8Array } | undefined {
  if (key.type === 'secret') return readMlDsaPkcs8(new Uint8Array(key.export()));
  const isNative = key.type === 'private' && key.asymmetricKeyType?.startsWith('ml-dsa') === true;
  return isNative ? readMlDsaPkcs8(new Uint8Array(key.export({ type: 'pkcs8', format: 'der' }))) : undefined;
}

/**
 * Reads PKCS #8 of ML-DSA (RFC 9881 §6) that has the seed, alone or with the expanded key, which must be its own.
 * @returns undefined for a key of another algorithm
 * @throws BullaError key-invalid, content-invalid
 */
export function readMlDsaPkcs8(
  bytes: Uint8Array,
): { readonly type: MlDsaType; readonly seed: Uint8Array } | undefined {
  const [version, algorithm, key] = partsOf(bytes);
  const [oid, parameters] = algorithm === undefined ? [] : derChildren(expectTag(algorithm, TAG.sequence));
  const type = oid === undefined ? undefined : mlDsaOf(readOid(oid));
  if (type === undefined) return undefined;
  mlDsa();
  if (readSmallInteger(version) > 1 || parameters !== undefined) throw damaged();
  const choice = readDer(expectTag(key, TAG.octetString).content);
  if (choice.tag === SEED_TAG) return checked(type, choice.content);
  if (choice.tag !== TAG.sequence)
    throw new BullaError('key-invalid', `this ${type} key has no seed`, {
      hint: 'keys are read by their seed: make it again, or convert it with OpenSSL 3.5',
    });
  const [seed, expanded] = derChildren(choice).map((part) => expectTag(part, TAG.octetString).content);
  const read = checked(type, seed ?? new Uint8Array());
  if (!Buffer.from(expanded ?? []).equals(mlDsa().expand(type, read.seed).secretKey)) throw damaged();
  return read;
}

/** Other keys, and what is damaged, are for OpenSSL to judge. */
function partsOf(bytes: Uint8Array): readonly DerValue[] {
  try {
    const parts = derChildren(readDer(bytes, TAG.sequence));
    const [oid] = derChildren(expectTag(parts[1], TAG.sequence));
    return mlDsaOf(readOid(oid)) === undefined ? [] : parts;
  } catch {
    return [];
  }
}

function checked(type: MlDsaType, seed: Uint8Array): { readonly type: MlDsaType; readonly seed: Uint8Array } {
  if (seed.byteLength !== SEED_BYTES) throw damaged();
  return { type, seed };
}

/** SubjectPublicKeyInfo of a raw public key (RFC 9881 §4). */
export function mlDsaSpki(type: MlDsaType, raw: Uint8Array): Uint8Array {
  const { oid } = ML_DSA.get(type) as MlDsaParameters;
  return derSequence(derSequence(derOid(oid)), der(0x03, concatBytes([Uint8Array.of(0), raw])));
}

function damaged(): BullaError {
  return new BullaError('key-invalid', 'this is not a private key of ML-DSA', {
    hint: 'restore it from a backup',
  });
}

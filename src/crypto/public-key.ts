import { createHash, createPublicKey, type JsonWebKey, type KeyObject } from 'node:crypto';
import { concatBytes, fromHex } from '../encoding/bytes.ts';
import { BullaError, isBullaError } from '../errors.ts';
import type { KeyType } from './algorithm.ts';
import { looksLikeDer, pemTextOf } from './key-text.ts';
import { isMlDsa, type MlDsaType, mlDsa, mlDsaSpki, readMlDsaKey } from './ml-dsa-keys.ts';
import { formatPem, parsePem } from './pem.ts';
import { readSpki, type SpkiShape, spkiOfPkcs1 } from './spki.ts';
import { weaknessOf } from './weak-key.ts';

/** Smallest RSA modulus that is accepted, in bits (Notation's least; NIST SP 800-131A). */
const MIN_RSA_BITS: number = 2048;
/** Largest, so that a hostile key cannot keep the processor busy. */
const MAX_RSA_BITS = 16_384;
const MAX_KEY_BYTES = 64 * 1024;

/** A public key of an accepted type that is not weak. Create it with the functions below; it exists only if valid. */
export interface PublicKey {
  readonly type: KeyType;
  /** RSA only: bits of the modulus. */
  readonly modulusBits?: number;
  /** SubjectPublicKeyInfo (RFC 5280 §4.1.2.7) in canonical form: points of curves are uncompressed. */
  readonly spki: Uint8Array;
  /** Lower-case hexadecimal SHA-256 of {@link spki}: the key's identity, whatever it is written in. */
  readonly fingerprint: string;
  readonly keyObject: KeyObject;
}

/** @throws BullaError key-invalid for a type, curve or size that is not accepted, and for a weak key */
export function publicKeyOf(keyObject: KeyObject): PublicKey {
  const mlDsaKey = readMlDsaKey(keyObject);
  if (mlDsaKey !== undefined) {
    const { type, seed } = mlDsaKey;
    return publicKeyFromSpki(mlDsaSpki(type, mlDsa().expand(type, seed).publicKey), `a key of type ${type}`);
  }
  const publicObject = keyObject.type === 'private' ? createPublicKey(keyObject) : keyObject;
  const name = publicObject.asymmetricKeyType ?? publicObject.type;
  // Types that have no SubjectPublicKeyInfo to be read would fail with fewer words.
  if (publicObject.type !== 'public') throw unaccepted(`keys of type ${name} are not accepted`);
  return publicKeyFromSpki(exported(publicObject, name), `a key of type ${name}`);
}

function exported(key: KeyObject, name: string): Uint8Array {
  try {
    return new Uint8Array(key.export({ type: 'spki', format: 'der' }));
  } catch (cause) {
    throw unreadable(`a key of type ${name}`, 'OpenSSL cannot write it', cause);
  }
}

/** A key that OpenSSL need not know. */
function describeMlDsa(type: MlDsaType, spki: Uint8Array): PublicKey {
  return {
    type,
    spki,
    fingerprint: createHash('sha256').update(spki).digest('hex'),
    get keyObject(): KeyObject {
      throw unaccepted(`a key of ${type} is for roles of trust collections only`);
    },
  };
}

/** @param spki in canonical form */
function describe(shape: SpkiShape, keyObject: KeyObject, spki: Uint8Array): PublicKey {
  return {
    type: shape.type,
    ...(shape.type === 'RSA' && { modulusBits: bitsOf(shape.modulus) }),
    spki,
    fingerprint: createHash('sha256').update(spki).digest('hex'),
    keyObject,
  };
}

/** What OpenSSL does not check, or checks too late. @throws BullaError key-invalid */
function checkStrength(shape: SpkiShape): void {
  if (shape.type === 'RSA') {
    const bits = bitsOf(shape.modulus);
    if (bits < MIN_RSA_BITS || bits > MAX_RSA_BITS)
      throw unaccepted(
        `an RSA key of ${bits} bits is not accepted`,
        `use ${MIN_RSA_BITS} to ${MAX_RSA_BITS} bits`,
      );
  }
  const weakness = weaknessOf(shape);
  if (weakness === undefined) return;
  throw new BullaError('key-invalid', `a weak ${shape.type} key is not accepted: ${weakness}`, {
    hint: 'signatures by such a key prove nothing: ask its owner for another, made by a tool that is maintained',
    details: { weakness },
  });
}

function bitsOf(number: bigint): number {
  return number === 0n ? 0 : number.toString(2).length;
}

/** Bytes of a coordinate (SEC 1 §2.3.5), and the SPKI before the two coordinates of an uncompressed point. */
const CURVES: ReadonlyMap<KeyType, { readonly bytes: number; readonly spkiPrefix: string }> = new Map([
  ['P-256', { bytes: 32, spkiPrefix: '3059301306072a8648ce3d020106082a8648ce3d03010703420004' }],
  ['P-384', { bytes: 48, spkiPrefix: '3076301006072a8648ce3d020106052b8104002203620004' }],
  ['P-521', { bytes: 66, spkiPrefix: '30819b301006072a8648ce3d020106052b810400230381860004' }],
]);

const ED25519_SPKI_PREFIX = fromHex('302a300506032b6570032100') as Uint8Array;

/**
 * The same key in its canonical form. OpenSSL keeps how a point was written (compressed, uncompressed,
 * hybrid), and by three spellings one key would count three times towards a threshold.
 */
function canonical(shape: SpkiShape, key: KeyObject): KeyObject {
  if (shape.type === 'RSA' || 'raw' in shape) return key;
  return createPublicKey({ key: key.export({ format: 'jwk' }), format: 'jwk' });
}

/** Whether a SubjectPublicKeyInfo is already spelled as OpenSSL spells it again; that takes longer than all the rest. */
function isCanonical(shape: SpkiShape, der: Uint8Array): boolean {
  if (shape.type === 'RSA') return false;
  if ('raw' in shape) return true;
  const curve = CURVES.get(shape.type);
  return curve !== undefined && der[der.byteLength - 1 - 2 * curve.bytes] === 0x04 && !shape.isCompressed;
}

/**
 * Reads `-----BEGIN PUBLIC KEY-----` (SPKI) or, with RSA, PKCS#1.
 * @param where names the file or document in messages
 * @throws BullaError key-invalid
 */
export function parsePublicKeyPem(pem: string, where: string): PublicKey {
  // A private key or a certificate does not belong where a public key is asked for.
  if (pem.length > MAX_KEY_BYTES || !/^\s*-----BEGIN (?:RSA )?PUBLIC KEY-----/.test(pem))
    throw unreadable(where, 'it is not a PEM public key', undefined);
  const [only, second] = parsePublicKeysPem(pem, where);
  if (only === undefined || second !== undefined)
    throw unreadable(where, 'it holds several keys, and one was expected', undefined);
  return only;
}

/**
 * Reads every public key of a PEM text, in order: at least one, and nothing but public keys.
 * @throws BullaError key-invalid
 */
export function parsePublicKeysPem(text: string, where: string): PublicKey[] {
  const blocks = parsePem(text, { where, code: 'key-invalid' });
  if (blocks.length === 0) throw withoutBlocks(text, where);
  return blocks.map(({ label, bytes }) => {
    if (label === 'PUBLIC KEY') return publicKeyFromSpki(bytes, where);
    if (label === 'RSA PUBLIC KEY') return publicKeyFromSpki(spkiOfPkcs1(bytes), where);
    throw unreadable(
      where,
      `it holds ${label}, and public keys were expected`,
      undefined,
      INSTEAD.get(label),
    );
  });
}

const PEM_HINT = 'a public key is a file that begins with -----BEGIN PUBLIC KEY-----';

/** What to do with a file that holds something else. */
const INSTEAD: ReadonlyMap<string, string> = new Map([
  [
    'CERTIFICATE',
    'give an authority with --ca; the key of one certificate: openssl x509 -in FILE -noout -pubkey',
  ],
  ...['PRIVATE KEY', 'EC PRIVATE KEY', 'RSA PRIVATE KEY', 'ENCRYPTED PRIVATE KEY'].map(
    (label) => [label, 'write its public half: openssl pkey -in FILE -pubout'] as const,
  ),
]);

function withoutBlocks(text: string, where: string): BullaError {
  if (/^(?:ssh-|ecdsa-sha2-)/.test(text.trimStart()))
    return unreadable(
      where,
      'it is a key of OpenSSH',
      undefined,
      'convert it: ssh-keygen -e -m PKCS8 -f FILE',
    );
  return unreadable(where, 'it is not a PEM public key', undefined);
}

/**
 * Reads every public key of a file that a person gives: PEM in any spelling ({@link pemTextOf}), or one key in DER.
 * @throws BullaError key-invalid
 */
export function readPublicKeys(bytes: Uint8Array, where: string): PublicKey[] {
  if (!looksLikeDer(bytes)) return parsePublicKeysPem(pemTextOf(bytes, where), where);
  if (bytes.byteLength > MAX_KEY_BYTES) throw unreadable(where, 'it is too large', undefined);
  // An INTEGER comes first in PKCS#1, and in a private key, where it is a small version.
  const header = 2 + ((bytes[1] ?? 0) < 0x80 ? 0 : (bytes[1] ?? 0) & 0x7f);
  const isInteger = bytes[header] === 0x02;
  if (isInteger && bytes[header + 1] === 1)
    throw unreadable(where, 'it holds a private key', undefined, INSTEAD.get('PRIVATE KEY'));
  return [publicKeyFromSpki(isInteger ? spkiOfPkcs1(bytes) : bytes, where)];
}

/** @throws BullaError key-invalid for anything that is not a key, is not accepted, or is weak */
export function publicKeyFromSpki(der: Uint8Array, where: string): PublicKey {
  try {
    const shape = readSpki(der);
    checkStrength(shape);
    if (isMlDsa(shape.type)) return describeMlDsa(shape.type, new Uint8Array(der));
    const read = createPublicKey({ key: Buffer.from(der), format: 'der', type: 'spki' });
    if (isCanonical(shape, der)) return describe(shape, read, new Uint8Array(der));
    const keyObject = canonical(shape, read);
    return describe(shape, keyObject, new Uint8Array(keyObject.export({ type: 'spki', format: 'der' })));
  } catch (cause) {
    if (isBullaError(cause, 'key-invalid')) throw cause;
    throw unreadable(where, cause instanceof BullaError ? cause.message : 'OpenSSL cannot read it', cause);
  }
}

/** Public key of the 32 raw bytes of an Ed25519 key (RFC 8032), as TUF writes it in hex. @throws BullaError key-invalid */
export function publicKeyFromRawEd25519(raw: Uint8Array, where: string): PublicKey {
  if (raw.byteLength !== 32)
    throw unreadable(where, `an Ed25519 key has 32 bytes, not ${raw.byteLength}`, undefined);
  return publicKeyFromSpki(concatBytes([ED25519_SPKI_PREFIX, raw]), where);
}

/** Public key of an uncompressed point, `04‖x‖y` (SEC 1 §2.3.3), on the curve of `type`. @throws BullaError key-invalid */
export function publicKeyFromRawPoint(point: Uint8Array, type: KeyType, where: string): PublicKey {
  const curve = CURVES.get(type);
  if (curve === undefined || point[0] !== 0x04 || point.byteLength !== 1 + 2 * curve.bytes)
    throw unreadable(where, `it is not an uncompressed point of ${type}`, undefined);
  const prefix = fromHex(curve.spkiPrefix) as Uint8Array;
  return publicKeyFromSpki(concatBytes([prefix, point.subarray(1)]), where);
}

/** A key in JOSE's form (RFC 7517), as key services give it. @throws BullaError key-invalid */
export function publicKeyFromJwk(jwk: JsonWebKey, where: string): PublicKey {
  let key: KeyObject;
  try {
    key = createPublicKey({ key: { ...jwk }, format: 'jwk' });
  } catch (cause) {
    throw unreadable(where, 'it is not a public key in JWK', cause);
  }
  return publicKeyOf(key);
}

/** The 32 raw bytes of an Ed25519 key. */
export function rawEd25519(key: PublicKey): Uint8Array {
  return key.spki.slice(-32);
}

/** SPKI in PEM, with the newline at its end: what TUF and cosign write. */
export function publicKeyPem(key: PublicKey): string {
  return formatPem('PUBLIC KEY', key.spki);
}

/** First 12 digits of a fingerprint, for people. */
export function shortFingerprint(key: PublicKey): string {
  return key.fingerprint.slice(0, 12);
}

function unaccepted(
  message: string,
  hint = 'use P-256, P-384, P-521, Ed25519, or RSA from 2048 bits',
): BullaError {
  return new BullaError('key-invalid', message, { hint });
}

function unreadable(where: string, why: string, cause: unknown, hint: string = PEM_HINT): BullaError {
  return new BullaError('key-invalid', `${where} is not a public key that can be used: ${why}`, {
    cause,
    hint,
  });
}

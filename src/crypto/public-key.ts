import { createHash, createPublicKey, type KeyObject } from 'node:crypto';
import { concatBytes, equalBytes, fromBase64, fromHex } from '../encoding/bytes.ts';
import { BullaError } from '../errors.ts';
import { type KeyType, keyTypeOf } from './algorithm.ts';
import { formatPem, parsePem } from './pem.ts';

/** Smallest RSA modulus that is accepted, in bits (Notation's least; NIST SP 800-131A). */
export const MIN_RSA_BITS: number = 2048;
/** Largest, so that a hostile key cannot keep the processor busy. */
const MAX_RSA_BITS = 16_384;
const MAX_KEY_BYTES = 64 * 1024;

/** A public key of an accepted type. Create it with the functions below; it exists only if valid. */
export interface PublicKey {
  readonly type: KeyType;
  /** RSA only: bits of the modulus. */
  readonly modulusBits?: number;
  /** SubjectPublicKeyInfo (RFC 5280 §4.1.2.7) in one spelling: points of curves are uncompressed. */
  readonly spki: Uint8Array;
  /** Lower-case hexadecimal SHA-256 of {@link spki}: the key's identity, whatever it is written in. */
  readonly fingerprint: string;
  readonly keyObject: KeyObject;
}

/** @throws BullaError key-invalid for a type, curve or size that is not accepted */
export function publicKeyOf(keyObject: KeyObject): PublicKey {
  const publicObject = keyObject.type === 'private' ? createPublicKey(keyObject) : keyObject;
  const type = keyTypeOf(publicObject);
  const bits = publicObject.asymmetricKeyDetails?.modulusLength;
  if (type === undefined) {
    throw new BullaError(
      'key-invalid',
      `keys of type ${publicObject.asymmetricKeyDetails?.namedCurve ?? publicObject.asymmetricKeyType ?? publicObject.type} are not accepted`,
      {
        hint: 'use P-256, P-384, P-521, Ed25519, or RSA from 2048 bits',
      },
    );
  }
  if (type === 'RSA' && (bits === undefined || bits < MIN_RSA_BITS || bits > MAX_RSA_BITS)) {
    throw new BullaError('key-invalid', `an RSA key of ${bits ?? 'unknown'} bits is not accepted`, {
      hint: `use ${MIN_RSA_BITS} to ${MAX_RSA_BITS} bits`,
    });
  }
  return describe(type, bits, uncompressed(type, publicObject));
}

function describe(
  type: KeyType,
  bits: number | undefined,
  keyObject: KeyObject,
  spki: Uint8Array = new Uint8Array(keyObject.export({ type: 'spki', format: 'der' })),
): PublicKey {
  return {
    type,
    ...(type === 'RSA' && bits !== undefined && { modulusBits: bits }),
    spki,
    fingerprint: createHash('sha256').update(spki).digest('hex'),
    keyObject,
  };
}

/** Bytes of a coordinate (SEC 1 §2.3.5), and the SPKI before the two coordinates of an uncompressed point. */
const CURVES: ReadonlyMap<KeyType, { readonly bytes: number; readonly spkiPrefix: string }> = new Map([
  ['P-256', { bytes: 32, spkiPrefix: '3059301306072a8648ce3d020106082a8648ce3d03010703420004' }],
  ['P-384', { bytes: 48, spkiPrefix: '3076301006072a8648ce3d020106052b8104002203620004' }],
  ['P-521', { bytes: 66, spkiPrefix: '30819b301006072a8648ce3d020106052b810400230381860004' }],
]);

const ED25519_SPKI_PREFIX = fromHex('302a300506032b6570032100') as Uint8Array;

/** Type, beginning and length of each SPKI that has one spelling only. */
const USUAL_SPKI: readonly (readonly [type: KeyType, prefix: Uint8Array, bytes: number])[] = [
  ...[...CURVES].map(([type, { bytes, spkiPrefix }]) => {
    const prefix = fromHex(spkiPrefix) as Uint8Array;
    return [type, prefix, prefix.byteLength + 2 * bytes] as const;
  }),
  ['Ed25519', ED25519_SPKI_PREFIX, ED25519_SPKI_PREFIX.byteLength + 32],
];

/**
 * The same key with its point uncompressed. OpenSSL keeps the spelling that it read (compressed,
 * uncompressed, hybrid), and by three spellings one key would count three times towards a threshold.
 */
function uncompressed(type: KeyType, key: KeyObject): KeyObject {
  const curve = CURVES.get(type);
  if (curve === undefined) return key;
  const der = key.export({ type: 'spki', format: 'der' });
  if (der.toString('hex', 0, der.byteLength - 2 * curve.bytes) === curve.spkiPrefix) return key;
  return createPublicKey({ key: key.export({ format: 'jwk' }), format: 'jwk' });
}

const PLAIN_PEM = /^-----BEGIN PUBLIC KEY-----\n([A-Za-z0-9+/=\n]+)\n-----END PUBLIC KEY-----\n?$/;

/** Type of a key whose SPKI is spelled as OpenSSL would spell it; undefined where that is not known. */
function usualType(der: Uint8Array): KeyType | undefined {
  for (const [type, prefix, bytes] of USUAL_SPKI) {
    if (der.byteLength === bytes && equalBytes(der.subarray(0, prefix.byteLength), prefix)) return type;
  }
  return undefined;
}

/**
 * Reads `-----BEGIN PUBLIC KEY-----` (SPKI) or, with RSA, PKCS#1.
 * @param where names the file or document in messages
 * @throws BullaError key-invalid
 */
export function parsePublicKeyPem(pem: string, where: string): PublicKey {
  // createPublicKey would also take a private key or a certificate: neither belongs where a public key is asked for.
  if (pem.length > MAX_KEY_BYTES || !/^\s*-----BEGIN (?:RSA )?PUBLIC KEY-----/.test(pem)) {
    throw unreadable(where, 'it is not a PEM public key', undefined);
  }
  const der = fromBase64(PLAIN_PEM.exec(pem)?.[1]?.replaceAll('\n', '') ?? '') ?? new Uint8Array();
  if (usualType(der) !== undefined) return publicKeyFromSpki(der, where);
  try {
    return publicKeyOf(createPublicKey({ key: pem, format: 'pem' }));
  } catch (cause) {
    throw cause instanceof BullaError ? cause : unreadable(where, 'the PEM text does not hold a key', cause);
  }
}

/**
 * Reads every public key of a PEM text, in order: at least one, and nothing but public keys.
 * @throws BullaError key-invalid
 */
export function parsePublicKeysPem(text: string, where: string): PublicKey[] {
  const blocks = parsePem(text, { where, code: 'key-invalid' });
  if (blocks.length === 0) throw unreadable(where, 'it is not a PEM public key', undefined);
  return blocks.map(({ label, bytes }) => {
    if (label === 'PUBLIC KEY') return publicKeyFromSpki(bytes, where);
    if (label === 'RSA PUBLIC KEY') return parsePublicKeyPem(formatPem(label, bytes), where);
    throw unreadable(where, `it holds ${label}, and public keys were expected`, undefined);
  });
}

/** @throws BullaError key-invalid */
export function publicKeyFromSpki(der: Uint8Array, where: string): PublicKey {
  try {
    const keyObject = createPublicKey({ key: Buffer.from(der), format: 'der', type: 'spki' });
    const type = usualType(der);
    // Exporting it again would give the same bytes, and takes longer than all the rest.
    return type === undefined
      ? publicKeyOf(keyObject)
      : describe(type, undefined, keyObject, new Uint8Array(der));
  } catch (cause) {
    throw cause instanceof BullaError ? cause : unreadable(where, 'it is not a SubjectPublicKeyInfo', cause);
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

/** The 32 raw bytes of an Ed25519 key. */
export function rawEd25519(key: PublicKey): Uint8Array {
  return key.spki.slice(-32);
}

/** SPKI in PEM, with the newline at its end: what TUF and cosign write. */
export function publicKeyPem(key: PublicKey): string {
  return String(key.keyObject.export({ type: 'spki', format: 'pem' }));
}

/** First 12 digits of a fingerprint, for people. */
export function shortFingerprint(key: PublicKey): string {
  return key.fingerprint.slice(0, 12);
}

function unreadable(where: string, why: string, cause: unknown): BullaError {
  return new BullaError('key-invalid', `${where} is not a public key that can be used: ${why}`, {
    cause,
    hint: 'a public key is a file that begins with -----BEGIN PUBLIC KEY-----',
  });
}

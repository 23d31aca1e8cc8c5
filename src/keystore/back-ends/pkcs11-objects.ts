import type { KeyType } from '../../crypto/algorithm.ts';
import { parseCertificates } from '../../crypto/certificate.ts';
import {
  type PublicKey,
  publicKeyFromJwk,
  publicKeyFromRawEd25519,
  publicKeyFromRawPoint,
} from '../../crypto/public-key.ts';
import { base64url } from '../../encoding/bytes.ts';
import { BullaError } from '../../errors.ts';
import type { KeySources } from '../back-end.ts';
import {
  type Attribute,
  codeOf,
  type Handle,
  type Pkcs11,
  type TokenInfo,
  wordsOf,
} from './pkcs11-module.ts';
import type { Pkcs11Uri } from './pkcs11-uri.ts';

// Constants of PKCS #11 v3.1, §6 and its headers.
const CKF_TOKEN_INITIALIZED = 0x400;

/** Attributes of objects. */
export const CKA = {
  CLASS: 0x0,
  TOKEN: 0x1,
  PRIVATE: 0x2,
  SENSITIVE: 0x103,
  VERIFY: 0x10a,
  EXTRACTABLE: 0x162,
  LABEL: 0x3,
  VALUE: 0x11,
  ID: 0x102,
  SIGN: 0x108,
  MODULUS: 0x120,
  EXPONENT: 0x122,
  EC_PARAMS: 0x180,
  EC_POINT: 0x181,
};

const CKO_CERTIFICATE = 1;

/** Kinds of objects. */
export const CKO_PUBLIC_KEY = 2;

export const CKO_PRIVATE_KEY = 3;

/** Return values of failed calls. */
export const CKR = {
  PIN_INCORRECT: 0xa0,
  PIN_LOCKED: 0xa4,
  TOKEN_NOT_PRESENT: 0xe0,
  DEVICE_REMOVED: 0x32,
  USER_ALREADY_LOGGED_IN: 0x100,
  USER_NOT_LOGGED_IN: 0x101,
  SESSION_HANDLE_INVALID: 0xb3,
};

/** OIDs of curves, as a token gives them in DER. */
export const CURVES: ReadonlyMap<string, KeyType> = new Map([
  ['06082a8648ce3d030107', 'P-256'],
  ['06052b81040022', 'P-384'],
  ['06052b81040023', 'P-521'],
  ['06032b6570', 'Ed25519'],
  // "edwards25519" as a PrintableString, which older tokens give.
  ['130c656477617264733235353139', 'Ed25519'],
]);

const MAX_OBJECTS = 1000;

/** A token and the slot that it is in. */
export interface Token {
  readonly slot: Handle;
  readonly info: TokenInfo;
}

/** A session with a token, and what is wanted of it. */
export interface Place {
  readonly module: Pkcs11;
  readonly session: Handle;
  readonly token: Token;
  readonly wanted: Pkcs11Uri;
  readonly sources: KeySources;
}

const trimmed = (info: TokenInfo): TokenInfo => ({
  flags: info.flags,
  label: info.label.trimEnd(),
  manufacturerID: info.manufacturerID.trimEnd(),
  model: info.model.trimEnd(),
  serialNumber: info.serialNumber.trimEnd(),
});

/** The tokens that are ready; a slot may also hold one that was never initialised. */
export function tokensOf(module: Pkcs11): readonly Token[] {
  return attempt('listed', () => module.C_GetSlotList(true))
    .map((slot) => ({ slot, info: trimmed(module.C_GetTokenInfo(slot)) }))
    .filter(({ info }) => (info.flags & CKF_TOKEN_INITIALIZED) !== 0);
}

/** The one token that fits. @throws BullaError key-unavailable, usage */
export function tokenOf(module: Pkcs11, { token, slot: wantedSlot, modulePath }: Pkcs11Uri): Token {
  const all = tokensOf(module);
  const fitting = all.filter(({ slot, info }) => {
    const has: Readonly<Record<string, string>> = {
      token: info.label,
      manufacturer: info.manufacturerID,
      model: info.model,
      serial: info.serialNumber,
    };
    const isSlot = wantedSlot === undefined || (slot.byteLength >= 4 && slot.readUInt32LE(0) === wantedSlot);
    return isSlot && [...token].every(([name, value]) => has[name] === value);
  });
  const [first, second] = fitting;
  const list = all.map(({ info }) => `${info.label} (serial ${info.serialNumber})`).join(', ') || 'none';
  if (first === undefined)
    throw new BullaError('key-unavailable', `the module ${modulePath} has no such token; it has ${list}`, {
      hint: 'plug the device in, or correct token= or serial= of the URI',
    });
  if (second !== undefined)
    throw new BullaError('usage', `several tokens fit: ${list}`, { hint: 'add ;serial=NUMBER to the URI' });
  return first;
}

/** What an object must be like to be found. */
export function templateOf(kind: number, { object, id }: Pkcs11Uri): Attribute[] {
  return [
    { type: CKA.CLASS, value: kind },
    ...(object === undefined ? [] : [{ type: CKA.LABEL, value: Buffer.from(object, 'utf8') }]),
    ...(id === undefined ? [] : [{ type: CKA.ID, value: id }]),
  ];
}

/** @throws BullaError key-unavailable */
export function objectsOf({ module, session }: Place, template: readonly Attribute[]): readonly Handle[] {
  return attempt('searched', () => {
    module.C_FindObjectsInit(session, template);
    try {
      return module.C_FindObjects(session, MAX_OBJECTS);
    } finally {
      module.C_FindObjectsFinal(session);
    }
  });
}

/** Of a public key object, else of a certificate; undefined where the token shows neither. */
export function publicKeyIn(place: Place): PublicKey | undefined {
  const { wanted } = place;
  const keys = objectsOf(place, templateOf(CKO_PUBLIC_KEY, wanted)).map((object) =>
    publicKeyOfObject(place, object),
  );
  const found =
    keys.length > 0
      ? keys
      : objectsOf(place, templateOf(CKO_CERTIFICATE, wanted)).flatMap((object) => {
          const der = attributeOf(place, object, CKA.VALUE);
          return der === undefined
            ? []
            : parseCertificates(pemOf(der), 'a certificate of the token').map(({ publicKey }) => publicKey);
        });
  const different = new Map(found.map((key) => [key.fingerprint, key]));
  if (different.size > 1)
    throw new BullaError('usage', `the token ${place.token.info.label} has several such keys`, {
      hint: 'name one: add ;object=LABEL or ;id=%01 to the URI',
    });
  return [...different.values()][0];
}

function pemOf(der: Buffer): string {
  return `-----BEGIN CERTIFICATE-----\n${der.toString('base64').replace(/.{64}/g, '$&\n')}\n-----END CERTIFICATE-----\n`;
}

/** Undefined where the object has no such attribute, or does not show it. */
export function attributeOf({ module, session }: Place, object: Handle, type: number): Buffer | undefined {
  try {
    const value = module.C_GetAttributeValue(session, object, [{ type }])[0]?.value;
    return Buffer.isBuffer(value) && value.byteLength > 0 ? value : undefined;
  } catch {
    // The object has no such attribute, or does not show it.
    return undefined;
  }
}

/** @throws BullaError key-invalid */
export function publicKeyOfObject(place: Place, object: Handle): PublicKey {
  const where = 'the key of the token';
  const modulus = attributeOf(place, object, CKA.MODULUS);
  const exponent = attributeOf(place, object, CKA.EXPONENT);
  if (modulus !== undefined && exponent !== undefined)
    return publicKeyFromJwk({ kty: 'RSA', n: base64url(modulus), e: base64url(exponent) }, where);
  const curve = CURVES.get((attributeOf(place, object, CKA.EC_PARAMS) ?? Buffer.alloc(0)).toString('hex'));
  const point = attributeOf(place, object, CKA.EC_POINT);
  if (curve === undefined || point === undefined)
    throw new BullaError('key-invalid', `${where} is of a type that is not accepted`, {
      hint: 'use P-256, P-384, P-521, Ed25519, or RSA from 2048 bits',
    });
  const raw = unwrapped(point);
  return curve === 'Ed25519' ? publicKeyFromRawEd25519(raw, where) : publicKeyFromRawPoint(raw, curve, where);
}

/** A point stands in a DER OCTET STRING, or BIT STRING, or as it is: tokens differ. */
function unwrapped(point: Buffer): Uint8Array {
  const [tag, length, unused] = point;
  if (tag === 0x04 && length !== undefined && length < 0x80 && point.byteLength === 2 + length)
    return point.subarray(2);
  if (tag === 0x04 && length === 0x81 && point.byteLength === 3 + (point[2] ?? 0)) return point.subarray(3);
  if (tag === 0x03 && length === point.byteLength - 2 && unused === 0) return point.subarray(3);
  return point;
}

/** @throws BullaError not-found, usage */
export function privateKeyIn(place: Place): Handle {
  const [first, second] = objectsOf(place, templateOf(CKO_PRIVATE_KEY, place.wanted));
  if (first === undefined) throw notThere(place);
  if (second === undefined) return first;
  throw new BullaError('usage', `the token ${place.token.info.label} has several such keys`, {
    hint: 'name one: add ;object=LABEL or ;id=%01 to the URI',
  });
}

/** @throws BullaError key-unavailable */
export function attempt<T>(done: string, call: () => T): T {
  try {
    return call();
  } catch (cause) {
    throw unavailable(`cannot be ${done}`, cause);
  }
}

/** That a call failed, in words. */
export function unavailable(how: string, cause: unknown): BullaError {
  const isGone = [CKR.TOKEN_NOT_PRESENT, CKR.DEVICE_REMOVED, CKR.SESSION_HANDLE_INVALID].includes(
    codeOf(cause) ?? -1,
  );
  return new BullaError('key-unavailable', `the token ${isGone ? 'was removed' : how}: ${wordsOf(cause)}`, {
    cause,
    hint: isGone ? 'plug it in again' : 'nothing was signed; check the device with the tool of its maker',
  });
}

/** That the token has no such key. */
export function notThere({ token, wanted }: Place): BullaError {
  return new BullaError(
    'not-found',
    `the token ${token.info.label} has no key${labelOf(wanted).replace(/^;/, ' ')}`,
    {
      hint: 'bulla key ls --tokens shows the keys there are',
    },
  );
}

/** The part of a URI that names a key. */
export function labelOf({ object, id }: Pkcs11Uri): string {
  const idText =
    id === undefined ? '' : `;id=${[...id].map((byte) => `%${byte.toString(16).padStart(2, '0')}`).join('')}`;
  return `${object === undefined ? '' : `;object=${encodeURIComponent(object)}`}${idText}`;
}

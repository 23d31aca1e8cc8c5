import { type AlgorithmId, algorithm } from '../crypto/algorithm.ts';
import { type Certificate, parseCertificates } from '../crypto/certificate.ts';
import { type PublicKey, publicKeyFromRawEd25519, publicKeyFromSpki } from '../crypto/public-key.ts';
import { verifySignature } from '../crypto/signature.ts';
import { base64, decodeUtf8, fromBase64 } from '../encoding/bytes.ts';
import { isJsonObject, type JsonObject } from '../encoding/json.ts';
import { BullaError, isBullaError, messageOf } from '../errors.ts';
import { type KeyVerifier, keyIdOf, TufKey } from '../tuf/keys.ts';

/** A KEY of Notary v1 (Docker Content Trust). */
export interface NotaryKey {
  /**
   * Under the id it is listed under, and verifying Notary's usual signatures: ECDSA as r‖s with SHA-256
   * whatever the curve, RSA as PSS with SHA-256, Ed25519.
   */
  readonly key: TufKey;
  /** `ecdsa`, `rsa`, `ed25519`, `ecdsa-x509` or `rsa-x509`. */
  readonly keytype: string;
  /** What the id must be: computed from type and public part as Notary does it. */
  readonly computedId: string;
  readonly publicKey: PublicKey;
  /** Id of the bare key, by which the file of the private key is called (`private/<id>.key`). */
  readonly keystoreId: string;
  /** Of a key that comes in certificates, the key's own first; empty for a bare key. */
  readonly certificates: readonly Certificate[];
  /** Whether `signature`, made by `method`, is this key's over `message`; a method of another key type is false. */
  verify(message: Uint8Array, signature: Uint8Array, method: string): boolean;
}

/** Algorithm of each type of key, where the method does not say more. */
const ALGORITHMS: ReadonlyMap<PublicKey['type'], AlgorithmId> = new Map([
  ['P-256', 'ES256'],
  ['P-384', 'ES384-SHA256'],
  ['P-521', 'ES512-SHA256'],
  ['RSA', 'PS256'],
  ['Ed25519', 'Ed25519'],
]);

/** Methods that a signature may carry, and the types of key that may have made it. */
const METHODS: ReadonlyMap<string, (type: PublicKey['type']) => AlgorithmId | undefined> = new Map([
  ['ecdsa', (type) => (type.startsWith('P-') ? ALGORITHMS.get(type) : undefined)],
  ['eddsa', (type) => (type === 'Ed25519' ? 'Ed25519' : undefined)],
  ['rsapss', (type) => (type === 'RSA' ? 'PS256' : undefined)],
  ['pycrypto-pkcs#1 pss', (type) => (type === 'RSA' ? 'PS256' : undefined)],
  ['rsapkcs1v15', (type) => (type === 'RSA' ? 'RS256' : undefined)],
]);

/**
 * Reads a key of Notary v1: `ecdsa` and `rsa` hold base64 of the SPKI, `ed25519` of the 32 bytes,
 * `ecdsa-x509` and `rsa-x509` of a certificate's PEM text.
 * @throws BullaError key-invalid, certificate-invalid, content-invalid
 */
export function parseNotaryKey(keyid: string, json: JsonObject): NotaryKey {
  const { keytype, keyval } = json;
  const text = isJsonObject(keyval) ? keyval['public'] : undefined;
  const bytes = typeof text === 'string' ? fromBase64(text) : undefined;
  if (bytes === undefined || typeof text !== 'string' || typeof keytype !== 'string')
    throw unreadable(keyid, 'it is not a KEY of Notary v1');
  const certificates = keytype.endsWith('-x509')
    ? parseCertificates(decodeUtf8(bytes, `key ${keyid}`), `key ${keyid}`)
    : [];
  const bareType = keytype.replace(/-x509$/, '');
  const publicKey = certificates[0]?.publicKey ?? readBare(keytype, bytes, keyid);
  if (typeName(publicKey) !== bareType || keytype === 'ed25519-x509') {
    throw unreadable(keyid, `it says ${keytype} and holds a ${publicKey.type} key`);
  }
  const verifier = verifierOf(publicKey, keyid);
  return {
    key: new TufKey(keyid, keyJson(keytype, text), () => verifier),
    keytype,
    computedId: notaryKeyId(keytype, text),
    publicKey,
    keystoreId: keystoreIdOf(publicKey),
    certificates,
    verify(message, signature, method) {
      const id = METHODS.get(method.toLowerCase())?.(publicKey.type);
      return id !== undefined && verifySignature(publicKey, algorithm(id), message, signature, 'raw');
    },
  };
}

/** Id of a bare public key: what Notary's key store and `docker trust` call it. */
function keystoreIdOf(publicKey: PublicKey): string {
  const material = publicKey.type === 'Ed25519' ? publicKey.spki.slice(-32) : publicKey.spki;
  return notaryKeyId(typeName(publicKey), base64(material));
}

/** A key as a file lists it. An unusable one (weak, unknown, under a wrong id) is ignored and does not invalidate the file. */
export interface ListedKey {
  /** Undefined where it cannot be used. */
  readonly key: NotaryKey | undefined;
  /** Why it cannot be used. */
  readonly problem: string | undefined;
}

/** A listed key, which is read when it is looked at first: a hostile file may list very many. */
export function listedKey(keyid: string, json: JsonObject): ListedKey {
  let read: Pick<ListedKey, 'key' | 'problem'> | undefined;
  const now = (): Pick<ListedKey, 'key' | 'problem'> => {
    read ??= readListed(keyid, json);
    return read;
  };
  return {
    get key() {
      return now().key;
    },
    get problem() {
      return now().problem;
    },
  };
}

function readListed(keyid: string, json: JsonObject): ListedKey {
  try {
    const key = parseNotaryKey(keyid, json);
    if (key.computedId === keyid) return { key, problem: undefined };
    return { key: undefined, problem: 'is listed under an id that is not its own' };
  } catch (error) {
    if (!isBullaError(error)) throw error;
    return { key: undefined, problem: messageOf(error) };
  }
}

function readBare(keytype: string, bytes: Uint8Array, keyid: string): PublicKey {
  const where = `Notary key ${keyid.slice(0, 80)}`;
  return keytype === 'ed25519' ? publicKeyFromRawEd25519(bytes, where) : publicKeyFromSpki(bytes, where);
}

function typeName(publicKey: PublicKey): string {
  if (publicKey.type === 'RSA') return 'rsa';
  return publicKey.type === 'Ed25519' ? 'ed25519' : 'ecdsa';
}

function verifierOf(publicKey: PublicKey, keyid: string): KeyVerifier {
  const id = ALGORITHMS.get(publicKey.type);
  if (id === undefined) throw unreadable(keyid, `Notary v1 has no ${publicKey.type} keys`);
  const rule = algorithm(id);
  return {
    publicKey,
    algorithm: rule,
    verify: (message, signature) => verifySignature(publicKey, rule, message, signature, 'raw'),
  };
}

/** Only these members count for the id, and the private part is always null. */
function keyJson(keytype: string, text: string): JsonObject {
  return object({ keytype, keyval: object({ private: null, public: text }) });
}

function notaryKeyId(keytype: string, text: string): string {
  return keyIdOf(keyJson(keytype, text));
}

function object(members: JsonObject): JsonObject {
  return Object.assign(Object.create(null) as JsonObject, members);
}

function unreadable(keyid: string, why: string): BullaError {
  return new BullaError('key-invalid', `the key ${keyid.slice(0, 80)} cannot be used: ${why}`, {
    hint: 'the trust data is damaged, or was not written by Notary v1',
  });
}

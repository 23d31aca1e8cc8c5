import { type AlgorithmId, algorithm } from '../crypto/algorithm.ts';
import { type Certificate, parseCertificates } from '../crypto/certificate.ts';
import { type PublicKey, publicKeyFromRawEd25519, publicKeyFromSpki } from '../crypto/public-key.ts';
import { verifySignature } from '../crypto/signature.ts';
import { base64, decodeUtf8, fromBase64 } from '../encoding/bytes.ts';
import type { JsonObject } from '../encoding/json.ts';
import { BullaError } from '../errors.ts';
import { type KeyVerifier, keyIdOf, TufKey } from './keys.ts';

/** A KEY of Notary v1 (Docker Content Trust). */
export interface NotaryKey {
  /**
   * Under Notary's id, and verifying Notary's signatures: ECDSA as r‖s with SHA-256 whatever the
   * curve, RSA as PSS with SHA-256, Ed25519.
   */
  readonly key: TufKey;
  /** Id of the bare key, by which the file of the private key is called (`private/<id>.key`). */
  readonly keystoreId: string;
  /** Of a key that comes in certificates, the key's own first; empty for a bare key. */
  readonly certificates: readonly Certificate[];
}

const ALGORITHMS: ReadonlyMap<PublicKey['type'], AlgorithmId> = new Map([
  ['P-256', 'ES256'],
  ['P-384', 'ES384-SHA256'],
  ['RSA', 'PS256'],
  ['Ed25519', 'Ed25519'],
]);

/**
 * Reads a key of Notary v1: `ecdsa` and `rsa` hold base64 of the SPKI, `ed25519` of the 32 bytes,
 * `ecdsa-x509` and `rsa-x509` of a certificate's PEM text. The key type decides what it verifies with;
 * a signature's `method` is not asked.
 * @throws BullaError key-invalid, certificate-invalid, content-invalid
 */
export function parseNotaryKey(keyid: string, json: JsonObject): NotaryKey {
  const { keytype, keyval } = json;
  const isObject = typeof keyval === 'object' && keyval !== null && !Array.isArray(keyval);
  const text = isObject ? keyval['public'] : undefined;
  const bytes = typeof text === 'string' ? fromBase64(text) : undefined;
  if (bytes === undefined || typeof keytype !== 'string')
    throw unreadable(keyid, 'it is not a KEY of Notary v1');
  const certificates = keytype.endsWith('-x509')
    ? parseCertificates(decodeUtf8(bytes, `key ${keyid}`), `key ${keyid}`)
    : [];
  const publicKey = certificates[0]?.publicKey ?? readBare(keytype, bytes, keyid);
  if (typeName(publicKey) !== keytype.replace(/-x509$/, '')) {
    throw unreadable(keyid, `it says ${keytype} and holds a ${publicKey.type} key`);
  }
  const verifier = verifierOf(publicKey, keyid);
  return {
    key: new TufKey(keyid, json, () => verifier),
    keystoreId: keyIdOf(bareKey(publicKey, keytype.replace(/-x509$/, ''))),
    certificates,
  };
}

function readBare(keytype: string, bytes: Uint8Array, keyid: string): PublicKey {
  const where = `Notary key ${keyid}`;
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

function bareKey(publicKey: PublicKey, keytype: string): JsonObject {
  const material = publicKey.type === 'Ed25519' ? publicKey.spki.slice(-32) : publicKey.spki;
  return object({ keytype, keyval: object({ private: null, public: base64(material) }) });
}

function object(members: JsonObject): JsonObject {
  return Object.assign(Object.create(null) as JsonObject, members);
}

function unreadable(keyid: string, why: string): BullaError {
  return new BullaError('key-invalid', `the key ${keyid.slice(0, 80)} cannot be used: ${why}`, {
    hint: 'the trust data is damaged, or was not written by Notary v1',
  });
}

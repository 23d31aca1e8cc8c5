import { createHash } from 'node:crypto';
import { type Algorithm, type AlgorithmId, algorithm } from '../crypto/algorithm.ts';
import { isMlDsa, mlDsa } from '../crypto/ml-dsa-keys.ts';
import {
  type PublicKey,
  parsePublicKeyPem,
  publicKeyFromRawEd25519,
  publicKeyFromRawPoint,
  publicKeyPem,
  rawEd25519,
} from '../crypto/public-key.ts';
import { verifySignature } from '../crypto/signature.ts';
import { concatBytes, fromHex, hex } from '../encoding/bytes.ts';
import { canonicalOlpc } from '../encoding/canonical.ts';
import type { JsonObject } from '../encoding/json.ts';
import { BullaError, messageOf } from '../errors.ts';
import type { Fields } from './fields.ts';

/** One row: a scheme fixes the algorithm, and with it which type of key it may be used with. */
interface Scheme {
  readonly scheme: string;
  /** The first is the one that is written. */
  readonly keytypes: readonly string[];
  readonly algorithm: AlgorithmId;
}

/**
 * Key types and schemes (TUF 1.0.34 §4.2, and what python-tuf and go-tuf write beside it). RSA with
 * PKCS#1 v1.5 padding is used only by keys that say so: the algorithm comes from the trusted key.
 */
const SCHEMES: readonly Scheme[] = [
  { scheme: 'ecdsa-sha2-nistp256', keytypes: ['ecdsa', 'ecdsa-sha2-nistp256'], algorithm: 'ES256' },
  { scheme: 'ecdsa-sha2-nistp384', keytypes: ['ecdsa', 'ecdsa-sha2-nistp384'], algorithm: 'ES384' },
  { scheme: 'ed25519', keytypes: ['ed25519'], algorithm: 'Ed25519' },
  { scheme: 'rsassa-pss-sha256', keytypes: ['rsa'], algorithm: 'PS256' },
  { scheme: 'rsassa-pss-sha384', keytypes: ['rsa'], algorithm: 'PS384' },
  { scheme: 'rsassa-pss-sha512', keytypes: ['rsa'], algorithm: 'PS512' },
  { scheme: 'rsa-pkcs1v15-sha256', keytypes: ['rsa'], algorithm: 'RS256' },
  // TAP 21, version 1.
  { scheme: 'ml-dsa-44/1', keytypes: ['ml-dsa'], algorithm: 'ML-DSA-44' },
  { scheme: 'ml-dsa-65/1', keytypes: ['ml-dsa'], algorithm: 'ML-DSA-65' },
  { scheme: 'ml-dsa-87/1', keytypes: ['ml-dsa'], algorithm: 'ML-DSA-87' },
];

/** A key that can verify. */
export interface KeyVerifier {
  readonly publicKey: PublicKey;
  readonly algorithm: Algorithm;
  /** Whether `signature` is this key's over `message`; a malformed one is false. */
  verify(message: Uint8Array, signature: Uint8Array): boolean;
}

/**
 * A KEY object under its KEYID (TUF 1.0.34 §4.2). A key of an unknown kind, or one that cannot be
 * read, does not spoil the file that lists it: it never verifies anything, and {@link problem} says why.
 */
export class TufKey {
  readonly keyid: string;
  /** As received, unknown fields included: they count for the key id. */
  readonly json: JsonObject;
  private readonly read: () => KeyVerifier;
  private outcome: { verifier?: KeyVerifier; problem?: string } | undefined;
  private id: string | undefined;

  constructor(keyid: string, json: JsonObject, read: () => KeyVerifier = () => readVerifier(json)) {
    this.keyid = keyid;
    this.json = json;
    this.read = read;
  }

  /** What the key id must be: hex SHA-256 of the canonical KEY object, unknown fields included. */
  get computedId(): string {
    this.id ??= keyIdOf(this.json);
    return this.id;
  }

  /**
   * Whether the key id is the hash of the key. A root of sigstore's holds one that is not, so this is
   * demanded of pinned keys only; thresholds count key material, not ids, and are safe without it.
   */
  get hasCorrectId(): boolean {
    return this.computedId === this.keyid;
  }

  /** Undefined for a key that cannot be used; read at first use, because most keys are never needed. */
  get verifier(): KeyVerifier | undefined {
    return this.resolve().verifier;
  }

  /** Why the key cannot be used. */
  get problem(): string | undefined {
    return this.resolve().problem;
  }

  /** Identity of the key's material (hex SHA-256 of its SPKI), under whatever id it is listed. */
  get fingerprint(): string | undefined {
    return this.verifier?.publicKey.fingerprint;
  }

  private resolve(): { verifier?: KeyVerifier; problem?: string } {
    if (this.outcome !== undefined) return this.outcome;
    try {
      this.outcome = { verifier: this.read() };
    } catch (error) {
      if (!(error instanceof BullaError)) throw error;
      this.outcome = { problem: messageOf(error) };
    }
    return this.outcome;
  }
}

/** Key id of a KEY object (TUF 1.0.34 §4.2): hex SHA-256 of its canonical form. */
export function keyIdOf(json: JsonObject): string {
  return createHash('sha256').update(canonicalOlpc(json)).digest('hex');
}

/** `keys` of root or of a delegation. @throws BullaError content-invalid where a key is not an object */
export function parseKeys(fields: Fields): ReadonlyMap<string, TufKey> {
  const keys = new Map<string, TufKey>();
  for (const [keyid, key] of fields.objects()) keys.set(keyid, new TufKey(keyid, key.json));
  return keys;
}

/**
 * The TUF key of a public key: PEM, or hex for Ed25519, under its correct id.
 * @param chosen the algorithm that it signs with; it must fit the key
 * @throws BullaError key-invalid where TUF has no name for it
 */
export function tufKeyOf(publicKey: PublicKey, chosen: AlgorithmId): TufKey {
  const row = SCHEMES.find((candidate) => candidate.algorithm === chosen);
  if (row === undefined || algorithm(chosen).keyType !== publicKey.type) {
    throw new BullaError(
      'key-invalid',
      `TUF has no key of type ${publicKey.type} that signs with ${chosen}`,
      {
        hint: 'use P-256, P-384, Ed25519, or RSA with PSS',
      },
    );
  }
  const material = publicKey.type === 'Ed25519' ? hex(rawEd25519(publicKey)) : publicKeyPem(publicKey);
  const json: JsonObject = Object.assign(Object.create(null), {
    keytype: row.keytypes[0] ?? '',
    keyval: Object.assign(Object.create(null), { public: material }),
    scheme: row.scheme,
  });
  return new TufKey(keyIdOf(json), json, () => verifierOf(publicKey, algorithm(row.algorithm)));
}

function readVerifier(json: JsonObject): KeyVerifier {
  const { keytype, scheme, keyval } = json;
  const row = SCHEMES.find((candidate) => candidate.scheme === scheme);
  if (row === undefined || typeof keytype !== 'string' || !row.keytypes.includes(keytype)) {
    throw unusable(
      `of type ${JSON.stringify(keytype)} with scheme ${JSON.stringify(scheme)} is not known here`,
    );
  }
  const material =
    typeof keyval === 'object' && keyval !== null && !Array.isArray(keyval) ? keyval['public'] : '';
  if (typeof material !== 'string') throw unusable('has no public part');
  const expected = algorithm(row.algorithm);
  if (isMlDsa(expected.keyType)) mlDsa();
  const publicKey = readOnce(expected, material);
  if (publicKey.type !== expected.keyType) {
    throw unusable(`says ${row.scheme} but holds a ${publicKey.type} key`);
  }
  return verifierOf(publicKey, expected);
}

/** Keys that were read lately: reading one costs more than verifying with it, and roots repeat theirs. */
const READ_KEYS = new Map<string, PublicKey>();
const MAX_READ_KEYS = 256;

function readOnce(expected: Algorithm, material: string): PublicKey {
  const name = `${expected.keyType} ${material}`;
  const known = READ_KEYS.get(name);
  if (known !== undefined) return known;
  const publicKey = readPublicKey(expected, material);
  if (READ_KEYS.size >= MAX_READ_KEYS) READ_KEYS.clear();
  READ_KEYS.set(name, publicKey);
  return publicKey;
}

/** PEM; hex for Ed25519; and hex of the uncompressed point, which go-tuf once wrote for ECDSA. */
function readPublicKey(expected: Algorithm, material: string): PublicKey {
  const isPem = expected.keyType === 'RSA' || isMlDsa(expected.keyType);
  const raw = isPem ? undefined : fromHex(material);
  if (expected.keyType === 'Ed25519') return publicKeyFromRawEd25519(raw ?? new Uint8Array(), 'a TUF key');
  if (raw !== undefined && raw.byteLength > 0)
    return publicKeyFromRawPoint(raw, expected.keyType, 'a TUF key');
  return parsePublicKeyPem(material, 'a TUF key');
}

function verifierOf(publicKey: PublicKey, rule: Algorithm): KeyVerifier {
  return {
    publicKey,
    algorithm: rule,
    verify: (message, signature) =>
      verifySignature(publicKey, rule, signedBytes(rule, message), signature, 'der'),
  };
}

/**
 * What a key is given to sign of a message: the message, or of ML-DSA a prefix and its SHA-512 (TAP 21, version 1), so that
 * the size of a file does not matter to a device.
 */
export function signedBytes({ keyType }: Algorithm, message: Uint8Array): Uint8Array {
  if (!isMlDsa(keyType)) return message;
  return concatBytes([TAP_21_PREFIX, createHash('sha512').update(message).digest()]);
}

/** `tuf`, and the version of the protocol. */
const TAP_21_PREFIX: Uint8Array = Uint8Array.of(0x74, 0x75, 0x66, 0x01);

function unusable(why: string): BullaError {
  return new BullaError('key-invalid', `a TUF key ${why}`, {
    hint: 'signatures of this key do not count',
  });
}

import { randomBytes, scrypt } from 'node:crypto';
import { xsalsa20poly1305 } from '@noble/ciphers/salsa.js';
import { base64, fromBase64, utf8 } from '../encoding/bytes.ts';
import { isJsonObject, type JsonObject, parseJsonObject } from '../encoding/json.ts';
import { BullaError } from '../errors.ts';

/** What we and cosign since 1.13 write; then what older ones wrote. */
export const SIGSTORE_LABEL = 'ENCRYPTED SIGSTORE PRIVATE KEY';
export const COSIGN_LABEL = 'ENCRYPTED COSIGN PRIVATE KEY';

const KEY_BYTES = 32;
const NONCE_BYTES = 24;
const MAX_SALT_BYTES = 64;
const MAX_BYTES = 64 * 1024;
/** The only work factors that sigstore writes or takes (r 8, p 1): 32, 64 and 128 MiB. */
const ACCEPTED_N: readonly number[] = [32_768, 65_536, 131_072];
const R = 8;
const P = 1;

/** The sealed form of a private key, read but not opened. */
export interface SealedKey {
  readonly n: number;
  readonly salt: Uint8Array;
  readonly nonce: Uint8Array;
  readonly ciphertext: Uint8Array;
}

/**
 * Reads the JSON inside a sigstore key file. The work factors are checked here, before any work is
 * done, so that a hostile file cannot ask for all of the memory.
 * @throws BullaError key-invalid
 */
export function parseSealedKey(json: Uint8Array, where: string): SealedKey {
  const document = parse(json, where);
  const kdf = member(document, 'kdf');
  const params = member(kdf, 'params');
  const cipher = member(document, 'cipher');
  if (kdf['name'] !== 'scrypt' || cipher['name'] !== 'nacl/secretbox') {
    throw unreadable(
      where,
      `expected scrypt and nacl/secretbox, found ${shown(kdf['name'])} and ${shown(cipher['name'])}`,
    );
  }
  const n = params['N'];
  if (typeof n !== 'number' || !ACCEPTED_N.includes(n) || params['r'] !== R || params['p'] !== P) {
    throw unreadable(
      where,
      `its scrypt parameters are N=${shown(n)} r=${shown(params['r'])} p=${shown(params['p'])}, not N=${ACCEPTED_N.join('|')} r=${R} p=${P}`,
    );
  }
  const salt = binary(kdf['salt']);
  const nonce = binary(cipher['nonce']);
  const ciphertext = binary(document['ciphertext']);
  if (
    salt === undefined ||
    salt.byteLength === 0 ||
    salt.byteLength > MAX_SALT_BYTES ||
    nonce?.byteLength !== NONCE_BYTES ||
    ciphertext === undefined
  ) {
    throw unreadable(where, 'salt, nonce or ciphertext is missing or not base64 of the right length');
  }
  return { n, salt, nonce, ciphertext };
}

/**
 * Plaintext of a sealed key (PKCS#8 DER), or undefined where the passphrase does not open it: whether
 * it is the wrong one or the file was altered cannot be told apart.
 */
export async function unseal(sealed: SealedKey, passphrase: Uint8Array): Promise<Uint8Array | undefined> {
  const key = await derive(passphrase, sealed.salt, sealed.n);
  try {
    return xsalsa20poly1305(key, sealed.nonce).decrypt(sealed.ciphertext);
  } catch {
    return undefined;
  } finally {
    key.fill(0);
  }
}

/** JSON of a newly sealed key, with sigstore's default work factor (N 65536). */
export async function seal(plaintext: Uint8Array, passphrase: Uint8Array): Promise<Uint8Array> {
  const n = 65_536;
  const salt = new Uint8Array(randomBytes(32));
  const nonce = new Uint8Array(randomBytes(NONCE_BYTES));
  const key = await derive(passphrase, salt, n);
  try {
    const ciphertext = xsalsa20poly1305(key, nonce).encrypt(plaintext);
    return utf8(
      JSON.stringify({
        kdf: { name: 'scrypt', params: { N: n, r: R, p: P }, salt: base64(salt) },
        cipher: { name: 'nacl/secretbox', nonce: base64(nonce) },
        ciphertext: base64(ciphertext),
      }),
    );
  } finally {
    key.fill(0);
  }
}

function derive(passphrase: Uint8Array, salt: Uint8Array, n: number): Promise<Uint8Array> {
  // scrypt works on 128·N·r bytes, and node refuses more than 32 MiB unless told.
  const maxmem = 128 * R * (n + P) + 1024 * 1024;
  return new Promise((resolve, reject) => {
    scrypt(passphrase, salt, KEY_BYTES, { N: n, r: R, p: P, maxmem }, (error, key) =>
      error === null ? resolve(new Uint8Array(key)) : reject(error),
    );
  });
}

function parse(json: Uint8Array, where: string): JsonObject {
  try {
    return parseJsonObject(json, { what: where, maxBytes: MAX_BYTES, maxDepth: 4 });
  } catch (cause) {
    throw unreadable(where, 'what it holds is not the JSON of a sigstore key', cause);
  }
}

function member(object: JsonObject, name: string): JsonObject {
  const value = object[name];
  return isJsonObject(value) ? value : {};
}

function binary(value: unknown): Uint8Array | undefined {
  return typeof value === 'string' ? fromBase64(value) : undefined;
}

function shown(value: unknown): string {
  return value === undefined ? 'nothing' : JSON.stringify(value).slice(0, 40);
}

function unreadable(where: string, why: string, cause?: unknown): BullaError {
  return new BullaError('key-invalid', `${where} is not a sigstore private key that can be read: ${why}`, {
    cause,
    hint: 'the file is damaged, or was made by something other than bulla or cosign',
  });
}

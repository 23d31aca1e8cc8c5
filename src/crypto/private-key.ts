import {
  createPrivateKey,
  generateKeyPairSync,
  type KeyObject,
  sign as nodeSign,
  verify as nodeVerify,
} from 'node:crypto';
import { utf8 } from '../encoding/bytes.ts';
import { BullaError } from '../errors.ts';
import type { KeyType } from './algorithm.ts';
import { pemTextOf } from './key-text.ts';
import { generateMlDsaKey, isMlDsa, type MlDsaType, mlDsaPrivateKey, readMlDsaPkcs8 } from './ml-dsa-keys.ts';
import { checkPbes2 } from './pbes2.ts';
import { formatPem, type PemBlock, parsePem } from './pem.ts';
import { publicKeyOf } from './public-key.ts';
import { COSIGN_LABEL, parseSealedKey, SIGSTORE_LABEL, seal, unseal } from './sigstore-key.ts';

/** How a private key is written in its file (spec/keys.md). */
export type PrivateKeyFormat =
  | 'sigstore'
  | 'pkcs8'
  | 'pkcs8-encrypted'
  | 'sec1'
  | 'pkcs1'
  /** SEC1 or PKCS#1 with `Proc-Type: 4,ENCRYPTED` (RFC 1421), as old OpenSSL and Notary wrote it. */
  | 'legacy-encrypted';

/** A private key file that was read but not opened. */
export interface PrivateKeyFile {
  readonly format: PrivateKeyFormat;
  /** Whether a passphrase is needed. */
  readonly encrypted: boolean;
  /** What the key is for, where Docker Content Trust wrote it down: a hint, nothing that is signed. */
  readonly role?: string;
  readonly gun?: string;
  /**
   * The key itself. A passphrase for a key that has none is ignored.
   * @throws BullaError key-invalid; with an encrypted key the same words whether passphrase or file is wrong
   */
  unlock(passphrase?: Uint8Array): Promise<KeyObject>;
}

const FORMATS: ReadonlyMap<string, PrivateKeyFormat> = new Map([
  [SIGSTORE_LABEL, 'sigstore'],
  [COSIGN_LABEL, 'sigstore'],
  ['PRIVATE KEY', 'pkcs8'],
  ['ENCRYPTED PRIVATE KEY', 'pkcs8-encrypted'],
  ['EC PRIVATE KEY', 'sec1'],
  ['RSA PRIVATE KEY', 'pkcs1'],
]);

/** Blocks that tools put beside a private key, and that say nothing we don't know. */
const COMPANIONS: ReadonlySet<string> = new Set(['EC PARAMETERS', 'CERTIFICATE', 'PUBLIC KEY']);

/**
 * Reads a private key in PEM: sigstore's, PKCS#8, SEC1, PKCS#1, Docker Content Trust's.
 * @param where names the file in messages
 * @throws BullaError key-invalid
 */
export function parsePrivateKey(bytes: Uint8Array, where: string): PrivateKeyFile {
  const block = onlyKeyBlock(bytes, where);
  const format = formatOf(block);
  const role = block.headers.get('role');
  const gun = block.headers.get('gun');
  const about = {
    format,
    encrypted: format === 'sigstore' || format.endsWith('encrypted'),
    ...(role !== undefined && { role }),
    ...(gun !== undefined && { gun }),
  };
  if (format === 'sigstore') {
    const sealed = parseSealedKey(block.bytes, where);
    return {
      ...about,
      unlock: async (passphrase) => {
        const der = await unseal(sealed, needed(passphrase, where));
        if (der === undefined) throw wrongPassphrase(where);
        try {
          return checked(() => fromPkcs8(der), where);
        } finally {
          der.fill(0);
        }
      },
    };
  }
  if (format === 'pkcs8-encrypted') checkPbes2(block.bytes, where);
  return { ...about, unlock: async (passphrase) => unlockWithOpenssl(block, format, passphrase, where) };
}

/** Types that `generatePrivateKey` makes. RSA keys are read, and not made: they have no advantage left. */
export type GeneratedKeyType = Exclude<KeyType, 'RSA' | MlDsaType>;

/** A new private key. */
export function generatePrivateKey(type: GeneratedKeyType | MlDsaType): KeyObject {
  if (isMlDsa(type)) return generateMlDsaKey(type);
  return type === 'Ed25519'
    ? generateKeyPairSync('ed25519').privateKey
    : generateKeyPairSync('ec', { namedCurve: type }).privateKey;
}

/** PEM of a private key as sigstore writes it: scrypt and secretbox around PKCS#8. */
export async function sealPrivateKey(key: KeyObject, passphrase: Uint8Array): Promise<string> {
  const der = pkcs8Of(key);
  try {
    return formatPem(SIGSTORE_LABEL, await seal(der, passphrase));
  } finally {
    der.fill(0);
  }
}

/** PEM of a private key in PKCS#8: in the clear, or with a passphrase under PBES2 (AES-256). */
export function privateKeyPem(key: KeyObject, passphrase?: Uint8Array): string {
  if (key.type === 'secret' && passphrase === undefined) return formatPem('PRIVATE KEY', pkcs8Of(key));
  if (key.type === 'secret')
    throw new BullaError('usage', 'a key of ML-DSA is not written in encrypted PKCS#8', {
      hint: 'export it as it is stored, or with --unencrypted',
    });
  const encryption =
    passphrase === undefined ? {} : { cipher: 'aes-256-cbc', passphrase: Buffer.from(passphrase) };
  return String(key.export({ type: 'pkcs8', format: 'pem', ...encryption }));
}

function pkcs8Of(key: KeyObject): Uint8Array {
  return new Uint8Array(key.type === 'secret' ? key.export() : key.export({ type: 'pkcs8', format: 'der' }));
}

function fromPkcs8(der: Uint8Array): KeyObject {
  const own = readMlDsaPkcs8(der);
  if (own !== undefined) return mlDsaPrivateKey(own.type, own.seed);
  return createPrivateKey({ key: Buffer.from(der), format: 'der', type: 'pkcs8' });
}

function onlyKeyBlock(bytes: Uint8Array, where: string): PemBlock {
  const text = pemTextOf(bytes, where);
  const blocks = parsePem(text, { where, code: 'key-invalid' });
  const keys = blocks.filter(({ label }) => FORMATS.has(label));
  const stranger = blocks.find(({ label }) => !FORMATS.has(label) && !COMPANIONS.has(label));
  const [key] = keys;
  if (key === undefined) {
    const found = blocks.map(({ label }) => label).join(', ');
    throw notAKey(where, found === '' ? 'it has no PEM block' : `it holds ${found}`);
  }
  if (keys.length > 1) throw notAKey(where, `it holds ${keys.length} private keys, and one was expected`);
  if (stranger !== undefined) throw notAKey(where, `it also holds ${stranger.label}`);
  return key;
}

function formatOf(block: PemBlock): PrivateKeyFormat {
  if (block.headers.get('proc-type')?.replaceAll(' ', '') === '4,ENCRYPTED') return 'legacy-encrypted';
  return FORMATS.get(block.label) as PrivateKeyFormat;
}

function unlockWithOpenssl(
  block: PemBlock,
  format: Exclude<PrivateKeyFormat, 'sigstore'>,
  passphrase: Uint8Array | undefined,
  where: string,
): KeyObject {
  const key = Buffer.from(block.bytes);
  switch (format) {
    case 'pkcs8':
      return checked(() => fromPkcs8(block.bytes), where);
    case 'sec1':
    case 'pkcs1':
      return checked(() => createPrivateKey({ key, format: 'der', type: format }), where);
    case 'pkcs8-encrypted': {
      const secret = Buffer.from(needed(passphrase, where));
      return opened(() => createPrivateKey({ key, format: 'der', type: 'pkcs8', passphrase: secret }), where);
    }
    case 'legacy-encrypted': {
      const headers = new Map([
        ['Proc-Type', '4,ENCRYPTED'],
        ['DEK-Info', block.headers.get('dek-info') ?? ''],
      ]);
      const secret = Buffer.from(needed(passphrase, where));
      const pem = formatPem(block.label, block.bytes, headers);
      return opened(() => createPrivateKey({ key: pem, format: 'pem', passphrase: secret }), where);
    }
  }
}

/** A key that OpenSSL decrypts: whatever goes wrong looks the same from outside. */
function opened(read: () => KeyObject, where: string): KeyObject {
  let key: KeyObject;
  try {
    key = read();
  } catch (cause) {
    throw wrongPassphrase(where, cause);
  }
  return checked(() => key, where);
}

/** Refuses types that are not accepted, and a file whose two halves don't belong together. */
function checked(read: () => KeyObject, where: string): KeyObject {
  let key: KeyObject;
  try {
    key = read();
  } catch (cause) {
    throw notAKey(where, 'the PEM block does not hold a key', cause);
  }
  const publicKey = publicKeyOf(key);
  const { type } = publicKey;
  // The public half of ML-DSA is made of the seed.
  if (isMlDsa(type)) return key;
  const { keyObject } = publicKey;
  const hash = type === 'Ed25519' ? null : 'sha256';
  const probe = utf8('bulla');
  // A file can carry a public key that is not the private one's; what it signs would verify nowhere.
  if (!nodeVerify(hash, probe, keyObject, nodeSign(hash, probe, key)))
    throw notAKey(where, 'its private and public halves do not belong together');
  return key;
}

function needed(passphrase: Uint8Array | undefined, where: string): Uint8Array {
  if (passphrase !== undefined) return passphrase;
  throw new BullaError('key-invalid', `${where} is encrypted, and no passphrase was given`, {
    hint: 'give it at the prompt, in BULLA_PASSPHRASE, in a file named by BULLA_PASSPHRASE_FILE, or with --passphrase-fd',
  });
}

function wrongPassphrase(where: string, cause?: unknown): BullaError {
  return new BullaError('key-invalid', `the passphrase does not open ${where}, or the file is damaged`, {
    cause,
    hint: 'give the passphrase that the key was made with; if it is the right one, restore the file from a backup',
  });
}

function notAKey(where: string, why: string, cause?: unknown): BullaError {
  return new BullaError('key-invalid', `${where} is not a private key that can be used: ${why}`, {
    cause,
    hint: 'a private key is a PEM file of sigstore (cosign.key), PKCS#8, SEC1, PKCS#1 or Docker Content Trust',
  });
}

import type { KeyObject } from 'node:crypto';
import { resolve as resolvePath } from 'node:path';
import { type Certificate, parseCertificates } from '../crypto/certificate.ts';
import { type PrivateKeyFile, parsePrivateKey } from '../crypto/private-key.ts';
import { type PublicKey, publicKeyOf } from '../crypto/public-key.ts';
import { createSigner, type OpeningOptions, signMany } from '../crypto/signer.ts';
import { decodeUtf8, utf8 } from '../encoding/bytes.ts';
import { BullaError, isBullaError } from '../errors.ts';
import type { KeyBackEnd, KeyHandle, KeySources, SignMessages } from './back-end.ts';
import { backEndOf } from './back-ends/registry.ts';
import { isKeyName } from './names.ts';
import { readPublicFile, readSecretFile } from './read.ts';
import type { KeptKey, StoredKey } from './store.ts';
import { unlockKey } from './unlock.ts';

/** A private key that was found and not yet opened. */
export interface FoundKey {
  readonly name: string;
  readonly file: PrivateKeyFile;
  readonly certificates: readonly Certificate[];
  /** What the store says the public key is. */
  readonly publicKey?: PublicKey;
}

/** A key of the store, whose file is read when it is opened; one that is kept elsewhere is asked for there. */
export function storedHandle(key: StoredKey, sources: KeySources): KeyHandle {
  const { name, publicKey, certificates, kept } = key;
  const known = { name, publicKey, certificates };
  if (kept !== undefined) {
    const open = (options: OpeningOptions): Promise<SignMessages> => openKept(key, kept, sources, options);
    return { ...known, algorithms: kept.algorithms, open };
  }
  const open = async ({ unattended }: OpeningOptions): Promise<SignMessages> => {
    const file = await sources.keystore.privateKey(name, sources);
    const opened = await unlockKey(name, file, sources.passphrase, unattended);
    assertOwn(name, publicKeyOf(opened), publicKey);
    return inMemory(opened);
  };
  return { ...known, open };
}

/** @throws BullaError key-invalid where the key that is there now is another one; what the back end throws */
async function openKept(
  { name, publicKey }: StoredKey,
  { uri }: KeptKey,
  sources: KeySources,
  options: OpeningOptions,
): Promise<SignMessages> {
  const backEnd = await backEndOf(uri, sources)?.();
  if (backEnd === undefined) throw notKept(name, uri);
  const handle = await backEnd.find(uri, sources);
  if (handle.publicKey.fingerprint === publicKey.fingerprint) return await handle.open(options);
  throw new BullaError('key-invalid', `the key ${name} is another one now at ${uri}`, {
    hint: `if it was rotated there, and you trust it: bulla key import ${uri} ${name} --force`,
    details: { expected: publicKey.fingerprint, found: handle.publicKey.fingerprint },
  });
}

function notKept(name: string, uri: string): BullaError {
  return new BullaError('key-invalid', `the key ${name} is kept at ${uri}, which is not known here`, {
    hint: 'use the version of bulla that made it, or import the key again with --force',
  });
}

/** Keys whose private half passes through this process, and those that the key store knows: by name, in a file, in an environment variable. */
export const FILES: KeyBackEnd = {
  async find(uri, sources) {
    const { keystore } = sources;
    if (isKeyName(uri) && (await keystore.has(uri))) return storedHandle(await keystore.get(uri), sources);
    const { name, file, certificates } = await findKey(uri, sources);
    // Only the key itself tells which key it is.
    const key = await unlockKey(name, file, sources.passphrase);
    return { name, publicKey: publicKeyOf(key), certificates, open: async () => inMemory(key) };
  },
};

function inMemory(key: KeyObject): SignMessages {
  return (algorithm, messages, options) => signMany(createSigner(key, algorithm), messages, options);
}

/** @throws BullaError key-invalid */
function assertOwn(name: string, { fingerprint }: PublicKey, stored: PublicKey): void {
  if (fingerprint === stored.fingerprint) return;
  throw new BullaError('key-invalid', `the public key stored beside the key ${name} is not its own`, {
    hint: 'an import or replacement was cut off: import the key again with --force',
    details: { expected: stored.fingerprint, found: fingerprint },
  });
}

/**
 * Finds a private key without opening it: NAME of the store, PATH of a file, `env://VAR`.
 * @throws BullaError as {@link keyOf}
 */
export async function findKey(wanted: string, sources: KeySources): Promise<FoundKey> {
  const { keystore, backEnds = new Map() } = sources;
  if (isEnvironment(wanted)) return fromEnvironment(wanted, sources);
  const [, scheme] = /^([A-Za-z][A-Za-z0-9+.-]*):\/\//.exec(wanted) ?? [];
  if (scheme !== undefined) {
    throw new BullaError('usage', `keys at ${scheme.toLowerCase()}:// are not supported here`, {
      hint: `supported are NAME (bulla key ls), PATH of a file, ${['env://VARIABLE', ...backEnds.keys()].join(', ')}`,
    });
  }
  if (isKeyName(wanted) && (await keystore.has(wanted))) {
    const file = await keystore.privateKey(wanted, sources);
    const { publicKey, certificates } = await keystore.get(wanted);
    return { name: wanted, file, certificates, publicKey };
  }
  return fromFile(wanted, sources);
}

/** Reads a certificate chain in PEM, the signing certificate first. @throws BullaError not-found, certificate-invalid, storage-error */
export async function readCertificateFile(path: string): Promise<Certificate[]> {
  return parseCertificates(certificateText(await readPublicFile(path), path), path);
}

function isEnvironment(text: string): boolean {
  return /^env:\/\//i.test(text);
}

function fromEnvironment(wanted: string, sources: KeySources): FoundKey {
  const variable = wanted.slice(wanted.indexOf('://') + 3);
  if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(variable)) {
    throw new BullaError('usage', `${JSON.stringify(variable)} is not the name of an environment variable`, {
      hint: 'write env://VARIABLE, and put the PEM text of the key into VARIABLE',
    });
  }
  const pem = sources.environment(variable);
  if (pem === undefined || pem === '') {
    throw new BullaError('not-found', `the environment variable ${variable} is not set`, {
      hint: 'put the PEM text of the key into it',
    });
  }
  const where = `env://${variable}`;
  return { name: where, file: parsePrivateKey(utf8(pem), where), certificates: [] };
}

async function fromFile(wanted: string, sources: KeySources): Promise<FoundKey> {
  const path = resolvePath(sources.cwd, wanted);
  let bytes: Uint8Array;
  try {
    bytes = await readSecretFile(path, { anyMode: sources.anyMode === true });
  } catch (error) {
    if (isBullaError(error, 'key-invalid') && wanted.endsWith('.pub')) {
      throw new BullaError('key-invalid', `${path} looks like a public key, and a private one signs`, {
        cause: error,
        hint: 'give the private key: NAME of the key store, or PATH of a file',
      });
    }
    if (!isBullaError(error, 'not-found') || !isKeyName(wanted)) throw error;
    throw new BullaError('not-found', `there is no key named ${wanted}, and no file of that name`, {
      cause: error,
      hint: 'bulla key ls shows the keys there are, bulla key generate makes one',
    });
  }
  try {
    return { name: wanted, file: parsePrivateKey(bytes, wanted), certificates: [] };
  } finally {
    bytes.fill(0);
  }
}

function certificateText(bytes: Uint8Array, path: string): string {
  try {
    return decodeUtf8(bytes, path);
  } catch (cause) {
    throw new BullaError('certificate-invalid', `${path} is binary, and PEM was expected`, {
      cause,
      hint: 'convert it: openssl x509 -inform der -in FILE',
    });
  }
}

import { resolve as resolvePath } from 'node:path';
import { type Certificate, parseCertificates } from '../crypto/certificate.ts';
import { checkChainOrder } from '../crypto/chain.ts';
import { type PrivateKeyFile, type PrivateKeyFormat, parsePrivateKey } from '../crypto/private-key.ts';
import type { PublicKey } from '../crypto/public-key.ts';
import { createSigner, type Signer } from '../crypto/signer.ts';
import { decodeUtf8, utf8 } from '../encoding/bytes.ts';
import { BullaError, isBullaError } from '../errors.ts';
import { isKeyName } from './names.ts';
import { readPublicFile, readSecretFile } from './read.ts';
import type { Keystore } from './store.ts';

/** A signer out of a key file, with what lay beside the key. */
export interface KeySigner extends Signer {
  /** The name or path that it was asked for by. */
  readonly name: string;
  /** From the signing certificate to the root; empty for a bare key. */
  readonly certificates: readonly Certificate[];
}

/** What a passphrase is wanted for. */
export interface PassphraseRequest {
  /** The key, as people know it. */
  readonly key: string;
  /** COSIGN_PASSWORD is for `sigstore` alone. */
  readonly format: PrivateKeyFormat;
}

/** Gives the passphrase of an encrypted key. @throws BullaError usage where there is none to be had */
export type PassphraseSource = (request: PassphraseRequest) => Promise<Uint8Array>;

/** Where keys come from. */
export interface KeySources {
  readonly keystore: Keystore;
  readonly passphrase: PassphraseSource;
  /** Value of an environment variable, for `env://VAR`. */
  readonly environment: (name: string) => string | undefined;
  /** Directory that relative paths start from. */
  readonly cwd: string;
  /** Take a private key file that others may read, too. */
  readonly anyMode?: boolean;
}

/** A private key that was found and not yet opened. */
export interface FoundKey {
  readonly name: string;
  readonly file: PrivateKeyFile;
  readonly certificates: readonly Certificate[];
  /** What the store says the public key is. */
  readonly publicKey?: PublicKey;
}

/**
 * The key that `--key` names: NAME of the store, PATH of a file, `env://VAR`; without one the store's
 * default. A name of the store goes before a file of that name in the current directory; `./NAME`
 * means the file (spec/keys.md).
 * @throws BullaError usage, not-found, key-invalid, certificate-invalid, storage-error
 */
export async function resolveSigner(spec: string | undefined, sources: KeySources): Promise<KeySigner> {
  const found = await findKey(spec, sources);
  return openSigner(found, sources.passphrase);
}

/** Opens a key that was found. @throws BullaError key-invalid */
export async function openSigner(found: FoundKey, passphrase: PassphraseSource): Promise<KeySigner> {
  const { name, file, certificates, publicKey } = found;
  const key = await unlockKey(name, file, passphrase);
  const signer = createSigner(key);
  if (publicKey !== undefined && publicKey.fingerprint !== signer.keyId) {
    throw new BullaError('key-invalid', `the public key stored beside the key ${name} is not its own`, {
      hint: 'an import or replacement was cut off: import the key again with --force',
      details: { expected: publicKey.fingerprint, found: signer.keyId },
    });
  }
  if (certificates.length > 0) checkChainOrder(certificates, signer.publicKey, `the certificates of ${name}`);
  return { ...signer, name, certificates };
}

/** The private key in `file`, with the passphrase asked for where one is needed. @throws BullaError key-invalid */
export async function unlockKey(
  name: string,
  file: PrivateKeyFile,
  passphrase: PassphraseSource,
): ReturnType<PrivateKeyFile['unlock']> {
  if (!file.encrypted) return file.unlock();
  const secret = await passphrase({ key: name, format: file.format });
  try {
    return await file.unlock(secret);
  } finally {
    secret.fill(0);
  }
}

/** Finds a private key without opening it; as {@link resolveSigner}. */
export async function findKey(spec: string | undefined, sources: KeySources): Promise<FoundKey> {
  const { keystore } = sources;
  const wanted = spec ?? (await keystore.defaultName());
  if (wanted === undefined || wanted === '') {
    throw new BullaError('usage', 'no key is given, and there is no default key', {
      hint: 'give --key NAME|PATH|env://VAR, or make a key: bulla key generate',
    });
  }
  const [, scheme] = /^([A-Za-z][A-Za-z0-9+.-]*):\/\//.exec(wanted) ?? [];
  if (scheme !== undefined) return fromUri(wanted, scheme.toLowerCase(), sources);
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

function fromUri(wanted: string, scheme: string, sources: KeySources): FoundKey {
  if (scheme !== 'env') {
    throw new BullaError('usage', `keys at ${scheme}:// are not supported`, {
      hint: 'supported are NAME (bulla key ls), PATH of a file, and env://VARIABLE',
    });
  }
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

import type { KeyObject } from 'node:crypto';
import { readdir, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { type AlgorithmId, isAlgorithmId } from '../crypto/algorithm.ts';
import { type Certificate, parseCertificates } from '../crypto/certificate.ts';
import { checkChainOrder } from '../crypto/chain.ts';
import { type PrivateKeyFile, parsePrivateKey, sealPrivateKey } from '../crypto/private-key.ts';
import { type PublicKey, parsePublicKeyPem, publicKeyOf, publicKeyPem } from '../crypto/public-key.ts';
import { isErrno, makeDirectory, storageError, syncDirectory, writeFileAtomic } from '../disk/atomic.ts';
import { withLock } from '../disk/lock.ts';
import { decodeUtf8, utf8 } from '../encoding/bytes.ts';
import { parseJsonObject } from '../encoding/json.ts';
import { BullaError, isBullaError, throwIfAborted } from '../errors.ts';
import { checkKeyName, isKeyName } from './names.ts';
import { type ReadSecretOptions, readPublicFile, readSecretFile } from './read.ts';

/** What the store knows of a key without opening it. */
export interface StoredKey {
  readonly name: string;
  readonly publicKey: PublicKey;
  /** From the signing certificate to the root; empty for a bare key. */
  readonly certificates: readonly Certificate[];
  readonly isDefault: boolean;
  /** Where the private key is, if it is not in this store. */
  readonly kept?: KeptKey | undefined;
}

/** A private key that a device or service keeps; the store knows its public half, its certificates and where it is. */
export interface KeptKey {
  readonly uri: string;
  /** What it signs with there, its default first. */
  readonly algorithms: readonly AlgorithmId[];
}

/** A key of the store whose files cannot be read as they should be. */
export interface BrokenKey {
  readonly name: string;
  readonly problem: BullaError;
}

/** A private key that is to be stored, and what it is sealed with. */
export interface NewKey {
  readonly name: string;
  readonly key: KeyObject;
  readonly passphrase: Uint8Array;
}

export interface PutOptions {
  /** Replace a key of that name, with its certificates. */
  readonly replace?: boolean;
}

const DEFAULT_FILE = 'default';
/** The public key that NAME.key holds where it has replaced another one. */
const PUBLIC_BLOCK = /-----BEGIN PUBLIC KEY-----[A-Za-z0-9+/=\s]{1,8000}-----END PUBLIC KEY-----\n?/;

/**
 * Named keys in one directory: NAME.key (sigstore's encrypted PEM, mode 0600), NAME.pub, NAME.crt where
 * there is a certificate chain, and `default`, which holds a name. Nothing in it is followed out of it.
 */
export class Keystore {
  readonly directory: string;

  constructor(directory: string) {
    this.directory = directory;
  }

  /** All keys, by name, with those that are broken. @throws BullaError config-invalid, storage-error */
  async list(): Promise<(StoredKey | BrokenKey)[]> {
    await this.defaultName();
    const names = (await this.files())
      .filter((file) => file.endsWith('.key'))
      .map((file) => file.slice(0, -'.key'.length))
      .filter(isKeyName)
      .sort();
    return Promise.all(
      names.map((name) =>
        this.get(name).catch((problem: unknown) => {
          if (isBullaError(problem)) return { name, problem };
          throw problem;
        }),
      ),
    );
  }

  /** Whether there is a private key of that name. @throws BullaError storage-error */
  async has(name: string): Promise<boolean> {
    return isKeyName(name) && (await this.files()).includes(`${name}.key`);
  }

  /** @throws BullaError not-found, key-invalid, certificate-invalid, storage-error */
  async get(name: string): Promise<StoredKey> {
    await this.mustHave(name);
    const { kept, publicPem } = await this.keyFile(name);
    const path = this.path(name, publicPem === undefined ? 'pub' : 'key');
    const publicKey = parsePublicKeyPem(publicPem ?? (await readText(path)), path);
    const certificates = await this.certificates(name);
    // Those of a key that was replaced are not removed yet.
    const isStale =
      publicPem !== undefined && certificates[0]?.publicKey.fingerprint !== publicKey.fingerprint;
    return {
      name,
      publicKey,
      certificates: isStale ? [] : certificates,
      isDefault: (await this.defaultName()) === name,
      kept,
    };
  }

  /** The private key's file, unopened. @throws BullaError not-found, key-invalid, storage-error */
  async privateKey(name: string, options: Pick<ReadSecretOptions, 'anyMode'> = {}): Promise<PrivateKeyFile> {
    await this.mustBeHere(name);
    const path = this.path(name, 'key');
    const bytes = await readSecretFile(path, { ...options, noFollow: true });
    try {
      return parsePrivateKey(bytes, `the key ${name}`);
    } finally {
      bytes.fill(0);
    }
  }

  /** The private key's file as it is: sealed. @throws BullaError not-found, key-invalid, storage-error */
  async sealedPem(name: string, options: Pick<ReadSecretOptions, 'anyMode'> = {}): Promise<string> {
    await this.mustBeHere(name);
    const path = this.path(name, 'key');
    const text = decodeUtf8(await readSecretFile(path, { ...options, noFollow: true }), path);
    return text.replace(PUBLIC_BLOCK, '');
  }

  /** Certificates that belong to a key; none where it is a bare one. */
  async certificates(name: string): Promise<Certificate[]> {
    const path = this.path(name, 'crt');
    try {
      return parseCertificates(await readText(path), path);
    } catch (error) {
      if (isBullaError(error, 'not-found')) return [];
      throw error;
    }
  }

  /**
   * Stores a key, sealed with `passphrase`. The first key of a store becomes its default.
   * @throws BullaError conflict where the name is taken, usage, storage-error
   */
  async put(name: string, key: KeyObject, passphrase: Uint8Array, options: PutOptions = {}): Promise<void> {
    await this.putAll([{ name, key, passphrase }], options);
  }

  /**
   * Stores several keys that belong together, in order. All of them are sealed before the first is stored, and none is
   * stored if one of the names is taken.
   * @throws BullaError as {@link put}; interrupted before the first is stored
   */
  async putAll(
    keys: readonly NewKey[],
    { replace, signal }: PutOptions & { readonly signal?: AbortSignal } = {},
  ): Promise<void> {
    for (const { name } of keys) checkKeyName(name);
    const sealed = await Promise.all(keys.map(({ key, passphrase }) => sealPrivateKey(key, passphrase)));
    await this.exclusively(async () => {
      for (const { name } of keys) if (replace !== true && (await this.has(name))) throw taken(name);
      throwIfAborted(signal);
      for (const [at, { name, key }] of keys.entries())
        await this.write(name, publicKeyPem(publicKeyOf(key)), (pem) => `${sealed[at]}${pem ?? ''}`);
    });
  }

  /**
   * Stores where a key is kept, with its public half. The first key of a store becomes its default.
   * @throws BullaError conflict where the name is taken, usage, storage-error
   */
  async putKept(name: string, publicKey: PublicKey, kept: KeptKey, options: PutOptions = {}): Promise<void> {
    checkKeyName(name);
    await this.exclusively(async () => {
      if (options.replace !== true && (await this.has(name))) throw taken(name);
      const { uri, algorithms } = kept;
      const textWith = (pem?: string): string => `${JSON.stringify({ uri, algorithms, publicKey: pem })}\n`;
      await this.write(name, publicKeyPem(publicKey), textWith);
    });
  }

  /**
   * Writes the files of a key. A new key is there as soon as NAME.key is, so that comes last. One that replaces another is
   * in NAME.key with its public key: whatever interrupts this, the pair is the old one or the new one.
   * @param textWith the text of NAME.key, with or without the public key
   */
  private async write(name: string, pem: string, textWith: (pem?: string) => string): Promise<void> {
    const writeKey = (text: string): Promise<void> =>
      writeFileAtomic(this.path(name, 'key'), utf8(text), { mode: 0o600 });
    const isReplaced = await this.has(name);
    if (isReplaced) await writeKey(textWith(pem));
    await this.removeFile(name, 'crt');
    await writeFileAtomic(this.path(name, 'pub'), utf8(pem));
    if (!isReplaced) await writeKey(textWith());
    if ((await this.defaultName()) === undefined) await this.writeDefault(name);
  }

  /** Where NAME.key says the key is kept, and the public key in it, if there is one. @throws BullaError key-invalid, storage-error */
  private async keyFile(
    name: string,
  ): Promise<{ readonly kept?: KeptKey | undefined; readonly publicPem?: string | undefined }> {
    const path = this.path(name, 'key');
    const bytes = await readPublicFile(path, { noFollow: true });
    if (bytes[0] !== 0x7b) {
      const text = Buffer.from(bytes).toString('latin1');
      return { publicPem: PUBLIC_BLOCK.exec(text)?.[0] };
    }
    try {
      const { uri, algorithms, publicKey } = parseJsonObject(bytes, { what: path });
      const known = Array.isArray(algorithms) ? algorithms.filter(isAlgorithmId) : [];
      const publicPem = typeof publicKey === 'string' ? publicKey : undefined;
      if (typeof uri === 'string' && known.length > 0) return { kept: { uri, algorithms: known }, publicPem };
    } catch (error) {
      if (!isBullaError(error)) throw error;
    }
    throw new BullaError('key-invalid', `${path} does not say where the key is kept`, {
      hint: 'import the key again with --force',
    });
  }

  /** @throws BullaError not-found, key-invalid */
  private async mustBeHere(name: string): Promise<void> {
    await this.mustHave(name);
    const { kept } = await this.keyFile(name);
    if (kept === undefined) return;
    throw new BullaError('key-invalid', `the private key of ${name} is not here: it is kept at ${kept.uri}`, {
      hint: 'it stays there; back it up, or change its PIN or passphrase, with the tools of that place',
    });
  }

  /** Seals a key that is there with another passphrase. @throws BullaError not-found, storage-error */
  async reseal(name: string, key: KeyObject, passphrase: Uint8Array): Promise<void> {
    const sealed = await sealPrivateKey(key, passphrase);
    await this.exclusively(async () => {
      const { publicKey } = await this.get(name);
      if (publicKeyOf(key).fingerprint !== publicKey.fingerprint) {
        throw new BullaError('conflict', `the key ${name} was replaced meanwhile`, {
          hint: 'run the command again if the new key is meant',
        });
      }
      const { publicPem = '' } = await this.keyFile(name);
      await writeFileAtomic(this.path(name, 'key'), utf8(`${sealed}${publicPem}`), { mode: 0o600 });
    });
  }

  /**
   * Stores the certificate chain of a key, in PEM.
   * @throws BullaError not-found, key-invalid where it is another key's, certificate-invalid, storage-error
   */
  async putCertificates(name: string, pem: string, where: string): Promise<Certificate[]> {
    const certificates = parseCertificates(pem, where);
    await this.exclusively(async () => {
      const { publicKey } = await this.get(name);
      checkChainOrder(certificates, publicKey, where);
      const text = certificates.map(({ x509 }) => x509.toString()).join('');
      await writeFileAtomic(this.path(name, 'crt'), utf8(text));
    });
    return certificates;
  }

  /** Removes a key and what belongs to it. @throws BullaError not-found, storage-error */
  async remove(name: string): Promise<void> {
    await this.exclusively(async () => {
      await this.mustHave(name);
      if ((await this.defaultName()) === name) await this.unlink(join(this.directory, DEFAULT_FILE));
      for (const ending of ['crt', 'pub', 'key'] as const) await this.removeFile(name, ending);
      await syncDirectory(this.directory);
    });
  }

  /** The name of the key that is taken where none is given. @throws BullaError config-invalid, storage-error */
  async defaultName(): Promise<string | undefined> {
    const path = join(this.directory, DEFAULT_FILE);
    let name: string;
    try {
      name = (await readText(path)).trim();
    } catch (error) {
      if (isBullaError(error, 'not-found')) return undefined;
      if (!isBullaError(error, 'content-invalid')) throw error;
      // Not text, or too long.
      name = '';
    }
    if (isKeyName(name)) return name;
    throw new BullaError('config-invalid', `${path} does not hold the name of a key`, {
      hint: 'name the default key again: bulla key default NAME',
    });
  }

  /** @throws BullaError not-found, storage-error */
  async setDefault(name: string): Promise<void> {
    await this.exclusively(async () => {
      await this.mustHave(name);
      await this.writeDefault(name);
    });
  }

  private async writeDefault(name: string): Promise<void> {
    await writeFileAtomic(join(this.directory, DEFAULT_FILE), utf8(`${name}\n`));
  }

  private path(name: string, ending: 'key' | 'pub' | 'crt'): string {
    return join(this.directory, `${checkKeyName(name)}.${ending}`);
  }

  /** @throws BullaError usage, not-found, storage-error */
  async mustHave(name: string): Promise<void> {
    checkKeyName(name);
    if (await this.has(name)) return;
    throw new BullaError('not-found', `there is no key named ${name} in ${this.directory}`, {
      hint: 'bulla key ls shows those there are, bulla key generate makes one',
    });
  }

  private async files(): Promise<string[]> {
    try {
      return await readdir(this.directory);
    } catch (error) {
      if (isErrno(error, 'ENOENT')) return [];
      throw storageError(`cannot list ${this.directory}`, error);
    }
  }

  private async exclusively<T>(work: () => Promise<T>): Promise<T> {
    await makeDirectory(this.directory, 0o700);
    return withLock(join(this.directory, '.lock'), work);
  }

  private async removeFile(name: string, ending: 'key' | 'pub' | 'crt'): Promise<void> {
    await this.unlink(this.path(name, ending));
  }

  private async unlink(path: string): Promise<void> {
    try {
      await unlink(path);
    } catch (error) {
      if (!isErrno(error, 'ENOENT')) throw storageError(`cannot remove ${path}`, error);
    }
  }
}

async function readText(path: string): Promise<string> {
  return decodeUtf8(await readPublicFile(path, { noFollow: true }), path);
}

function taken(name: string): BullaError {
  return new BullaError('conflict', `there is a key named ${name} already`, {
    hint: 'choose another name, or --force to replace it: what it has signed will then be verified with its public key only if you keep that',
  });
}

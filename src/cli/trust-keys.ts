import type { KeyObject } from 'node:crypto';
import { lstat } from 'node:fs/promises';
import type { Command } from 'commander';
import { type Algorithm, defaultAlgorithm } from '../crypto/algorithm.ts';
import type { Certificate } from '../crypto/certificate.ts';
import { looksLikeDer, pemTextOf } from '../crypto/key-text.ts';
import { type PublicKey, publicKeyOf, readPublicKeys } from '../crypto/public-key.ts';
import { createSigner } from '../crypto/signer.ts';
import { utf8 } from '../encoding/bytes.ts';
import { BullaError, isBullaError } from '../errors.ts';
import { type FoundKey, findKey, type KeySources, unlockKey } from '../keystore/key-file.ts';
import { isKeyName } from '../keystore/names.ts';
import { readPublicFile } from '../keystore/read.ts';
import { type SignatureDemand, type TufSigner, tufSigner } from '../tuf/edit/signing.ts';
import { type TufKey, tufKeyOf } from '../tuf/keys.ts';
import { addPassphraseOptions, type KeyFlags } from './flags/key-flags.ts';
import { keySources, keystoreOf } from './flags/keys.ts';
import { collect } from './flags/values.ts';
import type { Context } from './shell/context.ts';

/** Flags of commands that sign metadata of a collection. */
export interface TrustKeyFlags extends Omit<KeyFlags, 'key'> {
  readonly key?: readonly string[] | undefined;
}

/** Adds a repeatable `--key` and the flags that go with it. */
export function addTrustKeyOptions(command: Command): Command {
  return addPassphraseOptions(
    command.option(
      '-k, --key <key>',
      'key to sign with: NAME of the key store, PATH, or env://VARIABLE; repeatable; the keys of the key store that the roles list are found by themselves',
      collect,
    ),
  );
}

/** A key that is at hand, opened when it first signs. */
interface KeyAtHand {
  readonly name: string;
  readonly publicKey: PublicKey;
  /** The key's own first; only the key store has them. */
  readonly certificates?: readonly Certificate[];
  /** Left out for a public key. */
  readonly open?: () => Promise<KeyObject>;
}

/**
 * The keys at hand by which roles can be signed for: those of `--key` first, then BULLA_KEY (`key` of
 * config.yaml), then the key store's. A key is opened when it signs and not before, so that no passphrase
 * is asked for in vain; only a file without its public key must be opened to know which key it is.
 */
export class TrustKeys {
  private readonly context: Context;
  private readonly specs: readonly string[];
  private readonly sources: KeySources;
  private given: Promise<readonly KeyAtHand[]> | undefined;
  private stored: Promise<readonly KeyAtHand[]> | undefined;

  constructor(
    context: Context,
    flags: Omit<KeyFlags, 'key'> & { readonly key?: string | readonly string[] | undefined },
  ) {
    const { key, ...rest } = flags;
    this.context = context;
    this.specs = key === undefined ? [] : typeof key === 'string' ? [key] : key;
    this.sources = keySources(context, rest);
  }

  /**
   * Signers for what is demanded: of each demand every key that `--key` names, then as many others as
   * its threshold lacks.
   * @param signed ids of keys that have signed already
   * @throws BullaError usage, not-found, key-invalid, storage-error
   */
  async signersFor(
    demands: Iterable<SignatureDemand>,
    signed: ReadonlySet<string> = new Set(),
  ): Promise<readonly TufSigner[]> {
    const chosen = new Map<string, TufSigner>();
    const [given, stored] = [await this.givenKeys(), await this.storedKeys()];
    for (const { keys, role } of demands) {
      const listed = role.keyids.flatMap((keyid) => (signed.has(keyid) ? [] : (keys.get(keyid) ?? [])));
      const take = (key: TufKey, from: readonly KeyAtHand[]): boolean => {
        const found = from.find((candidate) => candidate.open !== undefined && isKeyOf(candidate, key));
        if (found !== undefined && !chosen.has(key.keyid)) chosen.set(key.keyid, signerOf(found, key));
        return found !== undefined;
      };
      const left = listed.filter((key) => !take(key, given));
      const already = role.keyids.filter((keyid) => signed.has(keyid)).length;
      let lacking = role.threshold - already - (listed.length - left.length);
      for (const key of left) if (lacking > 0 && take(key, stored)) lacking--;
    }
    return [...chosen.values()];
  }

  /** Names of the keys that `--key` gives and none of these demands lists: they would sign nothing. */
  async unlisted(demands: readonly SignatureDemand[]): Promise<readonly string[]> {
    if (this.specs.length === 0) return [];
    const listed = demands.flatMap(({ keys, role }) => role.keyids.flatMap((keyid) => keys.get(keyid) ?? []));
    return (await this.givenKeys())
      .slice(0, this.specs.length)
      .filter((key) => !listed.some((tufKey) => isKeyOf(key, tufKey)))
      .map(({ name }) => name);
  }

  /**
   * The public key that a text names: NAME of the key store, PATH of a public or private key, `env://VARIABLE`.
   * @throws BullaError usage, not-found, key-invalid, storage-error
   */
  async publicKey(spec: string): Promise<TufKey> {
    return tufKey((await this.find(spec)).publicKey);
  }

  /** A signer by the key that a text names, whatever role lists it. @throws BullaError as {@link publicKey} */
  async signer(spec: string): Promise<TufSigner> {
    const found = await this.find(spec);
    if (found.open !== undefined) return signerOf(found, tufKey(found.publicKey));
    throw new BullaError('key-invalid', `${spec} is a public key, and a private one signs`, {
      hint: 'give the private key: NAME of the key store, or PATH of a file',
    });
  }

  /** What the key store and `--key` call a key; undefined where it is not at hand. */
  async nameOf(key: TufKey): Promise<string | undefined> {
    return [...(await this.givenKeys()), ...(await this.storedKeys())].find((at) => isKeyOf(at, key))?.name;
  }

  /** Certificates of the keys in the key store, by TUF key id. @throws BullaError storage-error, certificate-invalid */
  async certificates(): Promise<ReadonlyMap<string, readonly Certificate[]>> {
    const certified = (await this.storedKeys()).flatMap(({ publicKey, certificates = [] }) =>
      certificates.length > 0 && isTufKey(publicKey)
        ? [[tufKey(publicKey).keyid, certificates] as const]
        : [],
    );
    return new Map(certified);
  }

  private givenKeys(): Promise<readonly KeyAtHand[]> {
    const { defaultKey } = this.context.settings;
    const specs = [...this.specs, ...(defaultKey === undefined ? [] : [defaultKey])];
    this.given ??= Promise.all(specs.map((spec) => this.find(spec)));
    return this.given;
  }

  private storedKeys(): Promise<readonly KeyAtHand[]> {
    this.stored ??= this.listStore();
    return this.stored;
  }

  private async listStore(): Promise<readonly KeyAtHand[]> {
    const keys = await keystoreOf(this.context).list();
    return keys.flatMap((key) => {
      if ('problem' in key) {
        this.context.output.warn(`the key ${key.name} cannot be read: ${key.problem.message}`);
        return [];
      }
      const { name, publicKey, certificates } = key;
      return [{ name, publicKey, certificates, open: once(() => this.open(name)) }];
    });
  }

  private async open(name: string): Promise<KeyObject> {
    const { file, publicKey } = await findKey(name, this.sources);
    const opened = await unlockKey(name, file, this.sources.passphrase);
    if (publicKey === undefined || publicKeyOf(opened).fingerprint === publicKey.fingerprint) return opened;
    throw new BullaError('key-invalid', `the public key stored beside the key ${name} is not its own`, {
      hint: 'an import or replacement was cut off: import the key again with --force',
    });
  }

  private async find(spec: string): Promise<KeyAtHand> {
    const { keystore } = this.sources;
    if (isKeyName(spec) && (await keystore.has(spec))) {
      const { publicKey } = await keystore.get(spec);
      return { name: spec, publicKey, open: once(() => this.open(spec)) };
    }
    const publicKey = await this.readPublic(spec);
    if (publicKey !== undefined) return { name: spec, publicKey };
    const found: FoundKey = await findKey(spec, this.sources);
    const opened = await unlockKey(found.name, found.file, this.sources.passphrase);
    return { name: spec, publicKey: publicKeyOf(opened), open: async () => opened };
  }

  /** The public key in a file or variable; undefined where there is none, but perhaps a private one. */
  private async readPublic(spec: string): Promise<PublicKey | undefined> {
    const variable = /^env:\/\/([A-Za-z_][A-Za-z0-9_]*)$/.exec(spec)?.[1];
    let bytes: Uint8Array | undefined;
    if (variable !== undefined) bytes = utf8(this.context.io.env[variable] ?? '');
    else if (!spec.includes('://')) bytes = await readRegular(this.context.path(spec));
    if (bytes === undefined || !(looksLikeDer(bytes) || holdsPublicKey(pemTextOf(bytes, spec))))
      return undefined;
    const keys = readPublicKeys(bytes, spec);
    if (keys.length === 1) return keys[0];
    throw new BullaError('key-invalid', `${spec} holds ${keys.length} public keys, and one was expected`, {
      hint: 'give one file for each key',
    });
  }
}

/** A pipe is left alone: it can be read only once, and then it is a private key's. */
async function readRegular(path: string): Promise<Uint8Array | undefined> {
  const isFile = await lstat(path).then(
    (stats) => stats.isFile() || stats.isSymbolicLink(),
    () => false,
  );
  return isFile ? await readPublicFile(path) : undefined;
}

function holdsPublicKey(text: string): boolean {
  return !/-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----/.test(text) && text.includes('-----BEGIN PUBLIC KEY-----');
}

/** Whether it is the same key, and of a kind that can sign as the listed one does. */
function isKeyOf({ publicKey }: KeyAtHand, listed: TufKey): boolean {
  return listed.fingerprint !== undefined && listed.fingerprint === publicKey.fingerprint;
}

/** The TUF key of a public key, with the algorithm that is its default. @throws BullaError key-invalid */
export function tufKey(publicKey: PublicKey): TufKey {
  return tufKeyOf(publicKey, defaultAlgorithm(publicKey.type, publicKey.modulusBits).id);
}

/** Whether TUF has a name for keys of that kind; for P-521 it has none. */
export function isTufKey(publicKey: PublicKey): boolean {
  try {
    tufKey(publicKey);
    return true;
  } catch (error) {
    if (isBullaError(error, 'key-invalid')) return false;
    throw error;
  }
}

function signerOf(at: KeyAtHand, key: TufKey): TufSigner {
  const { algorithm } = key.verifier as { readonly algorithm: Algorithm };
  const open = at.open as () => Promise<KeyObject>;
  return {
    key,
    sign: async (message) => await tufSigner(createSigner(await open(), algorithm)).sign(message),
  };
}

function once<T>(read: () => Promise<T>): () => Promise<T> {
  let value: Promise<T> | undefined;
  return () => {
    value ??= read();
    return value;
  };
}

import { type Algorithm, defaultAlgorithm } from '../../crypto/algorithm.ts';
import type { Certificate } from '../../crypto/certificate.ts';
import type { PublicKey } from '../../crypto/public-key.ts';
import type { Signer } from '../../crypto/signer.ts';
import { BullaError, isBullaError } from '../../errors.ts';
import { distinctKeys } from '../../tuf/delegation-keys.ts';
import { type SignatureDemand, type TufSigner, tufSigner } from '../../tuf/edit/signing.ts';
import { type TufKey, tufKeyOf } from '../../tuf/keys.ts';

/** An available key. */
export interface KeyAtHand {
  /** What people know it by. */
  readonly name: string;
  readonly publicKey: PublicKey;
  /** The key's own first. */
  readonly certificates: readonly Certificate[];
  /** Undefined where only the public key is here. */
  readonly signer?: Signer;
}

/** Where the keys of a person or service are. */
export interface KeyPlaces {
  /** The key that a text names. @throws BullaError usage, not-found, key-invalid, storage-error */
  find(spec: string): Promise<KeyAtHand>;
  /** All that can be found without being named: those of the key store. @throws BullaError storage-error */
  all(): Promise<readonly KeyAtHand[]>;
}

/**
 * The available keys for the roles of a collection: keys given for this work come
 * first, then the default key, then all others that can be found. Which of them sign is for the roles to say. No key
 * is opened before it signs, so that no passphrase is asked for in vain; only a file without its public key must be
 * opened to know which key it is.
 */
export class KeysAtHand {
  private readonly places: KeyPlaces;
  private readonly named: readonly string[];
  private readonly fallback: string | undefined;
  private given: Promise<readonly KeyAtHand[]> | undefined;
  private others: Promise<readonly KeyAtHand[]> | undefined;

  /**
   * @param named keys for this work: every one of them signs whatever lists it
   * @param fallback the default key, which counts as if it were named
   */
  constructor(places: KeyPlaces, named: readonly string[], fallback?: string) {
    this.places = places;
    this.named = named;
    this.fallback = fallback;
  }

  /**
   * Signers for what is demanded: of each demand every key that was named, then as many others as its threshold
   * lacks.
   * @param signed ids of keys that have signed already
   * @throws BullaError usage, not-found, key-invalid, storage-error
   */
  async signersFor(
    demands: Iterable<SignatureDemand>,
    signed: ReadonlySet<string> = new Set(),
  ): Promise<readonly TufSigner[]> {
    const chosen = new Map<string, TufSigner>();
    const [given, others] = await Promise.all([this.givenKeys(), this.otherKeys()]);
    for (const { keys, role } of demands) {
      const listed = role.keyids.flatMap((keyid) => keys.get(keyid) ?? []);
      const counted = new Set(
        distinctKeys(
          keys,
          role.keyids.filter((keyid) => signed.has(keyid)),
        ),
      );
      const take = (key: TufKey, from: readonly KeyAtHand[]): void => {
        const { keyid, fingerprint = keyid } = key;
        const signer = from.find((at) => at.signer !== undefined && isKeyOf(at, key))?.signer;
        if (signer === undefined || counted.has(fingerprint)) return;
        counted.add(fingerprint);
        if (!chosen.has(keyid)) chosen.set(keyid, signerAs(signer, key));
      };
      for (const key of listed) take(key, given);
      for (const key of listed) if (counted.size < role.threshold) take(key, others);
    }
    return [...chosen.values()];
  }

  /** Names of the given keys that none of these demands lists: they would sign nothing. */
  async unlisted(demands: readonly SignatureDemand[]): Promise<readonly string[]> {
    if (this.named.length === 0) return [];
    const listed = demands.flatMap(({ keys, role }) => role.keyids.flatMap((keyid) => keys.get(keyid) ?? []));
    return (await this.givenKeys())
      .slice(0, this.named.length)
      .filter((key) => !listed.some((tufKey) => isKeyOf(key, tufKey)))
      .map(({ name }) => name);
  }

  /** The public key that a text names. @throws BullaError usage, not-found, key-invalid, storage-error */
  async publicKey(spec: string): Promise<TufKey> {
    return tufKey((await this.places.find(spec)).publicKey);
  }

  /** A signer by the key that a text names, whatever role lists it. @throws BullaError as {@link publicKey} */
  async signer(spec: string): Promise<TufSigner> {
    const { publicKey, signer } = await this.places.find(spec);
    if (signer !== undefined) return signerAs(signer, tufKey(publicKey));
    throw new BullaError('key-invalid', `${spec} is a public key, and a private one signs`, {
      hint: 'give the private key: NAME of the key store, or PATH of a file',
    });
  }

  /** Whether the private half of what a text names is available. @throws BullaError as {@link publicKey} */
  async canSign(spec: string): Promise<boolean> {
    return (await this.places.find(spec)).signer !== undefined;
  }

  /** The name of a key for people; undefined if it is not available. */
  async nameOf(key: TufKey): Promise<string | undefined> {
    return [...(await this.givenKeys()), ...(await this.otherKeys())].find((at) => isKeyOf(at, key))?.name;
  }

  /** Certificates of the keys that need not be named, by TUF key id. @throws BullaError storage-error, certificate-invalid */
  async certificates(): Promise<ReadonlyMap<string, readonly Certificate[]>> {
    const certified = (await this.otherKeys()).flatMap(({ publicKey, certificates }) =>
      certificates.length > 0 && isTufKey(publicKey)
        ? [[tufKey(publicKey).keyid, certificates] as const]
        : [],
    );
    return new Map(certified);
  }

  private givenKeys(): Promise<readonly KeyAtHand[]> {
    const specs = [...this.named, ...(this.fallback === undefined ? [] : [this.fallback])];
    this.given ??= Promise.all(specs.map((spec) => this.places.find(spec)));
    return this.given;
  }

  private otherKeys(): Promise<readonly KeyAtHand[]> {
    this.others ??= this.places.all();
    return this.others;
  }
}

/**
 * Opens keys that will certainly sign, in parallel and while other things are done: each may take 0.1 s of work.
 * The user is not prompted yet, and what goes wrong is reported when they sign.
 * @returns the same signers
 */
export function openEarly<T extends Pick<TufSigner, 'open'>>(signers: readonly T[]): readonly T[] {
  for (const signer of signers) signer.open?.({ unattended: true }).catch(() => undefined);
  return signers;
}

/** Whether it is the same key, and of a kind that can sign as the listed one does. */
function isKeyOf({ publicKey }: KeyAtHand, listed: TufKey): boolean {
  return listed.fingerprint !== undefined && listed.fingerprint === publicKey.fingerprint;
}

/** A signer under the id and with the algorithm that a role lists its key by. */
function signerAs(signer: Signer, key: TufKey): TufSigner {
  const { algorithm } = key.verifier as { readonly algorithm: Algorithm };
  return tufSigner(signer.using?.(algorithm) ?? signer, key);
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

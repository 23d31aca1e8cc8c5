import {
  INIT_KEYS,
  type InitResult,
  type InitWish,
  type KeyedRole,
  init as make,
} from '../actions/change/init.ts';
import { type Revoked, revoke as takeOut } from '../actions/change/revoke.ts';
import { generatePrivateKey } from '../crypto/private-key.ts';
import type { Signer } from '../crypto/signer.ts';
import { BullaError } from '../errors.ts';
import {
  formatReference,
  formatRepository,
  parseReference,
  type Reference,
  type Tag,
} from '../oci/reference.ts';
import { type Call, call } from './config.ts';
import { keySources } from './keys.ts';
import { type ChangeOptions, changePlace } from './publishing.ts';

/** What {@link init} makes a collection of, and what it works with. */
export interface InitOptions extends ChangeOptions {
  /**
   * Keys by role: NAME of the key store, PATH, URI, or a signer; for `online` also a public key. Left out, those of the
   * key store that are called `root`, `publisher` (of names) and `online`; missing ones are made there.
   */
  readonly keys?: Readonly<Partial<Record<KeyedRole, readonly (string | Signer)[]>>> | undefined;
  /** How many keys of a role must sign together; 1 if left out. */
  readonly thresholds?: Readonly<Partial<Record<KeyedRole, number>>> | undefined;
  /** For how long files of a role are signed, in milliseconds; a year, two weeks for snapshot and timestamp, if left out. */
  readonly lifetimes?: Readonly<Record<string, number>> | undefined;
}

/**
 * Makes the trust collection of a repository that has none, as `bulla init` does (spec/trust.md), and trusts its root
 * from then on.
 * @param repository `registry.example.com/team/app` or `oci:DIR`
 * @returns `head` is undefined, and `stage` is set, if the private online key is not available
 * @throws BullaError conflict where there is a collection; usage, not-found, key-invalid; registry-…
 * @example
 * ```ts
 * import { init } from 'bulla';
 *
 * const { made, expires } = await init('registry.example.com/team/app', { passphrase: 'of the new keys' });
 * console.log(`collection ${made.id}, to be re-signed before ${expires.get('timestamp')?.toISOString()}`);
 * ```
 */
export async function init(repository: string | Reference, options: InitOptions = {}): Promise<InitResult> {
  return await call(options, async (one) => {
    const reference = repositoryOf(repository);
    const { keys = {}, thresholds = {}, lifetimes = {} } = options;
    const given = (Object.keys(INIT_KEYS) as KeyedRole[]).flatMap((role) => keys[role] ?? [INIT_KEYS[role]]);
    const place = await changePlace(one, reference, given, options);
    await makeMissing(one, keys, options);
    const wish: InitWish = {
      keys: Object.fromEntries(
        Object.entries(keys).map(([role, specs]) => [
          role,
          specs.map((key) => (typeof key === 'string' ? key : `key ${key.keyId}`)),
        ]),
      ),
      thresholds: new Map(Object.entries(thresholds)),
      lifetimes: new Map(Object.entries(lifetimes)),
    };
    return await make(place, wish);
  });
}

/** Makes the keys that are neither given nor in the key store; the publisher's first: the first key becomes the default. */
async function makeMissing(
  one: Call,
  keys: NonNullable<InitOptions['keys']>,
  options: InitOptions,
): Promise<void> {
  const { keystore, passphrase } = keySources({ ...options, directories: one.directories });
  for (const role of ['names', 'root', 'online'] as const) {
    const name = INIT_KEYS[role];
    if (keys[role] !== undefined || (await keystore.has(name))) continue;
    const secret = await passphrase({ key: name, format: 'pkcs8' });
    await keystore.put(name, generatePrivateKey('P-256'), secret);
    secret.fill(0);
  }
}

/** How {@link revoke} revokes names, and what it works with. */
export interface RevokeOptions extends ChangeOptions {
  /** Keys for the role and for snapshot and timestamp, beside those of the key store. */
  readonly keys?: readonly (string | Signer)[] | undefined;
  /** Role of the collection that names the images; `names` if left out. */
  readonly role?: string | undefined;
}

/**
 * Takes tags out of the trust collection of their repository, as `bulla revoke` does: no change that was made before
 * brings them back. The images and their detached signatures stay.
 * @param reference of one tag, or several of one repository
 * @throws BullaError usage, not-found where there is no collection, untrusted-identity where no key here may sign for
 *   the role; staged where another machine has to publish it; conflict, trust-…, registry-…
 * @example
 * ```ts
 * import { init, revoke, sign } from 'bulla';
 *
 * const passphrase = 'of the new keys';
 * await init('registry.example.com/team/app', { passphrase });
 * await sign('registry.example.com/team/app:v1', { passphrase });
 * const { head, names } = await revoke('registry.example.com/team/app:v1', { passphrase });
 * console.log(`${names.map(({ tag }) => tag).join(', ')} revoked as of ${head}`);
 * ```
 */
export async function revoke(
  reference: string | Reference | readonly (string | Reference)[],
  options: RevokeOptions = {},
): Promise<Revoked> {
  const given: readonly (string | Reference)[] = Array.isArray(reference) ? reference : [reference];
  const references = given.map((one) => (typeof one === 'string' ? parseReference(one) : one));
  const [first] = references;
  if (first === undefined)
    throw new BullaError('usage', 'no reference was given', { hint: 'give a tag: REPO:v1' });
  const tags = new Set(references.map((each) => tagOf(each, first)));
  return await call(options, async (one) => {
    const place = await changePlace(one, first, options.keys ?? [], options);
    return await takeOut(place, first, tags, options.role);
  });
}

/** @throws BullaError usage where a reference names no tag, or is of another repository */
function tagOf(reference: Reference, first: Reference): Tag {
  const { tag, digest } = reference;
  const text = formatReference(reference);
  if (tag === undefined || digest !== undefined)
    throw new BullaError('usage', `${text} is not a name, and only names can be revoked`, {
      hint: 'give a tag: REPO:v1',
    });
  if (formatRepository(reference) === formatRepository(first)) return tag;
  throw new BullaError(
    'usage',
    `${text} is not in ${formatRepository(first)}: one change is of one repository`,
    {
      hint: 'call it once for each repository',
    },
  );
}

/** A repository without a tag or digest. @throws BullaError usage */
export function repositoryOf(repository: string | Reference): Reference {
  const reference = typeof repository === 'string' ? parseReference(repository) : repository;
  if (reference.tag === undefined && reference.digest === undefined) return reference;
  throw new BullaError(
    'usage',
    `${formatReference(reference)} names an image, and a repository was expected`,
    {
      hint: `leave tag and digest out: ${formatRepository(reference)}`,
    },
  );
}

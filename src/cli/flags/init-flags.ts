import {
  INIT_KEYS,
  type InitResult,
  type InitWish,
  type KeyedRole,
  init as makeCollection,
} from '../../actions/change/init.ts';
import { generatePrivateKey } from '../../crypto/private-key.ts';
import { parseDuration } from '../../encoding/time.ts';
import { BullaError } from '../../errors.ts';
import { formatRepository, parseReference, type Reference } from '../../oci/reference.ts';
import { assertNoHead } from '../../trust/publish/create-at.ts';
import type { Context } from '../shell/context.ts';
import { newPassphrase, otherVariable } from '../shell/passphrase.ts';
import { pinFile } from '../shell/trust-stores.ts';
import { openChangePlace } from './change-flags.ts';
import type { OpenedCollection } from './collection-flags.ts';
import type { KeyFlags } from './key-flags.ts';
import { keystoreOf, passphraseOptions, rememberPassphrase } from './keys.ts';

export interface InitFlags extends Omit<KeyFlags, 'key'> {
  readonly at?: string;
  readonly collection?: string;
  readonly complete?: true;
  readonly rootKey?: readonly string[];
  readonly publisherKey?: readonly string[];
  /** As `publisherKey`, by the name of the role. */
  readonly namesKey?: readonly string[];
  readonly from?: string;
  readonly onlineKey?: readonly string[];
  readonly threshold?: readonly string[];
  readonly expires?: readonly string[];
  readonly replace?: string;
  readonly importSigned?: string;
}

/** What the flags say about a new collection. @throws BullaError usage */
export function wishOf(flags: InitFlags): InitWish {
  const { rootKey, onlineKey, namesKey = [] } = flags;
  const publisherKey = [...(flags.publisherKey ?? []), ...namesKey];
  const thresholds = pairsOf('--threshold', flags.threshold, thresholdOf, KEYED);
  for (const [role, keys] of [
    ['root', rootKey],
    ['names', publisherKey],
    ['online', onlineKey],
  ] as const)
    assertEnough(role, thresholds.get(role) ?? 1, Math.max(keys?.length ?? 1, 1));
  const { online, ...others } = Object.fromEntries(pairsOf('--expires', flags.expires, durationOf, ROLES));
  const both = online === undefined ? {} : { snapshot: online, timestamp: online };
  return {
    keys: {
      ...(rootKey !== undefined && { root: rootKey }),
      ...(publisherKey.length > 0 && { names: publisherKey }),
      ...(onlineKey !== undefined && { online: onlineKey }),
    },
    thresholds,
    lifetimes: new Map(Object.entries({ ...both, ...others })),
    replaces: flags.replace,
  };
}

/** Before anything is asked of a registry. @throws BullaError usage */
function assertEnough(role: KeyedRole, threshold: number, keys: number): void {
  if (threshold <= keys) return;
  throw new BullaError('usage', `${role} has ${keys} keys, of which ${threshold} have to sign together`, {
    hint: `give more keys: --${role}-key KEY, once for each`,
    details: { role },
  });
}

const KEYED: ReadonlySet<string> = new Set<KeyedRole>(['root', 'names', 'online']);
const ROLES: ReadonlySet<string> = new Set(['root', 'targets', 'names', 'online', 'snapshot', 'timestamp']);

/** `role=value` flags. @throws BullaError usage */
function pairsOf(
  flag: string,
  texts: readonly string[] = [],
  read: (value: string) => number | undefined,
  roles: ReadonlySet<string>,
): ReadonlyMap<string, number> {
  const pairs = new Map<string, number>();
  for (const text of texts) {
    const [role = '', value = ''] = text.split('=', 2);
    const parsed = read(value);
    if (parsed === undefined || !roles.has(role))
      throw new BullaError('usage', `${flag} ${JSON.stringify(text)} is not understood`, {
        hint: `write ${flag} ${flag === '--threshold' ? 'root=2' : 'root=2y'}; roles are ${[...roles].join(', ')}`,
      });
    pairs.set(role, parsed);
  }
  return pairs;
}

function thresholdOf(value: string): number | undefined {
  return /^[1-9][0-9]?$/.test(value) ? Number(value) : undefined;
}

function durationOf(value: string): number | undefined {
  const milliseconds = parseDuration(value);
  return milliseconds === undefined || milliseconds < 1000 ? undefined : milliseconds;
}

/**
 * Makes the keys of a new collection that neither flags name nor the key store has. The publisher's is stored first:
 * the first key becomes the default.
 * @returns names of the keys that were made
 * @throws BullaError usage, interrupted, storage-error
 */
export async function makeMissingKeys(
  context: Context,
  flags: Omit<KeyFlags, 'key'>,
  specs: InitWish['keys'],
): Promise<ReadonlySet<string>> {
  const keystore = keystoreOf(context);
  const names: string[] = [];
  for (const role of ['names', 'root', 'online'] as const)
    if (specs[role] === undefined && !(await keystore.has(INIT_KEYS[role]))) names.push(INIT_KEYS[role]);
  const passphrases = await newPassphrases(context, flags, names);
  const keys = [...passphrases].map(([name, passphrase]) => {
    return { name, passphrase, key: generatePrivateKey('P-256') };
  });
  const unprotected = keys.filter(({ passphrase }) => passphrase.byteLength === 0).map(({ name }) => name);
  await keystore.putAll(keys, { signal: context.signal });
  if (unprotected.length > 0)
    context.output.warn(
      `${unprotected.join(', ')} ${unprotected.length === 1 ? 'has' : 'have'} an empty passphrase: anyone who can read the files can sign with them`,
    );
  for (const { passphrase } of keys) passphrase.fill(0);
  return new Set(names);
}

/** Passphrases of new keys: one for all, but for those that have a variable of their own. */
async function newPassphrases(
  context: Context,
  flags: Omit<KeyFlags, 'key'>,
  names: readonly string[],
): Promise<ReadonlyMap<string, Uint8Array>> {
  const options = passphraseOptions(context, flags);
  const found = new Map<string, Uint8Array>();
  let shared: Uint8Array | undefined;
  for (const name of names) {
    // A descriptor can be read only once, and goes before variables.
    const isOwn = flags.passphraseFd === undefined && otherVariable(context.io, options, name) !== undefined;
    if (!isOwn) shared ??= await newPassphrase(context.io, options, 'the keys of the collection');
    const passphrase = isOwn ? await newPassphrase(context.io, options, name) : shared;
    found.set(name, Uint8Array.from(passphrase ?? []));
  }
  // They are opened in a moment, with what was given for them.
  if (shared !== undefined) rememberPassphrase(context, shared);
  shared?.fill(0);
  return found;
}

/** A collection that a command has made, where, and which keys were made for it. */
export interface MadeHere {
  readonly place: Awaited<ReturnType<typeof openChangePlace>>;
  readonly made: InitResult;
  readonly generated: ReadonlySet<string>;
}

/**
 * Makes the collection of a repository, with the keys that the flags name, that the store has, or that are made.
 * @throws BullaError conflict where there is one; usage, key-invalid; what the target throws
 */
export async function makeAt(context: Context, reference: Reference, flags: InitFlags): Promise<MadeHere> {
  const wish = wishOf(flags);
  const place = await openChangePlace(context, reference, flags, { ...flags, key: keysOf(wish) });
  // No keys are made for a collection that is there.
  if (wish.replaces === undefined) await assertNoHead(place.target, { signal: context.signal });
  const generated = await makeMissingKeys(context, flags, wish.keys);
  const made = await makeCollection(place, wish);
  await pinOwnRoot(context, reference, flags, { place, made });
  return { place, made, generated };
}

/** The keys that a new collection is signed with, by names or paths. */
export function keysOf({ keys: { root, names, online } }: InitWish): readonly string[] {
  const { root: aRoot, names: aPublisher, online: anOnline } = INIT_KEYS;
  return [...new Set([root ?? [aRoot], names ?? [aPublisher], online ?? [anOnline]].flat())];
}

/**
 * Pins the first root on the machine that made it, which has nothing to compare it with. A pin that applies already
 * stays, unless it is of a collection that was replaced.
 */
export async function pinOwnRoot(
  context: Context,
  reference: Reference,
  { at, replace }: InitFlags,
  {
    place: { repository, name, pin },
    made: { made },
  }: {
    readonly place: Pick<OpenedCollection, 'repository' | 'name' | 'pin'>;
    readonly made: Pick<InitResult, 'made'>;
  },
): Promise<void> {
  const [root] = made.files.roots;
  const lies = at === undefined ? undefined : parseReference(at);
  if (lies !== undefined && lies.kind !== 'registry') return;
  if (reference.kind !== 'registry' || root === undefined) return;
  if (pin !== undefined && replace === undefined) return;
  await (await pinFile(context)).set({
    scope: repository,
    trust: { kind: 'root', bytes: root.bytes },
    ...(name !== repository && { collection: name }),
    ...(lies !== undefined && { at: formatRepository(lies) }),
  });
}

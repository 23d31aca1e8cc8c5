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
import type { Reference } from '../../oci/reference.ts';
import type { Context } from '../shell/context.ts';
import { newPassphrase, otherVariable } from '../shell/passphrase.ts';
import { pinFile } from '../shell/trust-stores.ts';
import { openChangePlace } from './change-flags.ts';
import type { KeyFlags } from './key-flags.ts';
import { keystoreOf, passphraseOptions } from './keys.ts';

export interface InitFlags extends Omit<KeyFlags, 'key'> {
  readonly at?: string;
  readonly collection?: string;
  readonly complete?: true;
  readonly rootKey?: readonly string[];
  readonly publisherKey?: readonly string[];
  readonly onlineKey?: readonly string[];
  readonly threshold?: readonly string[];
  readonly expires?: readonly string[];
  readonly replace?: string;
}

/** What the flags say about a new collection. @throws BullaError usage */
export function wishOf(flags: InitFlags): InitWish {
  const { rootKey, publisherKey, onlineKey } = flags;
  const thresholds = pairsOf('--threshold', flags.threshold, thresholdOf, KEYED);
  const { online, ...others } = Object.fromEntries(pairsOf('--expires', flags.expires, durationOf, ROLES));
  const both = online === undefined ? {} : { snapshot: online, timestamp: online };
  return {
    keys: {
      ...(rootKey !== undefined && { root: rootKey }),
      ...(publisherKey !== undefined && { names: publisherKey }),
      ...(onlineKey !== undefined && { online: onlineKey }),
    },
    thresholds,
    lifetimes: new Map(Object.entries({ ...both, ...others })),
    replaces: flags.replace,
  };
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
 * Makes the keys of a new collection that neither flags name nor the key store has. The publisher's comes first: the
 * first key becomes the default.
 * @returns names of the keys that were made
 * @throws BullaError usage, interrupted, storage-error
 */
export async function makeMissingKeys(
  context: Context,
  flags: Omit<KeyFlags, 'key'>,
  specs: InitWish['keys'],
): Promise<ReadonlySet<string>> {
  const keystore = keystoreOf(context);
  const made = new Set<string>();
  const unprotected: string[] = [];
  const options = passphraseOptions(context, flags);
  let shared: Uint8Array | undefined;
  for (const role of ['names', 'root', 'online'] as const) {
    const name = INIT_KEYS[role];
    if (specs[role] !== undefined || (await keystore.has(name))) continue;
    // A descriptor can be read only once, and goes before variables.
    const isOwn = flags.passphraseFd === undefined && otherVariable(context.io, options, name) !== undefined;
    if (!isOwn) shared ??= await newPassphrase(context.io, options, 'the keys of the collection');
    const passphrase =
      isOwn || shared === undefined ? await newPassphrase(context.io, options, name) : shared;
    await keystore.put(name, generatePrivateKey('P-256'), passphrase);
    if (passphrase.byteLength === 0) unprotected.push(name);
    if (passphrase !== shared) passphrase.fill(0);
    made.add(name);
  }
  if (unprotected.length > 0)
    context.output.warn(
      `${unprotected.join(', ')} ${unprotected.length === 1 ? 'has' : 'have'} an empty passphrase: anyone who can read the files can sign with them`,
    );
  shared?.fill(0);
  return made;
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
  const { root, names, online } = wish.keys;
  const key = [root ?? [INIT_KEYS.root], names ?? [INIT_KEYS.names], online ?? [INIT_KEYS.online]].flat();
  const place = await openChangePlace(context, reference, flags, { ...flags, key: [...new Set(key)] });
  const generated = await makeMissingKeys(context, flags, wish.keys);
  const made = await makeCollection(place, wish);
  await pinOwnRoot(context, reference, flags, { place, made });
  return { place, made, generated };
}

/**
 * Pins the first root on the machine that made it, which has nothing to compare it with. A pin that applies already
 * stays, unless it is of a collection that was replaced.
 */
async function pinOwnRoot(
  context: Context,
  reference: Reference,
  { at, replace }: InitFlags,
  { place: { repository, name, pin }, made: { made } }: Omit<MadeHere, 'generated'>,
): Promise<void> {
  const [root] = made.files.roots;
  if (reference.kind !== 'registry' || root === undefined) return;
  if (pin !== undefined && replace === undefined) return;
  await (await pinFile(context)).set({
    scope: repository,
    trust: { kind: 'root', bytes: root.bytes },
    ...(name !== repository && { collection: name }),
    ...(at !== undefined && { at }),
  });
}

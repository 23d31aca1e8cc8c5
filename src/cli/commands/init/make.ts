import { randomInt } from 'node:crypto';
import { initCollection, type MadeCollection } from '../../../actions/change/init.ts';
import type { KeysAtHand } from '../../../actions/sign/keys-at-hand.ts';
import { generatePrivateKey } from '../../../crypto/private-key.ts';
import { formatTime, parseDuration } from '../../../encoding/time.ts';
import { BullaError, EXIT_CODES } from '../../../errors.ts';
import { formatRepository, parseReference, type Reference } from '../../../oci/reference.ts';
import type { CollectionFiles, NewCollection } from '../../../trust/change/create.ts';
import { collectionIdOf } from '../../../trust/format/binding.ts';
import { trustVersions } from '../../../trust/format/versions.ts';
import { NAMES_ROLE } from '../../../trust/format/vocabulary.ts';
import { readCollection } from '../../../trust/read/collection.ts';
import { assertKeyChoice, type KeyChoice } from '../../../tuf/edit/key-list.ts';
import type { TufSigner } from '../../../tuf/edit/signing.ts';
import type { TufKey } from '../../../tuf/keys.ts';
import { parseSigned } from '../../../tuf/signed.ts';
import { openCollection } from '../../flags/collection-flags.ts';
import type { KeyFlags } from '../../flags/key-flags.ts';
import { keystoreOf, passphraseOptions } from '../../flags/keys.ts';
import { publishOptionsOf } from '../../flags/publish-flags.ts';
import { keysAtHand } from '../../flags/trust-keys.ts';
import type { Context } from '../../shell/context.ts';
import { newPassphrase, otherVariable } from '../../shell/passphrase.ts';

export interface InitFlags extends Omit<KeyFlags, 'key'> {
  readonly at?: string;
  readonly collection?: string;
  readonly complete?: true;
  readonly rootKey?: readonly string[];
  readonly publisherKey?: readonly string[];
  readonly onlineKey?: readonly string[];
  readonly threshold?: readonly string[];
  readonly expires?: readonly string[];
}

/** Roles as the person names them, with the names of their keys in the key store. */
const KEYS = { root: 'root', names: 'publisher', online: 'online' } as const;
type KeyedRole = keyof typeof KEYS;

/** `bulla init` @returns the exit status */
export async function init(context: Context, text: string, flags: InitFlags): Promise<number> {
  const reference = parseReference(text);
  if (reference.tag !== undefined || reference.digest !== undefined)
    throw new BullaError('usage', `${text} names an image, and a repository was expected`, {
      hint: `a collection is made for all names of a repository: bulla init ${formatRepository(reference)}`,
    });
  const { opened, made, keys } = await makeCollection(context, reference, flags);
  await report(context, opened, made, keys);
  return made.stage === undefined ? 0 : EXIT_CODES.staged;
}

/** A collection that a command has made, and with which keys. */
export interface CollectionMade {
  readonly opened: Opened;
  readonly made: MadeCollection;
  readonly keys: KeysUsed;
}

/**
 * Makes the collection of a repository, with the keys that the flags name, that the store has, or that are made.
 * @throws BullaError conflict where there is one; usage, key-invalid; what the target throws
 */
export async function makeCollection(
  context: Context,
  reference: Reference,
  flags: InitFlags,
): Promise<CollectionMade> {
  const opened = await openCollection(context, reference, flags, { write: true });
  const { collection, signers, hasOnlineKey, keys } = await prepareCollection(context, opened.name, flags);
  const made = await initCollection(opened.target, {
    ...(await publishOptionsOf(context, signers, {})),
    collection,
    hasOnlineKey,
  });
  if (made.stage === undefined) await remember(opened, made);
  return { opened, made, keys };
}

/** What a collection is to begin with, and who can sign it here. */
export interface PreparedCollection {
  readonly collection: NewCollection;
  readonly signers: readonly TufSigner[];
  readonly hasOnlineKey: boolean;
  readonly keys: KeysUsed;
}

/**
 * Finds, or makes, the keys of a collection that is to be made.
 * @param name `HOST/REPOSITORY` that it is for
 * @throws BullaError usage, not-found, key-invalid, storage-error
 */
export async function prepareCollection(
  context: Context,
  name: string,
  flags: InitFlags,
): Promise<PreparedCollection> {
  const thresholds = pairsOf('--threshold', flags.threshold, thresholdOf);
  const lifetimes = lifetimesOf(pairsOf('--expires', flags.expires, durationOf));
  const specs = { root: flags.rootKey, names: flags.publisherKey, online: flags.onlineKey };
  const generated = await makeKeys(context, flags, specs);
  const all = Object.entries(KEYS).map(([role, key]) => specs[role as KeyedRole] ?? [key]);
  const keys = keysAtHand(context, { ...flags, key: [...new Set(all.flat())] });
  const chosen = {} as Record<KeyedRole, KeyChoice>;
  for (const [role, key] of Object.entries(KEYS) as [KeyedRole, string][])
    chosen[role] = {
      keys: await Promise.all((specs[role] ?? [key]).map((spec) => keys.publicKey(spec))),
      threshold: thresholds.get(role) ?? 1,
    };
  for (const role of Object.keys(KEYS) as KeyedRole[]) assertKeyChoice(role, chosen[role]);
  const now = context.io.now();
  const signers = await keys.signersFor(
    Object.entries(chosen).map(([delegator, { keys: listed, threshold }]) => ({
      delegator,
      keys: new Map(listed.map((key) => [key.keyid, key])),
      role: { keyids: listed.map(({ keyid }) => keyid), threshold },
    })),
  );
  const online = signers.filter(({ key }) => chosen.online.keys.some(({ keyid }) => keyid === key.keyid));
  return {
    collection: {
      name,
      ...chosen,
      now,
      lifetimes,
      certificates: await keys.certificates(),
      policy: { versions: trustVersions((range) => randomInt(range)) },
    },
    signers,
    hasOnlineKey: online.length >= chosen.online.threshold,
    keys: { chosen, keys, generated },
  };
}

type Opened = Awaited<ReturnType<typeof openCollection>>;

/** Reads it back as any client would, from its own first root on: that is the pin. */
async function remember({ target, read }: Opened, { made }: MadeCollection): Promise<void> {
  const initialRoot = (made.files.roots[0] as (typeof made.files.roots)[number]).bytes;
  await readCollection(target, {
    ...read,
    isDemanded: true,
    isPinned: true,
    anchor: async () => ({ id: collectionIdOf(initialRoot), initialRoot }),
  });
}

/** Makes the keys that no flag names and the store has not. The publisher's comes first: the first key becomes the default. */
async function makeKeys(
  context: Context,
  flags: InitFlags,
  specs: Readonly<Record<KeyedRole, readonly string[] | undefined>>,
): Promise<ReadonlySet<string>> {
  const keystore = keystoreOf(context);
  const made = new Set<string>();
  const unprotected: string[] = [];
  const options = passphraseOptions(context, flags);
  let shared: Uint8Array | undefined;
  for (const role of ['names', 'root', 'online'] as const) {
    const name = KEYS[role];
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
      `${unprotected.join(', ')} ${unprotected.length === 1 ? 'has' : 'have'} an empty passphrase: whoever reads the files can sign with them`,
    );
  shared?.fill(0);
  return made;
}

/** Keys of a new collection, by role; those that were made. */
export interface KeysUsed {
  readonly chosen: Readonly<Record<KeyedRole, KeyChoice>>;
  readonly keys: KeysAtHand;
  readonly generated: ReadonlySet<string>;
}

async function report(
  context: Context,
  { place, name }: Opened,
  { made, head, stage, shortcomings }: MadeCollection,
  { chosen, keys, generated }: KeysUsed,
): Promise<void> {
  const expires = expiryOf(made);
  const lines = [`${name}  collection ${made.id}`];
  const described: Record<string, unknown> = {};
  for (const [role, choice] of Object.entries(chosen)) {
    const listed = await Promise.all(choice.keys.map((key) => describeKey(key, keys, generated)));
    described[role] = { threshold: choice.threshold, keys: listed };
    for (const { keyid, name: called, made: isNew } of listed)
      lines.push(`  ${role.padEnd(7)}${keyid}  ${called ?? ''}${isNew ? ' (made)' : ''}`.trimEnd());
  }
  context.output.result(lines, {
    collection: name,
    place,
    id: made.id,
    head: head ?? null,
    stage: stage ?? null,
    keys: described,
    expires: Object.fromEntries([...expires].map(([role, time]) => [role, formatTime(time)])),
    shortcomings,
  });
  sayWhatNext(context, { place, stage, expires });
  for (const sentence of shortcomings) context.output.warn(`${place}: ${sentence}`);
}

function sayWhatNext(
  { output }: Context,
  { place, stage, expires }: { place: string; stage: string | undefined; expires: ReadonlyMap<string, Date> },
): void {
  const until = (role: string): string => formatTime(expires.get(role) as Date);
  if (stage !== undefined)
    output.info(
      `staged as ${stage}: there is no head before the online key has signed; where it is, run: bulla init ${place} --complete --root-key-id KEYID`,
    );
  else
    output.info(`fresh until ${until('timestamp')}: before that, something must run: bulla resign ${place}`);
  output.info(`root and targets last until ${until('root')}: bulla rotate ${place} root --renew`);
  output.info('keep a copy of the root key where a fire does not reach it, and off machines that publish');
}

function expiryOf(made: CollectionFiles): ReadonlyMap<string, Date> {
  const { roots, roles, snapshot, timestamp } = made.files;
  const files = [roots.at(-1), ...roles.values(), snapshot, timestamp].flatMap((file) => file ?? []);
  return new Map(
    files.map((file) => [file.role, parseSigned(file, TYPES.get(file.role) ?? 'targets').signed.expires]),
  );
}

const TYPES: ReadonlyMap<string, 'root' | 'snapshot' | 'timestamp'> = new Map([
  ['root', 'root'],
  ['snapshot', 'snapshot'],
  ['timestamp', 'timestamp'],
]);

async function describeKey(
  key: TufKey,
  keys: KeysAtHand,
  generated: ReadonlySet<string>,
): Promise<{ keyid: string; name: string | null; made: boolean }> {
  const name = (await keys.nameOf(key)) ?? null;
  return { keyid: key.keyid, name, made: name !== null && generated.has(name) };
}

/** `role=value` flags. @throws BullaError usage */
function pairsOf<T>(
  flag: string,
  texts: readonly string[] = [],
  read: (value: string) => T | undefined,
): ReadonlyMap<string, T> {
  const pairs = new Map<string, T>();
  for (const text of texts) {
    const [role = '', value = ''] = text.split('=', 2);
    const parsed = read(value);
    const isKnown = ROLES.has(role) && (flag !== '--threshold' || role in KEYS);
    if (parsed === undefined || !isKnown)
      throw new BullaError('usage', `${flag} ${JSON.stringify(text)} is not understood`, {
        hint: `write ${flag} ${flag === '--threshold' ? 'root=2' : 'root=2y'}; roles are ${[...ROLES].join(', ')}`,
      });
    pairs.set(role, parsed);
  }
  return pairs;
}

const ROLES: ReadonlySet<string> = new Set([
  'root',
  'targets',
  NAMES_ROLE,
  'online',
  'snapshot',
  'timestamp',
]);

function thresholdOf(value: string): number | undefined {
  return /^[1-9][0-9]?$/.test(value) ? Number(value) : undefined;
}

function durationOf(value: string): number | undefined {
  const milliseconds = parseDuration(value);
  return milliseconds === undefined || milliseconds < 1000 ? undefined : milliseconds;
}

function lifetimesOf(given: ReadonlyMap<string, number>): ReadonlyMap<string, number> {
  const { online, ...rest } = Object.fromEntries(given);
  const both = online === undefined ? {} : { snapshot: online, timestamp: online };
  return new Map(Object.entries({ ...both, ...rest }));
}

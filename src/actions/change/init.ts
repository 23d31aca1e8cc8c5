import { BullaError, isBullaError } from '../../errors.ts';
import type { Digest } from '../../oci/digest.ts';
import type { Tag } from '../../oci/reference.ts';
import type { Beginning } from '../../trust/approve/beginning.ts';
import {
  beginCollection,
  type CollectionFiles,
  completeCollection,
  type NewCollection,
  unsigned,
} from '../../trust/change/create.ts';
import { rekey } from '../../trust/change/role-changes.ts';
import { assembleStage } from '../../trust/format/assemble.ts';
import { collectionIdOf } from '../../trust/format/binding.ts';
import type { TrustTarget } from '../../trust/format/ports.ts';
import { pushObject } from '../../trust/format/push.ts';
import { trustVersions } from '../../trust/format/versions.ts';
import { NAMES_ROLE, stageTag } from '../../trust/format/vocabulary.ts';
import { assertNoHead, type CreateOptions, createAt, headToReplace } from '../../trust/publish/create-at.ts';
import { probeTags, shortcomings } from '../../trust/publish/probe.ts';
import type { PublishOptions } from '../../trust/publish/publish-options.ts';
import { completeStaged } from '../../trust/publish/staged-creation.ts';
import { readCollection } from '../../trust/read/collection.ts';
import { assertKeyChoice, type KeyChoice } from '../../tuf/edit/key-list.ts';
import { writeRepositoryFiles } from '../../tuf/edit/repository.ts';
import type { SignatureDemand, TufSigner } from '../../tuf/edit/signing.ts';
import { parseSigned } from '../../tuf/signed.ts';
import { openEarly } from '../sign/keys-at-hand.ts';
import { changeRoles } from './change-roles.ts';
import {
  type ChangePlace,
  type CollectionPlace,
  type KeySource,
  meetsAll,
  openCopy,
  type PublishPorts,
} from './place.ts';

/** The roles that get keys of their own, with the names that these have where no others are given. */
export const INIT_KEYS = { root: 'root', names: 'publisher', online: 'online' } as const;
export type KeyedRole = keyof typeof INIT_KEYS;
const KEYED_ROLES = Object.keys(INIT_KEYS) as readonly KeyedRole[];

/** What a new collection is to be like. */
export interface InitWish {
  /** Keys by role, as the key source names them; those of {@link INIT_KEYS} if left out. */
  readonly keys: Readonly<Partial<Record<KeyedRole, readonly string[]>>>;
  /** How many keys of a role must sign together; 1 if left out. */
  readonly thresholds?: ReadonlyMap<string, number> | undefined;
  /** By role, in milliseconds, where they are to differ from the defaults. */
  readonly lifetimes?: ReadonlyMap<string, number> | undefined;
  /** Id of the collection that it replaces, or at least its first 8 digits; left out, there must not be a head. */
  readonly replaces?: string | undefined;
}

/** What a collection begins with, and who can sign it here. */
export interface PreparedCollection {
  readonly collection: NewCollection;
  readonly signers: readonly TufSigner[];
  readonly hasOnlineKey: boolean;
  readonly chosen: Readonly<Record<KeyedRole, KeyChoice>>;
}

/** A collection that was made, with the keys that it is to have and until when its files are valid, by role. */
export interface InitResult extends MadeCollection {
  readonly chosen: PreparedCollection['chosen'];
  readonly expires: ReadonlyMap<string, Date>;
  /**
   * The keys of `names` are elsewhere: root signs for `names` until their owners have approved the staged change that
   * hands it over. `change` is undefined where there is no head yet that it could be staged beside.
   */
  readonly handOver?: { readonly change: StagedHandOver | undefined } | undefined;
  /** Roles whose private keys are all here. */
  readonly here: ReadonlySet<KeyedRole>;
}

/** A staged change that gives `names` to keys that are elsewhere. */
export interface StagedHandOver {
  readonly id: string;
  readonly tag: string;
}

/**
 * Makes the collection of a repository (spec/trust.md), and remembers it as any client would that pinned its first
 * root. A collection that is there is only replaced if its id is given.
 * @throws BullaError conflict where there is one; usage, not-found, key-invalid; what the target throws
 */
export async function init(place: ChangePlace<KeySource>, wish: InitWish): Promise<InitResult> {
  const prepared = await prepareCollection(place.name, wish, place.keys, place.publish);
  const { signers, hasOnlineKey, chosen } = prepared;
  const here = new Set(KEYED_ROLES.filter((role) => meetsAll([demandOf(role, chosen[role])], signers)));
  // A role begins with a file that its own keys have signed. Where these are elsewhere, root begins it.
  const handsOver = here.has('root') && !here.has('names');
  const collection = handsOver ? { ...prepared.collection, names: chosen.root } : prepared.collection;
  const replaces = await replacedBy(place, wish.replaces, place.publish);
  const options = { ...place.publish, signers, collection, hasOnlineKey, replaces };
  const made = await initCollection(place.target, options);
  if (made.stage === undefined) await remember(place, made.made, replaces, place.publish);
  const result = { ...made, chosen, here, expires: expiryOf(made.made) };
  if (!handsOver) return result;
  const change = made.stage === undefined ? await handOver(place, chosen.names) : undefined;
  return { ...result, handOver: { change } };
}

/**
 * Publishes the collection that was signed at a ceremony (spec/trust-roles.md, "Ceremonies"): the keys of `names` sign
 * here, and the online key, if it is here, makes the first head.
 * @param rootKeyIds ids of root keys that are known from elsewhere, as for a pin
 * @throws BullaError untrusted-identity where root is not signed by them; conflict for another repository, or where there
 *   is a collection; threshold-not-met; what the target throws
 */
export async function initSigned(
  place: ChangePlace<KeySource>,
  beginning: Beginning,
  rootKeyIds: readonly string[],
  replaced?: string,
): Promise<InitResult> {
  const { wish, name } = beginning;
  const missing = beginning.missing();
  if (missing.length > 0) throw unsigned(missing.map(({ role }) => role));
  if (name !== place.name)
    throw new BullaError('conflict', `the collection was signed for ${name}, not for ${place.name}`, {
      hint: `publish it there: bulla init ${name}`,
    });
  const known = beginning.rootSigners().filter((keyid) => rootKeyIds.includes(keyid));
  if (known.length < wish.root.threshold)
    throw new BullaError(
      'untrusted-identity',
      `root is signed by ${known.length} of the ${wish.root.threshold} keys that have to be known`,
      {
        hint: 'compare the key ids with the record of the ceremony, and give those: --root-key-id',
        details: { keys: beginning.rootSigners() },
      },
    );
  const { root, names, online } = wish;
  const chosen = { root, names, online };
  const demands = KEYED_ROLES.map((role) => demandOf(role, chosen[role]));
  const signers = openEarly(await place.keys.signersFor(demands));
  const here = new Set(KEYED_ROLES.filter((role) => meetsAll([demandOf(role, chosen[role])], signers)));
  const replaces = await replacedBy(place, replaced, place.publish);
  const { clock, chance } = place.publish;
  const made = await publishBegun(place.target, await beginning.complete(signers), {
    ...{ ...place.publish, signers, replaces, hasOnlineKey: here.has('online') },
    collection: {
      now: clock.now(),
      policy: { versions: trustVersions((range) => chance.below(range)) },
    },
  });
  if (made.stage === undefined) await remember(place, made.made, replaces, place.publish);
  return { ...made, chosen, here, expires: expiryOf(made.made) };
}

/** Stages the change that gives `names` to keys whose owners have to approve it. */
async function handOver(
  place: ChangePlace<KeySource>,
  { keys, threshold }: KeyChoice,
): Promise<StagedHandOver> {
  const change = rekey(NAMES_ROLE, { add: keys, drop: [], keep: false, threshold });
  try {
    await changeRoles(place, await openCopy(place), change, { agree: async () => false });
  } catch (error) {
    if (!isBullaError(error, 'staged')) throw error;
    const { id, tag } = error.details as unknown as StagedHandOver;
    return { id, tag };
  }
  throw new BullaError('internal', 'names was handed over without the keys that it was handed to', {
    hint: 'please report this',
  });
}

/**
 * Makes the first head of a collection that was begun without its online key, where that key is.
 * @param replaced as {@link InitWish.replaces}
 * @throws BullaError trust-unpinned without a pin; not-found where nothing was begun; what reading and publishing throw
 */
export async function completeInit(
  place: CollectionPlace,
  publish: PublishPorts,
  signers: readonly TufSigner[],
  replaced?: string,
): Promise<Awaited<ReturnType<typeof completeStaged>>> {
  const replaces = await replacedBy(place, replaced, publish);
  const completed = await completeStaged(place.target, place.read, { ...publish, signers, replaces });
  await remember(place, completed.made, replaces, publish);
  return completed;
}

async function replacedBy(
  { target }: CollectionPlace,
  id: string | undefined,
  { signal }: PublishPorts,
): Promise<Digest | undefined> {
  return id === undefined ? undefined : await headToReplace(target, id, { signal });
}

/**
 * Finds the keys of a collection that is to be made.
 * @param name `HOST/REPOSITORY` that it is for
 * @throws BullaError usage, not-found, key-invalid, storage-error
 */
export async function prepareCollection(
  name: string,
  { keys: specs, thresholds, lifetimes = new Map() }: InitWish,
  keys: KeySource,
  { clock, chance }: Pick<PublishPorts, 'clock' | 'chance'>,
): Promise<PreparedCollection> {
  const chosen = {} as Record<KeyedRole, KeyChoice>;
  for (const role of KEYED_ROLES)
    chosen[role] = {
      keys: await Promise.all((specs[role] ?? [INIT_KEYS[role]]).map((spec) => keys.publicKey(spec))),
      threshold: thresholds?.get(role) ?? 1,
    };
  for (const role of KEYED_ROLES) assertKeyChoice(role, chosen[role]);
  const signers = openEarly(await keys.signersFor(KEYED_ROLES.map((role) => demandOf(role, chosen[role]))));
  return {
    collection: {
      name,
      ...chosen,
      now: clock.now(),
      lifetimes,
      certificates: await keys.certificates(),
      policy: { versions: trustVersions((range) => chance.below(range)) },
    },
    signers,
    hasOnlineKey: meetsAll([demandOf('online', chosen.online)], signers),
    chosen,
  };
}

function demandOf(delegator: string, { keys, threshold }: KeyChoice): SignatureDemand {
  return {
    delegator,
    keys: new Map(keys.map((key) => [key.keyid, key])),
    role: { keyids: keys.map(({ keyid }) => keyid), threshold },
  };
}

/** Reads it back as any client would, from its own first root on: that is the pin. */
async function remember(
  { target, read, place }: CollectionPlace,
  { files }: CollectionFiles,
  replaces: Digest | undefined,
  { clock }: Pick<PublishPorts, 'clock'>,
): Promise<void> {
  if (replaces !== undefined) await read.memory.forget(place);
  const initialRoot = files.roots[0]?.bytes ?? new Uint8Array();
  const anchor = async () => ({ id: collectionIdOf(initialRoot), initialRoot });
  await readCollection(target, { ...read, now: clock.now(), isDemanded: true, isPinned: true, anchor });
}

function expiryOf({
  files: { roots, roles, snapshot, timestamp },
}: CollectionFiles): ReadonlyMap<string, Date> {
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

/** What {@link initCollection} is told. */
export interface InitOptions
  extends Pick<PublishOptions, 'clock' | 'chance' | 'state' | 'signers' | 'signal'> {
  readonly collection: NewCollection;
  /** Whether one of the signers has an online key; otherwise the parts without it are staged for a publisher that has. */
  readonly hasOnlineKey: boolean;
  readonly replaces?: CreateOptions['replaces'];
}

/** A collection that was made, and where it is now. */
export interface MadeCollection {
  readonly made: CollectionFiles;
  /** Digest of its head; undefined where it waits in a stage. */
  readonly head: Digest | undefined;
  readonly stage: Tag | undefined;
  /** What is not available at that place, as sentences. */
  readonly shortcomings: readonly string[];
}

/**
 * Makes the collection of a place that has none. Without the online key it lies in a stage, and becomes a
 * head where that key is: `completeStaged` of trust/.
 * @throws BullaError conflict where there is a head already, or tags cannot be moved; threshold-not-met,
 *   usage, key-invalid; what the target throws
 */
export async function initCollection(target: TrustTarget, options: InitOptions): Promise<MadeCollection> {
  return await publishBegun(target, await beginCollection(options.collection, options.signers), options);
}

/**
 * Publishes a collection whose root, targets and `names` are signed.
 * @throws BullaError as {@link initCollection}
 */
async function publishBegun(
  target: TrustTarget,
  begun: CollectionFiles,
  options: Omit<InitOptions, 'collection'> & { readonly collection: Pick<NewCollection, 'now' | 'policy'> },
): Promise<MadeCollection> {
  const { collection, signers, hasOnlineKey } = options;
  if (hasOnlineKey) {
    const made = await completeCollection(begun, collection, signers);
    const { head, shortcomings: lacks } = await createAt(target, made, options);
    return { made, head, stage: undefined, shortcomings: lacks };
  }
  await assertNoHead(target, options);
  const { signal } = options;
  const abilities = await probeTags(target, options, { signal });
  const assembly = assembleStage({ files: writeRepositoryFiles(begun.files), logs: begun.logs });
  const stage = stageTag(assembly.top.descriptor.digest);
  await pushObject(target, assembly, stage, new Set(), { signal });
  return { made: begun, head: undefined, stage, shortcomings: shortcomings(abilities) };
}

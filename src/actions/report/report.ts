import { type BullaError, type ErrorCode, isBullaError, throwIfAborted } from '../../errors.ts';
import type { Digest } from '../../oci/digest.ts';
import type { Random, TrustTarget } from '../../trust/format/ports.ts';
import type { WorkingCopy } from '../../trust/read/working-copy.ts';
import type { ExpiryState } from '../../trust/report/expiry.ts';
import { historyOf } from '../../trust/report/history.ts';
import { listNames } from '../../trust/report/listing.ts';
import type { RoleOverview } from '../../trust/report/overview.ts';
import type { CollectionStatus } from '../../trust/report/status.ts';
import { listPending, type Waiting } from '../change/pending.ts';
import { mapConcurrently } from '../copy/concurrency.ts';
import { type Advice, adviseOn } from '../inspect/advice.ts';
import { type InspectedCollection, inspectCollection, noCollection } from '../inspect/collection.ts';
import { readStatus } from '../inspect/status.ts';
import { failureOf, worstOf } from '../renew/failure.ts';
import type { Failure } from '../renew/report.ts';
import type { OpenedCollection } from '../verify/collection.ts';

/** Most names of a collection that a report lists. */
const NAMES_REPORTED = 1_000;
/** Most changes of names that a report lists, and most names of each. */
const CHANGES_REPORTED = 50;
const CHANGED_NAMES_REPORTED = 20;
/** Most roots whose changes a report lists. */
const ROOTS_REPORTED = 50;

/** A key of a role. */
export interface ReportedKey {
  readonly keyid: string;
  /** TUF's signature scheme, as written in the metadata. */
  readonly scheme: string;
  /** What this machine's key store calls it. */
  readonly name?: string | undefined;
  /** Whether it has signed the role's present file. */
  readonly hasSigned: boolean;
}

/** Who may sign for a role, who did, and until when that counts. */
export interface ReportedRole extends Pick<RoleOverview, 'role' | 'kind' | 'version' | 'threshold'> {
  /** Of a role with bins, of that which expires first, where the bins were read. */
  readonly expires: Date;
  readonly state: ExpiryState;
  readonly keys: readonly ReportedKey[];
  /** Patterns of names that a signer may sign; undefined where it may sign every name. */
  readonly paths?: readonly string[] | undefined;
  /** How many names it signs. */
  readonly count?: number | undefined;
}

/** A signed name. */
export interface ReportedName {
  /** As signed: other tools may name what is not a valid tag. */
  readonly name: string;
  readonly digest: Digest;
  /** Roles that sign it. */
  readonly signers: readonly string[];
  /** When it was last changed to that, where a log says so. */
  readonly since?: Date | undefined;
}

/** A change of names in the signed logs. */
export interface ReportedChange {
  readonly id: string;
  readonly at: Date;
  readonly role: string;
  /** Key id, by the author's own account, and what the key store calls that key. */
  readonly by?: string | undefined;
  readonly key?: string | undefined;
  /** Names that were signed, with their digests, and names that were revoked; the first ones of very many. */
  readonly set: readonly { readonly name: string; readonly digest: string }[];
  readonly unset: readonly string[];
  /** How many more names it changes. */
  readonly more: number;
}

/** A change of keys or thresholds: a version of the root. */
export interface ReportedRoot {
  readonly version: number;
  /** In sentences. */
  readonly changes: readonly string[];
}

/** A change that waits beside the head. */
export type ReportedStage = Pick<
  Waiting,
  'id' | 'roles' | 'state' | 'summary' | 'since' | 'signedBy' | 'missing'
>;

/** Something that a person should know of, or act on. */
export interface Attention extends Advice {
  /** Kind of finding (`expiry`, `conflict`, …), or the code of an error. */
  readonly kind: string;
}

/** `fine`: nothing to do; `soon`: something is to be done; `bad`: it does not work, or cannot be trusted. */
export type ReportState = 'fine' | 'soon' | 'bad';

/** All that a report says of a collection that could be read. */
export interface ReadCollection {
  /** As it was asked for. */
  readonly place: string;
  readonly state: ReportState;
  readonly failure?: undefined;
  /** `HOST/REPOSITORY` that it was made for. */
  readonly name: string;
  /** Id of the collection. */
  readonly collection: string;
  /** Digest of the head. */
  readonly head: Digest;
  /** When the head was made, as its timestamp says. */
  readonly created?: Date | undefined;
  /** Whether it was compared with a pin or with what was known, and has not expired. */
  readonly trusted: boolean;
  /** Most urgent first. */
  readonly attention: readonly Attention[];
  /** What is harmless. */
  readonly notes: readonly Attention[];
  readonly roles: readonly ReportedRole[];
  readonly names: readonly ReportedName[];
  /** Whether there are more names than are listed. */
  readonly hasMoreNames: boolean;
  /** Undefined where the registry does not let us look beside the head. */
  readonly waiting: readonly ReportedStage[] | undefined;
  readonly changes: readonly ReportedChange[];
  /** How many more changes the logs list. */
  readonly moreChanges: number;
  /** Newest first. */
  readonly roots: readonly ReportedRoot[];
}

/** A collection that could not be read. */
export interface UnreadCollection {
  readonly place: string;
  readonly state: 'bad';
  readonly failure: Failure;
}

export type ReportedCollection = ReadCollection | UnreadCollection;

/** What `bulla report` says. */
export interface Report {
  /** When it was made. */
  readonly at: Date;
  /** In the order in which they were asked for. */
  readonly collections: readonly ReportedCollection[];
  /** The worst of the codes with which collections could not be read; undefined where all were. */
  readonly worst: ErrorCode | undefined;
}

export interface ReportOptions {
  readonly now: Date;
  readonly chance: Pick<Random, 'fraction'>;
  /** What the key store calls keys, by the fingerprint of their material. */
  readonly keyNames: ReadonlyMap<string, string>;
  /** Milliseconds before its expiry from which on a role is reported; by default as `warningTime` says. */
  readonly warnBefore?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Ends the work on a collection that takes too long, with a BullaError as its reason. */
  readonly limit?: ((place: string) => AbortSignal) | undefined;
}

/**
 * Reports on collections. One that cannot be read does not hinder the others: the report says why.
 * @param open finds a collection by its place (`HOST/REPOSITORY`, `oci:DIR`, `oci-archive:FILE`)
 * @param concurrency collections read at the same time
 * @throws BullaError interrupted, or what `signal` carries
 */
export async function reportOn(
  places: readonly string[],
  open: (place: string) => Promise<OpenedCollection<TrustTarget>>,
  { concurrency, ...options }: ReportOptions & { readonly concurrency: number },
): Promise<Report> {
  const collections = await mapConcurrently([...new Set(places)], concurrency, (place) =>
    reportOnOne(place, open, options),
  );
  return { at: options.now, collections, worst: worstFailure(collections) };
}

/** The worst of the codes with which collections could not be read. */
function worstFailure(collections: readonly ReportedCollection[]): ErrorCode | undefined {
  return worstOf(collections.flatMap(({ failure }) => failure?.code ?? []));
}

/** As {@link reportOn}, for one collection. */
async function reportOnOne(
  place: string,
  open: (place: string) => Promise<OpenedCollection<TrustTarget>>,
  options: ReportOptions,
): Promise<ReportedCollection> {
  const { limit, ...rest } = options;
  const limited = limit?.(place);
  const signals = [options.signal, limited].filter((one) => one !== undefined);
  const signal = AbortSignal.any(signals);
  try {
    throwIfAborted(signal);
    const { read, ...opened } = await open(place);
    const inspected = await inspectCollection({ ...opened, read: { ...read, signal } }, { signal });
    if (inspected === undefined) throw noCollection(opened.place);
    return await describe(place, inspected, { ...rest, signal });
  } catch (error) {
    throwIfAborted(options.signal);
    return { place, state: 'bad', failure: failureOf(limited?.aborted === true ? limited.reason : error) };
  }
}

async function describe(
  place: string,
  { opened, looked, copy, trusted }: InspectedCollection<TrustTarget>,
  options: ReportOptions,
): Promise<ReadCollection> {
  const { now, chance, signal, warnBefore, keyNames } = options;
  const attention: Attention[] = [];
  const notes: Attention[] = [];
  const onWarning = (what: string): void => void notes.push({ kind: 'incomplete', ...harmless(what) });
  const status = await readStatus(opened.target, copy, { now, chance, signal, warnBefore, onWarning });
  const { overview, findings } = status;
  if (looked.unpinned !== undefined) attention.push(attentionOf(looked.unpinned));
  // What has expired is among the findings, unless it is not the metadata of a role.
  const isFound = findings.some((one) => one.kind === 'expiry' && one.role.state === 'expired');
  if (looked.expired !== undefined && !isFound) attention.push(attentionOf(looked.expired));
  for (const finding of findings) {
    const told = { kind: finding.kind, ...adviseOn(finding, overview.head, place, now) };
    (told.urgency === 'faint' ? notes : attention).push(told);
  }
  const read = async <T>(what: () => Promise<T>, otherwise: T): Promise<T> => {
    try {
      return await what();
    } catch (error) {
      throwIfAborted(signal);
      if (!isBullaError(error)) throw error;
      // The log of a role that cannot be read is a finding already.
      if (!findings.some(({ kind }) => kind === 'broken')) attention.push(attentionOf(error));
      return otherwise;
    }
  };
  const changes = await read(() => changesOf(copy, keyNames), NO_CHANGES);
  const names = await read(() => namesOf(copy, changes.since, signal), { names: [], hasMoreNames: true });
  const waiting = await waitingAt(opened.target, copy, status, options, read);
  attention.sort((a, b) => URGENCIES.indexOf(a.urgency) - URGENCIES.indexOf(b.urgency));
  return {
    ...{ place, trusted, attention, notes, waiting, ...names },
    state: attention[0]?.urgency === 'bad' ? 'bad' : attention.length > 0 ? 'soon' : 'fine',
    name: overview.name,
    collection: overview.id,
    head: overview.head,
    created: overview.created,
    roles: rolesOf(status, keyNames),
    changes: changes.changes,
    moreChanges: changes.moreChanges,
    roots: changes.roots,
  };
}

const URGENCIES: readonly Advice['urgency'][] = ['bad', 'soon', 'faint'];

function attentionOf({ code, message, hint = '' }: BullaError): Attention {
  return { kind: code, urgency: 'bad', what: message, advice: hint };
}

function harmless(what: string): Advice {
  return { urgency: 'faint', what, advice: '' };
}

function rolesOf(
  { overview, roles: states }: CollectionStatus,
  keyNames: ReadonlyMap<string, string>,
): readonly ReportedRole[] {
  return overview.roles.map(({ role, kind, version, threshold, keys, signedBy, paths, count }, at) => {
    const { expires, state } = states[at] as CollectionStatus['roles'][number];
    const isBound = kind === 'signer' && paths !== undefined && paths.join() !== '*';
    return {
      ...{ role, kind, version, threshold, expires, state },
      keys: keys.map((key) => {
        const name = keyNames.get(key.fingerprint ?? '');
        const { scheme } = key.json;
        return {
          keyid: key.keyid,
          scheme: typeof scheme === 'string' ? scheme : '',
          ...(name !== undefined && { name }),
          hasSigned: signedBy.includes(key.keyid),
        };
      }),
      ...(isBound && { paths }),
      ...(count !== undefined && { count }),
    };
  });
}

type Changes = Pick<ReadCollection, 'changes' | 'moreChanges' | 'roots'> & {
  /** When each name was last changed to what, by name and digest. */
  readonly since: ReadonlyMap<string, Date>;
};

const NO_CHANGES: Changes = { changes: [], moreChanges: 0, roots: [], since: new Map() };

async function changesOf(copy: WorkingCopy, keyNames: ReadonlyMap<string, string>): Promise<Changes> {
  const history = await historyOf(copy);
  const since = new Map<string, Date>();
  for (const { entry } of history.changes)
    for (const [name, { sha256 }] of entry.set ?? []) {
      const what = `${name} sha256:${sha256}`;
      if (!since.has(what)) since.set(what, entry.at);
    }
  const { keys } = copy.delegations;
  const changes = history.changes.slice(0, CHANGES_REPORTED).map(({ role, entry }): ReportedChange => {
    const { id, at, by, set = new Map(), unset = new Set() } = entry;
    const shown = [...set].slice(0, CHANGED_NAMES_REPORTED);
    const gone = [...unset].slice(0, CHANGED_NAMES_REPORTED);
    const key = keyNames.get(keys.get(by ?? '')?.fingerprint ?? '');
    return {
      ...{ id, at, role, by, key },
      set: shown.map(([name, { sha256 }]) => ({ name, digest: `sha256:${sha256}` })),
      unset: gone,
      more: set.size + unset.size - shown.length - gone.length,
    };
  });
  const moreChanges = history.changes.length - changes.length;
  return { changes, moreChanges, roots: history.roots.slice(0, ROOTS_REPORTED), since };
}

async function namesOf(
  copy: WorkingCopy,
  since: ReadonlyMap<string, Date>,
  signal: AbortSignal | undefined,
): Promise<Pick<ReadCollection, 'names' | 'hasMoreNames'>> {
  const names: ReportedName[] = [];
  for await (const some of listNames(copy, { signal })) {
    for (const { name, digest, signers } of some) {
      if (names.length >= NAMES_REPORTED) return { names, hasMoreNames: true };
      names.push({ name, digest, signers, since: since.get(`${name} ${digest}`) });
    }
  }
  return { names, hasMoreNames: false };
}

/** Stages in full, where the status found some. */
async function waitingAt(
  target: TrustTarget,
  copy: WorkingCopy,
  { findings, isComplete }: CollectionStatus,
  { now, chance, signal }: ReportOptions,
  read: <T>(what: () => Promise<T>, otherwise: T) => Promise<T>,
): Promise<ReadCollection['waiting']> {
  const waits = findings.some(
    ({ kind }) => kind === 'unsigned' || kind === 'structure' || kind === 'waiting',
  );
  if (!waits) return isComplete ? [] : undefined;
  const list = await read(() => listPending(target, copy, { now, chance, signal }), undefined);
  return list?.waiting.map(({ id, roles, state, summary, since, signedBy, missing }) => ({
    ...{ id, roles, state, summary, since, signedBy, missing },
  }));
}

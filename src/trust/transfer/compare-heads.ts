import { equalBytes } from '../../encoding/bytes.ts';
import { isBullaError } from '../../errors.ts';
import type { Descriptor } from '../../oci/descriptor.ts';
import type { CallOptions } from '../../oci/target.ts';
import { refresh } from '../../tuf/client.ts';
import { delegationOf, type SuccinctRoles } from '../../tuf/delegations.ts';
import { binName } from '../../tuf/hash-bins.ts';
import { MemoryStateStore } from '../../tuf/memory.ts';
import { metaPath } from '../../tuf/role-name.ts';
import type { LogEntry } from '../format/log.ts';
import { type ObjectSource, openShard, type ShardList } from '../format/object.ts';
import { NAMES_ROLE } from '../format/vocabulary.ts';
import { anyFirstRoot, type Collection, readCollection } from '../read/collection.ts';
import { ProcessMemory } from '../read/memory.ts';
import { ObjectFetcher } from '../read/object-fetcher.ts';
import { WorkingCopy } from '../read/working-copy.ts';

/** Expiry does not count where heads are carried: an old head may be newer than what the other place has. */
const BEFORE_ALL_EXPIRY = new Date(0);

/**
 * Reads a head that is to be carried to another place, or that is there: it must follow from its own
 * first root. Whether that root is trusted, and whether it is fresh, is not checked.
 * @returns undefined where there is none
 * @throws BullaError trust-invalid, content-invalid if it is not a head, or not consistent; what the source throws
 */
export async function readCarriedHead(
  source: ObjectSource,
  options: CallOptions = {},
): Promise<Collection | undefined> {
  return await readCollection(source, {
    ...options,
    place: source.name,
    now: BEFORE_ALL_EXPIRY,
    memory: new ProcessMemory(),
    anchor: anyFirstRoot,
    isPinned: false,
    isNamed: () => true,
  });
}

/** How a head that is offered stands to the one that is present (spec/trust-copying.md, "Fast-forward"). */
export type HeadRelation =
  /** The same files. */
  | { readonly kind: 'same' }
  /** Of another collection. */
  | { readonly kind: 'other' }
  /** What is offered follows from what is present, and holds all of its changes: it may take its place. */
  | { readonly kind: 'newer' }
  /** What is present follows from what is offered. */
  | { readonly kind: 'older' }
  /** Neither: each has something that the other lacks, or one of them was tampered with. */
  | { readonly kind: 'diverged'; readonly why: string };

/**
 * Compares two heads that {@link readCarriedHead} has read.
 * @throws BullaError where something could not be read; what the sources throw
 */
export async function relateHeads(
  offered: Collection,
  present: Collection,
  options: CallOptions = {},
): Promise<HeadRelation> {
  if (offered.object.content.descriptor.digest === present.object.content.descriptor.digest)
    return { kind: 'same' };
  if (offered.id !== present.id) return { kind: 'other' };
  if (equalBytes(timestampOf(offered), timestampOf(present))) return { kind: 'same' };
  const [ours, theirs] = [await WorkingCopy.open(offered, options), await WorkingCopy.open(present, options)];
  const why =
    (await whyNoSuccessor(ours, theirs, options)) ?? (await whyIncomplete(offered, ours, present, options));
  if (why === undefined) return { kind: 'newer' };
  const isOlder = (await whyNoSuccessor(theirs, ours, options)) === undefined;
  return isOlder ? { kind: 'older' } : { kind: 'diverged', why };
}

function timestampOf({ client }: Collection): Uint8Array {
  return client.trusted.timestamp.file.bytes;
}

/** Why one state of a collection can't take the place of another without anything being lost. */
async function whyNoSuccessor(
  next: WorkingCopy,
  base: WorkingCopy,
  options: CallOptions,
): Promise<string | undefined> {
  return (
    whyOtherFiles(next, base) ??
    (await whyNoUpdate(next, base, options)) ??
    (await whyChangesLost(next, base))
  );
}

/** Every root that is there must stay, and no version may have two files. */
function whyOtherFiles(next: WorkingCopy, base: WorkingCopy): string | undefined {
  for (const [index, { bytes }] of base.files.roots.entries()) {
    const same = next.files.roots[index];
    if (same === undefined) return `root ${index + 1} is missing`;
    if (!equalBytes(same.bytes, bytes)) return `there are two different roots ${index + 1}`;
  }
  for (const [role, file] of base.files.roles) {
    const other = next.files.roles.get(role);
    if (other === undefined || equalBytes(other.bytes, file.bytes)) continue;
    if (other.signed['version'] === file.signed['version'])
      return `there are two different files of ${JSON.stringify(role)} of one version`;
  }
  return undefined;
}

/** The whole client workflow over `next` by a client that last saw `base` (TUF 1.0.34 §5). */
async function whyNoUpdate(
  next: WorkingCopy,
  base: WorkingCopy,
  options: CallOptions,
): Promise<string | undefined> {
  const { source, object } = next.collection;
  const { trusted } = base.collection.client;
  const store = new MemoryStateStore();
  const state = [trusted.root, trusted.timestamp, trusted.snapshot];
  await store.replace(state.map(({ file }) => ({ role: file.role, expected: undefined, bytes: file.bytes })));
  const fetcher = new ObjectFetcher(source, object, options);
  const { check } = base.collection;
  try {
    const client = await refresh(fetcher, store, BEFORE_ALL_EXPIRY, { demand: check });
    const found = client.trusted.timestamp.file.bytes;
    return equalBytes(found, timestampOf(next.collection))
      ? undefined
      : 'there are two different timestamps of one version';
  } catch (error) {
    if (!isBullaError(error, 'trust-rollback', 'trust-invalid', 'content-invalid')) throw error;
    return error.message;
  }
}

/** Each change that `base` lists must be known to `next`, or be so old that `next` need not list it. */
async function whyChangesLost(next: WorkingCopy, base: WorkingCopy): Promise<string | undefined> {
  const roles = new Set(next.delegations.roles.map(({ name }) => name));
  for (const { name: role } of base.delegations.roles) {
    if (!roles.has(role)) continue;
    const known = await next.log(role);
    const ids = new Set(known.entries.map(({ id }) => id));
    for (const entry of (await base.log(role)).entries) {
      if (ids.has(entry.id)) continue;
      if (entry.at >= known.since) return `the change ${entry.id} of ${JSON.stringify(role)} is missing`;
      const back = await namedAgain(next, role, entry);
      if (back !== undefined) return `${JSON.stringify(back)} was revoked there, and would come back`;
    }
  }
  return undefined;
}

/**
 * What a head lists is not signed: without a key, a pusher to the source could leave out a log
 * or put an old bin among new ones. It would not be accepted, and must not replace a valid head.
 */
async function whyIncomplete(
  { object }: Collection,
  next: WorkingCopy,
  present: Collection,
  options: CallOptions,
): Promise<string | undefined> {
  for (const { name } of next.delegations.roles)
    if (object.logs.get(name)?.digest !== next.logDescriptor(name).digest)
      return `the log of ${JSON.stringify(name)} is not among its files`;
  if (next.bins === undefined) return undefined;
  if (object.bins?.bits !== next.bins.bitLength) return 'its shards are not those of its bins';
  return await whyBinsMissing(next, next.bins, present, options);
}

/** Each bin that is not, in the same version, at the same place of what is present is verified. */
async function whyBinsMissing(
  next: WorkingCopy,
  layout: SuccinctRoles,
  present: Collection,
  options: CallOptions,
): Promise<string | undefined> {
  const { client } = next.collection;
  const content = next.contentOf(NAMES_ROLE);
  const listed = await binsOf(next.collection, options);
  const known = await binsOf(present, options);
  if (typeof listed === 'string') return listed;
  const hasSameBits = next.collection.object.bins?.bits === present.object.bins?.bits;
  for (const [number, descriptor] of listed.entries()) {
    const name = binName(layout, number);
    // Where what is present is damaged, nothing of it is known to be good.
    const isSameFile =
      hasSameBits && typeof known !== 'string' && known[number]?.digest === descriptor.digest;
    if (isSameFile && versionIn(next.collection, name) === versionIn(present, name)) continue;
    const delegated = content.delegations && delegationOf(content.delegations, name);
    if (delegated === undefined) return `no role delegates to ${JSON.stringify(name)}`;
    try {
      await client.role(name, client.trusted.delegatorFor(NAMES_ROLE, content, delegated));
      client.trusted.forgetRole(name);
    } catch (error) {
      return whyDamaged(error);
    }
  }
  return undefined;
}

/** The words of an error that says that content is not what it should be. @throws any other error */
function whyDamaged(error: unknown): string {
  if (isBullaError(error, 'trust-invalid', 'content-invalid', 'not-found')) return error.message;
  throw error;
}

/** Descriptors of all bins, in order; none where there are none; why, where a shard is damaged. */
async function binsOf(
  { source, object: { bins } }: Collection,
  options: CallOptions,
): Promise<readonly Descriptor[] | string> {
  const shards: (readonly Descriptor[])[] = [];
  try {
    for (const shard of bins?.shards ?? [])
      shards.push(await openShard(source, bins as ShardList, shard, options));
  } catch (error) {
    return whyDamaged(error);
  }
  return shards.flat();
}

function versionIn({ client }: Collection, role: string): number | undefined {
  return client.trusted.snapshot.content.meta.get(metaPath(role))?.version;
}

/** A name that an old change took out and that is there. */
async function namedAgain(
  { collection }: WorkingCopy,
  role: string,
  entry: LogEntry,
): Promise<string | undefined> {
  for (const name of entry.unset ?? []) {
    for await (const _ of collection.client.findTargets(name, { through: role })) return name;
  }
  return undefined;
}

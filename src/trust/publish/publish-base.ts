import { BullaError, isBullaError } from '../../errors.ts';
import { type Digest, digestOf } from '../../oci/digest.ts';
import type { ManifestContent } from '../../oci/manifest.ts';
import type { CallOptions } from '../../oci/target.ts';
import { writeRepositoryFiles } from '../../tuf/edit/repository.ts';
import type { ObjectSource } from '../format/object.ts';
import type { TrustTarget } from '../format/ports.ts';
import { HEAD_TAG } from '../format/vocabulary.ts';
import { type Collection, type ReadOptions, readCollection } from '../read/collection.ts';
import { HeadSource } from '../read/head-source.ts';
import { ScratchMemory } from '../read/scratch-memory.ts';
import { WorkingCopy } from '../read/working-copy.ts';
import type { PublishOptions } from './publish-options.ts';
import { findAnnounced } from './recover-head.ts';
import { assertNotBelow, type SignerRecord, servedBy, withServed } from './signer-state.ts';

/** The state that is built upon. */
export interface Base {
  readonly collection: Collection;
  readonly copy: WorkingCopy;
  /** What the tag named when it was read, if anything: the next head replaces that, and nothing else. */
  readonly parent: Digest | null;
  readonly readAt: Date;
  readonly record: SignerRecord | undefined;
  /** Whether something older than what is known lies at the tag, and the base is what is known. */
  readonly isBuried: boolean;
  /** What was wrong with what lay there; undefined where two writers within a minute may be the cause. */
  readonly buriedBy: BullaError | undefined;
}

/** Before anything expired: what is verified as of then is verified but for its expiry. */
const BEFORE_EXPIRY = new Date(0);

/**
 * Reads and verifies the head that is built upon (spec/trust-publishing.md, "Reading the base"). If
 * an older head or another object replaced the remembered head, the remembered one is used. Expired files of root,
 * targets, `names` and signers are accepted, because the owners of their keys must be able to
 * renew them; an expired timestamp or snapshot is not, unless the head is the very one that this signer has
 * served, or that the user has checked.
 * @throws BullaError not-found where there is no collection; trust-rollback; what readCollection throws
 */
export async function readBase(
  target: TrustTarget,
  read: ReadOptions,
  options: PublishOptions,
): Promise<Base> {
  const { clock, state, signal } = options;
  const readAt = clock.now();
  const head = new HeadSource(target);
  const onWarning = read.onWarning ?? options.onWarning;
  // Nothing is built upon what is stale, whatever may still be read of it.
  // Where the head went back, the newer one that is known is built upon, without waiting for a cache.
  const asOfNow = { ...read, now: readAt, signal, onWarning, maxStaleness: 0, pause: undefined };
  const opened = await open(head, asOfNow, options).catch(async (error: unknown) => {
    const restored = await restore(target, asOfNow, options, error);
    return { ...restored, copy: await openCopy(restored.collection, asOfNow) };
  });
  const { collection, isBuried, buriedBy, copy } = opened;
  const record = await state.load(collection.id);
  if (!isBuried) {
    const served = servedBy(collection);
    if (record?.served?.digest !== served.digest)
      await state.update(collection.id, (present) => withServed(present, served));
  }
  return { collection, copy, parent: head.served ?? null, readAt, record, isBuried, buriedBy };
}

interface Verified {
  readonly collection: Collection;
  readonly isBuried: boolean;
  readonly buriedBy?: BullaError | undefined;
}

async function open(
  head: HeadSource,
  read: ReadOptions,
  options: PublishOptions,
): Promise<Verified & { readonly copy: WorkingCopy }> {
  const verified = await verify(head, read, options);
  const copy = await openCopy(verified.collection, read);
  if (!verified.isBuried) assertWhole(copy);
  return { ...verified, copy };
}

/**
 * Demands that the head itself lists what was verified: who has read a file before does not notice that it
 * is missing now, and others can't read the head.
 */
function assertWhole({ collection, files }: WorkingCopy): void {
  const { object, place } = collection;
  for (const [name, bytes] of writeRepositoryFiles(files)) {
    if (object.files.get(name)?.digest === digestOf(bytes)) continue;
    throw new BullaError('trust-invalid', `the head of ${place} does not list the ${name} that it needs`, {
      hint: 'it was assembled by someone else; a publisher that has seen it whole can publish again',
      details: { place, reason: 'missing', fileName: name },
    });
  }
}

async function verify(head: HeadSource, read: ReadOptions, options: PublishOptions): Promise<Verified> {
  const verified = await verifyHead(head, read, options);
  assertNotBelow(await options.state.load(verified.collection.id), verified.collection);
  return verified;
}

/**
 * Finds the newest head where none is at the tag any more, or an older one than is known: among what was
 * announced. Only where something is known, because otherwise nothing tells the newest from an old one.
 * @throws BullaError the error of reading the head, where nothing is found
 */
async function restore(
  target: TrustTarget,
  read: ReadOptions,
  options: PublishOptions,
  error: unknown,
): Promise<Verified> {
  if (!isBullaError(error) || !isNoHead(error)) throw error;
  const collection = await findAnnounced(target, read, options);
  if (collection === undefined) throw error;
  options.onWarning?.(`${error.message}: the newest that was announced is put back`);
  return { collection, isBuried: true, buriedBy: error };
}

async function verifyHead(head: HeadSource, read: ReadOptions, options: PublishOptions): Promise<Verified> {
  try {
    const collection = await demand(head, read);
    return { collection, isBuried: collection.object.content.descriptor.digest !== head.served };
  } catch (error) {
    if (isBullaError(error) && isNoHead(error)) return await verifyKnown(head, read, options, error);
    if (!isBullaError(error, 'trust-expired')) throw error;
    const memory = new ScratchMemory(read.memory);
    const collection = await demand(head, { ...read, memory, now: BEFORE_EXPIRY });
    const { timestamp, snapshot } = collection.client.trusted;
    const isFresh = timestamp.content.expires > read.now && snapshot.content.expires > read.now;
    if (!isFresh && !(await mayBeRenewed(collection, options))) throw error;
    return { collection, isBuried: false };
  }
}

/** What is wrong with an object that is not a head of this collection, whatever its origin. */
const NO_HEAD: ReadonlySet<unknown> = new Set([
  'missing-head',
  'object',
  'root-chain',
  'missing',
  'length',
  'signatures',
]);

/**
 * Whether the tag has no head, an older one, or one that is useless to every client. Another collection is
 * another thing: a person has to say which of them it is to be.
 */
function isNoHead(error: BullaError): boolean {
  if (error.code === 'trust-rollback') return true;
  return error.code === 'trust-invalid' && NO_HEAD.has(error.details['reason']);
}

/** Whether an expired head is the very one that is known from elsewhere. */
async function mayBeRenewed(
  { id, object }: Collection,
  { state, trustServedHead }: PublishOptions,
): Promise<boolean> {
  const { digest } = object.content.descriptor;
  if (digest === trustServedHead) return true;
  return state.isLasting && (await state.load(id))?.served?.digest === digest;
}

async function verifyKnown(
  head: HeadSource,
  read: ReadOptions,
  options: PublishOptions,
  rollback: BullaError,
): Promise<Verified> {
  const known = await knownHead(read);
  if (known === undefined) throw rollback;
  options.onWarning?.(`${rollback.message}: the newer state that is remembered is built upon`);
  try {
    return {
      collection: await demand(new HeadSource(head.target, known), read),
      isBuried: true,
      buriedBy: rollback,
    };
  } catch (error) {
    // What it is made of may be gone, and then only the first error says what is wrong.
    throw isBullaError(error, 'not-found', 'content-invalid', 'trust-rollback') ? rollback : error;
  }
}

async function openCopy(collection: Collection, read: ReadOptions): Promise<WorkingCopy> {
  try {
    return await WorkingCopy.open(collection, read);
  } catch (error) {
    if (!isBullaError(error, 'trust-expired')) throw error;
    const again = await demand(new HeadSource(collection.source, collection.object.content), {
      ...read,
      memory: new ScratchMemory(read.memory),
      now: BEFORE_EXPIRY,
    });
    return await WorkingCopy.open(again, read);
  }
}

async function demand(source: ObjectSource, read: ReadOptions): Promise<Collection> {
  const collection = await readCollection(source, read);
  if (collection !== undefined) return collection;
  throw new BullaError('not-found', `${read.place} has no trust collection`, {
    hint: `make one with: bulla init ${read.place}`,
    details: { place: read.place },
  });
}

async function knownHead({ memory, place }: ReadOptions): Promise<ManifestContent | undefined> {
  const id = await memory.seen(place);
  return id === undefined ? undefined : (await (await memory.open(id)).loadHead(place))?.content;
}

/** Whether the tag of the head names something else than it did when the base was read. @throws BullaError what the target throws */
export async function hasMoved(
  target: TrustTarget,
  { parent }: Base,
  options: CallOptions = {},
): Promise<boolean> {
  try {
    if (parent === null) await target.fetchManifest(HEAD_TAG, options);
    return parent === null || (await target.fetchManifestUnless(HEAD_TAG, parent, options)) !== undefined;
  } catch (error) {
    if (isBullaError(error, 'not-found')) return parent !== null;
    throw error;
  }
}

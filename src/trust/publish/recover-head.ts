import { isBullaError, throwIfAborted } from '../../errors.ts';
import { bareDescriptor, type Descriptor, EMPTY_BYTES, EMPTY_DESCRIPTOR } from '../../oci/descriptor.ts';
import { type Digest, digestOf } from '../../oci/digest.ts';
import { pushBlobs } from '../../oci/push-blobs.ts';
import type { Tag } from '../../oci/reference.ts';
import type { CallOptions } from '../../oci/target.ts';
import { writeRepositoryFiles } from '../../tuf/edit/repository.ts';
import { DEFAULT_LIMITS } from '../../tuf/limits.ts';
import { isUnanswered, listSiblings, MAX_FOREIGN } from '../candidates/siblings.ts';
import { candidateOf, headOf } from '../format/candidate.ts';
import { MAX_LOG_BYTES } from '../format/log.ts';
import { fetchFile, openShard, openTrustObject, type ShardList } from '../format/object.ts';
import type { TrustTarget } from '../format/ports.ts';
import { candidateTag, kindOfTag } from '../format/vocabulary.ts';
import { type Collection, type ReadOptions, readCollection } from '../read/collection.ts';
import { HeadSource } from '../read/head-source.ts';
import { ScratchMemory } from '../read/scratch-memory.ts';
import { WorkingCopy } from '../read/working-copy.ts';
import type { PublishOptions } from './publish-options.ts';
import { assertNotBelow } from './signer-state.ts';

/**
 * Announces a head that lies where a remembered one should be, before it is replaced: it may hold changes that exist
 * nowhere else, and as a candidate it is folded. Anything but a head is left to be replaced.
 * @param kept heads that were examined in earlier rounds of the same publish; this one is added
 * @throws BullaError what the target throws
 */
export async function keepDisplaced(
  target: TrustTarget,
  { isBuried, parent }: { readonly isBuried: boolean; readonly parent: Digest | null },
  kept: Set<Digest>,
  options: CallOptions = {},
): Promise<void> {
  if (!isBuried || parent === null || kept.has(parent)) return;
  await announceHeadAt(target, parent, options);
  kept.add(parent);
}

async function announceHeadAt(target: TrustTarget, parent: Digest, options: CallOptions): Promise<void> {
  try {
    const content = await target.fetchManifest(parent, options);
    const { kind, isCandidate } = await openTrustObject(target, content, options);
    if (kind !== 'head' || isCandidate) return;
    const candidate = candidateOf(content);
    await target.pushManifest(candidate, { ...options, tag: candidateTag(candidate.descriptor.digest) });
  } catch (error) {
    // Another object, or a head whose parts are gone: nothing can be folded from either.
    const isOfNoUse = isBullaError(error, 'trust-invalid', 'content-invalid', 'not-found');
    if (!isOfNoUse && !isRefused(error)) throw error;
  }
}

/** Registries refuse a manifest whose parts they do not have. */
function isRefused(error: unknown): boolean {
  return isBullaError(error, 'registry-error') && error.details['status'] === 400;
}

/**
 * Pushes the parts of a remembered head that the registry may lack, because it was restored from a backup that is older
 * than they are. Parts that are kept nowhere are left out: the registry then refuses the head, and says which.
 * @throws BullaError what the target throws
 */
export async function restoreParts(
  target: TrustTarget,
  { collection, copy }: { readonly collection: Collection; readonly copy: WorkingCopy },
  options: CallOptions = {},
): Promise<void> {
  const { object, source } = collection;
  const kept = new Map(
    [...writeRepositoryFiles(copy.files).values()].map((bytes) => [digestOf(bytes), bytes]),
  );
  const push = async (parts: readonly Descriptor[], maxBytes: number): Promise<void> => {
    const found = await Promise.all(
      parts.map(async (part) => {
        const bytes =
          kept.get(part.digest) ?? (await ifKept(() => fetchFile(source, part, maxBytes, options)));
        return bytes === undefined ? [] : [{ descriptor: bareDescriptor(part), bytes }];
      }),
    );
    await pushBlobs(target, found.flat(), options);
  };
  await pushBlobs(target, [{ descriptor: EMPTY_DESCRIPTOR, bytes: EMPTY_BYTES }], options);
  await push([...object.files.values()], DEFAULT_LIMITS.targetsBytes);
  await push([...object.logs.values()], MAX_LOG_BYTES);
  for (const shard of object.bins?.shards ?? []) {
    const bins = await ifKept(() => openShard(source, object.bins as ShardList, shard, options));
    if (bins === undefined) continue;
    await push(bins, DEFAULT_LIMITS.targetsBytes);
    await target.pushManifest(await source.fetchManifest(shard.digest, options), options);
  }
  if (object.listing !== object.content) await target.pushManifest(object.listing, options);
}

/** What is kept here or there; undefined where neither has it. */
async function ifKept<T>(fetch: () => Promise<T>): Promise<T | undefined> {
  try {
    return await fetch();
  } catch (error) {
    if (isBullaError(error, 'not-found', 'content-invalid')) return undefined;
    throw error;
  }
}

/**
 * The newest candidate that is intact: the whole client workflow goes through it, from what is remembered
 * and not below what this signer has served, and every bin is there. Pushers can put parts of
 * different heads together, and what is put back must not be that.
 * @throws BullaError what the target throws
 */
export async function findAnnounced(
  target: TrustTarget,
  read: ReadOptions,
  options: PublishOptions,
): Promise<Collection | undefined> {
  const { chance, signal } = options;
  const { tags } = await listSiblings(target, { signal }, null);
  const candidates = tags.filter((tag) => kindOfTag(tag) === 'candidate');
  const found: Collection[] = [];
  for (let tried = 0; tried < MAX_FOREIGN && candidates.length > 0; tried++) {
    throwIfAborted(signal);
    const [tag] = candidates.splice(Math.floor(chance.fraction() * candidates.length), 1) as [Tag];
    const collection = await verifyCandidate(target, tag, read, options);
    if (collection !== undefined) found.push(collection);
  }
  found.sort((a, b) => versionOf(b) - versionOf(a));
  for (const collection of found) if (await isIntact(collection)) return collection;
  return undefined;
}

async function verifyCandidate(
  target: TrustTarget,
  tag: Tag,
  read: ReadOptions,
  { state }: PublishOptions,
): Promise<Collection | undefined> {
  try {
    const head = headOf(await target.fetchManifest(tag, read));
    const memory = new ScratchMemory(read.memory);
    // What is kept here says nothing about what is there.
    const afresh = { ...read, memory, cache: undefined };
    const collection = head && (await readCollection(new HeadSource(target, head), afresh));
    if (collection === undefined) return undefined;
    const record = await state.load(collection.id);
    if (record?.served === undefined && (await read.memory.seen(read.place)) === undefined) return undefined;
    assertNotBelow(record, collection);
    return collection;
  } catch (error) {
    if (isUnanswered(error) || !isAboutContent(error)) throw error;
    return undefined;
  }
}

async function isIntact(collection: Collection): Promise<boolean> {
  try {
    const copy = await WorkingCopy.open(collection);
    await copy.loadBins();
    for (const { name } of copy.delegations.roles) await copy.log(name);
    return true;
  } catch (error) {
    if (!isAboutContent(error)) throw error;
    return false;
  }
}

function versionOf({ client }: Collection): number {
  return client.trusted.timestamp.content.version;
}

function isAboutContent(error: unknown): boolean {
  return isBullaError(
    error,
    ...(['trust-invalid', 'trust-expired', 'trust-rollback', 'trust-unpinned'] as const),
    ...(['content-invalid', 'not-found', 'key-invalid'] as const),
  );
}

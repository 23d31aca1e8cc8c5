import { BullaError, isBullaError } from '../../errors.ts';
import { fetchIfThere, ifThere } from '../../oci/if-there.ts';
import type { ManifestContent } from '../../oci/manifest.ts';
import type { CallOptions } from '../../oci/target.ts';
import { refresh, type TufClient } from '../../tuf/client.ts';
import { DEFAULT_LIMITS } from '../../tuf/limits.ts';
import { parseMetadataFile } from '../../tuf/metadata-file.ts';
import { parseRoot, type Root } from '../../tuf/root.ts';
import type { Trusted } from '../../tuf/trusted-metadata.ts';
import { type BindingCheck, bindingCheck, type CollectionId, rootBindingOf } from '../format/binding.ts';
import { type ObjectSource, openTrustObject, type TrustObject } from '../format/object.ts';
import { HEAD_TAG } from '../format/vocabulary.ts';
import { CachedSource } from './cached-source.ts';
import { createdOf } from './freshness.ts';
import {
  type BlobCache,
  type CollectionMemory,
  type KnownHead,
  otherCollection,
  type TrustMemory,
} from './memory.ts';
import { ObjectFetcher } from './object-fetcher.ts';
import { assertReaches, CHAIN_LIMITS, followRoots, type RootFiles, rootsOf } from './root-chain.ts';

/** What a collection's trust begins with. */
export interface Anchored {
  readonly id: CollectionId;
  /** The root from which TUF's chain leads on. */
  readonly initialRoot: Uint8Array;
}

/**
 * Determines the first trusted root: from a pin, or on first use (spec/trust-reading.md, "Bootstrap").
 * @throws BullaError trust-unpinned, trust-invalid
 */
export type Anchor = (roots: RootFiles) => Promise<Anchored>;

/** Trusts the first root that the object lists. Not for decisions. */
export const anyFirstRoot: Anchor = async (roots) => ({ id: roots.id, initialRoot: await roots.load(1) });

export interface ReadOptions extends CallOptions {
  /** `HOST/REPOSITORY` where the collection lies; the key of what is remembered about the place. */
  readonly place: string;
  readonly now: Date;
  readonly memory: TrustMemory;
  /** Asked where nothing is remembered of the place; where `isPinned`, always. */
  readonly anchor: Anchor;
  /** Whether the anchor is a pin: it must hold each time, and a missing head is a failure. */
  readonly isPinned: boolean;
  /** Whether a missing head is a failure although nothing is pinned. */
  readonly isDemanded?: boolean | undefined;
  /** Whether the collection may carry this `HOST/REPOSITORY` name: it is the place, or what a mapping says. */
  readonly isNamed: (collection: string) => boolean;
  /** How long after expiry metadata still counts, in milliseconds: for air gaps. 0 if left out. */
  readonly maxStaleness?: number | undefined;
  /** Keeps what was fetched by digest, so that it is not fetched again. */
  readonly cache?: BlobCache | undefined;
  readonly onWarning?: ((message: string) => void) | undefined;
  /**
   * Waits so many milliseconds. Where it is given, an answer that contradicts what was read a moment ago is asked for
   * again, for {@link CACHED_MS} at most: another process of this machine may just have written, and a cache or a
   * lagging replica shows what was there before.
   */
  readonly pause?: ((ms: number) => Promise<void>) | undefined;
}

/** A verified collection, as of one refresh. */
export interface Collection {
  readonly place: string;
  readonly id: CollectionId;
  /** `HOST/REPOSITORY` that its root names. */
  readonly name: string;
  readonly source: ObjectSource;
  readonly object: TrustObject;
  readonly client: TufClient;
  readonly memory: CollectionMemory;
  /** The demand that all of its files meet; for siblings of the head that are to be verified. */
  readonly check: BindingCheck;
  /** When it was read; `freshnessOf` compares it with what has been verified. */
  readonly readAt: Date;
  /** Whether it was known before; if not, nothing but expiry tells an old head from the newest. */
  readonly wasKnown: boolean;
}

/** How long after a head was read or written caches may show what was there before, in milliseconds. */
export const CACHED_MS = 6_000;
const FIRST_PAUSE_MS = 200;
const LAST_PAUSE_MS = 2_000;

/** Two heads may be racing: for so long after a refresh an older one is answered from memory, in milliseconds. */
export const RACE_MS = 60_000;

/**
 * Reads and verifies the collection at a place (spec/trust-reading.md, "Refresh"): one request where the
 * head is as it was.
 * @returns undefined where there is none, and none was pinned, demanded or seen
 * @throws BullaError trust-invalid (a head is missing where one was: details.reason `missing-head`), trust-expired,
 *   trust-rollback, trust-unpinned, content-invalid; what source and memory throw
 */
export async function readCollection(
  from: ObjectSource,
  options: ReadOptions,
): Promise<Collection | undefined> {
  const { memory, place, cache } = options;
  const source = cache === undefined ? from : new CachedSource(from, cache);
  const seen = await memory.seen(place);
  const known = seen && (await (await memory.open(seen)).loadHead(place));
  const reading = new Reading(source, options, seen, known);
  let left = options.pause === undefined ? 0 : cachedFor(known, options.now);
  for (let pause = FIRST_PAUSE_MS; ; pause = Math.min(2 * pause, LAST_PAUSE_MS)) {
    const found = await reading.head();
    if (!isBullaError(found)) return found;
    if (left <= 0) return await reading.race(found);
    const ms = Math.min(pause, left);
    left -= ms;
    await options.pause?.(ms);
  }
}

/** For how long yet an answer may be from before `known`, in milliseconds. A clock that was put back tells nothing. */
function cachedFor(known: KnownHead | undefined, now: Date): number {
  const age = known === undefined ? CACHED_MS : now.getTime() - known.refreshedAt.getTime();
  return age < 0 ? 0 : CACHED_MS - age;
}

/**
 * Verifies another object than the head as if it were one; what came of it is remembered as options.memory
 * does. For proofs.
 * @throws BullaError as {@link readCollection}
 */
export async function verifyObject(
  source: ObjectSource,
  object: TrustObject,
  options: ReadOptions,
): Promise<Collection> {
  return await new Reading(source, options, await options.memory.seen(options.place), undefined).verify(
    object,
  );
}

async function fetchHead(
  source: ObjectSource,
  known: ManifestContent | undefined,
  options: ReadOptions,
): Promise<ManifestContent | undefined> {
  if (known === undefined) return await fetchIfThere(source, HEAD_TAG, options);
  const { digest } = known.descriptor;
  return await ifThere(async () => (await source.fetchManifestUnless(HEAD_TAG, digest, options)) ?? known);
}

/** One reading of one head. */
class Reading {
  private readonly source: ObjectSource;
  private readonly options: ReadOptions;
  private readonly seen: CollectionId | undefined;
  private readonly known: KnownHead | undefined;

  constructor(
    source: ObjectSource,
    options: ReadOptions,
    seen: CollectionId | undefined,
    known: KnownHead | undefined,
  ) {
    this.source = source;
    this.options = options;
    this.seen = seen;
    this.known = known;
  }

  /** What is at the head now, or how that contradicts what is known. */
  async head(): Promise<Collection | undefined | BullaError> {
    const { source, seen, options } = this;
    const { place, isPinned, isDemanded = false } = options;
    const content = await fetchHead(source, this.known?.content, options);
    if (content === undefined) {
      const isExpected = isPinned || isDemanded || seen !== undefined;
      return isExpected ? missingHead(place, seen !== undefined) : undefined;
    }
    const object = await openTrustObject(source, content, options);
    if (object.kind !== 'head' || object.isCandidate) throw notAHead(place, object);
    try {
      return await this.read(object);
    } catch (error) {
      if (isBullaError(error, 'trust-rollback')) return error;
      throw error;
    }
  }

  private async read(object: TrustObject): Promise<Collection> {
    const { memory, place, now } = this.options;
    const collection = await this.verify(object);
    await collection.memory.keepHead(place, { content: object.content, refreshedAt: now });
    await memory.note(place, collection.id);
    return collection;
  }

  /** The answer from memory, where that is so new that an older head may come of a race. @throws BullaError `found` */
  async race(found: BullaError): Promise<Collection> {
    const { place, now, onWarning } = this.options;
    const age = this.known && now.getTime() - this.known.refreshedAt.getTime();
    const isRace = age !== undefined && age >= 0 && age < RACE_MS;
    if (!isRace || this.known === undefined || !isBullaError(found, 'trust-rollback')) throw found;
    onWarning?.(
      `${place} went back to an older state (${found.message}); it was refreshed ${Math.round(age / 1000)} s ago, and two publishers may be racing, so the answer is from then`,
    );
    return await this.verify(await openTrustObject(this.source, this.known.content, this.options));
  }

  async verify(object: TrustObject): Promise<Collection> {
    const { source, seen } = this;
    const { memory, place, now, anchor, isPinned, isNamed } = this.options;
    const roots = rootsOf(source, object, this.options);
    const anchored = seen === undefined || isPinned ? await anchor(roots) : undefined;
    const id = anchored?.id ?? (seen as CollectionId);
    if (seen !== undefined && seen !== id) throw otherCollection(place, seen, id);
    if (roots.id !== id)
      throw seen === undefined ? foreignHead(place, id, roots.id) : otherCollection(place, seen, roots.id);
    const store = await memory.open(id);
    const check = bindingCheck(id, isNamed);
    const stored = await loadStored(store, 'root', place);
    if (stored !== undefined) assertReaches(readRoot(stored, place), roots);
    else if (seen !== undefined) throw damagedMemory(place, 'the root that was verified is missing');
    // The refresh goes on from what is stored; that the pin leads there too is for us to see.
    if (anchored !== undefined) await followRoots(anchored.initialRoot, roots, now, check);
    const wasKnown = (await loadStored(store, 'timestamp', place)) !== undefined;
    const client = await this.refresh(object, store, check, anchored?.initialRoot);
    assertReaches(client.trusted.root, roots);
    const name = rootBindingOf(client.trusted.root.file).collection;
    return { place, id, name, source, object, client, memory: store, check, readAt: now, wasKnown };
  }

  /** The TUF workflow now, or, where that is allowed, as of a time when nothing had expired. */
  private async refresh(
    object: TrustObject,
    store: CollectionMemory,
    check: BindingCheck,
    initialRoot: Uint8Array | undefined,
  ): Promise<TufClient> {
    const { now, maxStaleness = 0, onWarning } = this.options;
    const update = (at: Date) =>
      refresh(new ObjectFetcher(this.source, object, this.options), store, at, {
        demand: check,
        limits: CHAIN_LIMITS,
        // Of two heads that race, one can have the higher timestamp and the other the higher names.
        isWhole: true,
        repair: repairOf(this.options.place),
        ...(this.seen !== undefined && { stored: this.known === undefined ? 'both-or-neither' : 'both' }),
        ...(initialRoot !== undefined && { initialRoot }),
        ...(onWarning !== undefined && { onWarning }),
      });
    try {
      return await update(now);
    } catch (error) {
      if (maxStaleness <= 0 || !isBullaError(error, 'trust-expired')) throw error;
    }
    const earliest = new Date(now.getTime() - maxStaleness);
    const client = await update(earliest);
    const created = createdOf(client);
    // What had expired when the timestamp was made was not good even then.
    return created > earliest ? await update(created) : client;
  }
}

/** The stored root; it was verified when it was stored. @throws BullaError storage-error */
function readRoot(bytes: Uint8Array, place: string): Trusted<Root> {
  try {
    const file = parseMetadataFile(bytes, 'root', DEFAULT_LIMITS.rootBytes);
    return { file, content: parseRoot(file) };
  } catch (error) {
    if (!isBullaError(error)) throw error;
    throw damagedMemory(place, `the root that was verified cannot be read: ${error.message}`, error);
  }
}

async function loadStored(
  store: CollectionMemory,
  role: string,
  place: string,
): Promise<Uint8Array | undefined> {
  try {
    return await store.load(role);
  } catch (error) {
    const isDamage = isBullaError(error, 'storage-error') && error.details['reason'] === 'damaged-state';
    throw isDamage ? damagedMemory(place, error.message, error) : error;
  }
}

/** Going on without what was remembered would make of a place that was seen one that never was. */
function damagedMemory(place: string, why: string, cause?: unknown): BullaError {
  return new BullaError('storage-error', `what is remembered of ${place} is damaged: ${why}`, {
    cause,
    hint: repairOf(place),
    details: { place, reason: 'damaged-state' },
  });
}

function repairOf(place: string): string {
  return `restore it from a backup; or forget on purpose what is remembered of it, and compare its root keys with those that its publisher tells you: bulla pin rm ${place}, then bulla pin ${place}`;
}

function missingHead(place: string, wasSeen: boolean): BullaError {
  return new BullaError(
    'trust-invalid',
    wasSeen
      ? `${place} has no trust collection any more: the tag ${HEAD_TAG} is gone`
      : `${place} has no trust collection, and one was demanded: there is no tag ${HEAD_TAG}`,
    {
      hint: 'it was removed, or is elsewhere now (--at); to put it back: bulla recover REPOSITORY --lost trust-tag; to accept that names are no longer signed: bulla pin rm',
      details: { place, reason: 'missing-head' },
    },
  );
}

function notAHead(place: string, object: TrustObject): BullaError {
  const what = object.isCandidate ? 'a candidate' : `a ${object.kind}`;
  return new BullaError('trust-invalid', `${place}: the tag ${HEAD_TAG} is ${what}, not a head`, {
    hint: 'the tag was moved; publish again, or run bulla status to see whether a head can be restored',
    details: { place, reason: 'object' },
  });
}

function foreignHead(place: string, id: CollectionId, found: CollectionId): BullaError {
  return new BullaError(
    'trust-invalid',
    `the roots of ${place} begin with those of the collection ${found.slice(0, 12)}, not ${id.slice(0, 12)}`,
    {
      hint: 'the head was assembled from other collections: tell the operator of the registry',
      details: { role: 'root', reason: 'binding', expected: id, found },
    },
  );
}

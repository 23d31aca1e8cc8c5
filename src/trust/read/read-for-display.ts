import { type BullaError, isBullaError } from '../../errors.ts';
import type { StateChange } from '../../tuf/ports.ts';
import { type CollectionId, collectionIdOf } from '../format/binding.ts';
import type { ObjectSource } from '../format/object.ts';
import { type Anchor, type Collection, type ReadOptions, readCollection } from './collection.ts';
import { type CollectionMemory, type KnownHead, ProcessMemory, type TrustMemory } from './memory.ts';

/** A collection that somebody looks at. */
export interface LookedAt {
  readonly collection: Collection;
  /** It is unpinned: its root is what is there, and nothing in it was compared with what somebody knows. */
  readonly unpinned?: BullaError | undefined;
  /** Something has expired: no client would use it as it is. */
  readonly expired?: BullaError | undefined;
}

/** A time before anything can have expired. */
const BEFORE_ALL_EXPIRY: Date = new Date(0);

/**
 * Reads a collection for people to look at, also where nobody could use it: when it has expired, and
 * before anybody has pinned it. Signatures and the binding are verified in any case, and nothing that could
 * not be used is remembered. Not for decisions.
 * @returns undefined where there is none
 * @throws BullaError as readCollection, but for trust-expired and trust-unpinned
 */
export async function lookAtCollection(
  source: ObjectSource,
  options: ReadOptions,
): Promise<LookedAt | undefined> {
  try {
    return await lookNow(source, options);
  } catch (unpinned) {
    if (!isBullaError(unpinned, 'trust-unpinned')) throw unpinned;
    const looked = await lookNow(source, {
      ...options,
      anchor: anyFirstRoot,
      isPinned: false,
      memory: new ProcessMemory(),
    });
    return looked && { ...looked, unpinned };
  }
}

async function lookNow(source: ObjectSource, options: ReadOptions): Promise<LookedAt | undefined> {
  try {
    const collection = await readCollection(source, options);
    return collection && { collection };
  } catch (expired) {
    if (!isBullaError(expired, 'trust-expired')) throw expired;
    const still = { ...options, now: BEFORE_ALL_EXPIRY, memory: new StillMemory(options.memory) };
    const collection = await readCollection(source, still);
    return collection && { collection, expired };
  }
}

const anyFirstRoot: Anchor = async (roots) => {
  const initialRoot = await roots.load(1);
  return { id: collectionIdOf(initialRoot), initialRoot };
};

/** A memory that nothing is added to. It tells of no head, so that none is answered from it. */
class StillMemory implements TrustMemory {
  readonly isLasting: boolean = false;
  private readonly inner: TrustMemory;

  constructor(inner: TrustMemory) {
    this.inner = inner;
  }

  seen(place: string): Promise<CollectionId | undefined> {
    return this.inner.seen(place);
  }

  async note(): Promise<void> {}

  async forget(): Promise<void> {}

  async open(id: CollectionId): Promise<CollectionMemory> {
    return new StillCollection(await this.inner.open(id));
  }
}

class StillCollection implements CollectionMemory {
  private readonly inner: CollectionMemory;

  constructor(inner: CollectionMemory) {
    this.inner = inner;
  }

  load(role: string): Promise<Uint8Array | undefined> {
    return this.inner.load(role);
  }

  async replace(_changes: readonly StateChange[]): Promise<boolean> {
    return true;
  }

  async keep(): Promise<void> {}

  async loadHead(): Promise<KnownHead | undefined> {
    return undefined;
  }

  async keepHead(): Promise<void> {}
}

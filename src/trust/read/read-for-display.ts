import { type BullaError, isBullaError } from '../../errors.ts';
import type { ObjectSource } from '../format/object.ts';
import { anyFirstRoot, type Collection, type ReadOptions, readCollection } from './collection.ts';
import { ProcessMemory } from './memory.ts';
import { ScratchMemory } from './scratch-memory.ts';
import { WorkingCopy } from './working-copy.ts';

/** A collection that is displayed. */
export interface DisplayedCollection {
  readonly collection: Collection;
  /** All of its files but bins. */
  readonly copy: WorkingCopy;
  /** It is unpinned: its root is the served one, and was not compared with a trusted one. */
  readonly unpinned?: BullaError | undefined;
  /** Something has expired: no client would use it as it is. */
  readonly expired?: BullaError | undefined;
}

/** A time before anything can have expired. */
const BEFORE_ALL_EXPIRY: Date = new Date(0);

/**
 * Reads a collection for display, also if it cannot be used: when it has expired, and
 * before it was pinned. Signatures and the binding are verified in any case, and nothing that could
 * not be used is remembered. Not for decisions.
 * @returns undefined where there is none
 * @throws BullaError as readCollection, but for trust-expired and trust-unpinned
 */
export async function readForDisplay(
  source: ObjectSource,
  options: ReadOptions,
): Promise<DisplayedCollection | undefined> {
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

async function lookNow(source: ObjectSource, options: ReadOptions): Promise<DisplayedCollection | undefined> {
  try {
    return await lookWith(source, options);
  } catch (expired) {
    if (!isBullaError(expired, 'trust-expired')) throw expired;
    const still = { ...options, now: BEFORE_ALL_EXPIRY, memory: new ScratchMemory(options.memory) };
    const looked = await lookWith(source, still);
    return looked && { ...looked, expired };
  }
}

/** The files of the roles may have expired too, although the head has not. */
async function lookWith(
  source: ObjectSource,
  options: ReadOptions,
): Promise<DisplayedCollection | undefined> {
  const collection = await readCollection(source, options);
  if (collection === undefined) return undefined;
  return { collection, copy: await WorkingCopy.open(collection, { signal: options.signal }) };
}

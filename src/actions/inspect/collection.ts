import { BullaError } from '../../errors.ts';
import type { CallOptions } from '../../oci/target.ts';
import type { ObjectSource } from '../../trust/format/object.ts';
import { HEAD_TAG } from '../../trust/format/vocabulary.ts';
import { readCollection } from '../../trust/read/collection.ts';
import { type DisplayedCollection, readForDisplay } from '../../trust/read/read-for-display.ts';
import { WorkingCopy } from '../../trust/read/working-copy.ts';
import type { OpenedCollection } from '../verify/collection.ts';

/** A collection that is shown to people. */
export interface InspectedCollection<S extends ObjectSource = ObjectSource> {
  readonly opened: OpenedCollection<S>;
  readonly looked: DisplayedCollection;
  readonly copy: WorkingCopy;
  /** Whether it was compared with a pin or with what was known, and has not expired. */
  readonly trusted: boolean;
  /** Why it cannot be used as it is, in words. */
  readonly warnings: readonly string[];
}

/**
 * Reads a collection to show it, even where it cannot be used.
 * @returns undefined where there is none
 * @throws BullaError as readForDisplay
 */
export async function inspectCollection<S extends ObjectSource>(
  opened: OpenedCollection<S>,
  options: CallOptions,
): Promise<InspectedCollection<S> | undefined> {
  const looked = await readForDisplay(opened.target, { ...opened.read, ...options });
  if (looked === undefined) return undefined;
  const { unpinned, expired, copy } = looked;
  const warnings = [
    unpinned && `${unpinned.message}. What follows is what ${opened.place} says of itself; ${unpinned.hint}`,
    expired && `this collection cannot be used now: ${expired.message}`,
  ].filter((warning) => warning !== undefined);
  return { opened, looked, copy, trusted: warnings.length === 0, warnings };
}

/**
 * Reads a collection that is handed on to others: it must be pinned or known, and fresh.
 * @throws BullaError not-found where there is none; as readCollection
 */
export async function readToHandOn(
  { target, read, place }: OpenedCollection,
  options: CallOptions,
): Promise<WorkingCopy> {
  const collection = await readCollection(target, read);
  if (collection === undefined) throw noCollection(place);
  return await WorkingCopy.open(collection, options);
}

/** The error where there is no collection, and one is needed. */
export function noCollection(place: string): BullaError {
  return new BullaError('not-found', `${place} has no trust collection: there is no tag ${HEAD_TAG}`, {
    hint: 'if it is in another repository: --at HOST/REPOSITORY; to create one: bulla init',
  });
}

import { BullaError } from '../../errors.ts';
import type { Reference } from '../../oci/reference.ts';
import { HEAD_TAG } from '../../trust/format/vocabulary.ts';
import type { LookedAt } from '../../trust/read/read-for-display.ts';
import type { WorkingCopy } from '../../trust/read/working-copy.ts';
import type { Context } from '../shell/context.ts';
import { type CollectionFlags, type OpenedCollection, openCollection } from './collection-flags.ts';

/** A collection that a command shows. */
export interface Shown {
  readonly opened: OpenedCollection;
  readonly looked: LookedAt;
  readonly copy: WorkingCopy;
  /** For `-o json`: whether it was compared with a pin or with what was known, and is not expired. */
  readonly trusted: boolean;
}

/**
 * Reads the collection that a command is to show, and warns if it cannot be used.
 * @returns undefined where there is none
 * @throws BullaError as lookAtCollection
 */
export async function showCollection(
  context: Context,
  reference: Reference,
  flags: CollectionFlags,
): Promise<Shown | undefined> {
  const [{ lookAtCollection }, { WorkingCopy }] = await Promise.all([
    import('../../trust/read/read-for-display.ts'),
    import('../../trust/read/working-copy.ts'),
  ]);
  const opened = await openCollection(context, reference, flags);
  const looked = await lookAtCollection(opened.target, opened.read);
  if (looked === undefined) return undefined;
  const { unpinned, expired } = looked;
  if (unpinned !== undefined)
    context.output.warn(
      `${unpinned.message}. What follows is what ${opened.place} says of itself; ${unpinned.hint}`,
    );
  if (expired !== undefined) context.output.warn(`this collection cannot be used now: ${expired.message}`);
  const copy = await WorkingCopy.open(looked.collection, { signal: context.signal });
  return { opened, looked, copy, trusted: unpinned === undefined && expired === undefined };
}

/** Whether a collection that can be verified was pinned, demanded or seen. */
export async function isExpected(
  context: Context,
  reference: Reference,
  flags: CollectionFlags,
): Promise<boolean> {
  const { pin, place, read } = await openCollection(context, reference, flags);
  return pin !== undefined || (await read.memory.seen(place)) !== undefined;
}

/** As {@link showCollection}, for commands that have nothing else to show. @throws BullaError not-found where there is none */
export async function demandShown(
  context: Context,
  reference: Reference,
  flags: CollectionFlags,
): Promise<Shown> {
  const shown = await showCollection(context, reference, flags);
  if (shown !== undefined) return shown;
  const { place } = await openCollection(context, reference, flags);
  throw noCollection(place);
}

/**
 * The collection of a command that hands it on: it must be pinned or known, and fresh.
 * @throws BullaError not-found where there is none; as readCollection
 */
export async function demandCollection(
  context: Context,
  reference: Reference,
  flags: CollectionFlags,
): Promise<WorkingCopy> {
  const [{ readCollection }, { WorkingCopy }] = await Promise.all([
    import('../../trust/read/collection.ts'),
    import('../../trust/read/working-copy.ts'),
  ]);
  const { target, read, place } = await openCollection(context, reference, flags);
  const collection = await readCollection(target, read);
  if (collection === undefined) throw noCollection(place);
  return await WorkingCopy.open(collection, { signal: context.signal });
}

/** Where one is needed that was never seen. */
export function noCollection(place: string): BullaError {
  return new BullaError('not-found', `${place} has no trust collection: there is no tag ${HEAD_TAG}`, {
    hint: 'if it lies in another repository: --at HOST/REPOSITORY; to make one: bulla init',
  });
}

/** Whether a reference names a whole repository; a layout is one where it has a collection. */
export async function isCollection(context: Context, reference: Reference): Promise<boolean> {
  if (reference.tag !== undefined || reference.digest !== undefined) return false;
  if (reference.kind === 'registry') return true;
  const source = await context.openSource(reference);
  return (await source.listTags({ signal: context.signal })).includes(HEAD_TAG);
}

/** What the key store calls its keys, by the fingerprint of their material. Keys that can't be read are left out. */
export async function keyNames(context: Context): Promise<ReadonlyMap<string, string>> {
  const { keystoreOf } = await import('./keys.ts');
  const keys = await keystoreOf(context).list();
  return new Map(keys.flatMap((key) => ('problem' in key ? [] : [[key.publicKey.fingerprint, key.name]])));
}

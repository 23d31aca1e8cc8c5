import type { InspectedCollection } from '../../actions/inspect/collection.ts';
import type { Reference } from '../../oci/reference.ts';
import type { Target } from '../../oci/target.ts';
import { HEAD_TAG } from '../../trust/format/vocabulary.ts';
import type { Context } from '../shell/context.ts';
import { type CollectionFlags, openCollection } from './collection-flags.ts';

/** A collection that a command shows. */
export type Shown = InspectedCollection<Target>;

/**
 * Reads the collection that a command is to show, and warns if it cannot be used.
 * @returns undefined where there is none
 * @throws BullaError as inspectCollection
 */
export async function showCollection(
  context: Context,
  reference: Reference,
  flags: CollectionFlags,
): Promise<Shown | undefined> {
  const { inspectCollection } = await import('../../actions/inspect/collection.ts');
  const opened = await openCollection(context, reference, flags);
  const shown = await inspectCollection(opened, { signal: context.signal });
  for (const warning of shown?.warnings ?? []) context.output.warn(warning);
  return shown;
}

/** As {@link showCollection}, for commands that have nothing else to show. @throws BullaError not-found where there is none */
export async function demandShown(
  context: Context,
  reference: Reference,
  flags: CollectionFlags,
): Promise<Shown> {
  const shown = await showCollection(context, reference, flags);
  if (shown !== undefined) return shown;
  const { noCollection } = await import('../../actions/inspect/collection.ts');
  throw noCollection((await openCollection(context, reference, flags)).place);
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

import { formatTime } from '../encoding/time.ts';
import { RepositoryEdit } from '../tuf/edit/edit.ts';
import type { KeyChoice } from '../tuf/edit/key-list.ts';
import type { EditPolicy } from '../tuf/edit/policy.ts';
import { EMPTY_REPOSITORY, type RepositoryFiles } from '../tuf/edit/repository.ts';
import type { TufSigner } from '../tuf/edit/signing.ts';
import { BINDING, type CollectionId, collectionIdOf, roleBinding, rootBinding } from './binding.ts';
import { emptyLog, encodeLog, logBinding } from './log.ts';
import { NAMES_ROLE } from './vocabulary.ts';

/** All files of a collection that are in hand, and the logs of its roles. */
export interface CollectionFiles {
  readonly id: CollectionId;
  readonly files: RepositoryFiles;
  readonly logs: ReadonlyMap<string, Uint8Array>;
}

/** What a collection is to begin with. */
export interface NewCollection {
  /** `HOST/REPOSITORY` that it is for. */
  readonly name: string;
  /** Of root and of targets, which only says who may. */
  readonly root: KeyChoice;
  /** Of `names`. */
  readonly names: KeyChoice;
  /** Of snapshot and timestamp. */
  readonly online: KeyChoice;
  readonly now: Date;
  readonly policy?: Partial<EditPolicy>;
}

/**
 * Makes the files of a collection without a name in it (spec/trust.md, "Roles").
 * @throws BullaError threshold-not-met (details.missing) where signers are missing; usage, key-invalid
 */
export async function createCollection(
  collection: NewCollection,
  signers: readonly TufSigner[],
): Promise<CollectionFiles> {
  const { name, root, names, online, now, policy } = collection;
  const options = { now, ...(policy !== undefined && { policy }) };
  const first = new RepositoryEdit(EMPTY_REPOSITORY, options);
  first.createRoot({ root, targets: root, snapshot: online, timestamp: online });
  first.extend('root', { [BINDING]: rootBinding(name) });
  const base = await first.settle().publish(signers);
  const id = collectionIdOf((base.roots[0] as (typeof base.roots)[number]).bytes);
  const edit = new RepositoryEdit(base, options);
  edit.targets('targets').delegate({ ...names, name: NAMES_ROLE, paths: ['*'] });
  edit.extend('targets', { [BINDING]: roleBinding(id, 'targets') });
  const log = encodeLog(emptyLog(now));
  edit.extend(NAMES_ROLE, { [BINDING]: roleBinding(id, NAMES_ROLE, logBinding(log)) });
  bindOnline(edit, id, now);
  return { id, files: await edit.settle().publish(signers), logs: new Map([[NAMES_ROLE, log]]) };
}

/** What snapshot and timestamp say about where they belong, and the timestamp about when it was made. */
export function bindOnline(edit: RepositoryEdit, id: CollectionId, now: Date): void {
  edit.extend('snapshot', { [BINDING]: roleBinding(id, 'snapshot') });
  edit.extend('timestamp', { [BINDING]: roleBinding(id, 'timestamp', { created: formatTime(now) }) });
}

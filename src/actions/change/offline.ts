import { BullaError } from '../../errors.ts';
import type { ChangeFile } from '../../trust/approve/change-file.ts';
import { PendingChange } from '../../trust/approve/pending-change.ts';
import { CollectionEdit } from '../../trust/change/collection-edit.ts';
import type { StructureChange } from '../../trust/change/role-changes.ts';
import { isBinName } from '../../trust/format/bins.ts';
import { NAMES_ROLE } from '../../trust/format/vocabulary.ts';
import type { WorkingCopy } from '../../trust/read/working-copy.ts';
import { Keyring } from '../../tuf/edit/demands.ts';
import type { VersionPolicy } from '../../tuf/edit/policy.ts';
import { withFiles, writeRepositoryFiles } from '../../tuf/edit/repository.ts';
import type { SignatureDemand, TufSigner } from '../../tuf/edit/signing.ts';
import type { MetadataFile } from '../../tuf/metadata-file.ts';

export interface OfflineOptions {
  readonly now: Date;
  readonly versions: VersionPolicy;
  /** The available ones, which sign at once. */
  readonly signers: readonly TufSigner[];
}

/**
 * Makes the files of a change, and signs them as far as can be here, to be carried to the keys that lack
 * (spec/trust-roles.md, "Changes in steps"). Snapshot and timestamp are made when it is published; so are
 * the files of `names` where it has bins, whose keys must be there then.
 * @throws BullaError usage, key-invalid; what the source throws
 */
export async function exportChange(
  copy: WorkingCopy,
  change: StructureChange,
  { now, versions, signers }: OfflineOptions,
): Promise<PendingChange> {
  const edit = new CollectionEdit(copy, { now, policy: { versions } });
  await change(edit, copy);
  const { edit: prepared, logs } = edit.prepare();
  await prepared.sign(signers);
  const made = prepared.pending().filter(({ role }) => !isBinName(role));
  const carried = made.filter(({ role }) => role !== NAMES_ROLE || copy.bins === undefined);
  if (carried.length === 0)
    throw new BullaError('usage', 'nothing of this change has to be signed elsewhere', {
      hint: 'make it where the keys are, without --export-unsigned',
    });
  const touched = new Set(['targets', ...made.map(({ role }) => role)]);
  const { id, name, place } = copy.collection;
  const file: ChangeFile = {
    ...{ collection: name, place, id, made: now, summary: [] },
    base: writeRepositoryFiles({
      roots: copy.files.roots,
      roles: new Map([...copy.files.roles].filter(([role]) => touched.has(role))),
    }),
    files: new Map(carried.map(({ role, file: { bytes } }) => [role, bytes])),
    logs: new Map([...logs].filter(([role]) => carried.some((one) => one.role === role))),
  };
  const summary = PendingChange.open(file, now).describe();
  return PendingChange.open({ ...file, summary }, now);
}

/**
 * What has to be signed for a change of a collection, by whom: its files, and snapshot and timestamp under
 * the keys that they have then.
 * @throws BullaError usage, key-invalid; what the source throws
 */
export async function demandsOf(
  copy: WorkingCopy,
  change: StructureChange,
  options: Pick<OfflineOptions, 'now' | 'versions'>,
): Promise<readonly SignatureDemand[]> {
  const files = await filesOf(copy, change, options);
  const [before, after] = [new Keyring(copy.files), new Keyring(withFiles(copy.files, files))];
  const isRoot = files.some(({ role }) => role === 'root');
  const roles = new Set([...files.map(({ role }) => role), 'snapshot', 'timestamp']);
  return [
    ...(isRoot ? before.demandsOn('root') : []),
    ...[...roles].flatMap((role) => (isBinName(role) ? [] : after.demandsOn(role))),
  ];
}

/** Of {@link demandsOf} those on snapshot and timestamp. */
export async function onlineDemands(
  copy: WorkingCopy,
  change: StructureChange,
  options: Pick<OfflineOptions, 'now' | 'versions'>,
): Promise<readonly SignatureDemand[]> {
  const after = new Keyring(withFiles(copy.files, await filesOf(copy, change, options)));
  return ['snapshot', 'timestamp'].flatMap((role) => after.demandsOn(role));
}

async function filesOf(
  copy: WorkingCopy,
  change: StructureChange,
  { now, versions }: Pick<OfflineOptions, 'now' | 'versions'>,
): Promise<readonly MetadataFile[]> {
  const edit = new CollectionEdit(copy, { now, policy: { versions } });
  await change(edit, copy);
  return edit
    .prepare()
    .edit.pending()
    .map(({ file }) => file);
}

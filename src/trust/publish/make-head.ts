import { createHash } from 'node:crypto';
import { type RepositoryFiles, versionOf } from '../../tuf/edit/repository.ts';
import { isTopLevelRole } from '../../tuf/role-name.ts';
import type { SiblingPlan } from '../candidates/fold-plan.ts';
import type { StructuralOffer } from '../candidates/key-change-offer.ts';
import { findForks } from '../candidates/root-forks.ts';
import { type FoundSiblings, isUnanswered, type Sibling } from '../candidates/siblings.ts';
import { listFolded } from '../candidates/superseded.ts';
import { CollectionEdit } from '../change/collection-edit.ts';
import type { Assembly } from '../format/assemble.ts';
import { isBinName } from '../format/bins.ts';
import { announceHead } from '../format/candidate.ts';
import { type ChangeLog, encodeLog, LOG_KEPT_BYTES, LOG_KEPT_MS } from '../format/log.ts';
import { HIGHEST_FOLLOWED, trustVersions } from '../format/versions.ts';
import type { Base } from './publish-base.ts';
import type { PublishOptions } from './publish-options.ts';
import { usedVersions } from './signer-state.ts';
import type { PublishWork } from './work.ts';

/** Added to what a log must keep at the least: for clocks that are not in step. */
const CUT_MARGIN_MS = 3_600_000;

/** A head that is ready to be announced and moved to. */
export interface MadeHead {
  readonly candidate: Assembly;
  readonly head: Assembly;
  /** Hex SHA-256 of what is signed in its timestamp. */
  readonly identity: string;
  readonly files: RepositoryFiles;
}

/**
 * Signs the next head: what is folded and adopted, then one's own work.
 * @throws BullaError threshold-not-met; what `work` and the target throw
 */
export async function makeHead(
  base: Base,
  found: FoundSiblings,
  plan: SiblingPlan,
  work: PublishWork,
  options: PublishOptions,
): Promise<MadeHead> {
  const edit = await beginEdit(base, found.siblings, options);
  if (plan.structure !== undefined) {
    adoptStructure(edit, plan.structure);
    return await finishHead(edit, base, found, new Set(), options);
  }
  for (const { role, file, log, bins } of plan.adoptions)
    if (!work.roles.has(role)) edit.adopt(role, file, log, bins);
  const mayCut = found.isComplete && !base.isBuried;
  const signed = new Set([...plan.folds.keys(), ...work.roles]);
  const cuts = new Map<string, Date>();
  const cutLogs = async (): Promise<void> => {
    for (const role of mayCut ? signed : []) {
      const cut = cuts.get(role) ?? cutFor(await edit.log(role), options);
      if (cut !== undefined) await edit.apply(role, [], cut);
      if (cut !== undefined) cuts.set(role, cut);
    }
  };
  // A log may be so full that nothing fits in before what is old has left it.
  await cutLogs();
  for (const [role, entries] of plan.folds) await edit.apply(role, entries);
  await work.apply(edit, base);
  await cutLogs();
  return await finishHead(edit, base, found, signed, options);
}

/** Takes a staged change of keys as it is; what its files say of names is what the head says. */
function adoptStructure(edit: CollectionEdit, { files, logs }: StructuralOffer): void {
  for (const [role, bytes] of files) {
    const log = logs.get(role);
    if (log === undefined) edit.edit.adopt(role, bytes);
    else edit.adopt(role, bytes, log);
  }
}

/** @param signed roles that were changed here, and are signed anew */
async function finishHead(
  edit: CollectionEdit,
  base: Base,
  found: FoundSiblings,
  signed: ReadonlySet<string>,
  options: PublishOptions,
): Promise<MadeHead> {
  const making = { copy: base.copy, signed, log: (role: string) => edit.log(role) };
  const folded = edit.noteFolded(await listFolded(making, found, options.clock.now()));
  const prepared = edit.prepare();
  const files = await prepared.edit.publish(options.signers);
  const timestamp = files.timestamp?.message ?? new Uint8Array();
  const head = await prepared.assemble(files);
  return {
    candidate: announceHead(head, folded),
    head,
    identity: createHash('sha256').update(timestamp).digest('hex'),
    files,
  };
}

/** An edit of the base whose versions are above whatever was verified anywhere. */
export async function beginEdit(
  base: Base,
  siblings: readonly Sibling[],
  options: PublishOptions,
): Promise<CollectionEdit> {
  const { clock, chance, policy } = options;
  return new CollectionEdit(base.copy, {
    now: clock.now(),
    policy: { ...policy, versions: trustVersions((range) => chance.below(range)) },
    tops: await topsOf(base, siblings),
    forks: await findForks(base.copy.collection.source, base.copy, siblings),
  });
}

/** Highest versions by role that verified files of siblings and the signer's own state have shown. */
async function topsOf(base: Base, siblings: readonly Sibling[]): Promise<ReadonlyMap<string, number>> {
  const tops = new Map(usedVersions(base.record, base.copy.collection));
  const note = (role: string, version: number) => {
    if (version <= HIGHEST_FOLLOWED) tops.set(role, Math.max(version, tops.get(role) ?? 0));
  };
  const present = base.copy.collection.client.trusted.timestamp.content.version;
  for (const { roles, timestamp } of siblings) {
    for (const [role, { file }] of roles) note(role, versionOf(file));
    if (timestamp === undefined) continue;
    note('timestamp', timestamp.version);
    if (timestamp.version <= present) continue;
    try {
      const snapshot = await timestamp.snapshot();
      note('snapshot', snapshot.version);
      for (const [path, { version }] of snapshot.meta) note(path.replace(/\.json$/, ''), version);
    } catch (error) {
      // No client can have used a candidate as a head if its snapshot is missing.
      if (isUnanswered(error)) throw error;
    }
  }
  return tops;
}

/** Versions of files, by role; without bins, because there are many and siblings show them. */
export function versionsOf(files: RepositoryFiles): ReadonlyMap<string, number> {
  const all = [...files.roles.values(), files.snapshot, files.timestamp].flatMap((file) => file ?? []);
  return new Map(
    all
      .filter(({ role }) => isTopLevelRole(role) || !isBinName(role))
      .map((file) => [file.role, versionOf(file)]),
  );
}

/** Before when entries may leave a log that has grown; undefined where it stays as it is. */
function cutFor(log: ChangeLog, { clock, registryNow }: PublishOptions): Date | undefined {
  if (encodeLog(log).byteLength <= LOG_KEPT_BYTES) return undefined;
  const now = clock.now();
  const told = registryNow?.() ?? now;
  return new Date(Math.min(now.getTime(), told.getTime()) - LOG_KEPT_MS - CUT_MARGIN_MS);
}

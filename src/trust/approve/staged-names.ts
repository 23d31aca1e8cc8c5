import { equalBytes } from '../../encoding/bytes.ts';
import { type BullaError, isBullaError } from '../../errors.ts';
import type { CallOptions } from '../../oci/target.ts';
import { delegationOf } from '../../tuf/delegations.ts';
import { versionOf } from '../../tuf/edit/repository.ts';
import { PendingFile, type SignatureDemand } from '../../tuf/edit/signing.ts';
import { DEFAULT_LIMITS } from '../../tuf/limits.ts';
import { type MetadataFile, parseMetadataFile } from '../../tuf/metadata-file.ts';
import { metadataFileName, parseFileName } from '../../tuf/role-name.ts';
import { AdoptionReader } from '../candidates/adoption.ts';
import type { PartialRole, SiblingRole } from '../candidates/sibling-files.ts';
import type { RefusedSibling, Sibling } from '../candidates/siblings.ts';
import { isBuiltUpon } from '../change/fold.ts';
import { type Assembly, assembleStage } from '../format/assemble.ts';
import { isBinName } from '../format/bins.ts';
import type { LogEntry } from '../format/log.ts';
import { fetchFile, type TrustObject } from '../format/object.ts';
import type { TrustTarget } from '../format/ports.ts';
import { findRoleFile } from '../format/role-files.ts';
import { assertSignable, assertSignableFile } from '../format/signable.ts';
import type { WorkingCopy } from '../read/working-copy.ts';
import { changeIdOf } from './change-id.ts';

/** A change of names that waits beside the head: copies of one file, by any signers. */
export interface StagedNames {
  /** {@link changeIdOf}: the same for every set of signatures. */
  readonly id: string;
  readonly offer: SiblingRole | PartialRole;
  /** Whether it builds on what the head says; otherwise the head has moved on without it. */
  readonly isCurrent: boolean;
  /** What it changes that the head lacks. */
  readonly entries: readonly LogEntry[];
  /** The role's file, then its bins, with the valid signatures of all copies. */
  readonly files: readonly [PendingFile, ...PendingFile[]];
  /** The stages that hold it. */
  readonly from: readonly Sibling[];
}

/**
 * The changes of names among stages: those whose files say exactly what their logs say.
 * @throws BullaError what the target throws
 */
export async function readStagedNames(
  target: TrustTarget,
  copy: WorkingCopy,
  stages: readonly Sibling[],
  options: CallOptions & { readonly now: Date },
): Promise<{ readonly staged: readonly StagedNames[]; readonly refused: readonly RefusedSibling[] }> {
  const groups = new Map<string, StagedNames & { readonly from: Sibling[] }>();
  const refused: RefusedSibling[] = [];
  for (const { name: role } of copy.delegations.roles) {
    for (const stage of stages) {
      try {
        const group = await groupOf(target, copy, stage, role, options);
        if (group === undefined) continue;
        const known = groups.get(group.id);
        if (known === undefined) groups.set(group.id, group);
        else pool(known, group);
      } catch (error) {
        // Any account with push permission can put anything there, and a valid signer can stage an inconsistent change.
        if (!isBullaError(error, 'trust-invalid', 'content-invalid', 'not-found')) throw error;
        refused.push({ tag: stage.tag, code: error.code, message: (error as BullaError).message });
      }
    }
  }
  return { staged: [...groups.values()], refused };
}

/** The stage of such a change, with the signatures that are there by now. */
export function assembleNames({ files, offer }: Pick<StagedNames, 'files' | 'offer'>): Assembly {
  return assembleStage({
    files: new Map(
      files.map(({ file }) => [metadataFileName(file.role, versionOf(file)), file.bytes] as const),
    ),
    logs: new Map([[offer.role, offer.logBytes]]),
  });
}

/** Who must sign a role's file: what the head's targets says. */
function demandsOnRole({ delegations }: WorkingCopy, role: string): readonly SignatureDemand[] {
  const delegated = delegationOf(delegations, role);
  return delegated === undefined ? [] : [{ delegator: 'targets', keys: delegations.keys, role: delegated }];
}

/** What a stage changes of a role, checked but for its signatures; undefined where it is nothing that waits. */
async function groupOf(
  target: TrustTarget,
  copy: WorkingCopy,
  stage: Sibling,
  role: string,
  options: CallOptions & { readonly now: Date },
): Promise<(StagedNames & { readonly from: Sibling[] }) | undefined> {
  const offer = stage.roles.get(role) ?? stage.partial.get(role);
  if (offer === undefined) return undefined;
  const log = await copy.log(role);
  const applied = new Set(log.entries.map(({ id }) => id));
  const entries = offer.log.entries.filter(({ id }) => !applied.has(id));
  if (entries.length === 0) return undefined;
  const bins = await binsOf(target, copy, offer, stage, options);
  const isCurrent = isBuiltUpon(offer.log, log);
  const files = new Map([...bins].map(([bin, { file }]) => [bin, file]));
  if (isCurrent) await new AdoptionReader(target, copy, options.now).assertReflected(offer, entries, files);
  const id = changeIdOf({
    collection: copy.collection.id,
    files: [offer.file, ...files.values()],
    logs: new Map([[role, offer.logBytes]]),
  });
  const pending = new PendingFile(role, offer.file.signed, demandsOnRole(copy, role), [], assertSignable);
  addValid(pending, offer.file);
  return {
    ...{ id, offer, isCurrent, entries },
    files: [pending, ...[...bins.values()].map((bin) => bin.pending)],
    from: [stage],
  };
}

/** Puts the signatures of another copy of the same change to those that are there. */
function pool({ files, from }: { files: StagedNames['files']; from: Sibling[] }, other: StagedNames): void {
  for (const [at, file] of files.entries()) addValid(file, (other.files[at] as PendingFile).file);
  from.push(...other.from);
}

/** Bins that a stage has beside a file of `names`. */
async function binsOf(
  target: TrustTarget,
  copy: WorkingCopy,
  { content }: SiblingRole,
  { object }: Sibling,
  { signal }: CallOptions,
): Promise<ReadonlyMap<string, { readonly file: MetadataFile; readonly pending: PendingFile }>> {
  const { delegations } = content;
  const bins = new Map<string, { readonly file: MetadataFile; readonly pending: PendingFile }>();
  if (delegations?.succinct === undefined) return bins;
  for (const bin of binsIn(object)) {
    const delegated = delegationOf(delegations, bin);
    const descriptor = findRoleFile(object, bin)?.descriptor;
    if (delegated === undefined || descriptor === undefined) continue;
    const bytes = await fetchFile(target, descriptor, DEFAULT_LIMITS.targetsBytes, { signal });
    const file = parseMetadataFile(bytes, bin, DEFAULT_LIMITS.targetsBytes);
    copy.collection.check(file);
    assertSignableFile(file);
    const demands = [{ delegator: 'names', keys: delegations.keys, role: delegated }];
    const pending = new PendingFile(bin, file.signed, demands, [], assertSignable);
    addValid(pending, file);
    bins.set(bin, { file, pending });
  }
  return bins;
}

function binsIn(object: TrustObject): readonly string[] {
  const names = [...object.files.keys()].sort();
  return names.flatMap((name) => {
    const role = parseFileName(name)?.role;
    return role !== undefined && isBinName(role) ? [role] : [];
  });
}

/** Forged ones are left out; any account with push permission can add them. */
function addValid(pending: PendingFile, { signatures, message }: MetadataFile): void {
  if (!equalBytes(message, pending.message)) return;
  for (const signature of signatures) {
    try {
      pending.add(signature);
    } catch (error) {
      if (!isBullaError(error, 'untrusted-identity', 'signature-mismatch')) throw error;
    }
  }
}

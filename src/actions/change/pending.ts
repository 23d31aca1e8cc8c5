import { equalBytes } from '../../encoding/bytes.ts';
import { BullaError, isBullaError } from '../../errors.ts';
import type { Tag } from '../../oci/reference.ts';
import type { CallOptions } from '../../oci/target.ts';
import { changeIdOf, TYPED_DIGITS } from '../../trust/approve/change-id.ts';
import type { PendingChange } from '../../trust/approve/pending-change.ts';
import { readStagedChanges, stageChange } from '../../trust/approve/stage-change.ts';
import { AdoptionReader } from '../../trust/candidates/adoption.ts';
import type { PartialRole, SiblingRole } from '../../trust/candidates/sibling-files.ts';
import {
  isUnanswered,
  type RefusedSibling,
  type Sibling,
  SiblingReader,
} from '../../trust/candidates/siblings.ts';
import { linesOf, tellChange } from '../../trust/change/describe-change.ts';
import { isBuiltUpon, namesOf } from '../../trust/change/fold.ts';
import { assembleStage } from '../../trust/format/assemble.ts';
import { isBinName } from '../../trust/format/bins.ts';
import type { LogEntry } from '../../trust/format/log.ts';
import { fetchFile, type TrustObject } from '../../trust/format/object.ts';
import type { Random, TrustTarget } from '../../trust/format/ports.ts';
import { pushObject } from '../../trust/format/push.ts';
import { findRoleFile } from '../../trust/format/role-files.ts';
import { assertSignable, assertSignableFile } from '../../trust/format/signable.ts';
import { stageTag } from '../../trust/format/vocabulary.ts';
import { removeObject } from '../../trust/publish/removal.ts';
import type { WorkingCopy } from '../../trust/read/working-copy.ts';
import { delegationOf } from '../../tuf/delegations.ts';
import { formatVersion } from '../../tuf/edit/policy.ts';
import { versionOf } from '../../tuf/edit/repository.ts';
import {
  type MissingSignatures,
  PendingFile,
  type SignatureDemand,
  signFiles,
  type TufSigner,
} from '../../tuf/edit/signing.ts';
import { DEFAULT_LIMITS } from '../../tuf/limits.ts';
import { type MetadataFile, parseMetadataFile } from '../../tuf/metadata-file.ts';
import { metadataFileName, parseFileName } from '../../tuf/role-name.ts';

/** Something that waits beside a head. */
export interface Waiting {
  /** {@link changeIdOf}: 64 hex digits, the same for every set of signatures. */
  readonly id: string;
  readonly roles: readonly string[];
  readonly tags: readonly Tag[];
  /** What it changes, in sentences, compared with the head: everything. */
  readonly changes: readonly string[];
  /** The same, but for very many new names. */
  readonly summary: readonly string[];
  /** When the oldest of its changes was made, where it says so. */
  readonly since: Date | undefined;
  /** Ids of keys that have signed. */
  readonly signedBy: readonly string[];
  readonly missing: readonly MissingSignatures[];
  /**
   * `signatures` are missing; all are there and the `online` key is to take it over; or the head has moved
   * on without it, and it is `outdated`: its author has to make it again.
   */
  readonly state: 'signatures' | 'online' | 'outdated';
  readonly demands: readonly SignatureDemand[];
  /** Ids of the changes of names in it. */
  readonly entries: readonly string[];
  /**
   * Signs what is open, and puts it beside the head again.
   * @returns what waits now, as far as it is known here, at its new tag
   * @throws BullaError usage
   */
  sign(signers: readonly TufSigner[]): Promise<Waiting & { readonly tags: readonly [Tag] }>;
  /** For a change of roles and keys: the change itself. */
  readonly change?: PendingChange | undefined;
}

/** The pending changes, and the objects that are not valid changes. */
export interface PendingList {
  readonly waiting: readonly Waiting[];
  readonly refused: readonly RefusedSibling[];
}

export interface PendingOptions extends CallOptions {
  readonly now: Date;
  readonly chance: Pick<Random, 'fraction'>;
}

/**
 * Lists what waits for signatures, or for the online key, beside a head (spec/trust-roles.md, "Staged
 * changes"): changes of names, and of roles and keys.
 * @throws BullaError what the target throws
 */
export async function listPending(
  target: TrustTarget,
  copy: WorkingCopy,
  options: PendingOptions,
): Promise<PendingList> {
  const { now, chance, signal } = options;
  const { siblings, refused, roleChanges } = await new SiblingReader(target, chance, { signal }).read(
    copy,
    now,
  );
  const stages = siblings.filter(({ kind }) => kind === 'stage');
  const reasons = new Map<Tag, BullaError>();
  const onRefused = (tag: Tag, why: BullaError) => reasons.set(tag, why);
  const changes = await readStagedChanges(target, copy, roleChanges, now, { signal, onRefused });
  const known = new Set(changes.flatMap(({ tags }) => tags));
  const names = await waitingNames(
    target,
    copy,
    stages.filter(({ tag }) => !known.has(tag)),
    options,
  );
  return {
    waiting: [
      ...names.waiting,
      ...changes.map(({ id, tags, change }) => waitingChange(target, id, tags, change, options)),
    ],
    refused: [...refused, ...names.refused]
      .filter(({ tag }) => !known.has(tag))
      // What it lacks to be anything is of less concern than what is wrong with it as a change.
      .map(({ tag, code, message }) => ({
        tag,
        code: reasons.get(tag)?.code ?? code,
        message: reasons.get(tag)?.message ?? message,
      })),
  };
}

/**
 * The waiting change of an id, or of the beginning of one that no other has.
 * @throws BullaError not-found
 */
export function findPending({ waiting }: PendingList, id: string): Waiting {
  const isTyped = id.length >= TYPED_DIGITS;
  const found = waiting.filter((one) => isTyped && one.id.startsWith(id));
  const [only, another] = found;
  if (only !== undefined && another === undefined) return only;
  const why =
    another !== undefined
      ? `${found.length} changes that wait have an id that begins with ${id}`
      : `no change that waits has the id ${JSON.stringify(id.slice(0, 80))}`;
  throw new BullaError(
    'not-found',
    isTyped ? why : `${why}, of which at least ${TYPED_DIGITS} digits are needed`,
    {
      hint:
        waiting.length === 0
          ? 'nothing waits; it may be in the head already: bulla log'
          : `these wait: ${waiting.map((one) => one.id).join(', ')}`,
    },
  );
}

function waitingChange(
  target: TrustTarget,
  id: string,
  tags: readonly Tag[],
  change: PendingChange,
  options: CallOptions,
): Waiting {
  const missing = change.missing();
  return {
    ...{ id, tags, missing, change },
    roles: change.roles,
    changes: change.describe(),
    summary: change.tell().flatMap((told) => linesOf(told, true)),
    since: undefined,
    entries: [],
    signedBy: [...new Set(change.roles.flatMap((role) => change.signedBy(role)))],
    state: missing.length > 0 ? 'signatures' : 'online',
    demands: change.allDemands(),
    sign: async (signers) => {
      await change.sign(signers);
      const tag = await stageChange(target, change, { signal: options.signal });
      await removeReplaced(
        target,
        tags.filter((one) => one !== tag),
        options,
      );
      return { ...waitingChange(target, id, [tag], change, options), tags: [tag] };
    },
  };
}

/** The new stage has all signatures of those that it was put together from; other publishers would not remove these. */
async function removeReplaced(
  target: TrustTarget,
  tags: readonly Tag[],
  { signal }: CallOptions,
): Promise<void> {
  for (const tag of tags) {
    try {
      await removeObject(target, tag, null, { signal });
    } catch (error) {
      // The change is signed, and what lies there beside it does no harm.
      if (!isUnanswered(error)) throw error;
    }
  }
}

/** Copies of one change of names, by any signer. */
interface Group {
  readonly id: string;
  readonly offer: SiblingRole | PartialRole;
  readonly isCurrent: boolean;
  readonly entries: readonly LogEntry[];
  /** The role's file, then its bins. */
  readonly files: readonly [PendingFile, ...PendingFile[]];
  readonly from: Sibling[];
}

interface WaitingNames {
  readonly waiting: readonly Waiting[];
  readonly refused: readonly RefusedSibling[];
}

async function waitingNames(
  target: TrustTarget,
  copy: WorkingCopy,
  stages: readonly Sibling[],
  options: PendingOptions,
): Promise<WaitingNames> {
  const groups = new Map<string, Group>();
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
        refused.push({ tag: stage.tag, code: error.code, message: error.message });
      }
    }
  }
  return { waiting: [...groups.values()].map((group) => waitingRole(target, copy, group, options)), refused };
}

/** What a stage changes of a role, checked but for its signatures; undefined where it is nothing that waits. */
async function groupOf(
  target: TrustTarget,
  copy: WorkingCopy,
  stage: Sibling,
  role: string,
  options: PendingOptions,
): Promise<Group | undefined> {
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
  const all = [offer.file, ...files.values()];
  const id = changeIdOf({
    collection: copy.collection.id,
    files: all,
    logs: new Map([[role, offer.logBytes]]),
  });
  const pending = new PendingFile(role, offer.file.signed, demandsOn(copy, role), [], assertSignable);
  addValid(pending, offer.file);
  return {
    id,
    offer,
    isCurrent,
    entries,
    files: [pending, ...[...bins.values()].map((bin) => bin.pending)],
    from: [stage],
  };
}

/** Puts the signatures of another copy of the same change to those that are there. */
function pool({ files, from }: Group, other: Group): void {
  for (const [at, file] of files.entries()) addValid(file, (other.files[at] as PendingFile).file);
  from.push(...other.from);
}

function waitingRole(
  target: TrustTarget,
  copy: WorkingCopy,
  { id, offer, isCurrent, entries, files, from }: Group,
  options: PendingOptions,
): Waiting {
  const { role } = offer;
  const [pending] = files;
  const missing = files.flatMap((file) => file.missing());
  const told = isCurrent
    ? files.map(({ role: of, file }) => tellChange(copy.files.roles.get(of), file, copy.collection.id))
    : [];
  // Beside a head that it does not know, a file seems to take back what others did.
  const names = entries.flatMap((entry) => [...namesOf(entry)]).join(', ');
  const outdatedText = `${role} ${formatVersion(versionOf(pending.file))}: ${names}`;
  return {
    id,
    roles: [role],
    tags: from.map(({ tag }) => tag),
    changes: isCurrent ? told.flatMap((one) => linesOf(one)) : [outdatedText],
    summary: isCurrent ? told.flatMap((one) => linesOf(one, true)) : [outdatedText],
    since: new Date(Math.min(...entries.map(({ at }) => at.getTime()))),
    entries: entries.map((entry) => entry.id),
    signedBy: pending.file.signatures.map(({ keyid }) => keyid),
    missing,
    state: !isCurrent ? 'outdated' : missing.length > 0 ? 'signatures' : 'online',
    demands: demandsOn(copy, role),
    sign: async (signers) => {
      if (!isCurrent) throw outdated(role);
      await signFiles(files, signers);
      const tag = await stageAgain(target, files, offer, options);
      const group = { id, offer, isCurrent, entries, files, from };
      return { ...waitingRole(target, copy, group, options), tags: [tag] };
    },
  };
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

async function stageAgain(
  target: TrustTarget,
  files: readonly PendingFile[],
  { role, logBytes }: SiblingRole,
  { signal }: CallOptions,
): Promise<Tag> {
  const assembly = assembleStage({
    files: new Map(
      files.map(({ file }) => [metadataFileName(file.role, versionOf(file)), file.bytes] as const),
    ),
    logs: new Map([[role, logBytes]]),
  });
  const tag = stageTag(assembly.top.descriptor.digest);
  await pushObject(target, assembly, tag, new Set(), { signal });
  return tag;
}

function demandsOn(copy: WorkingCopy, role: string): readonly SignatureDemand[] {
  const { delegations } = copy;
  const delegated = delegationOf(delegations, role);
  return delegated === undefined ? [] : [{ delegator: 'targets', keys: delegations.keys, role: delegated }];
}

function outdated(role: string): BullaError {
  return new BullaError('conflict', `the head has moved on, and this file of ${role} was made without that`, {
    hint: 'its author must run bulla sign again; a bulla sign that is still waiting does so by itself',
    details: { role, reason: 'outdated' },
  });
}

import { BullaError, isBullaError } from '../../errors.ts';
import type { Digest } from '../../oci/digest.ts';
import type { Tag } from '../../oci/reference.ts';
import type { ChangeFile } from '../../trust/approve/change-file.ts';
import { gatherChange, importChange, isPublished } from '../../trust/approve/import-change.ts';
import type { PendingChange } from '../../trust/approve/pending-change.ts';
import { findSameChange } from '../../trust/approve/same-change.ts';
import { readStagedChanges, type StagedChange, stageChange } from '../../trust/approve/stage-change.ts';
import { SiblingReader } from '../../trust/candidates/siblings.ts';
import { describeChange } from '../../trust/change/describe-change.ts';
import type { StructureChange } from '../../trust/change/role-changes.ts';
import { trustVersions } from '../../trust/format/versions.ts';
import { publishEdit } from '../../trust/publish/publish.ts';
import { removeStages } from '../../trust/publish/removal.ts';
import { WorkingCopy } from '../../trust/read/working-copy.ts';
import type { VersionPolicy } from '../../tuf/edit/policy.ts';
import type { MissingSignatures, TufSigner } from '../../tuf/edit/signing.ts';
import { openEarly } from '../sign/keys-at-hand.ts';
import { type IntakeEntry, type IntakePreview, intakeText, previewIntake } from './intake.ts';
import { demandsOf, exportChange, onlineDemands } from './offline.ts';
import { type ChangePlace, meetsAll, type PublishPorts } from './place.ts';
import { awaitTakenIn, publishApproved } from './publish-approved.ts';

/** What a change took in from others, and what it left waiting. */
export interface AgreedIntake {
  readonly takenIn: readonly IntakeEntry[];
  readonly left: readonly IntakeEntry[];
}

/** A change of roles or keys that is in the head now. */
export interface ChangedRoles {
  /** Digest of the head that holds it. */
  readonly head: Digest;
  /** The change with its signatures; undefined where it was made only while it was published (bins, repairs). */
  readonly change: PendingChange | undefined;
  /** What has changed, in sentences. */
  readonly changes: readonly string[];
  readonly intake: AgreedIntake;
  /** It was staged, and {@link ChangeRolesOptions.onStaged} was told what it says. */
  readonly wasStaged: boolean;
  /** It was in the head before. */
  readonly wasPublished: boolean;
}

export interface ChangeRolesOptions {
  /** Stage the change with the signatures that can be given here, and publish nothing. */
  readonly stageOnly?: boolean | undefined;
  /** Also wait for the signatures of others, as long as `publish.wait` says. */
  readonly awaitsSigners?: boolean | undefined;
  /** False for a repair, which is only made where the registry can be asked what is broken. */
  readonly isCarried?: boolean | undefined;
  /** Shows what the change would take in from others first. @returns whether to take it in; else it is left waiting */
  readonly agree: (preview: IntakePreview) => Promise<boolean>;
  readonly onStaged?: ((change: PendingChange) => void) | undefined;
}

const NOTHING_TAKEN_IN: AgreedIntake = { takenIn: [], left: [] };

/**
 * Changes roles or keys of a collection (spec/trust-roles.md, "Changes in steps"). If all keys are available, the change
 * is published; where only the online key is elsewhere, it is staged, and a re-signer is waited for.
 * @throws BullaError threshold-not-met where keys are missing that say who may sign; staged; conflict; what reading and
 *   publishing throw
 */
export async function changeRoles(
  place: ChangePlace,
  copy: WorkingCopy,
  change: StructureChange,
  options: ChangeRolesOptions,
): Promise<ChangedRoles> {
  return await publishOrStage(place, copy, change, options, false);
}

/**
 * Makes a change and publishes nothing: its files, with the signatures that can be given here, to be carried to the
 * other keys.
 * @param isSigned also sign with the available keys
 * @throws BullaError usage, key-invalid; what reading throws
 */
export async function exportRoles(
  place: ChangePlace,
  copy: WorkingCopy,
  change: StructureChange,
  isSigned: boolean,
): Promise<PendingChange> {
  const made = madeNow(place.publish);
  const signers = isSigned ? await place.keys.signersFor(await demandsOf(copy, change, made)) : [];
  return await exportChange(copy, change, { ...made, signers });
}

/**
 * Publishes a change that was signed elsewhere.
 * @param copies signed copies of one exported change, which are put together
 * @throws BullaError threshold-not-met where signatures are missing; as {@link changeRoles}
 */
export async function importRoles(
  place: ChangePlace,
  copy: WorkingCopy,
  copies: readonly ChangeFile[],
  options: ChangeRolesOptions,
): Promise<ChangedRoles> {
  const change = gatherChange(copies, place.publish.clock.now());
  if (!isPublished(change, copy))
    return await publishOrStage(place, copy, importChange(change), options, true);
  return {
    head: copy.collection.object.content.descriptor.digest,
    change,
    changes: change.describe(),
    intake: NOTHING_TAKEN_IN,
    wasStaged: false,
    wasPublished: true,
  };
}

async function publishOrStage(
  place: ChangePlace,
  copy: WorkingCopy,
  change: StructureChange,
  options: ChangeRolesOptions,
  isImported: boolean,
): Promise<ChangedRoles> {
  const { target, read, publish, keys } = place;
  const made = madeNow(publish);
  const signers = openEarly(await keys.signersFor(await demandsOf(copy, change, made)));
  const canPublish = options.stageOnly !== true && meetsAll(await onlineDemands(copy, change, made), signers);
  // For the description, and for missing signatures: the published change is made again on the head of that moment.
  const carried =
    options.isCarried === false
      ? undefined
      : await exportChange(copy, change, { ...made, signers }).catch(canPublish ? noneCarried : rethrow);
  const same = carried === undefined ? undefined : await findWaiting(place, copy, carried);
  if (carried !== undefined && (!canPublish || carried.missing().length > 0))
    return await stage(place, copy, await joined(place, same, carried, signers), options, isImported);
  const { ids, ...intake } = await agreeOnIntake(place, copy, change, signers, options);
  const { head, collection } = await publishEdit(target, read, change, { ...publish, signers, intake: ids });
  // It says what the head says now, in other bytes: nothing can come of it any more.
  if (same !== undefined) await removeStages(target, same.tags, publish);
  const changes =
    carried === undefined
      ? []
      : changesBetween(copy, await WorkingCopy.open(collection, { signal: publish.signal }), carried.roles);
  return { head, change: carried, changes, intake, wasStaged: false, wasPublished: false };
}

/** The same change among those that wait, made on the same state. @throws BullaError what the target throws */
async function findWaiting(
  { target, publish }: ChangePlace,
  copy: WorkingCopy,
  change: PendingChange,
): Promise<StagedChange | undefined> {
  const { clock, chance, signal } = publish;
  const now = clock.now();
  const { roleChanges } = await new SiblingReader(target, chance, { signal }).read(copy, now);
  return findSameChange(await readStagedChanges(target, copy, roleChanges, now, { signal }), change, now);
}

/** A change that is to be staged, and where it is already. */
interface ToStage {
  readonly change: PendingChange;
  /** Tags of the same change that was found, without the signatures that were given here. */
  readonly before: readonly Tag[];
  /** Whether a stage there has all signatures that are known. */
  readonly isThere: boolean;
}

/** Signs the change that waits in place of one's own, where they are the same: their signatures count together. */
async function joined(
  { publish }: ChangePlace,
  same: StagedChange | undefined,
  own: PendingChange,
  signers: readonly TufSigner[],
): Promise<ToStage> {
  if (same === undefined) return { change: own, before: [], isThere: false };
  const added = await same.change.sign(signers);
  const done = added > 0 ? 'it gets the signatures that are made here' : 'nothing is added to it';
  publish.onProgress?.(`the same change waits already, as ${same.id}: ${done}`);
  return { change: same.change, before: same.tags, isThere: added === 0 && same.tags.length === 1 };
}

/** Puts a change beside the head, for the machines that have the missing keys. @throws BullaError threshold-not-met, staged */
async function stage(
  place: ChangePlace,
  copy: WorkingCopy,
  { change, before, isThere }: ToStage,
  { stageOnly, awaitsSigners, onStaged }: ChangeRolesOptions,
  isImported: boolean,
): Promise<ChangedRoles> {
  const missing = change.missing();
  // Root and targets say who may sign; the consent of the new keys can come later.
  const undecided = missing.find(({ role }) => role === 'root' || role === 'targets' || isImported);
  // What waits already was staged deliberately: further signatures may be given one by one.
  if (undecided !== undefined && stageOnly !== true && before.length === 0)
    throw notSigned(undecided, missing);
  const { target, publish } = place;
  const [there] = before;
  const tag =
    isThere && there !== undefined ? there : await stageChange(target, change, { signal: publish.signal });
  const replaced = before.filter((one) => one !== tag);
  await removeStages(target, replaced, publish);
  onStaged?.(change);
  const id = change.digest;
  if (missing.length > 0 && awaitsSigners !== true) throw stagedUnsigned(place.place, id, tag, missing);
  const approved = { id, tags: [tag], entries: [], change };
  const head =
    missing.length > 0
      ? await awaitTakenIn(place, approved, missing)
      : await publishApproved(place, copy, approved);
  return {
    head,
    change,
    changes: change.describe(),
    intake: NOTHING_TAKEN_IN,
    wasStaged: true,
    wasPublished: false,
  };
}

/**
 * Shows what a change of roles would take in from others before it is signed. Without a yes it is left waiting: a
 * user with the key of its role can take it in another time.
 */
async function agreeOnIntake(
  { target, publish }: ChangePlace,
  copy: WorkingCopy,
  change: StructureChange,
  signers: readonly TufSigner[],
  { agree }: ChangeRolesOptions,
): Promise<AgreedIntake & { readonly ids: ReadonlySet<string> }> {
  const { clock, chance, signal } = publish;
  const preview = await previewIntake(target, copy, change, { now: clock.now(), signers, chance, signal });
  const { entries, ids, left } = preview;
  for (const entry of left)
    publish.onWarning?.(
      `not included, because its key loses trust: ${intakeText(entry)}; sign it again if it is right`,
    );
  if (ids.size === 0) return { ids, takenIn: [], left };
  if (await agree(preview)) return { ids, takenIn: entries, left };
  return { ids: new Set(), takenIn: [], left: [...left, ...entries] };
}

/** What was published may have been made again since it was made here. */
function changesBetween(
  before: WorkingCopy,
  after: WorkingCopy,
  roles: readonly string[],
): readonly string[] {
  return roles.flatMap((role) => {
    const [old, next] = [before, after].map(({ files }) =>
      role === 'root' ? files.roots.at(-1) : files.roles.get(role),
    );
    return next === undefined ? [] : describeChange(old, next, after.collection.id);
  });
}

function madeNow({ clock, chance }: PublishPorts): { readonly now: Date; readonly versions: VersionPolicy } {
  return { now: clock.now(), versions: trustVersions((range) => chance.below(range)) };
}

function rethrow(error: unknown): never {
  throw error;
}

/** Files that are made where they are published cannot be carried: bins. */
function noneCarried(error: unknown): undefined {
  if (isBullaError(error, 'usage')) return undefined;
  throw error;
}

function notSigned(undecided: MissingSignatures, missing: readonly MissingSignatures[]): BullaError {
  const { role, valid, threshold, delegator } = undecided;
  return new BullaError(
    'threshold-not-met',
    `${role} has ${valid.length} of the ${threshold} signatures that ${delegator} demands`,
    {
      hint: 'have it signed elsewhere: --export-unsigned FILE; or stage it for bulla approve: --stage',
      details: { missing },
    },
  );
}

function stagedUnsigned(
  place: string,
  id: string,
  tag: string,
  missing: readonly MissingSignatures[],
): BullaError {
  const keys = [...new Set(missing.flatMap(({ open }) => open))].map((keyid) => keyid.slice(0, 12));
  return new BullaError(
    'staged',
    `the change ${id} is staged at ${place}:${tag}, and lacks signatures for ${missing.map(({ role }) => role).join(', ')}`,
    {
      hint: `where the key ${keys.join(' or ')} is: bulla approve ${place} ${id}`,
      details: { id, tag, missing },
    },
  );
}

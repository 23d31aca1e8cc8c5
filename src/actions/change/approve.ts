import { BullaError } from '../../errors.ts';
import type { Digest } from '../../oci/digest.ts';
import type { Tag } from '../../oci/reference.ts';
import type { ChangeFile } from '../../trust/approve/change-file.ts';
import { PendingChange } from '../../trust/approve/pending-change.ts';
import type { TrustMemory } from '../../trust/read/memory.ts';
import type { WorkingCopy } from '../../trust/read/working-copy.ts';
import type { MissingSignatures, SignatureDemand, TufSigner } from '../../tuf/edit/signing.ts';
import { findPending, listPending, type PendingList, type Waiting } from './pending.ts';
import { type ChangePlace, type KeySource, openCopy } from './place.ts';
import { awaitTakenIn, holds, outdated, publishApproved } from './publish-approved.ts';

export interface ApproveOptions {
  /** The whole id of the one change that may be signed. */
  readonly expected?: string | undefined;
  /** Look at everything and sign nothing. */
  readonly dryRun?: boolean | undefined;
  /** Also wait for the signatures of others, as long as `publish.wait` says. */
  readonly awaitsSigners?: boolean | undefined;
  readonly onWarning?: ((message: string) => void) | undefined;
}

/** What became of a staged change after it was signed here. */
export interface ApprovedStage {
  readonly waiting: Waiting;
  /** Tag of the stage that has the new signatures; null where nothing was signed. */
  readonly stage: Tag | null;
  /** Digest of the head that holds it; null while signatures are missing, and on a dry run. */
  readonly published: Digest | null;
}

/**
 * Signs a staged change (spec/trust-roles.md, "Staged changes"), and publishes it with the last signature that it
 * needs.
 * @param id of the change, or the beginning of one
 * @param confirm shows the change and asks; it throws where the change is not to be signed
 * @throws BullaError not-found, conflict where the head has moved on or another change waits, untrusted-identity where
 *   no key here may sign; staged; what reading and publishing throw
 */
export async function approveStaged(
  place: ChangePlace<KeySource>,
  id: string,
  options: ApproveOptions & {
    readonly onFound: (waiting: Waiting) => void;
    readonly confirm: (waiting: Waiting) => Promise<void>;
  },
): Promise<ApprovedStage> {
  const { expected, dryRun, onFound, confirm } = options;
  const copy = await openCopy(place);
  const waiting = findPending(await pendingAt(place, copy), id);
  if (expected !== undefined && expected !== waiting.id) throw anotherWaits(expected, waiting);
  onFound(waiting);
  if (waiting.state === 'outdated') throw outdated(waiting);
  const needsKey = waiting.missing.length > 0;
  const signers = needsKey ? await approvers(place.keys, waiting.demands, waiting.progress, options) : [];
  if (dryRun === true) return { waiting, stage: null, published: null };
  if (!needsKey) {
    const published = await publishApproved(place, copy, waiting);
    return { waiting, stage: waiting.tags[0] ?? null, published };
  }
  await confirm(waiting);
  const own = await waiting.sign(signers);
  const after = await afterSigning(place, own);
  if (after.published !== null || options.awaitsSigners !== true) return { stage: own.tags[0], ...after };
  const published = await awaitTakenIn(place, own, after.waiting.missing);
  return { stage: own.tags[0], waiting: { ...after.waiting, state: 'online', missing: [] }, published };
}

/**
 * Where a change is now that it was signed here. A re-signer may have taken it into the head meanwhile and removed its
 * stages; other approvers may have signed too. The head is read last: what is neither listed nor in the head is known
 * by the own copy only.
 */
async function afterSigning(
  place: ChangePlace<KeySource>,
  own: Waiting,
): Promise<Pick<ApprovedStage, 'waiting' | 'published'>> {
  const before = await openCopy(place);
  const listed = (await pendingAt(place, before)).waiting.find(({ id }) => id === own.id);
  const waiting = listed ?? own;
  const isComplete = waiting.missing.length === 0 && waiting.state !== 'outdated';
  const copy = isComplete ? before : await openCopy(place);
  if (await holds(copy, own)) {
    const published = copy.collection.object.content.descriptor.digest;
    return { waiting: { ...waiting, state: 'online', missing: [] }, published };
  }
  if (isComplete) return { waiting, published: await publishApproved(place, copy, waiting) };
  if (waiting.state === 'outdated') throw outdated(waiting);
  return { waiting, published: null };
}

async function pendingAt({ target, publish }: ChangePlace, copy: WorkingCopy): Promise<PendingList> {
  const { clock, chance, signal } = publish;
  return await listPending(target, copy, { now: clock.now(), chance, signal });
}

/**
 * Signs a change that was exported to a file, without a network.
 * @param memory what is known of collections here: another collection under a known name is refused
 * @param review shows the change; asked before keys are looked for
 * @param confirm asks whether to sign; it throws where the answer is no
 * @returns the change with its new signatures, and how many were added: 0 on a dry run
 * @throws BullaError conflict where it is another change than was expected, trust-invalid for another collection's,
 *   untrusted-identity where no key here may sign
 */
export async function approveChange(
  file: ChangeFile,
  keys: KeySource,
  options: ApproveOptions & {
    readonly now: Date;
    readonly memory: Pick<TrustMemory, 'seen'>;
    readonly review: (change: PendingChange) => void;
    readonly confirm: (change: PendingChange) => Promise<void>;
  },
): Promise<{ readonly change: PendingChange; readonly added: number }> {
  const { now, memory, review, confirm, expected, dryRun } = options;
  const change = PendingChange.open(file, now);
  await compareWithMemory(memory, change);
  if (expected !== undefined && expected !== change.digest) throw anotherChange(expected, change);
  review(change);
  const signers = await approvers(keys, change.allDemands(), change.progress(), options);
  if (dryRun === true) return { change, added: 0 };
  await confirm(change);
  return { change, added: await change.sign(signers) };
}

/** A known name with another collection is a reason not to go on. @throws BullaError trust-invalid, storage-error */
export async function compareWithMemory(
  memory: Pick<TrustMemory, 'seen'>,
  { change, name }: PendingChange,
): Promise<void> {
  for (const place of new Set([name, change.place])) {
    const seen = await memory.seen(place);
    if (seen === undefined || seen === change.id) continue;
    throw new BullaError(
      'trust-invalid',
      `the change is for the collection ${change.id.slice(0, 12)}, and ${place} was seen with ${seen.slice(0, 12)}`,
      {
        hint: 'do not sign it unless the collection was deliberately created again; then: bulla pin rm',
        details: { reason: 'collection', expected: seen, found: change.id },
      },
    );
  }
}

/**
 * The available keys that have not signed, asked for each threshold by itself: a signature for one role says nothing
 * about another role.
 * @param progress of each of the demands
 * @throws BullaError untrusted-identity if no available key may sign, or all that may have signed already
 */
async function approvers(
  keys: KeySource,
  demands: readonly SignatureDemand[],
  progress: readonly MissingSignatures[],
  { onWarning }: ApproveOptions,
): Promise<readonly TufSigner[]> {
  const stray = await keys.unlisted(demands);
  if (stray.length > 0)
    onWarning?.(`${stray.join(', ')} may not sign this: no role of the change lists that key`);
  const signers = new Map<string, TufSigner>();
  for (const [at, demand] of demands.entries()) {
    const { valid = [], open = [] } = progress[at] ?? {};
    if (open.length === 0) continue;
    for (const signer of await keys.signersFor([demand], new Set(valid)))
      signers.set(signer.key.keyid, signer);
  }
  if (signers.size > 0) return [...signers.values()];
  const may = [...new Set(progress.flatMap(({ open }) => open))];
  throw new BullaError(
    'untrusted-identity',
    may.length === 0
      ? 'every key that may sign this has signed it'
      : 'no key here may sign this, or those that may have signed it already',
    {
      hint:
        may.length === 0
          ? 'publish it: --import-signed'
          : `keys that may: ${may.map((keyid) => keyid.slice(0, 12)).join(', ')}; name one with --key`,
      details: { keys: may },
    },
  );
}

function anotherChange(expected: string, { digest }: PendingChange): BullaError {
  return new BullaError('conflict', `the file holds the change ${digest}, not ${expected.slice(0, 80)}`, {
    hint: 'it was altered, or made again for a newer state: look at it with --dry-run',
    details: { expected, found: digest },
  });
}

function anotherWaits(expected: string, { id }: Waiting): BullaError {
  return new BullaError('conflict', `the change that waits is ${id}, not ${expected.slice(0, 80)}`, {
    hint: 'look at what waits now: bulla pending REPOSITORY',
    details: { expected, found: id },
  });
}

import { BullaError, isBullaError, messageOf } from '../../errors.ts';
import type { MissingSignatures } from '../../tuf/edit/signing.ts';
import { isUnanswered } from '../candidates/siblings.ts';
import { Abilities } from '../candidates/signing-power.ts';
import type { TrustTarget } from '../format/ports.ts';
import type { ReadOptions } from '../read/collection.ts';
import { ProcessBlobCache } from '../read/memory.ts';
import type { WorkingCopy } from '../read/working-copy.ts';
import { cleanUp } from './clean-up.ts';
import { readBase } from './publish-base.ts';
import type { Published, PublishOptions } from './publish-options.ts';
import { PublishRun, type RunResult } from './publish-run.ts';
import { StageRun } from './stage-run.ts';
import { EditWork, type NameChange, NameWork, OwnChanges, type StructuralChange } from './work.ts';

export type { Published, PublishOptions } from './publish-options.ts';
export type { NameChange, StructuralChange } from './work.ts';

/** A publisher does not spend its time on removing what is old: the re-signer does. */
const MOST_TIDIED = 16;

/**
 * Publishes changes of names (spec/trust-publishing.md): by moving the head if all keys are available,
 * otherwise by staging them and waiting for a publisher with the others.
 * @throws BullaError conflict where a name was revoked meanwhile; staged where the waiting ended;
 *   untrusted-identity if no available key may sign for a role; usage; what reading and signing throw
 */
export async function publishNames(
  target: TrustTarget,
  readWith: ReadOptions,
  changes: readonly NameChange[],
  options: PublishOptions,
): Promise<Published> {
  const read = { cache: new ProcessBlobCache(), ...readWith };
  const own = new OwnChanges(changes, options.chance);
  const base = await readBase(target, read, options);
  const abilities = new Abilities(base.copy, options.signers);
  for (const role of own.roles) assertMaySign(base.copy, abilities, role);
  const canMove = abilities.isOnline && [...own.roles].every((role) => abilities.of(role) === 'all');
  const work = new NameWork(own, options);
  const run = canMove
    ? new PublishRun(target, read, work, options)
    : new StageRun(target, read, work, options);
  const result = await run.run(base);
  await tidy(target, result, options);
  return publishedBy(result, own.ids);
}

/**
 * Publishes a change of keys, delegations or expiry (spec/trust-publishing.md, "Structural changes"). What
 * can be folded is folded first; the change is made anew on each head that it meets, never merged. Where
 * only the online key is missing, it is staged, and a publisher with that key adopts it.
 * @throws BullaError threshold-not-met (details.missing) where other keys are missing; staged; what
 *   `change`, reading and signing throw
 */
export async function publishEdit(
  target: TrustTarget,
  read: ReadOptions,
  change: StructuralChange,
  options: PublishOptions,
): Promise<Published> {
  const result = await runStructural(target, read, new EditWork(change), options);
  await tidy(target, result, options);
  return publishedBy(result, []);
}

/** @throws BullaError usage if the role does not exist, untrusted-identity if none of the available keys is its */
function assertMaySign(copy: WorkingCopy, abilities: Abilities, role: string): void {
  copy.contentOf(role);
  if (abilities.of(role) !== 'none') return;
  throw new BullaError(
    'untrusted-identity',
    `none of the available keys may sign for ${JSON.stringify(role)} at ${copy.collection.place}`,
    {
      hint: 'bulla signer ls shows who may; give the key with --key, or let a key holder add yours with bulla signer add',
      details: { role },
    },
  );
}

async function runStructural(
  target: TrustTarget,
  read: ReadOptions,
  work: EditWork,
  options: PublishOptions,
): Promise<RunResult> {
  try {
    return await new PublishRun(target, read, work, options).run();
  } catch (error) {
    if (!isOnlyOnlineMissing(error)) throw error;
    return await new StageRun(target, read, work, options).run(await readBase(target, read, options));
  }
}

function isOnlyOnlineMissing(error: unknown): boolean {
  if (!isBullaError(error, 'threshold-not-met')) return false;
  const missing = (error.details['missing'] ?? []) as readonly MissingSignatures[];
  return missing.length > 0 && missing.every(({ role }) => role === 'snapshot' || role === 'timestamp');
}

/** Removes what this run has replaced, and a few old objects; a failed removal does not fail the publish. */
async function tidy(target: TrustTarget, result: RunResult, options: PublishOptions): Promise<void> {
  if (options.cleanUp === false) return;
  const { base, found, announced } = result;
  try {
    await cleanUp(target, base, found, announced.slice(0, -1), MOST_TIDIED, options);
  } catch (error) {
    if (!isUnanswered(error)) throw error;
    options.onProgress?.(`what is old was left for later: ${messageOf(error)}`);
  }
}

/** What a run ended with, for its caller. */
export function publishedBy(result: RunResult, ids: readonly string[]): Published {
  const { base, found, plan, rounds, folded } = result;
  const { collection } = base.copy;
  return {
    head: collection.object.content.descriptor.digest,
    collection,
    ids,
    rounds,
    folded,
    conflicts: plan.conflicts.filter(({ entry }) => !ids.includes(entry.id)),
    refused: [...found.refused, ...plan.refused],
    left: plan.left,
  };
}

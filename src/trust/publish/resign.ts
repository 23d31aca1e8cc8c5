import { BullaError, isBullaError } from '../../errors.ts';
import type { Digest } from '../../oci/digest.ts';
import type { Tag } from '../../oci/reference.ts';
import { importChange } from '../approve/import-change.ts';
import { readStagedChanges } from '../approve/stage-change.ts';
import { MAX_FOREIGN } from '../candidates/siblings.ts';
import { Abilities } from '../candidates/signing-power.ts';
import { createdIn } from '../format/binding.ts';
import type { LogEntry } from '../format/log.ts';
import type { TrustTarget } from '../format/ports.ts';
import type { Collection, ReadOptions } from '../read/collection.ts';
import { cleanUp } from './clean-up.ts';
import { publishedBy } from './publish.ts';
import { type Base, readBase } from './publish-base.ts';
import type { Published, PublishOptions } from './publish-options.ts';
import { PublishRun, type RunResult } from './publish-run.ts';
import type { PublishWork } from './work.ts';
import { EditWork } from './work.ts';

export interface ResignOptions extends PublishOptions {
  /** Sign anew although it is not due. */
  readonly force?: boolean | undefined;
  /** After which part of their lifetime snapshot and timestamp are due; 0.5 if left out. */
  readonly dueAfter?: number | undefined;
}

/** What one pass of the re-signer came to. */
export interface Resigned extends Published {
  /** `healed`: something older lay at the tag, and what is known to be newer was put back. */
  readonly outcome: 'fresh' | 'renewed' | 'folded' | 'healed';
  /** Changes that cannot be included here: their publishers have to re-base them, or signatures are missing. */
  readonly waiting: readonly LogEntry[];
  readonly removed: readonly Tag[];
  /** Tags that this pass announced heads under. */
  readonly announced: readonly Tag[];
  /** What was wrong with what lay at the tag, where something older than is known, or no head, was there. */
  readonly buriedBy: BullaError | undefined;
  /** When each role's file expires. */
  readonly expires: ReadonlyMap<string, Date>;
}

/**
 * One pass over a collection (spec/trust-publishing.md, "Re-signing"): verifies the head, takes over what
 * was staged, signs snapshot and timestamp anew where half of their lifetime is over, puts back what was
 * buried, and cleans up.
 * @throws BullaError untrusted-identity if the available keys do not sign snapshot and timestamp; what
 *   reading and signing throw
 */
export async function resignCollection(
  target: TrustTarget,
  read: ReadOptions,
  options: ResignOptions,
): Promise<Resigned> {
  const first = await readBase(target, read, options);
  if (!new Abilities(first.copy, options.signers).isOnline) throw notOnline(first.copy.collection);
  const result = await new PublishRun(target, read, new ResignWork(first, options), options).run(first);
  if (await publishStaged(target, read, result, options))
    return {
      ...(await resignCollection(target, read, { ...options, force: false })),
      outcome: 'folded',
      buriedBy: first.buriedBy,
    };
  const { base, found, plan, announced } = result;
  const { removed, refused } =
    options.cleanUp === false
      ? { removed: [] }
      : await cleanUp(target, base, found, announced.slice(0, -1), MAX_FOREIGN, options);
  // What is old is not read again, and does no harm: nothing that a person has to act on.
  if (refused !== undefined) options.onProgress?.(`nothing can be removed at ${read.place}: ${refused}`);
  return {
    ...publishedBy(result, []),
    outcome: outcomeOf(first, result),
    waiting: plan.waiting,
    removed,
    announced,
    buriedBy: first.buriedBy,
    expires: expiryOf(base),
  };
}

/**
 * Takes over changes of roles and keys that were staged with all signatures but the online key's.
 * @returns whether the head has moved
 */
async function publishStaged(
  target: TrustTarget,
  read: ReadOptions,
  { base, found }: RunResult,
  options: ResignOptions,
): Promise<boolean> {
  const { clock, signal, onWarning } = options;
  const staged = await readStagedChanges(target, base.copy, found.roleChanges, clock.now(), { signal });
  for (const { id, change } of staged) {
    if (change.missing().length > 0) continue;
    try {
      await new PublishRun(target, read, new EditWork(importChange(change)), options).run();
      return true;
    } catch (error) {
      if (!isBullaError(error, 'threshold-not-met', 'conflict', 'trust-rollback', 'usage')) throw error;
      onWarning?.(`the staged change ${id} of ${read.place} is not taken over: ${error.message}`);
    }
  }
  return false;
}

/** Snapshot and timestamp that last long enough, as a piece of work: making a head makes both anew. */
class ResignWork implements PublishWork {
  readonly ids: readonly string[] = [];
  readonly roles: ReadonlySet<string> = new Set();
  private readonly before: Digest;
  private readonly options: ResignOptions;

  constructor({ copy }: Base, options: ResignOptions) {
    this.before = digestOf(copy.collection);
    this.options = options;
  }

  async isDone({ copy }: Base): Promise<boolean> {
    const { force, clock, dueAfter = 0.5 } = this.options;
    if (force === true && digestOf(copy.collection) === this.before) return false;
    return !isDue(copy.collection, clock.now(), dueAfter);
  }

  async apply(): Promise<void> {}
}

/**
 * Whether the head's snapshot or timestamp has lived out its part.
 * @param dueAfter 0 to 1
 */
export function isDue({ client }: Collection, now: Date, dueAfter: number): boolean {
  return now.getTime() >= (dueAt({ client }, dueAfter)?.getTime() ?? Number.NEGATIVE_INFINITY);
}

/** When they are due; undefined where the timestamp does not say when it was made. */
export function dueAt({ client }: Pick<Collection, 'client'>, dueAfter: number): Date | undefined {
  const { timestamp, snapshot } = client.trusted;
  const created = createdIn(timestamp.file);
  if (created === undefined) return undefined;
  const ends = Math.min(timestamp.content.expires.getTime(), snapshot.content.expires.getTime());
  return new Date(created.getTime() + dueAfter * (ends - created.getTime()));
}

function outcomeOf(first: Base, { base: last, folded, isRestructured }: RunResult): Resigned['outcome'] {
  if (folded.length > 0 || isRestructured) return 'folded';
  if (first.isBuried) return 'healed';
  return digestOf(first.copy.collection) === digestOf(last.copy.collection) ? 'fresh' : 'renewed';
}

function expiryOf({ copy }: Base): ReadonlyMap<string, Date> {
  const { root, timestamp, snapshot } = copy.collection.client.trusted;
  const roles = ['targets', ...copy.delegations.roles.map(({ name }) => name)];
  return new Map([
    ['root', root.content.expires],
    ...roles.map((role) => [role, copy.contentOf(role).expires] as const),
    ['snapshot', snapshot.content.expires],
    ['timestamp', timestamp.content.expires],
  ]);
}

function digestOf({ object }: Collection): Digest {
  return object.content.descriptor.digest;
}

function notOnline({ place }: Collection): BullaError {
  return new BullaError(
    'untrusted-identity',
    `none of the available keys may sign snapshot and timestamp of ${place}`,
    {
      hint: 'give the online key; bulla tree shows which one that is',
    },
  );
}

import { BullaError } from '../errors.ts';
import { Abilities } from './abilities.ts';
import type { ReadOptions } from './collection.ts';
import type { CollectionEdit } from './collection-edit.ts';
import { EditWork, type StructuralChange } from './edit-work.ts';
import type { Work } from './make-head.ts';
import { type NameChange, OwnChanges } from './own-changes.ts';
import type { TrustTarget } from './ports.ts';
import { type Base, readBase } from './publish-base.ts';
import type { Published, PublishOptions } from './publish-options.ts';
import { PublishRun, type RunResult } from './publish-run.ts';
import type { WorkingCopy } from './working-copy.ts';

export type { StructuralChange } from './edit-work.ts';
export type { NameChange } from './own-changes.ts';
export type { Published, PublishOptions } from './publish-options.ts';

/**
 * Publishes changes of names (spec/trust-publishing.md): by moving the head where all keys are in hand,
 * else by staging them and waiting for whoever has the others.
 * @throws BullaError conflict where a name was revoked meanwhile; staged where the waiting ended;
 *   untrusted-identity where no key in hand may sign for a role; usage; what reading and signing throw
 */
export async function publishNames(
  target: TrustTarget,
  read: ReadOptions,
  changes: readonly NameChange[],
  options: PublishOptions,
): Promise<Published> {
  const own = new OwnChanges(changes, options.chance);
  const base = await readBase(target, read, options);
  const abilities = new Abilities(base.copy, options.signers);
  for (const role of own.roles) assertMaySign(base.copy, abilities, role);
  const result = await new PublishRun(target, read, new NameWork(own, options), options).run(base);
  return publishedBy(result, own.ids);
}

/**
 * Publishes a change of keys, delegations or expiry (spec/trust-publishing.md, "Structural changes"). What
 * can be folded is folded first; the change is made anew on each head that it meets, never merged.
 * @throws BullaError threshold-not-met (details.missing) where keys are missing; what `change`, reading
 *   and signing throw
 */
export async function publishEdit(
  target: TrustTarget,
  read: ReadOptions,
  change: StructuralChange,
  options: PublishOptions,
): Promise<Published> {
  return publishedBy(await new PublishRun(target, read, new EditWork(change), options).run(), []);
}

/** Own changes as a piece of work. */
class NameWork implements Work {
  private readonly own: OwnChanges;
  private readonly options: PublishOptions;

  constructor(own: OwnChanges, options: PublishOptions) {
    this.own = own;
    this.options = options;
  }

  get ids(): readonly string[] {
    return this.own.ids;
  }

  get roles(): ReadonlySet<string> {
    return this.own.roles;
  }

  async isDone({ copy }: Base): Promise<boolean> {
    let isDone = true;
    for (const role of this.own.roles) {
      const log = await copy.log(role);
      this.own.begin(role, log);
      isDone &&= this.own.isIn(role, log);
    }
    return isDone;
  }

  async apply(edit: CollectionEdit, { copy }: Base): Promise<void> {
    const { clock, signers } = this.options;
    for (const role of this.own.roles) {
      const entries = this.own.entriesFor(role, await edit.log(role), clock.now(), copy, signers);
      if (entries.length > 0) await edit.apply(role, entries);
    }
  }
}

/** @throws BullaError usage where there is no such role, untrusted-identity where no key in hand is its */
export function assertMaySign(copy: WorkingCopy, abilities: Abilities, role: string): void {
  copy.contentOf(role);
  if (abilities.of(role) !== 'none') return;
  throw new BullaError(
    'untrusted-identity',
    `none of the keys in hand may sign for ${JSON.stringify(role)} at ${copy.collection.place}`,
    {
      hint: 'bulla signer ls shows who may; give the key with --key, or let a key holder add yours with bulla signer add',
      details: { role },
    },
  );
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
    refused: found.refused,
  };
}

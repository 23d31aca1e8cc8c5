import { BullaError, isBullaError, throwIfAborted } from '../../errors.ts';
import type { Tag } from '../../oci/reference.ts';
import { versionOf, withFiles } from '../../tuf/edit/repository.ts';
import { type MissingSignatures, signFiles } from '../../tuf/edit/signing.ts';
import { same } from '../../tuf/memory.ts';
import { metadataFileName } from '../../tuf/role-name.ts';
import { isJoinable } from '../approve/same-change.ts';
import { assembleNames, readStagedNames, type StagedNames } from '../approve/staged-names.ts';
import { planSiblings, type SiblingPlan } from '../candidates/fold-plan.ts';
import { type FoundSiblings, type Sibling, SiblingReader } from '../candidates/siblings.ts';
import { Abilities } from '../candidates/signing-power.ts';
import { isBuiltUpon } from '../change/fold.ts';
import { type Assembly, assembleStage } from '../format/assemble.ts';
import { type ChangeLog, parseLog } from '../format/log.ts';
import type { TrustTarget } from '../format/ports.ts';
import { pushObject } from '../format/push.ts';
import { stageTag } from '../format/vocabulary.ts';
import { keepParts } from '../read/cached-source.ts';
import type { ReadOptions } from '../read/collection.ts';
import type { WorkingCopy } from '../read/working-copy.ts';
import { interruptedWith } from './interrupted.ts';
import { beginEdit, versionsOf } from './make-head.ts';
import { type Base, hasMoved, readBase } from './publish-base.ts';
import type { PublishOptions } from './publish-options.ts';
import { PublishRun, type RunResult } from './publish-run.ts';
import { announceAgain } from './reannounce.ts';
import { removeObject, withdraw } from './removal.ts';
import { keepAnnounced, withUsed } from './signer-state.ts';
import { NO_WORK, type PublishWork } from './work.ts';

/** How long a staged change is waited for, where nothing else is said, in milliseconds. */
const WAIT_MS = 60_000;
const FIRST_LOOK_MS = 500;
const LAST_LOOK_MS = 4_000;
/** Stages may be removed by others: after so long everything is looked at again, in milliseconds. */
const RELOOK_MS = 15_000;

interface Staged {
  readonly tag: Tag;
  readonly logs: ReadonlyMap<string, ChangeLog>;
  /** The state that it was made for. */
  readonly copy: WorkingCopy;
}

/**
 * Publishes without all keys (spec/trust-publishing.md, "Staging"): puts what can be signed beside the
 * head, waits for a publisher with the other keys to adopt it, and makes it anew whenever the head has
 * moved on without it.
 */
export class StageRun {
  private readonly target: TrustTarget;
  private readonly read: ReadOptions;
  private readonly options: PublishOptions;
  private readonly work: PublishWork;
  private readonly reader: SiblingReader;
  private readonly tags: Tag[] = [];
  /** The last one that was begun to be written; whether it is there is not known before it is staged. */
  private tag: Tag | undefined;
  private staged: Staged | undefined;
  /** What it lacks beside snapshot and timestamp. */
  private missing: readonly MissingSignatures[] = [];
  /** The stage for whose sake a head was made here. */
  private tried: Tag | undefined;

  constructor(target: TrustTarget, read: ReadOptions, work: PublishWork, options: PublishOptions) {
    this.target = target;
    this.read = read;
    this.options = options;
    this.work = work;
    this.reader = new SiblingReader(target, options.chance, { signal: options.signal }, read.cache);
  }

  /**
   * @throws BullaError staged (details.ids, tag) at the deadline; interrupted, timeout (with the same details where
   *   something is staged by then); conflict; what reading and signing throw
   */
  async run(first: Base): Promise<RunResult> {
    try {
      return await this.stageAndWait(first);
    } catch (error) {
      const { tag, read, work } = this;
      const left = tag === undefined ? undefined : { place: read.place, tag, ids: work.ids };
      throw interruptedWith(error, this.options.signal, left);
    }
  }

  private async stageAndWait(first: Base): Promise<RunResult> {
    const { clock, wait = WAIT_MS, signal, onProgress } = this.options;
    const deadline = clock.now().getTime() + wait;
    let base = first;
    for (let rounds = 1; ; rounds++) {
      throwIfAborted(signal);
      if (rounds > 1) base = await readBase(this.target, this.read, this.options);
      const found = await this.look(base);
      const abilities = new Abilities(base.copy, this.options.signers);
      const plan = await planSiblings(
        this.target,
        base.copy,
        found.siblings,
        abilities,
        base.readAt,
        this.work.ids,
      );
      if (await this.work.isDone(base)) return await this.finish(base, found, plan, rounds);
      const isJoined = await this.join(base, found);
      if (!isJoined && !(await this.stands(base))) {
        await this.stage(base, found, plan);
        onProgress?.(`staged at ${this.staged?.tag}; waiting for ${this.awaited}`);
      }
      if (abilities.isOnline && this.work.isStructural !== true && this.isDueHere(plan)) {
        // With the online key, nothing but signatures was waited for.
        await new PublishRun(this.target, this.read, NO_WORK, this.options).run();
        continue;
      }
      if (!(await this.waitForHead(base, deadline))) throw this.unfinished(base, wait);
    }
  }

  /** Whether what was staged can still replace what the head has. */
  private async stands({ copy }: Base): Promise<boolean> {
    if (this.staged === undefined) return false;
    if (this.work.isStructural === true) return isSameState(copy, this.staged.copy);
    for (const [role, log] of this.staged.logs) if (!isBuiltUpon(log, await copy.log(role))) return false;
    return true;
  }

  /** Whether what waits has all of its signatures now; only once for each stage. */
  private isDueHere({ adoptions }: SiblingPlan): boolean {
    const own = new Set(this.work.ids);
    const isComplete = adoptions.some(({ entries }) => entries.some(({ id }) => own.has(id)));
    if (this.tried === this.tag || (this.missing.length > 0 && !isComplete)) return false;
    this.tried = this.tag;
    return true;
  }

  /** Signs a waiting change that does the same, in place of staging another one. @returns whether there is one */
  private async join(base: Base, { siblings }: FoundSiblings): Promise<boolean> {
    const { clock, signers, signal, onProgress } = this.options;
    const stages = siblings.filter(({ kind }) => kind === 'stage');
    if (this.work.join === undefined || stages.length === 0) return false;
    const now = clock.now();
    const { staged } = await readStagedNames(this.target, base.copy, stages, { now, signal });
    for (const waiting of staged) {
      const isOwn = waiting.from.some(({ tag }) => this.tags.includes(tag));
      if (isOwn || !isJoinable(waiting, base.copy, now)) continue;
      if (!(await this.joins(base, waiting))) continue;
      const added = await signFiles(waiting.files, signers);
      this.missing = waiting.files.flatMap((file) => file.missing());
      const logs = new Map([[waiting.offer.role, waiting.offer.log]]);
      const assembly = added > 0 ? assembleNames(waiting) : undefined;
      const versions = new Map(waiting.files.slice(0, 1).map(({ role, file }) => [role, versionOf(file)]));
      await this.put(base, assembly ?? (waiting.from[0] as Sibling), logs, versions);
      const done = added > 0 ? 'it got the signatures that were made here' : 'nothing was added to it';
      onProgress?.(`the same change waits already, as ${waiting.id}: ${done}; waiting for ${this.awaited}`);
      return true;
    }
    return false;
  }

  /** A name that was taken out meanwhile is a conflict of one's own change, and is told when that is staged. */
  private async joins(base: Base, waiting: StagedNames): Promise<boolean> {
    try {
      return (await this.work.join?.(base, waiting, this.staged !== undefined)) === true;
    } catch (error) {
      if (!isBullaError(error, 'conflict')) throw error;
      return false;
    }
  }

  private async stage(base: Base, found: FoundSiblings, plan: SiblingPlan): Promise<void> {
    const { signers } = this.options;
    const edit = await beginEdit(base, found.siblings, this.options);
    // A change of keys is taken over only if it leaves the names as they are.
    if (this.work.isStructural !== true)
      for (const [role, entries] of plan.folds) await edit.apply(role, entries);
    await this.work.apply(edit, base).catch(async (error: unknown) => {
      if (isBullaError(error, 'conflict'))
        await withdraw(this.target, this.tags.slice(-1), base, this.options);
      throw error;
    });
    const prepared = edit.prepare();
    const missing = await prepared.edit.sign(signers);
    if (this.work.isStructural === true && missing.length > 0) throw unsigned(missing);
    const files = prepared.edit.pending().map(({ file }) => file);
    this.work.noteMade?.(withFiles(base.copy.files, files), base);
    const assembly = assembleStage({
      files: new Map(files.map((file) => [metadataFileName(file.role, versionOf(file)), file.bytes])),
      logs: prepared.logs,
    });
    const made = new Map(files.map((file) => [file.role, file]));
    const logs = new Map([...prepared.logs].map(([role, bytes]) => [role, parseLog(bytes, role)]));
    this.missing = missing;
    await this.put(base, assembly, logs, versionsOf({ roots: [], roles: made }));
  }

  /** Puts a stage beside the head, or waits for one that is there, in place of what waited before. */
  private async put(
    base: Base,
    what: Assembly | Sibling,
    logs: ReadonlyMap<string, ChangeLog>,
    versions: ReadonlyMap<string, number>,
  ): Promise<void> {
    const { state, clock, signal } = this.options;
    const { id, object } = base.copy.collection;
    const before = this.staged;
    const assembly = 'top' in what ? what : undefined;
    const tag = 'top' in what ? stageTag(what.top.descriptor.digest) : what.tag;
    if (assembly !== undefined) {
      this.reader.own.set(tag, assembly.top);
      await state.update(id, (present) => withUsed(present, versions));
      await keepAnnounced(this.options, id, { tag, ids: this.work.ids, madeAt: clock.now(), assembly });
    }
    this.tag = tag;
    if (assembly !== undefined) {
      await pushObject(this.target, assembly, tag, new Set(), { signal });
      if (this.read.cache !== undefined) await keepParts(this.read.cache, assembly);
      this.tags.push(tag);
    }
    this.staged = { tag, logs, copy: base.copy };
    if (before === undefined || before.tag === tag || !this.tags.includes(before.tag)) return;
    await state.drop(id, before.tag);
    await removeObject(this.target, before.tag, object.content.descriptor.digest, { signal });
  }

  /** @returns false where the deadline has come */
  private async waitForHead(base: Base, deadline: number): Promise<boolean> {
    const { clock, chance, signal } = this.options;
    const relook = clock.now().getTime() + RELOOK_MS;
    for (let pause = FIRST_LOOK_MS; ; pause = Math.min(pause * 2, LAST_LOOK_MS)) {
      const left = deadline - clock.now().getTime();
      if (left <= 0) return false;
      await clock.sleep(Math.min(left, pause * (0.5 + chance.fraction() / 2)), signal);
      const moved = await hasMoved(this.target, base, { signal });
      if (moved || clock.now().getTime() >= relook) return true;
    }
  }

  private async look(base: Base): Promise<FoundSiblings> {
    const now = this.options.clock.now();
    if (this.tag !== undefined) this.reader.forget(this.tag);
    const found = await this.reader.read(base.copy, now);
    const again = await announceAgain(this.target, base, found, this.options);
    for (const { tag, assembly } of again) this.reader.own.set(tag, assembly.top);
    return found;
  }

  private async finish(
    base: Base,
    found: FoundSiblings,
    plan: SiblingPlan,
    rounds: number,
  ): Promise<RunResult> {
    this.tag = undefined;
    if (this.staged !== undefined) await this.options.state.drop(base.copy.collection.id, this.staged.tag);
    return { base, found, plan, rounds, folded: [], announced: this.tags.slice(-1), isRestructured: false };
  }

  /** Who has to act before it can be published. */
  private get awaited(): string {
    return awaitedText(this.missing);
  }

  private unfinished({ copy }: Base, wait: number): BullaError {
    const { place } = copy.collection;
    const tag = this.staged?.tag;
    const lacks = this.missing.length > 0;
    return new BullaError(
      'staged',
      `the change is staged at ${place}:${tag}, and was not published within ${Math.round(wait / 1000)} s; it waits for ${this.awaited}`,
      {
        hint: lacks
          ? `bulla pending ${place} shows its id; where one of these keys is: bulla approve ${place} ID`
          : 'it remains staged until a re-signer, or the next publisher with all keys, publishes it; see bulla pending and bulla status',
        details: { ids: this.work.ids, tag },
      },
    );
  }
}

/** Who has to act before a staged change can be published. @param missing without snapshot and timestamp */
export function awaitedText(missing: readonly MissingSignatures[]): string {
  if (missing.length === 0) return 'a re-signer, or a publisher with the online key';
  return missing
    .map(({ role, threshold, valid, open }) => {
      const keys = open.map((keyid) => keyid.slice(0, 12)).join(', ') || 'keys that cannot be used';
      const count = threshold - valid.length;
      return `${count} more ${count === 1 ? 'signature' : 'signatures'} on ${role}, by ${keys}`;
    })
    .join('; ');
}

/** Whether the roles of two states say the same, however their files are spelled. */
function isSameState(a: WorkingCopy, b: WorkingCopy): boolean {
  const filesOf = ({ files, delegations }: WorkingCopy): readonly (Uint8Array | undefined)[] => [
    files.roots.at(-1)?.message,
    ...['targets', ...delegations.roles.map(({ name }) => name)].map(
      (role) => files.roles.get(role)?.message,
    ),
  ];
  const [these, those] = [filesOf(a), filesOf(b)];
  return these.length === those.length && these.every((bytes, at) => same(bytes, those[at]));
}

function unsigned(missing: readonly MissingSignatures[]): BullaError {
  const [first] = missing as [MissingSignatures];
  return new BullaError(
    'threshold-not-met',
    `metadata of ${JSON.stringify(first.role)} has ${first.valid.length} of the ${first.threshold} signatures that ${first.delegator} demands`,
    {
      hint: 'a change of keys is staged once all who must have signed it: export it, have it signed, and import it',
      details: { missing },
    },
  );
}

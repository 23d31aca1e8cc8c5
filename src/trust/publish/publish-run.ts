import { BullaError, isBullaError, messageOf, throwIfAborted } from '../../errors.ts';
import type { Digest } from '../../oci/digest.ts';
import type { ManifestContent } from '../../oci/manifest.ts';
import type { Tag } from '../../oci/reference.ts';
import { versionOf } from '../../tuf/edit/repository.ts';
import { trustAfterStaged } from '../approve/staged-trust.ts';
import { Rivals } from '../candidates/competing-candidates.ts';
import { hasWork, isNewer, planSiblings, type SiblingPlan } from '../candidates/fold-plan.ts';
import { Intake, type TrustAfter } from '../candidates/intake.ts';
import { type FoundSiblings, isUnanswered, type Sibling, SiblingReader } from '../candidates/siblings.ts';
import { Abilities } from '../candidates/signing-power.ts';
import type { LogEntry } from '../format/log.ts';
import type { TrustTarget } from '../format/ports.ts';
import { partsOf, pushObject } from '../format/push.ts';
import { candidateTag, HEAD_TAG } from '../format/vocabulary.ts';
import { keepParts } from '../read/cached-source.ts';
import type { ReadOptions } from '../read/collection.ts';
import { type BlobCache, ProcessBlobCache } from '../read/memory.ts';
import { interruptedWith } from './interrupted.ts';
import { type MadeHead, makeHead, versionsOf } from './make-head.ts';
import { immovable, isImmovable } from './probe.ts';
import { type Base, hasMoved, readBase } from './publish-base.ts';
import type { PublishOptions } from './publish-options.ts';
import { announceAgain } from './reannounce.ts';
import { keepDisplaced, restoreParts } from './recover-head.ts';
import { withdraw } from './removal.ts';
import { keepAnnounced, withUsed } from './signer-state.ts';
import { NO_WORK, type PublishWork } from './work.ts';

/** A head is not replaced by one that was made from a reading older than this, in milliseconds. */
export const PARENT_MS = 60_000;
/** Longest that one publish waits for others in all; safety does not depend on it. */
export const WAIT_MS = 60_000;
const JITTER_MS = 750;
/** Longest pause between two looks at the head while waiting. */
const LOOK_MS = 400;
/** Shortest and longest time that those who wait give one publisher to fold what all of them have announced. */
export const TURN_MS: number = 400;
export const LONGEST_TURN_MS: number = 5_000;
const MOST_UNREAD = 8;
/** Rounds after which a publish gives up. */
export const MAX_ROUNDS = 100;
/** Failures of the moving of the head in a row that are taken for a registry that will not have it. */
const MAX_FAILURES = 5;

/** What a run ended with. */
export interface RunResult {
  readonly base: Base;
  readonly found: FoundSiblings;
  readonly plan: SiblingPlan;
  readonly rounds: number;
  readonly folded: readonly LogEntry[];
  /** Tags that this run announced under, the last one last. */
  readonly announced: readonly Tag[];
  /** Whether a change of keys or delegations was taken over. */
  readonly isRestructured: boolean;
}

/** A head that was announced here. */
interface Announced {
  readonly parent: Digest | null;
  readonly top: ManifestContent;
  /** Of its timestamp. */
  readonly version: number;
  /** Ids of the changes of others in it. */
  readonly ids: ReadonlySet<string>;
}

/** What is found and planned where nothing has to be looked for. */
const NOTHING_FOUND: FoundSiblings = {
  siblings: [],
  refused: [],
  isComplete: false,
  isUnanswered: false,
  unread: 0,
  tags: new Set(),
  digests: new Map(),
  folded: new Map(),
  roleChanges: new Map(),
};
const NOTHING_PLANNED: SiblingPlan = {
  folds: new Map(),
  adoptions: [],
  conflicts: [],
  waiting: [],
  refused: [],
  left: [],
};

/** What a round finds. */
interface Survey {
  readonly isDone: boolean;
  readonly isLeft: boolean;
  readonly found: FoundSiblings;
  readonly siblings: readonly Sibling[];
  readonly plan: SiblingPlan;
}

/**
 * Publishes with all keys (spec/trust-publishing.md, "Publishing"): announces the next head, lets
 * rivals finish, moves the tag, reads back, and goes round again until the head holds the work and
 * everything that can be folded.
 */
export class PublishRun {
  private readonly target: TrustTarget;
  private readonly read: ReadOptions;
  /** What was read or pushed once is not fetched again when the head is read back. */
  private readonly cache: BlobCache;
  private readonly options: PublishOptions;
  private readonly work: PublishWork;
  private readonly reader: SiblingReader;
  private readonly rivals = new Rivals();
  private readonly intake: Intake;
  private readonly folded = new Map<string, LogEntry>();
  private readonly kept = new Set<Digest>();
  /** Remembered heads whose parts were pushed again. */
  private readonly restored = new Set<Digest>();
  private readonly announced: Tag[] = [];
  private isRestructured = false;
  private staged: { readonly key: string; readonly trust: readonly TrustAfter[] } | undefined;
  private waited = 0;
  /** What was announced last, and not moved to yet. */
  private made: Announced | undefined;
  /** Whether a head was sent to its tag: only then can this run have overwritten what others did. */
  private hasPut = false;
  /** What was found last, and the head beside which this publisher has waited for its turn. */
  private last: FoundSiblings = NOTHING_FOUND;
  private turnAt: Digest | null | undefined;
  /** How long making and announcing a head took last, in milliseconds. */
  private turnMs = TURN_MS;
  /** Candidates and stages that were listed once the work was done, after whatever was moved last. */
  private duties: ReadonlySet<Tag> | undefined;
  private failures: BullaError[] = [];
  /** How often something beside the head could not be read once the work was done. */
  private unanswered = 0;

  constructor(target: TrustTarget, read: ReadOptions, work: PublishWork, options: PublishOptions) {
    this.target = target;
    this.cache = read.cache ?? new ProcessBlobCache();
    this.read = { ...read, cache: this.cache };
    this.options = options;
    this.work = work;
    this.intake = new Intake(work.trustAfter === undefined ? undefined : options.intake);
    this.reader = new SiblingReader(target, options.chance, { signal: options.signal }, this.cache);
  }

  /**
   * @param first the head, where it was just read
   * @throws BullaError conflict; staged (details.ids) where the head would not hold the work after very
   *   many rounds; what reading and signing throw
   */
  async run(first?: Base): Promise<RunResult> {
    try {
      return await this.publishUntilDone(first);
    } catch (error) {
      const tag = this.announced.at(-1);
      const left = tag === undefined ? undefined : { place: this.read.place, tag, ids: this.work.ids };
      throw interruptedWith(error, this.options.signal, left);
    }
  }

  private async publishUntilDone(first: Base | undefined): Promise<RunResult> {
    for (let rounds = 1; ; rounds++) {
      throwIfAborted(this.options.signal);
      const base = rounds === 1 && first !== undefined ? first : await this.readBack();
      const isAnnounced = this.announced.length > 0 && !base.isBuried && this.work.ids.length > 0;
      const next = isAnnounced && rounds <= MAX_ROUNDS ? await this.afterAnnouncing(base) : 'on';
      // Others took it in, and nothing was sent here that can have overwritten theirs.
      if (next === 'done') return await this.end(base, NOTHING_FOUND, NOTHING_PLANNED, rounds);
      const result = next === 'again' ? undefined : await this.round(base, rounds);
      if (result !== undefined) return result;
    }
  }

  /** @returns undefined where another round is needed */
  private async round(base: Base, rounds: number): Promise<RunResult | undefined> {
    const { isDone, isLeft, found, siblings, plan } = await this.survey(base);
    // What could not be read may be a newer head's candidate, which this one has buried.
    if (isDone && isLeft && (await this.askAgain(found))) return undefined;
    if (isDone && !base.isBuried && (isLeft || rounds > MAX_ROUNDS))
      return await this.end(base, found, plan, rounds);
    if (rounds > MAX_ROUNDS) throw this.unfinished();
    // Not ours to hurry: its author is about to publish it.
    if (isDone && (await this.letFinish(base, siblings))) return undefined;
    await this.restoreParts(base);
    if (isDone && isLeft) await this.moveTo(base, base.collection.object.content);
    else await this.publish(base, found, plan, isDone);
    return undefined;
  }

  /** What a publisher does first that has announced its work: it may be in the head by now, or it is another's turn. */
  private async afterAnnouncing(base: Base): Promise<'done' | 'again' | 'on'> {
    const isDone = await this.work.isDone(base);
    if (!isDone) return (await this.waitForTurn(base)) ? 'again' : 'on';
    return this.hasPut ? 'on' : 'done';
  }

  /** What there is beside a head, and what is to be done about it. `isLeft`: nothing. */
  private async survey(base: Base): Promise<Survey> {
    const isDone = await this.work.isDone(base);
    await keepDisplaced(this.target, base, this.kept, { signal: this.options.signal });
    const found = await this.look(base);
    const siblings = this.inDuty(found, isDone);
    const abilities = new Abilities(base.copy, this.options.signers);
    const { copy, readAt } = base;
    const { ids } = this.work;
    const now = this.options.clock.now();
    const trust = isDone ? undefined : this.work.trustAfter?.(base, now);
    const own = await trust?.catch((error: unknown) => this.giveUp(base, error));
    this.intake.judgeBy([...(own === undefined ? [] : [own]), ...(await this.trustAfterOthers(base, found))]);
    const plan = await planSiblings(this.target, copy, siblings, abilities, readAt, ids, this.intake);
    // Those who have read what was made of it would take this head for a rollback.
    const isBehind = abilities.isOnline && siblings.some((sibling) => isNewer(sibling, copy));
    return { isDone, isLeft: !hasWork(plan) && !isBehind, found, siblings, plan };
  }

  /** As long as nothing moves, what is staged is judged once. */
  private async trustAfterOthers(
    { copy }: Base,
    { roleChanges }: FoundSiblings,
  ): Promise<readonly TrustAfter[]> {
    const { digest } = copy.collection.object.content.descriptor;
    const key = [digest, ...roleChanges.keys()].join(' ');
    if (this.staged?.key !== key) {
      const { clock, signal } = this.options;
      const trust = await trustAfterStaged(this.target, copy, roleChanges, clock.now(), { signal });
      this.staged = { key, trust };
    }
    return this.staged.trust;
  }

  private async end(base: Base, found: FoundSiblings, plan: SiblingPlan, rounds: number): Promise<RunResult> {
    const last = this.announced.at(-1);
    if (last !== undefined) await this.options.state.drop(base.collection.id, last);
    const { announced, isRestructured } = this;
    return { base, found, plan, rounds, folded: this.foldedInto(), announced, isRestructured };
  }

  /** @returns whether to look once more, after a while, because an answer is owed */
  private async askAgain({ isUnanswered }: FoundSiblings): Promise<boolean> {
    if (!isUnanswered || this.unanswered >= MAX_FAILURES) return false;
    this.unanswered += 1;
    await this.pauseAfter(this.unanswered);
    return true;
  }

  /** Longer after each failure in a row, with jitter. */
  private async pauseAfter(failures: number): Promise<void> {
    const { clock, chance, signal } = this.options;
    await clock.sleep(250 * 2 ** failures * (0.5 + chance.fraction()), signal);
  }

  /**
   * Once the work is in the head, what was announced later is its maker's to publish: nothing that was done
   * here can have overwritten it. Otherwise the first publisher would stay until the last has come.
   */
  private inDuty({ siblings, tags }: FoundSiblings, isDone: boolean): readonly Sibling[] {
    if (!isDone) this.duties = undefined;
    else this.duties ??= tags;
    const { duties } = this;
    return duties === undefined ? siblings : siblings.filter(({ tag }) => duties.has(tag));
  }

  private async publish(base: Base, found: FoundSiblings, plan: SiblingPlan, isDone: boolean): Promise<void> {
    // A change of roles has no turn: it is made anew after what others are about to publish.
    if (this.announced.length > 0 && this.work.ids.length === 0)
      if (await this.letFinish(base, found.siblings)) return;
    if (!isDone && this.made !== undefined && isStillNext(this.made, base, plan))
      return await this.moveTo(base, this.made.top);
    const began = this.options.clock.now().getTime();
    const isFirst = plan.structure !== undefined || (this.work.isStructural === true && hasWork(plan));
    const work = isFirst || isDone ? NO_WORK : this.work;
    const made = await makeHead(base, found, plan, work, this.options).catch((error: unknown) =>
      this.giveUp(base, error),
    );
    work.noteMade?.(made.files, base);
    await this.announce(base, made);
    if (plan.structure !== undefined) this.isRestructured = true;
    for (const entry of entriesIn(plan)) this.folded.set(entry.id, entry);
    const { timestamp } = made.files;
    const version = timestamp === undefined ? 0 : versionOf(timestamp);
    const ids = new Set(entriesIn(plan).map(({ id }) => id));
    this.made = { parent: base.parent, top: made.head.top, version, ids };
    const took = this.options.clock.now().getTime() - began;
    this.turnMs = Math.min(LONGEST_TURN_MS, Math.max(TURN_MS, 1.5 * took));
    if (await this.letFinish(base, (await this.look(base, version)).siblings, version)) return;
    await this.moveTo(base, made.head.top);
  }

  /** What a remembered head consists of may be gone from the registry; pushed once for each head. */
  private async restoreParts(base: Base): Promise<void> {
    const { digest } = base.collection.object.content.descriptor;
    if (!base.isBuried || this.restored.has(digest)) return;
    await restoreParts(this.target, base, { signal: this.options.signal });
    this.restored.add(digest);
  }

  /** Pushes the next head under a tag of its own, where it is found should the moving fail. */
  private async announce(base: Base, made: MadeHead): Promise<void> {
    const { state, clock, signal } = this.options;
    const { id, object } = base.collection;
    const tag = candidateTag(made.candidate.top.descriptor.digest);
    this.rivals.addOwn(made.identity);
    this.reader.own.set(tag, made.candidate.top);
    await state.update(id, (present) => withUsed(present, versionsOf(made.files)));
    const { ids } = this.work;
    await keepAnnounced(this.options, id, { tag, ids, madeAt: clock.now(), assembly: made.candidate });
    const superseded = this.announced.at(-1);
    const present: ReadonlySet<Digest> = base.isBuried ? new Set() : partsOf(object);
    await pushObject(this.target, made.candidate, tag, present, { signal });
    await keepParts(this.cache, made.candidate);
    this.announced.push(tag);
    if (superseded !== undefined) await state.drop(id, superseded);
  }

  /** Moves the tag once; whether that worked, only reading back can tell. */
  private async moveTo(base: Base, { descriptor, bytes }: ManifestContent): Promise<void> {
    const { clock, signal, onProgress } = this.options;
    // Where it moved meanwhile, whatever it is now would be buried, and would have to be folded again.
    if (await hasMoved(this.target, base, { signal })) return;
    if (clock.now().getTime() - base.readAt.getTime() >= PARENT_MS) return;
    const { mediaType, digest, size } = descriptor;
    const content = { descriptor: { mediaType, digest, size }, bytes };
    this.duties = undefined;
    this.made = undefined;
    this.hasPut = true;
    try {
      const condition = { expected: base.parent, isChecked: true };
      await this.target.pushManifest(content, { ...condition, tag: HEAD_TAG, once: true, signal });
      this.failures = [];
    } catch (error) {
      if (isImmovable(error)) throw immovable(this.target, error);
      const isConflict = isBullaError(error, 'conflict');
      if (isConflict && (await hasMoved(this.target, base, { signal }))) return;
      // A conflict over a tag that no publisher moves is a rule of the registry.
      if (!(isConflict || isUnanswered(error)) || this.failures.length >= MAX_FAILURES) throw error;
      this.failures.push(error as BullaError);
      onProgress?.(
        `the head was not moved, or the answer was lost (${messageOf(error)}); looking whether the head moved`,
      );
      await this.pauseAfter(this.failures.length);
    }
  }

  /** @throws BullaError with the ids, where an answer was lost and nothing can be read back */
  private async readBack(): Promise<Base> {
    try {
      return await readBase(this.target, this.read, this.options);
    } catch (error) {
      if (this.announced.length === 0 || !isUnanswered(error)) throw error;
      const { code, message, details } = error as BullaError;
      throw new BullaError(code, `${message}; whether the change is in the head is not known`, {
        cause: error,
        hint: 'check with bulla log; the next publisher folds what was announced',
        details: { ...details, ids: this.work.ids, tag: this.announced.at(-1) },
      });
    }
  }

  /** @param above look only until there is a reason to wait for one above this version */
  private async look(base: Base, above?: number): Promise<FoundSiblings> {
    const now = this.options.clock.now();
    const isRival = (sibling: Sibling): boolean => {
      this.rivals.note([sibling], now);
      return this.rivals.remaining([sibling], above ?? 0, now) > 0;
    };
    const found = await this.reader.read(base.copy, now, above === undefined ? undefined : isRival);
    this.rivals.note(found.siblings, now);
    this.last = found;
    const again = await announceAgain(this.target, base, found, this.options);
    for (const { tag, assembly } of again) this.reader.own.set(tag, assembly.top);
    return again.length === 0 ? found : await this.reader.read(base.copy, now);
  }

  /**
   * Waits while another publisher is about to move the head.
   * @param own version of the timestamp that was announced here, and could be moved to
   * @returns whether to begin again
   */
  private async letFinish(base: Base, siblings: readonly Sibling[], own = 0): Promise<boolean> {
    const { clock, chance } = this.options;
    const { version } = base.collection.client.trusted.timestamp.content;
    const remaining = this.rivals.remaining(siblings, Math.max(version, own), clock.now());
    if (remaining <= 0 || this.waited >= WAIT_MS) return false;
    await this.waitForMove(base, remaining + JITTER_MS * chance.fraction());
    return true;
  }

  /**
   * Publishers whose changes the head lacks take turns: the one whose candidate is the highest folds what all have
   * announced, while the others wait for as long as those before them need. So each announces once, and hardly
   * any reads all of the others. Once beside each head; safety does not depend on it.
   * @returns whether the head has moved
   */
  private async waitForTurn(base: Base): Promise<boolean> {
    const { clock, chance } = this.options;
    if (this.turnAt === base.parent || this.waited >= WAIT_MS) return false;
    this.turnAt = base.parent;
    const held = new Set<string>();
    for (const role of this.work.roles)
      for (const { id } of (await base.copy.log(role)).entries) held.add(id);
    const isOpen = ({ roles }: Sibling): boolean =>
      [...roles.values()].some(({ log }) => log.entries.some(({ id }) => !held.has(id)));
    const { siblings, unread } = this.last;
    const version = this.made?.version ?? 0;
    const before = this.rivals.countAbove(siblings.filter(isOpen), version, clock.now());
    // Of those that were not read, half may be before this one; anyone can put junk there.
    const turns = before + Math.min(unread, MOST_UNREAD) / 2;
    if (turns === 0) return false;
    return await this.waitForMove(base, turns * this.turnMs * (0.75 + chance.fraction() / 2));
  }

  /** Waits as long, or until the head has moved. @returns whether it has */
  private async waitForMove(base: Base, milliseconds: number): Promise<boolean> {
    const { clock, chance, signal } = this.options;
    this.waited += milliseconds;
    let left = milliseconds;
    while (left > 0) {
      const pause = Math.min(left, LOOK_MS * (0.5 + chance.fraction() / 2));
      await clock.sleep(pause, signal);
      left -= pause;
      if (await hasMoved(this.target, base, { signal })) return true;
    }
    return false;
  }

  /** Takes back what was announced, where it is in conflict. */
  private async giveUp(base: Base, error: unknown): Promise<never> {
    if (isBullaError(error, 'conflict')) await withdraw(this.target, this.announced, base, this.options);
    throw error;
  }

  /** What was folded in any round. */
  private foldedInto(): readonly LogEntry[] {
    const own = new Set(this.work.ids);
    return [...this.folded.values()].filter(({ id }) => !own.has(id));
  }

  private unfinished(): BullaError {
    const tag = this.announced.at(-1);
    return new BullaError('staged', `others moved the head ${MAX_ROUNDS} times meanwhile`, {
      hint: `the next publisher folds what was announced at ${tag}; bulla status shows it`,
      details: { ids: this.work.ids, tag },
    });
  }
}

/** Changes of others that a plan takes in. */
function entriesIn({ folds, adoptions }: SiblingPlan): readonly LogEntry[] {
  return [...folds.values()].flat().concat(adoptions.flatMap(({ entries }) => entries));
}

/** Whether a head that was announced is still the next one: it builds on the present one, and has all that there is. */
function isStillNext({ parent, ids }: Announced, base: Base, plan: SiblingPlan): boolean {
  const { structure, adoptions } = plan;
  if (parent !== base.parent || structure !== undefined || adoptions.length > 0) return false;
  return entriesIn(plan).every(({ id }) => ids.has(id));
}

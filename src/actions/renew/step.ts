import type { Digest } from '../../oci/digest.ts';
import type { Clock } from '../../trust/format/ports.ts';
import { failureOf, overBudget } from './failure.ts';
import type { Look, Seen, TagMarks } from './look.ts';
import type { StepResult } from './queue.ts';
import type { RenewedCollection } from './report.ts';
import { type ResignTiming, withJitter } from './timing.ts';

/** What a step asks of the world. */
export interface StepPorts {
  readonly clock: Clock;
  /** Chance, in [0, 1). */
  readonly fraction: () => number;
  look(place: string, seen: Seen, listing: boolean, signal: AbortSignal): Promise<Look>;
  /** The announced and staged work of a collection. */
  marks(place: string, signal: AbortSignal): Promise<TagMarks>;
  /** Whether there is a head, or one must be there because it is in the configuration or was seen. */
  isThere(place: string, signal: AbortSignal): Promise<boolean>;
  /**
   * One pass: verify, fold, sign when due, heal, clean up.
   * @param renew re-sign although half of the lifetime may not be over
   */
  resign(
    place: string,
    options: { readonly renew: boolean; readonly signal: AbortSignal },
  ): Promise<RenewedCollection>;
}

/** When a head was put back, and in the place of what. */
export interface Healed {
  readonly at: Date;
  readonly why: string;
}

/** What is kept in memory of one collection, of many. */
export interface Knowledge {
  readonly head: Digest;
  readonly marks: TagMarks | undefined;
  readonly listedAt: number;
  readonly renewAt: Date;
  readonly expiries: ReadonlyMap<string, Date>;
  readonly conflicts: RenewedCollection['conflicts'];
  /** The last time that the head had to be put back; undefined where it never had to be. */
  readonly healed?: Healed | undefined;
}

export interface StepSettings {
  readonly timing: ResignTiming;
  /** Notifications announce stages: tags are listed only once in so many milliseconds. */
  readonly listEveryMs: number;
}

/** Serves one collection at a time: looks whether there is anything to do, and does it within its time. */
export class Steps {
  private readonly ports: StepPorts;
  private readonly settings: StepSettings;
  private readonly knowledge = new Map<string, Knowledge>();
  /** Places with notifications since their last step began. */
  private readonly told = new Set<string>();
  /** Places whose last pass failed, so that a look alone would not do. */
  private readonly broken = new Set<string>();

  constructor(ports: StepPorts, settings: StepSettings) {
    this.ports = ports;
    this.settings = settings;
  }

  known(place: string): Knowledge | undefined {
    return this.knowledge.get(place);
  }

  /** All that is known, by place. */
  entries(): IterableIterator<[string, Knowledge]> {
    return this.knowledge.entries();
  }

  /** Something happened there: the next step also lists its tags. */
  tell(place: string): void {
    this.told.add(place);
  }

  forget(place: string): void {
    this.knowledge.delete(place);
    this.told.delete(place);
    this.broken.delete(place);
  }

  /** One step. It never fails: how it ended is its result. */
  async step(place: string, stop: AbortSignal): Promise<StepResult> {
    const { budgetMs } = this.settings.timing;
    // Not AbortSignal.any: with a source that lives as long as the process, each one would stay in memory.
    const work = new AbortController();
    const onStop = (): void => work.abort(stop.reason);
    if (stop.aborted) onStop();
    stop.addEventListener('abort', onStop, { once: true });
    const timer = new AbortController();
    const limit = this.ports.clock.sleep(budgetMs, timer.signal).then(
      () => work.abort(overBudget(place, budgetMs)),
      () => undefined,
    );
    try {
      return await Promise.race([this.serve(place, work.signal), rejection(work.signal)]);
    } catch (error) {
      this.broken.add(place);
      const failure = failureOf(work.signal.aborted ? work.signal.reason : error);
      return { outcome: { kind: 'failed', failure }, isProductive: false };
    } finally {
      stop.removeEventListener('abort', onStop);
      timer.abort();
      await limit;
    }
  }

  private async serve(place: string, signal: AbortSignal): Promise<StepResult> {
    const { ports } = this;
    const known = this.knowledge.get(place);
    if (known === undefined && !(await ports.isThere(place, signal)))
      return { outcome: { kind: 'absent' }, isProductive: false };
    const now = ports.clock.now();
    const wasTold = this.told.delete(place);
    const isDue = known === undefined || known.renewAt <= now;
    if (isDue || this.broken.has(place)) {
      // Listed before the pass: what comes later is news at the next look.
      const marks = await ports.marks(place, signal);
      return await this.pass(place, { marks, renew: isDue && known !== undefined, isNews: true }, signal);
    }
    const isListing =
      wasTold ||
      known.marks === undefined ||
      Math.abs(now.getTime() - known.listedAt) >= this.settings.listEveryMs;
    const look = await ports.look(place, known, isListing, signal);
    if (look.kind === 'same') {
      if (look.marks !== undefined)
        this.knowledge.set(place, { ...known, marks: look.marks, listedAt: now.getTime() });
      return { outcome: { kind: 'idle' }, isProductive: false };
    }
    const change = { marks: look.kind === 'changed' ? look.marks : undefined, renew: false };
    return await this.pass(place, { ...change, isNews: look.kind === 'changed' && look.isHead }, signal);
  }

  private async pass(
    place: string,
    { marks, renew, isNews }: { marks: TagMarks | undefined; renew: boolean; isNews: boolean },
    signal: AbortSignal,
  ): Promise<StepResult> {
    const { ports, settings } = this;
    const before = this.knowledge.get(place);
    const freshness = await ports.resign(place, { renew, signal });
    const { head, renewAt, lifetimeMs, expiries, conflicts, ownTags, work, buriedBy } = freshness;
    this.broken.delete(place);
    const now = ports.clock.now();
    this.knowledge.set(place, {
      head,
      marks: marks === undefined ? before?.marks : withOwn(marks, ownTags ?? []),
      listedAt: marks === undefined ? (before?.listedAt ?? 0) : now.getTime(),
      renewAt: withJitter(renewAt, lifetimeMs, settings.timing.jitter, ports.fraction()),
      expiries,
      conflicts,
      healed: buriedBy === undefined ? before?.healed : { at: now, why: buriedBy },
    });
    const isProductive = work !== 'fresh' || (isNews && head !== before?.head);
    return { outcome: { kind: 'passed', freshness }, isProductive };
  }
}

function withOwn(marks: TagMarks, own: readonly string[]): TagMarks {
  return own.length === 0 ? marks : new Set([...marks, ...own]);
}

function rejection(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason as Error);
    signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
  });
}

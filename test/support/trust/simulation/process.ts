import { BullaError } from '../../../../src/errors.ts';
import type { Clock, Random } from '../../../../src/trust/format/ports.ts';
import type { Dice } from './dice.ts';
import type { Scheduler } from './scheduler.ts';

/** What can happen to one call of a port. Each number is the probability at each call. */
export interface Faults {
  /** The effect does not happen, and the caller is told that nothing is known. */
  readonly lostRequest: number;
  /** The effect happens, and the caller is told that nothing is known. */
  readonly lostAnswer: number;
  /** The caller is told that nothing is known; the effect happens up to {@link lateMs} later. */
  readonly late: number;
  /** The effect happens once more, up to {@link lateMs} later. */
  readonly twice: number;
  /** The whole process stands still for a while: seconds, or up to {@link stallMs}. */
  readonly stall: number;
  readonly lateMs: number;
  readonly stallMs: number;
}

export const NO_FAULTS: Faults = {
  lostRequest: 0,
  lostAnswer: 0,
  late: 0,
  twice: 0,
  stall: 0,
  lateMs: 0,
  stallMs: 0,
};

/** What a process is given. */
export interface ProcessOptions {
  readonly name: string;
  readonly scheduler: Scheduler;
  readonly dice: Dice;
  readonly faults: Faults;
  /** Milliseconds by which its clock is ahead. */
  readonly skewMs: number;
  /** It dies at the call of this number; never, where undefined. */
  readonly diesAt?: number | undefined;
  /** Random parts of versions, all different in one schedule. */
  readonly below: () => number;
}

const POSSIBLE = {
  read: ['lostRequest'],
  write: ['lostRequest', 'lostAnswer', 'late', 'twice'],
  disk: [],
} as const;

/** More of them, hours long, would have everything expire. */
const MAX_STALLS = 2;

type Outcome<T> = { readonly value: T } | { readonly error: unknown };

/**
 * One run of a program, from its start to its end or death. Every call of a port goes through it: there it
 * can wait, stand still, be told nothing, or die, before the effect, while it is under way, or after it.
 */
export class SimulatedProcess {
  readonly name: string;
  readonly clock: Clock;
  readonly chance: Random;
  /** Told once it has died. */
  readonly died: Promise<'died'>;
  isAlive = true;
  /** Whether nobody looks after what it last wrote: it ended with an error, or a write came late. */
  isAbsent = false;
  /** When it was started, by true time, and how long it has stood still since, in milliseconds. */
  readonly startedAt: number;
  stoodStillMs = 0;
  private readonly options: ProcessOptions;
  private calls = 0;
  private stillUntil = 0;
  private stalls = 0;
  private noteDeath: (outcome: 'died') => void = () => {};

  constructor(options: ProcessOptions) {
    const { name, scheduler, dice, skewMs, below } = options;
    this.options = options;
    this.name = name;
    this.startedAt = scheduler.now;
    this.died = new Promise((resolve) => {
      this.noteDeath = resolve;
    });
    this.clock = {
      now: () => new Date(scheduler.now + skewMs),
      sleep: (ms) => this.wait(ms),
    };
    this.chance = { below, changeId: () => dice.hex(32), fraction: () => dice.fraction() };
  }

  /** One call of a port. @param kind what can happen to it: a write can come late or twice, a disk always answers */
  async call<T>(kind: 'read' | 'write' | 'disk', effect: () => T): Promise<T> {
    if (!this.isAlive) return await never();
    const { scheduler, dice, faults, diesAt } = this.options;
    const dies = this.calls++ === diesAt ? dice.below(3) : undefined;
    if (this.stalls < MAX_STALLS && dice.happens(faults.stall)) this.standStill();
    if (dies === 0) return await this.die();
    const fault = this.throwFault(kind);
    return await new Promise((resolve, reject) => {
      const answer = (outcome: Outcome<T>) =>
        this.deliver(dice.magnitude(1, 40), () => {
          if ('value' in outcome) resolve(outcome.value);
          else reject(outcome.error);
        });
      scheduler.at(this.nextMoment(dice.magnitude(1, 60)), () => {
        if (dies === 1) void this.die();
        if (fault === 'lostRequest') return answer(unknown());
        if (fault === 'late') {
          this.happenLater(effect);
          return answer(unknown());
        }
        const outcome = attempt(effect);
        if (fault === 'twice') this.happenLater(effect);
        if (dies === 2) void this.die();
        answer(fault === 'lostAnswer' ? unknown() : outcome);
      });
    });
  }

  /** Ends it: nothing that it waits for comes any more. What is under way on the network goes on. */
  die(): Promise<never> {
    this.isAlive = false;
    this.isAbsent = true;
    this.noteDeath('died');
    return never();
  }

  private happenLater(effect: () => unknown): void {
    const { scheduler, dice, faults } = this.options;
    scheduler.after(dice.magnitude(10, faults.lateMs), () => {
      this.isAbsent = true;
      attempt(effect);
    });
  }

  private throwFault(kind: 'read' | 'write' | 'disk'): keyof Faults | undefined {
    const { dice, faults } = this.options;
    return POSSIBLE[kind].find((fault) => dice.happens(faults[fault]));
  }

  private standStill(): void {
    const { scheduler, dice, faults } = this.options;
    const ms = dice.magnitude(500, faults.stallMs);
    this.stillUntil = Math.max(this.stillUntil, scheduler.now + ms);
    this.stoodStillMs += ms;
    this.stalls++;
  }

  /** When it next gets to do something that takes so long. */
  private nextMoment(ms: number): number {
    return Math.max(this.options.scheduler.now, this.stillUntil) + ms;
  }

  private wait(ms: number): Promise<void> {
    return this.isAlive ? new Promise((resolve) => this.deliver(Math.max(0, ms), resolve)) : never();
  }

  /** Lets it go on after so many milliseconds, or later where it stands still then; never where it is dead. */
  private deliver(ms: number, goOn: () => void): void {
    const { scheduler } = this.options;
    scheduler.after(ms, () => {
      if (!this.isAlive) return;
      if (scheduler.now >= this.stillUntil) goOn();
      else scheduler.at(this.stillUntil, () => this.isAlive && goOn());
    });
  }
}

function attempt<T>(effect: () => T): Outcome<T> {
  try {
    return { value: effect() };
  } catch (error) {
    return { error };
  }
}

function unknown(): { readonly error: BullaError } {
  return { error: new BullaError('timeout', 'no answer came', { hint: 'try again' }) };
}

function never(): Promise<never> {
  return new Promise(() => {});
}

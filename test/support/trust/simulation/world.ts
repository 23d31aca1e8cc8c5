import type { Digest } from '../../../../src/oci/digest.ts';
import type { Tag } from '../../../../src/oci/reference.ts';
import { HEAD_TAG, kindOfTag } from '../../../../src/trust/format/vocabulary.ts';
import { RACE_MS } from '../../../../src/trust/read/collection.ts';
import { Dice } from './dice.ts';
import { foundation, START } from './foundation.ts';
import type { Machine } from './machine.ts';
import { type Faults, NO_FAULTS, SimulatedProcess } from './process.ts';
import type { PublishingCode } from './publishing-code.ts';
import { Record } from './record.ts';
import { type Pusher, type RegistryObserver, SimulatedRegistry } from './registry.ts';
import type { Scenario } from './scenario.ts';
import { Scheduler } from './scheduler.ts';
import { noStatistics, type Statistics } from './statistics.ts';

const FOUNDER: Pusher = { name: 'founder' };
const VERSION_RANGE = 2 ** 20;

/** What a process is to be like. */
export interface Temper {
  readonly faults?: Faults;
  readonly deathRate?: number;
  readonly skewMs?: number;
}

/** Everything that one schedule is about. */
export class World {
  readonly scenario: Scenario;
  readonly code: PublishingCode;
  readonly dice: Dice;
  readonly scheduler: Scheduler;
  readonly registry: SimulatedRegistry;
  readonly record: Record;
  readonly statistics: Statistics = { ...noStatistics(), schedules: 1 };
  /** Signed parts of files that holders of keys have signed. */
  readonly signedTexts: Set<string>;
  /** What publishers keep between two runs. */
  readonly machines: Machine[] = [];
  /** Set once all publishers have ended. */
  isOver = false;
  private busy = 0;
  private waiting: (() => void)[] = [];
  private readonly randomParts = new Set<number>();
  private readonly watchers: RegistryObserver['tagMoved'][] = [];

  private constructor(scenario: Scenario, code: PublishingCode, signedTexts: Set<string>) {
    this.scenario = scenario;
    this.code = code;
    this.signedTexts = signedTexts;
    this.dice = new Dice(scenario.seed ^ 0x5eed);
    this.scheduler = new Scheduler(START);
    this.record = new Record(signedTexts);
    this.registry = new SimulatedRegistry(scenario.dialect, this.scheduler, this.dice.fork(), {
      blobPushed: (digest, bytes) => this.record.blobPushed(digest, bytes),
      manifestPushed: () => this.record.manifestPushed(),
      tagMoved: (tag, to, by) => this.tagMoved(tag, to, by),
    });
  }

  static async create(scenario: Scenario, code: PublishingCode): Promise<World> {
    const { head, signedTexts } = await foundation();
    const world = new World(scenario, code, new Set(signedTexts));
    for (const { descriptor, bytes } of head.blobs) world.registry.putBlob(descriptor, bytes, FOUNDER);
    world.registry.putManifest(head.top, HEAD_TAG, undefined, FOUNDER);
    world.record.headsWritten = 0;
    return world;
  }

  /** Starts a program. */
  start(name: string, { faults = NO_FAULTS, deathRate = 0, skewMs = 0 }: Temper = {}): SimulatedProcess {
    const { dice, scheduler } = this;
    return new SimulatedProcess({
      name,
      scheduler,
      faults,
      skewMs,
      dice: dice.fork(),
      below: () => this.randomPart(),
      diesAt: dice.happens(deathRate) ? dice.magnitude(1, 150) : undefined,
    });
  }

  /** Lets somebody see each move of a tag. */
  watchTags(watch: RegistryObserver['tagMoved']): void {
    this.watchers.push(watch);
  }

  /** Waits as somebody whom nothing can happen to. */
  sleep(ms: number): Promise<void> {
    return new Promise((resolve) => this.scheduler.after(ms, resolve));
  }

  /** A publisher begins; those who loop wake up. */
  begin(): void {
    this.busy++;
    for (const goOn of this.waiting.splice(0)) goOn();
  }

  end(): void {
    this.busy--;
  }

  /** Ends it for those who loop. */
  finish(): void {
    this.isOver = true;
    for (const goOn of this.waiting.splice(0)) goOn();
  }

  /** Until a publisher is at work, or all is over: nights are not worth looping through. */
  async untilBusy(): Promise<void> {
    while (this.busy === 0 && !this.isOver) await new Promise<void>((resolve) => this.waiting.push(resolve));
  }

  /**
   * Different ones in each schedule: two of a race are equal once in 2²⁰ times, which is stated, and would
   * be met in so many schedules.
   */
  private randomPart(): number {
    for (;;) {
      const part = this.dice.below(VERSION_RANGE);
      if (this.randomParts.has(part)) continue;
      this.randomParts.add(part);
      return part;
    }
  }

  /** Whether somebody deletes or puts there what publishers need. */
  get isAttacked(): boolean {
    const { attacks, deletedShare, borrowings } = this.scenario;
    return attacks > 0 || deletedShare > 0 || borrowings > 0;
  }

  /** Whether what publishers need is taken away for good: who only borrows it can lock nobody out in the end. */
  get isRobbed(): boolean {
    const { attacks, deletedShare } = this.scenario;
    return attacks > 0 || deletedShare > 0;
  }

  /**
   * Whether the head may be an old one with nobody there to notice: whoever moved it last has died, was
   * told nothing, or stood still for longer than heads are expected to race.
   */
  mayBeRolledBack(): boolean {
    const { lastMover } = this.record;
    if (!(lastMover instanceof SimulatedProcess)) return false;
    return lastMover.isAbsent || lastMover.stoodStillMs > RACE_MS;
  }

  private tagMoved(tag: Tag, to: Digest | undefined, by: Pusher): void {
    this.record.tagMoved(tag, to, by);
    for (const watch of this.watchers) watch(tag, to, by);
  }

  /** Tags of candidates and stages that are there now. */
  siblingTags(): Tag[] {
    return [...this.registry.tags.keys()].filter((tag) => {
      const kind = kindOfTag(tag);
      return kind === 'candidate' || kind === 'stage';
    });
  }
}

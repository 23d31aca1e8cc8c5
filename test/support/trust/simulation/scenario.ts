import type { NamedContent } from '../../../../src/trust/format/log.ts';
import { Dice } from './dice.ts';
import { contentOf } from './keys.ts';
import { type Faults, NO_FAULTS } from './process.ts';
import type { RegistryDialect } from './registry.ts';

/** What schedules of a kind have in common. */
export type Family = 'calm' | 'faulty' | 'staged' | 'deleted' | 'attacked' | 'borrowed';

export interface PlannedChange {
  readonly set?: ReadonlyMap<string, NamedContent>;
  readonly unset?: ReadonlySet<string>;
  /** How long after the one before it, in milliseconds. */
  readonly afterMs: number;
}

export interface PublisherPlan {
  readonly name: string;
  readonly role: 'names' | 'ci';
  /** Without the online key its changes are staged. */
  readonly hasOnlineKey: boolean;
  readonly skewMs: number;
  readonly changes: readonly PlannedChange[];
}

/** One schedule: what is drawn before it begins. */
export interface Scenario {
  readonly seed: number;
  readonly family: Family;
  readonly dialect: RegistryDialect;
  readonly faults: Faults;
  /** Probability that a run of a publisher dies somewhere on its way. */
  readonly deathRate: number;
  readonly publishers: readonly PublisherPlan[];
  readonly readers: number;
  readonly resigners: number;
  /** Probability that a candidate or stage is deleted soon after it came. */
  readonly deletedShare: number;
  /** How often an attacker does something; 0 where there is none. */
  readonly attacks: number;
  /** How often somebody who may push borrows tags, and puts back what was there. */
  readonly borrowings: number;
}

/** How large the schedules are. */
export interface ScenarioSize {
  readonly maxPublishers: number;
  /** How many changes each of them makes, as often as they are listed. */
  readonly changes: readonly number[];
  readonly maxReaders: number;
}

/** Small ones, in which there is yet everything that can happen: for thousands of schedules in a minute. */
export const SMALL: ScenarioSize = { maxPublishers: 4, changes: [1, 1, 1, 1, 1, 2], maxReaders: 1 };
/** Crowds, for those who have time. */
export const LARGE: ScenarioSize = { maxPublishers: 17, changes: [1, 1, 1, 2], maxReaders: 3 };

const HOUR_MS = 3_600_000;
const SHARED_NAMES = ['v1', 'v2', 'latest'] as const;

/** The schedule of a seed. */
export function drawScenario(seed: number, family: Family, size: ScenarioSize): Scenario {
  const dice = new Dice(seed);
  const isFaulty = family !== 'calm' && dice.happens(0.7);
  const publishers = drawPublishers(dice, family, size);
  return {
    seed,
    family,
    publishers,
    dialect: drawDialect(dice, family),
    faults: isFaulty ? drawFaults(dice) : NO_FAULTS,
    deathRate: isFaulty ? dice.pick([0, 0.2, 0.5]) : 0,
    readers: dice.between(1, size.maxReaders + 1),
    resigners: family === 'staged' || family === 'borrowed' || dice.happens(0.15) ? dice.between(1, 3) : 0,
    deletedShare: family === 'deleted' || (family === 'attacked' && dice.happens(0.5)) ? 0.5 : 0,
    attacks: family === 'attacked' ? dice.between(3, 16) : 0,
    borrowings: family === 'borrowed' ? dice.between(3, 16) : 0,
  };
}

function drawDialect(dice: Dice, family: Family): RegistryDialect {
  const isLagging = family !== 'calm' && family !== 'deleted' && dice.happens(0.15);
  return {
    comparesAndSwaps: dice.happens(0.2),
    listingLagMs: isLagging ? dice.magnitude(200, 10_000) : 0,
    sorts: dice.happens(0.5),
    tagDeletion: dice.pick(['tag', 'tag', 'refused', 'manifest']),
  };
}

function drawFaults(dice: Dice): Faults {
  const rate = dice.pick([0.002, 0.01, 0.03]);
  return {
    lostRequest: rate,
    lostAnswer: rate,
    late: dice.happens(0.5) ? rate : 0,
    twice: dice.happens(0.5) ? rate : 0,
    stall: dice.happens(0.5) ? rate : 0,
    lateMs: dice.pick([2_000, 30_000]),
    stallMs: dice.pick([5_000, 60_000, 3 * HOUR_MS]),
  };
}

function drawPublishers(dice: Dice, family: Family, size: ScenarioSize): PublisherPlan[] {
  const count = Math.floor(2 * (size.maxPublishers / 2) ** dice.fraction());
  // In some schedules a day passes, so that logs are cut.
  const isLong = dice.happens(0.12);
  const isSkewed = dice.happens(0.3);
  return Array.from({ length: count }, (_, index) => {
    const name = `publisher ${index}`;
    const changes = Array.from({ length: dice.pick(size.changes) + (isLong ? 1 : 0) }, (_, number) =>
      drawChange(dice, name, number, isLong && number > 0),
    );
    return {
      name,
      role: dice.happens(0.15) ? 'ci' : 'names',
      hasOnlineKey: isOnline(dice, family),
      skewMs: isSkewed ? dice.between(-120_000, 120_000) : 0,
      changes,
    };
  });
}

function drawChange(dice: Dice, publisher: string, number: number, isNextDay: boolean): PlannedChange {
  const afterMs = isNextDay ? dice.between(25 * HOUR_MS, 27 * HOUR_MS) : dice.magnitude(1, 4_000);
  const shared = dice.pick(SHARED_NAMES);
  if (dice.happens(0.2)) return { afterMs, unset: new Set([shared]) };
  const content = contentOf(`${publisher} ${number}`);
  const own = `${publisher.replace(' ', '-')}-${number}`;
  const names = dice.happens(0.5) ? [own] : dice.happens(0.5) ? [shared] : [own, shared];
  return { afterMs, set: new Map(names.map((name) => [name, content])) };
}

function isOnline(dice: Dice, family: Family): boolean {
  if (family === 'staged') return dice.happens(0.3);
  return family !== 'borrowed' || dice.happens(0.6);
}

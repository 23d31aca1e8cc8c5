import { Random } from '../support/fuzz/mutate.ts';

/** How collections live. Times are in days. */
export interface Lives {
  /** Of a timestamp. */
  readonly lifetime: number;
  /** Fraction of the lifetime after which a head is re-signed, and by which that is brought forward at most. */
  readonly renewAt: number;
  readonly jitter: number;
  /** How many collections publish how often; a published head has a new timestamp. The shares add up to 1. */
  readonly publishers: readonly { readonly share: number; readonly perDay: number }[];
}

/** What a re-signer does by default (spec/resigner.md), for collections of which a tenth is busy. */
export const USUAL_LIVES: Lives = {
  lifetime: 14,
  renewAt: 0.5,
  jitter: 0.1,
  publishers: [
    { share: 0.6, perDay: 0 },
    { share: 0.3, perDay: 0.1 },
    { share: 0.1, perDay: 2 },
  ],
};

/** What happened in each hour. */
export interface Arrivals {
  readonly renewals: Uint32Array;
  readonly published: Uint32Array;
}

/**
 * Plays the lives of collections, one after another. Each head is re-signed when its time has come, unless something was
 * published before.
 * @param begin `at once`: all were created, or renewed, at the same moment, as after a move; `spread`: at any time
 */
export function arrivals(
  lives: Lives,
  {
    collections,
    days,
    begin,
    seed,
  }: {
    readonly collections: number;
    readonly days: number;
    readonly begin: 'at once' | 'spread';
    readonly seed: number;
  },
): Arrivals {
  const random = new Random(seed);
  const fraction = (): number => random.below(2 ** 31) / 2 ** 31;
  const renewals = new Uint32Array(24 * days);
  const published = new Uint32Array(24 * days);
  const wait = (): number => lives.lifetime * (lives.renewAt - lives.jitter * fraction());
  for (let n = 0; n < collections; n++) {
    const perDay = rateOf(lives, n / collections);
    const untilPublished = (): number => (perDay === 0 ? Infinity : -Math.log(1 - fraction()) / perDay);
    // What was signed before the first day is due within it.
    let due = begin === 'at once' ? wait() : wait() * fraction();
    let next = untilPublished();
    while (Math.min(due, next) < days) {
      const isRenewal = due <= next;
      const at = Math.min(due, next);
      const hours = isRenewal ? renewals : published;
      const hour = Math.floor(at * 24);
      hours[hour] = (hours[hour] ?? 0) + 1;
      due = at + wait();
      if (!isRenewal) next = at + untilPublished();
    }
  }
  return { renewals, published };
}

function rateOf({ publishers }: Lives, position: number): number {
  let end = 0;
  for (const { share, perDay } of publishers) {
    end += share;
    if (position < end) return perDay;
  }
  return publishers.at(-1)?.perDay ?? 0;
}

/**
 * Renewals of one collection a day, in the long run: the time to the next one is even between two bounds, and publishing,
 * at any time with the same chance, begins it anew.
 */
export function renewalsPerDay({ lifetime, renewAt, jitter, publishers }: Lives): number {
  const least = lifetime * (renewAt - jitter);
  const most = lifetime * renewAt;
  return publishers.reduce((sum, { share, perDay }) => {
    if (perDay === 0) return sum + (share * 2) / (least + most);
    const isReached = (Math.exp(-perDay * least) - Math.exp(-perDay * most)) / (perDay * (most - least));
    return sum + (share * perDay * isReached) / (1 - isReached);
  }, 0);
}

/** Changes that one collection publishes a day. */
export function publishedPerDay({ publishers }: Lives): number {
  return publishers.reduce((sum, { share, perDay }) => sum + share * perDay, 0);
}

/** Of some days: the mean of their hours, the busiest hour, and the hour that 99 % of hours are below, per second. */
export function ratesOf(
  hours: Uint32Array,
  from: number,
  to: number,
  scale: number,
): { readonly mean: number; readonly p99: number; readonly most: number } {
  const sorted = [...hours.slice(24 * from, 24 * to)].sort((a, b) => a - b);
  const perSecond = (count: number): number => (count * scale) / 3600;
  return {
    mean: perSecond(sorted.reduce((sum, count) => sum + count, 0) / sorted.length),
    p99: perSecond(sorted[Math.ceil(0.99 * sorted.length) - 1] ?? Number.NaN),
    most: perSecond(sorted.at(-1) ?? Number.NaN),
  };
}

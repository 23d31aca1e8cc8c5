import { Random } from '../../fuzz/mutate.ts';

const RANGE = 2 ** 32;

/** The chance of one schedule: all of it follows from the seed. */
export class Dice extends Random {
  /** In [0, 1). */
  fraction(): number {
    return this.below(RANGE) / RANGE;
  }

  happens(probability: number): boolean {
    return this.fraction() < probability;
  }

  /** A whole number from `low` to below `high`. */
  between(low: number, high: number): number {
    return low + Math.floor(this.fraction() * (high - low));
  }

  /** Spread evenly over orders of magnitude: as often between 1 and 10 as between 100 and 1,000. */
  magnitude(low: number, high: number): number {
    return Math.round(low * (high / low) ** this.fraction());
  }

  hex(digits: number): string {
    return Array.from({ length: digits }, () => this.below(16).toString(16)).join('');
  }

  /** Dice of their own, so that what one actor throws does not change what another one gets. */
  fork(): Dice {
    return new Dice(this.below(RANGE));
  }
}

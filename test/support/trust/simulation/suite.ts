import { describe, expect, it } from 'vitest';
import { describeFailure, playMany } from './many.ts';
import type { Family } from './scenario.ts';
import type { Statistics } from './statistics.ts';

const PER_TEST = 50;

/** Declares the tests that play so many schedules of a family. */
export function testSchedules(family: Family, count: number): void {
  const size = process.env['SIM_SIZE'] === 'large' ? 'large' : 'small';
  const isAgain = process.env['SIM_SEED'] !== undefined;
  const firsts = Array.from(
    { length: isAgain ? 1 : Math.ceil(count / PER_TEST) },
    (_, at) => 1 + at * PER_TEST,
  );
  describe(`${family} schedules`, () => {
    it.each(firsts)('from %i on', { timeout: 300_000 }, async (first) => {
      const seeds = seedsFrom(first, Math.min(PER_TEST, count + 1 - first));
      const { sum, failures } = await playMany(family, seeds, size);
      expect(failures.map((failure) => describeFailure(family, failure, size))).toEqual([]);
      expect(sum).toMatchObject({ schedules: seeds.length });
      assertWorthwhile(sum);
    });
  });
}

/** Nothing is shown by schedules in which nothing gets done. */
function assertWorthwhile({ schedules, done, reads, headsWritten, changes }: Statistics): void {
  if (schedules < PER_TEST) return;
  expect(done).toBeGreaterThan(changes / 3);
  expect(reads).toBeGreaterThan(schedules);
  expect(headsWritten).toBeLessThan(2 * changes);
}

/** Seeds from `first` on, or the one of the environment that is to be played again. */
function seedsFrom(first: number, count: number): number[] {
  const again = process.env['SIM_SEED'];
  return again === undefined ? Array.from({ length: count }, (_, index) => first + index) : [Number(again)];
}

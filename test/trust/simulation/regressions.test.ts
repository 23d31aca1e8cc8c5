import { describe, expect, it } from 'vitest';
import { describeFailure, playMany } from '../../support/trust/simulation/many.ts';

describe('schedules that failed once', () => {
  it.each([
    ['a late duplicate of an older head hides one that was read', 1_000_447, 'small'],
    ['the same, with many publishers', 1_000_038, 'large'],
  ] as const)('%s', async (_, seed, size) => {
    const { failures } = await playMany('faulty', [seed], size);
    expect(failures.map((failure) => describeFailure('faulty', failure, size))).toEqual([]);
  });
});

import { describe, expect, it } from 'vitest';
import { describeFailure, playMany } from '../../support/trust/simulation/many.ts';

describe('schedules that failed once', () => {
  it.each([
    ['a late duplicate of an older head hides one that was read', 'faulty', 1_000_447, 'small'],
    ['the same, with many publishers', 'faulty', 1_000_038, 'large'],
    ['a publisher is not told of the newer head that it has buried', 'staged', 72_003_369, 'small'],
    ['a head that is not remembered has the only copy of a change', 'borrowed', 74_000_629, 'small'],
    ['a head of more changes has an older version of a role that was read', 'borrowed', 71_000_284, 'small'],
  ] as const)('%s', async (_, family, seed, size) => {
    const { failures } = await playMany(family, [seed], size);
    expect(failures.map((failure) => describeFailure(family, failure, size))).toEqual([]);
  });
});

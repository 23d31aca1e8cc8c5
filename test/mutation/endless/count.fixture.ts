import { expect, it } from 'vitest';
import { countTo, runTo } from './count.ts';

// What the mutation run is tested with; it is no test of its own.
it('counts', async () => {
  expect(await countTo(3)).toBe(3);
});

it('runs', async () => {
  expect(await runTo(3)).toBe(3);
});

import { randomInt } from 'node:crypto';
import { it, vi } from 'vitest';
import { runHere } from '../support/flow/in-process.ts';
import { tryPrograms } from '../support/flow/program.ts';

const SEED = Number(process.env['FUZZ_SEED'] ?? randomInt(2 ** 31));
const PROGRAMS = Number(process.env['FUZZ_PROGRAMS'] ?? 200);

/** Waits take a twentieth of their time, as stale answers do. */
vi.mock(import('node:timers/promises'), async (original) => {
  const real = await original();
  const setTimeout = ((ms: number, ...rest: []) =>
    real.setTimeout(ms / 20, ...rest)) as typeof real.setTimeout;
  return { ...real, setTimeout, default: { ...real, setTimeout } };
});

it(`no quirk of a registry makes an honest image a dishonest one, or lets anything go missing (FUZZ_SEED=${SEED})`, async () => {
  await tryPrograms(runHere, PROGRAMS, SEED);
}, 3_600_000);

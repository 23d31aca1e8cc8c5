import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { expect } from 'vitest';
import { mapConcurrently } from '../../../src/actions/copy/concurrency.ts';
import { startEmulator } from '../emulators/proxy.ts';
import { startRegistry } from '../registry/server.ts';
import { Flow, NotAnswered, type RunBulla, STEPS } from './flow.ts';
import { PLAIN, QUIRKS, type Quirks, quirky } from './quirks.ts';

export interface ProgramResult {
  /** Answered ones, without those that ask for another try. */
  readonly requests: number;
  /** What the command that ended the flow said, where it could not ask (exit 3 or 4). */
  readonly notAnswered: string | undefined;
}

/**
 * Runs the whole flow on a registry with quirks.
 * @param haste how many times faster than the clock the time passes
 * @throws Error with the step, where a command does not end as it must
 */
export async function runProgram(program: Quirks, run: RunBulla, haste: number): Promise<ProgramResult> {
  const directory = await mkdtemp(join(tmpdir(), 'bulla-quirks-'));
  const registry = await startRegistry();
  const emulator = await startEmulator(registry.host, quirky(program, haste));
  let step = '';
  const requests = (): number => emulator.log.filter((line) => !/ (?:429|5\d\d)$/.test(line)).length;
  try {
    const flow = await Flow.make(
      {
        repository: `${emulator.host}/team/app`,
        elsewhere: `${emulator.host}/mirror/app`,
        keeps: program.deletes === 'none',
        behind: registry.host,
        settleMs: program.staleMs / haste,
        crowd: 3,
      },
      directory,
      run,
    );
    for (const one of STEPS) {
      step = one.name;
      await one.run(flow);
    }
    return { requests: requests(), notAnswered: undefined };
  } catch (error) {
    if (error instanceof NotAnswered)
      return { requests: requests(), notAnswered: `${step}: ${error.message}` };
    throw new Error(`${step}\n${error instanceof Error ? error.message : String(error)}`);
  } finally {
    await emulator.stop();
    await registry.close();
    await rm(directory, { recursive: true, force: true });
  }
}

/** How many times faster than the clock time passes in {@link tryPrograms}. */
export const HASTE = 20;

/**
 * Runs the flow on registries with random quirks. Every outcome is success, or that the registry could not be asked;
 * never that an honest image is none, never success with something missing, never many more requests than on a plain
 * registry. Most of them have to come to the end.
 */
export async function tryPrograms(run: RunBulla, count: number, seed: number): Promise<void> {
  const plain = await runProgram(PLAIN, run, HASTE);
  expect(plain.notAnswered).toBeUndefined();
  const endedEarly: string[] = [];
  let most = 0;
  // What they do most of the time is wait.
  const programs = fc.sample(QUIRKS, { numRuns: count, seed });
  await mapConcurrently([...programs.entries()], 4, async ([at, program]) => {
    try {
      const { requests, notAnswered } = await runProgram(program, run, HASTE);
      if (notAnswered !== undefined) endedEarly.push(`${JSON.stringify(program)}\n${notAnswered}`);
      most = Math.max(most, requests / plain.requests);
      expect(requests, 'requests').toBeLessThanOrEqual(3 * plain.requests);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      throw new Error(`program ${at} of FUZZ_SEED=${seed}, ${JSON.stringify(program)}: ${why}`);
    }
  });
  process.stderr.write(
    `${count} programs of quirks, FUZZ_SEED=${seed}: ${endedEarly.length} could not go to the end, at most ${most.toFixed(1)} times the ${plain.requests} requests of a plain registry\n`,
  );
  expect(endedEarly.length, endedEarly.join('\n')).toBeLessThanOrEqual(count / 5);
}

import { spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { availableParallelism } from 'node:os';
import { describe, expect, it } from 'vitest';
import { describeFailure, type Failure } from '../support/trust/simulation/many.ts';
import type { Family } from '../support/trust/simulation/scenario.ts';
import {
  addStatistics,
  describeStatistics,
  noStatistics,
  type Statistics,
} from '../support/trust/simulation/statistics.ts';

const SCHEDULES = Number(process.env['SOAK_SCHEDULES'] ?? 100_000);
const FIRST = Number(process.env['SOAK_SEED'] ?? randomInt(2 ** 30));
const CHILD = new URL('../support/trust/simulation/child.ts', import.meta.url).pathname;
const PER_CHILD = { small: 1000, large: 200 } as const;
/** Of a hundred schedules, so many are of a family and a size. */
const SHARES: readonly (readonly [Family, 'small' | 'large', number])[] = [
  ['calm', 'small', 15],
  ['faulty', 'small', 27],
  ['staged', 'small', 22],
  ['deleted', 'small', 11],
  ['attacked', 'small', 16],
  ['borrowed', 'small', 5],
  ['calm', 'large', 1],
  ['faulty', 'large', 1],
  ['staged', 'large', 1],
  ['attacked', 'large', 1],
];

interface Batch {
  readonly family: Family;
  readonly size: 'small' | 'large';
  readonly first: number;
  readonly count: number;
}

interface Played {
  readonly sum: Statistics;
  readonly failures: readonly Failure[];
}

describe('publishing', () => {
  it(`holds what it promises in ${SCHEDULES} schedules (SOAK_SCHEDULES=${SCHEDULES} SOAK_SEED=${FIRST})`, {
    timeout: 12 * 3_600_000,
  }, async () => {
    const sums = new Map<string, Statistics>();
    const failures: string[] = [];
    const queue = batches();
    const work = async () => {
      for (let batch = queue.shift(); batch !== undefined; batch = queue.shift()) {
        const { family, size } = batch;
        const { sum, failures: found } = await play(batch);
        const name = `${family}, ${size}`;
        sums.set(name, sums.get(name) ?? noStatistics());
        addStatistics(sums.get(name) as Statistics, sum);
        failures.push(...found.map((failure) => describeFailure(family, failure, size)));
      }
    };
    await Promise.all(Array.from({ length: availableParallelism() }, work));
    process.stdout.write(`seeds from ${FIRST} on\n`);
    for (const [name, sum] of sums) process.stdout.write(`${name}: ${describeStatistics(sum)}\n`);
    expect(failures).toEqual([]);
    expect([...sums.values()].reduce((count, { schedules }) => count + schedules, 0)).toBeGreaterThanOrEqual(
      SCHEDULES,
    );
  });
});

/** Large ones, which take longest, first. */
function batches(): Batch[] {
  return SHARES.toReversed().flatMap(([family, size, share]) => {
    const all = Math.ceil((SCHEDULES * share) / 100);
    const per = PER_CHILD[size];
    return Array.from({ length: Math.ceil(all / per) }, (_, at) => ({
      family,
      size,
      first: FIRST + at * per,
      count: Math.min(per, all - at * per),
    }));
  });
}

/** In a process of its own, so that memory is given back and a hang is one batch's. */
async function play({ family, size, first, count }: Batch): Promise<Played> {
  const args = ['--import', 'tsx', CHILD, family, String(first), String(count), size];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  let output = '';
  child.stdout.on('data', (piece: Buffer) => {
    output += piece.toString();
  });
  const status = await new Promise((resolve) => child.once('close', resolve));
  if (status === 0) return JSON.parse(output) as Played;
  throw new Error(`schedules ${first} to ${first + count - 1} of ${family}, ${size}, ended with ${status}`);
}

import { randomBytes, randomInt } from 'node:crypto';
import { overBudget } from '../actions/renew/failure.ts';
import { REAL_TIMING } from '../http/retry.ts';
import type { Clock, Random } from '../trust/format/ports.ts';

/** The clock of this machine. */
export const SYSTEM_CLOCK: Clock = {
  now: () => new Date(),
  sleep: (ms, signal) => REAL_TIMING.sleep(ms, signal),
};

/** System randomness. */
export const SYSTEM_CHANCE: Random = {
  below: (range) => randomInt(range),
  changeId: () => randomBytes(16).toString('hex'),
  fraction: () => randomInt(2 ** 32) / 2 ** 32,
};

/** Ends work on a collection after so many milliseconds. */
export function limitOf(ms: number): (place: string) => AbortSignal {
  return (place) => {
    const late = new AbortController();
    setTimeout(() => late.abort(overBudget(place, ms)), ms).unref();
    return late.signal;
  };
}

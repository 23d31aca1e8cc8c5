import { type ErrorCode, throwIfAborted } from '../../errors.ts';
import { mapConcurrently } from '../copy/concurrency.ts';
import { type Alarm, type AlarmPolicy, alarmOfFailure, alarmsOf } from './alarms.ts';
import { worstOf } from './failure.ts';
import type { Outcome } from './report.ts';
import type { Steps } from './step.ts';

/** One collection after a pass over many. */
export interface PassResult {
  readonly place: string;
  readonly outcome: Outcome;
  readonly alarms: readonly Alarm[];
}

export interface PassReport {
  readonly results: readonly PassResult[];
  /** Undefined where all are fresh and nothing has to be told. */
  readonly worst: ErrorCode | undefined;
}

/**
 * One pass over many collections: the timer's and the CI job's way to run the re-signer. One that fails
 * does not keep others from being served.
 * @throws BullaError interrupted
 */
export async function resignAll(
  places: readonly string[],
  steps: Steps,
  options: {
    readonly concurrency: number;
    readonly policy: AlarmPolicy;
    readonly now: () => Date;
    readonly signal: AbortSignal;
    readonly onResult?: (result: PassResult) => void;
  },
): Promise<PassReport> {
  const { policy, now, signal } = options;
  const results = await mapConcurrently(places, options.concurrency, async (place) => {
    throwIfAborted(signal);
    const { outcome } = await steps.step(place, signal);
    throwIfAborted(signal);
    const result = { place, outcome, alarms: alarmsAfter(place, outcome, policy, now()) };
    options.onResult?.(result);
    return result;
  });
  const codes = results.flatMap(({ outcome, alarms }) => [
    ...alarms.map(({ code }) => code),
    ...(outcome.kind === 'failed' ? [outcome.failure.code] : []),
  ]);
  return { results, worst: worstOf(codes) };
}

function alarmsAfter(place: string, outcome: Outcome, policy: AlarmPolicy, now: Date): readonly Alarm[] {
  if (outcome.kind === 'passed') {
    const { buriedBy } = outcome.freshness;
    const healed = buriedBy === undefined ? undefined : { at: now, why: buriedBy };
    return alarmsOf(place, { ...outcome.freshness, healed }, policy, now);
  }
  if (outcome.kind !== 'failed') return [];
  const alarm = alarmOfFailure(place, outcome.failure, 0, policy);
  return alarm === undefined ? [] : [alarm];
}

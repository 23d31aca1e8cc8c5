import { type ErrorCode, throwIfAborted } from '../../errors.ts';
import { mapConcurrently } from '../copy/concurrency.ts';
import { type Alarm, type AlarmPolicy, alarmOfFailure, alarmsOf } from './alarms.ts';
import { worstOf } from './failure.ts';
import type { Outcome } from './report.ts';
import { type StepPorts, Steps } from './step.ts';
import { DEFAULT_TIMING } from './timing.ts';

/** One collection after a pass over many. */
export interface PassResult {
  readonly place: string;
  readonly outcome: Outcome;
  readonly alarms: readonly Alarm[];
}

export interface PassReport {
  readonly results: readonly PassResult[];
  /** Undefined where all are fresh and no alarm stands. */
  readonly worst: ErrorCode | undefined;
}

export interface PassOptions {
  readonly concurrency: number;
  readonly policy: AlarmPolicy;
  /** How long one collection may take, in milliseconds. */
  readonly budgetMs: number;
  /** Re-sign even where it is not due. */
  readonly renew?: boolean | undefined;
  /** Results for prefixes whose repositories could not be listed: they come last in the report. */
  readonly unlisted?: readonly PassResult[] | undefined;
  readonly signal: AbortSignal;
  readonly onResult?: ((result: PassResult) => void) | undefined;
}

/**
 * One pass over many collections: the timer's and the CI job's way to run the re-signer. One that fails
 * does not keep others from being served.
 * @throws BullaError interrupted
 */
export async function resignAll(
  places: readonly string[],
  ports: StepPorts,
  { concurrency, policy, budgetMs, renew, unlisted = [], signal, onResult }: PassOptions,
): Promise<PassReport> {
  const steps = new Steps(renew === true ? alwaysRenewing(ports) : ports, {
    timing: { ...DEFAULT_TIMING, jitter: 0, budgetMs },
    listEveryMs: 0,
  });
  const passed = await mapConcurrently(places, concurrency, async (place) => {
    throwIfAborted(signal);
    const { outcome } = await steps.step(place, signal);
    throwIfAborted(signal);
    const result = { place, outcome, alarms: alarmsAfter(place, outcome, policy, ports.clock.now()) };
    onResult?.(result);
    return result;
  });
  for (const result of unlisted) onResult?.(result);
  const results = [...passed, ...unlisted];
  const codes = results.flatMap(({ outcome, alarms }) => [
    ...alarms.map(({ code }) => code),
    ...(outcome.kind === 'failed' ? [outcome.failure.code] : []),
  ]);
  return { results, worst: worstOf(codes) };
}

function alwaysRenewing(ports: StepPorts): StepPorts {
  return { ...ports, resign: (place, options) => ports.resign(place, { ...options, renew: true }) };
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

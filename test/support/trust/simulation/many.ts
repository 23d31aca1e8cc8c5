import { drawScenario, type Family, LARGE, SMALL } from './scenario.ts';
import { simulate } from './simulate.ts';
import { addStatistics, noStatistics, type Statistics } from './statistics.ts';

/** A schedule that came to what must never be. */
export interface Failure {
  readonly seed: number;
  readonly violations: readonly string[];
}

/** Plays schedules one after the other. */
export async function playMany(
  family: Family,
  seeds: Iterable<number>,
  size: 'small' | 'large',
): Promise<{ readonly sum: Statistics; readonly failures: readonly Failure[] }> {
  const sum = noStatistics();
  const failures: Failure[] = [];
  for (const seed of seeds) {
    const { statistics, violations } = await simulate(
      drawScenario(seed, family, size === 'large' ? LARGE : SMALL),
    );
    addStatistics(sum, statistics);
    if (violations.length > 0) failures.push({ seed, violations });
  }
  return { sum, failures };
}

/** What to say of a schedule that went wrong, and how to play it again. */
export function describeFailure(
  family: Family,
  { seed, violations }: Failure,
  size: 'small' | 'large' = 'small',
): string {
  const again = `SIM_SEED=${seed} SIM_SIZE=${size} npx vitest run -c test/vitest.config.ts test/trust/simulation/${family}`;
  return `${again}\n  ${violations.slice(0, 5).join('\n  ')}`;
}

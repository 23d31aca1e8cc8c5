import { drawScenario, type Family } from './scenario.ts';
import { simulate } from './simulate.ts';
import { addStatistics, noStatistics } from './statistics.ts';

/**
 * Plays schedules in a process of its own: `child.ts FAMILY FIRST COUNT MAX_PUBLISHERS`. Prints a line of
 * JSON for each that went wrong, and one with the sum at the end.
 */
const [family, first, count, maxPublishers] = process.argv.slice(2) as [Family, string, string, string];

const sum = noStatistics();
for (let seed = Number(first); seed < Number(first) + Number(count); seed++) {
  const { statistics, violations } = await simulate(
    drawScenario(seed, family, { maxPublishers: Number(maxPublishers) }),
  );
  addStatistics(sum, statistics);
  if (violations.length > 0) process.stdout.write(`${JSON.stringify({ seed, violations })}\n`);
}
process.stdout.write(`${JSON.stringify(sum)}\n`);

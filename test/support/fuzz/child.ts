import { openSync, writeSync } from 'node:fs';
import { inspect } from 'node:util';
import { attempt, attemptOf } from './attempt.ts';

/**
 * Goes through inputs until time is up: `child.ts SEED FIRST SECONDS PROGRESS`. The number of the input at
 * hand is in the file PROGRESS, whatever happens to this process; it prints how many there were.
 */
const [seed, first, seconds] = process.argv.slice(2, 5).map(Number) as [number, number, number];
const progress = openSync(process.argv[5] as string, 'w');
const end = performance.now() + seconds * 1000;
const MAX_RESIDENT_BYTES = 1.5 * 1024 ** 3;

let index = first;
for (; performance.now() < end; index++) {
  writeSync(progress, String(index).padStart(15), 0);
  const { parser, input } = attemptOf(seed, index);
  try {
    await attempt(parser, input);
  } catch (error) {
    console.log(inspect(error).slice(0, 4000));
    process.exit(1);
  }
  if (index % 1024 === 0 && process.memoryUsage.rss() > MAX_RESIDENT_BYTES)
    throw new Error(`memory grows without bounds: ${process.memoryUsage.rss()} bytes`);
}
console.log(index - first);

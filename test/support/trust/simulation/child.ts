import '../../crypto-once.ts';
import { playMany } from './many.ts';
import type { Family } from './scenario.ts';

/**
 * Plays schedules in a process of its own: `child.ts FAMILY FIRST COUNT small|large`. Prints one line of JSON.
 */
const [family, first, count, size] = process.argv.slice(2) as [Family, string, string, 'small' | 'large'];

const seeds = Array.from({ length: Number(count) }, (_, index) => Number(first) + index);
process.stdout.write(`${JSON.stringify(await playMany(family, seeds, size))}\n`);

import { readdirSync } from 'node:fs';

/** What is mutated, and the tests that should notice, those that notice soonest first. */
export interface Room {
  readonly sources: readonly string[];
  readonly tests: readonly string[];
  /** Run only for what the others let live. */
  readonly more: readonly string[];
}

export const root: string = new URL('../..', import.meta.url).pathname;

/**
 * The mirrored tests of a room of `src/`, and where what it refuses is attacked from outside.
 * @throws RangeError for a room that is not one
 */
export function roomOf(name: string): Room {
  const all = { signatures: ATTACKS, policy: ATTACKS, crypto: ATTACKS, tuf: [], trust: [] } as const;
  const more = (all as Record<string, readonly string[]>)[name];
  if (more === undefined) throw new RangeError(`${name} is not one of ${Object.keys(all).join(', ')}`);
  return {
    sources: filesIn(`src/${name}`).filter((path) => path.endsWith('.ts')),
    tests: filesIn(`test/${name}`).filter((path) => path.endsWith('.test.ts')),
    more,
  };
}

const ATTACKS = ['test/signatures/stock.test.ts', 'test/actions/verify-attacks.test.ts'];

function filesIn(folder: string): string[] {
  return readdirSync(`${root}/${folder}`, { recursive: true })
    .map((path) => `${folder}/${String(path)}`)
    .sort();
}

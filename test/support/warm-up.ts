import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  type Compiled,
  cacheName,
  compileProgram,
  packCache,
  runProgram,
  SCRIPTS,
} from '../../src/cli/start/compiled.ts';

/**
 * Runs commands with the program in DIRECTORY and stores what V8 has compiled for them beside it: functions
 * that were never called are not in it. A program of its own, so that nothing else is in it either.
 * Arguments: DIRECTORY, and in JSON the lines of everyday commands, for which the first script is compiled, and of
 * others, for which the rest is.
 */
async function warmUp(
  directory: string,
  everyday: readonly string[],
  others: readonly string[],
): Promise<void> {
  const compiled = new Map<string, Compiled>();
  const { main } = runProgram(compileProgram(directory), directory, undefined, compiled);
  const run = async (lines: readonly string[]): Promise<void> => {
    for (const line of lines) {
      process.argv.splice(2, Number.POSITIVE_INFINITY, ...line.split(' '));
      await main();
      if (process.exitCode !== 0) throw new Error(`bulla ${line} failed with ${process.exitCode}`);
    }
  };
  const store = (name: string): void => {
    const { script } = compiled.get(name) ?? compileProgram(directory, undefined, name);
    const packed = packCache(script.createCachedData(), readFileSync(join(directory, name)));
    writeFileSync(join(directory, cacheName(process, name)), packed);
  };
  const [first, ...rest] = SCRIPTS;
  await run(everyday);
  store(first);
  await run(others);
  for (const name of rest) store(name);
}

const [directory = '', everyday = '', others = ''] = process.argv.slice(2);
void warmUp(directory, JSON.parse(everyday) as string[], JSON.parse(others) as string[]);

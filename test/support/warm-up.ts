import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { cacheName, compileProgram, PROGRAM, packCache, runProgram } from '../../src/cli/start/compiled.ts';

/**
 * Runs commands with the program in DIRECTORY and stores what V8 has compiled for them beside it: functions
 * that were never called are not in it. A program of its own, so that nothing else is in it either.
 * Arguments: DIRECTORY, and a command line in JSON for each command.
 */
async function warmUp(directory: string, lines: readonly string[]): Promise<void> {
  const compiled = compileProgram(directory);
  const { main } = runProgram(compiled, directory);
  for (const line of lines) {
    process.argv.splice(2, Number.POSITIVE_INFINITY, ...(JSON.parse(line) as string[]));
    await main();
    if (process.exitCode !== 0) throw new Error(`bulla ${line} failed with ${process.exitCode}`);
  }
  const made = compiled.script.createCachedData();
  writeFileSync(join(directory, cacheName()), packCache(made, readFileSync(join(directory, PROGRAM))));
}

const [directory = '', ...lines] = process.argv.slice(2);
void warmUp(directory, lines);

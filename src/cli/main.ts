import type { EarlyConnection } from '../http/early-connection.ts';
import { compileProgram, runProgram } from './compiled.ts';
import { turn } from './turn.ts';
import { VERSION } from './version.ts';

// Start-up counts: the version is told before anything else is loaded.
const [first] = process.argv.slice(2);
if (first === '--version' || first === '-V') {
  process.stdout.write(`${VERSION}\n`);
} else {
  void start();
}

async function start(): Promise<void> {
  const begun = process.argv.includes('verify') ? await beginConnection() : undefined;
  await runProgram(compileProgram(__dirname), __dirname).main(begun);
}

/** While the connection is made, the program is loaded. */
async function beginConnection(): Promise<EarlyConnection | undefined> {
  const { headStartOf } = await import('./head-start.ts');
  const begun = headStartOf(process);
  if (begun !== undefined) await turn();
  return begun;
}

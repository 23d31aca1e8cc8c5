import type { EarlyConnection } from '../../http/early-connection.ts';
import { isPlugin, metadataFor } from '../docker-trust/plugin.ts';
import { VERSION } from '../shell/version.ts';
import { yieldToEventLoop } from '../shell/yield.ts';
import { compileProgram, runProgram } from './compiled.ts';

// Start-up counts: the version is told before anything else is loaded, and so is what docker asks of a plug-in
// whenever it shows its help.
const [, program, ...argv] = process.argv;
const [first] = argv;
const metadata = isPlugin(program) ? metadataFor(argv, VERSION) : undefined;
if (metadata !== undefined) {
  process.stdout.write(metadata);
} else if (first === '--version' || first === '-V') {
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
  if (begun !== undefined) await yieldToEventLoop();
  return begun;
}

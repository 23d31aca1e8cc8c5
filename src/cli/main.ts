import { homedir } from 'node:os';
import { VERSION } from './version.ts';

// Start-up counts: the version is told before anything else is loaded.
const [first] = process.argv.slice(2);
if (first === '--version' || first === '-V') {
  process.stdout.write(`${VERSION}\n`);
} else {
  const ending = new AbortController();
  let asked = false;
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    if (name === 'SIGHUP' && first === 'serve') continue;
    process.on(name, () => {
      // The first signal lets the command clean up; whoever sends a second one does not want to wait.
      if (asked) process.exit(130);
      asked = true;
      ending.abort(new DOMException(`ended by ${name}`, 'AbortError'));
    });
  }
  for (const stream of [process.stdout, process.stderr]) {
    // Whoever read our output has gone: there is nobody left to tell anything to.
    stream.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 141 : 5));
  }
  tierUpLater();
  const { run } = await import('./run.ts');
  process.exitCode = await run(process.argv.slice(2), {
    // Opened by whoever reads it: most commands don't.
    get stdin() {
      return process.stdin;
    },
    stdout: process.stdout,
    stderr: process.stderr,
    env: process.env,
    cwd: process.cwd(),
    home: homedir(),
    signal: ending.signal,
    now: () => new Date(),
  });
}

/**
 * undici reads answers by a WebAssembly module, which V8 takes for hot after three of them, and then optimises
 * for longer than most commands run; the process cannot end before that is done. With this, it is hot after
 * some hundreds. Only for the V8 that this was measured with: another one might complain about the flag.
 */
function tierUpLater(): void {
  if (!process.versions.v8.startsWith('11.')) return;
  process.getBuiltinModule('node:v8').setFlagsFromString('--wasm-tiering-budget=200000000');
}

import { writeSync } from 'node:fs';
import { BullaError, EXIT_CODES } from '../../errors.ts';
import { homeDirectory } from '../../state/directories.ts';
import { isPlugin, pluginCall } from '../docker-trust/plugin.ts';
import { run } from './run.ts';

/** Node's own status for that. */
const UNSETTLED = 13;

/** How long a command may clean up that was asked to end. */
const CLEAN_UP_MS = 3_000;
/** How long a process may remain after that: it does not wait for what is still open. */
const LINGER_MS = 100;

/**
 * Ends the process whatever it does: `process.exit` waits for threads, and one may wait for a disk that is gone.
 * A shell shows 130, as for a command that ends by itself when it is asked to.
 */
function endNow(): void {
  process.removeAllListeners('SIGINT');
  process.kill(process.pid, 'SIGINT');
}

/** Runs the command line of this process. */
export async function main(): Promise<void> {
  const { argv, env } = commandLineOf(process);
  const ending = new AbortController();
  let asked = false;
  let reads = false;
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    // They read their files again then.
    if (name === 'SIGHUP' && ['serve', 'sync'].includes(argv[0] ?? '')) continue;
    process.on(name, () => {
      // The first signal lets the command clean up; a second one ends it at once.
      if (asked) endNow();
      asked = true;
      // A service answers those first who are being served.
      if (argv[0] !== 'serve') setTimeout(endNow, CLEAN_UP_MS).unref();
      ending.abort(new DOMException(`ended by ${name}`, 'AbortError'));
      if (reads) endInput();
    });
  }
  for (const stream of [process.stdout, process.stderr]) {
    // The reader of our output is gone: nothing more can be reported.
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EPIPE') process.exit(141);
      if (stream === process.stdout) sayUnwritten(error);
      process.exit(EXIT_CODES['storage-error']);
    });
  }
  compileAnswersEarly();
  // Node ends where nothing goes on any more, also if the command still waits for something: never a success.
  process.exitCode = UNSETTLED;
  process.exitCode = await run(argv, {
    // Opened when it is read: most commands don't.
    get stdin() {
      reads = true;
      return process.stdin;
    },
    stdout: process.stdout,
    stderr: process.stderr,
    env,
    cwd: process.cwd(),
    home: homeDirectory(),
    signal: ending.signal,
    program: process.argv[1],
    now: () => new Date(),
  });
  if (asked && argv[0] !== 'serve') setTimeout(endNow, LINGER_MS).unref();
}

/** A reader of a pipe waits for its end, which may never come. A terminal handles the signal itself. */
function endInput(): void {
  const { stdin } = process;
  if (stdin.isTTY) return;
  stdin.on('error', () => undefined);
  stdin.destroy(
    new BullaError('interrupted', 'ended before standard input was read', {
      hint: 'nothing was changed; run the command again',
    }),
  );
}

/** What was asked for: by itself, or by docker, which calls a plug-in. */
function commandLineOf({ argv: [, program, ...argv], env }: NodeJS.Process): {
  readonly argv: readonly string[];
  readonly env: NodeJS.ProcessEnv;
} {
  if (!isPlugin(program)) return { argv, env };
  const { argv: ours, dockerConfig } = pluginCall(argv);
  return { argv: ours, env: dockerConfig === undefined ? env : { ...env, DOCKER_CONFIG: dockerConfig } };
}

/** The process ends at once: what a stream would still have to write is lost. */
function sayUnwritten(error: Error): void {
  try {
    writeSync(2, `error: the output cannot be written: ${error.message} [storage-error]\n`);
  } catch {
    // The error cannot be reported.
  }
}

/**
 * undici reads answers by a WebAssembly module, which V8 takes for hot after three of them, and then optimises
 * for longer than most commands run; the process cannot end before that is done. With this, it is hot after
 * some hundreds; and it is compiled while the first answer is on its way, not when that is there. Only for the
 * V8 that this was measured with: another one might complain about the flags. They are set for no longer than a
 * module needs to be made: compiled code counts for the flags it was compiled with, and with others V8 compiles
 * Node's own modules anew that came with it compiled.
 */
function compileAnswersEarly(): void {
  if (!process.versions.v8.startsWith('11.')) return;
  const { WebAssembly: assembly } = globalThis as unknown as { readonly WebAssembly: WebAssemblyPart };
  const { Module } = assembly;
  assembly.Module = class extends Module {
    constructor(bytes: Uint8Array) {
      const { setFlagsFromString } = process.getBuiltinModule('node:v8');
      for (const [flag] of WASM_FLAGS) setFlagsFromString(flag);
      try {
        super(bytes);
      } finally {
        for (const [, usual] of WASM_FLAGS) setFlagsFromString(usual);
      }
    }
  };
}

/** What is set, and what V8 11 has by itself. */
const WASM_FLAGS = [
  ['--wasm-tiering-budget=200000000', '--wasm-tiering-budget=1800000'],
  ['--no-wasm-lazy-compilation', '--wasm-lazy-compilation'],
] as const;

interface WebAssemblyPart {
  Module: new (bytes: Uint8Array) => object;
}

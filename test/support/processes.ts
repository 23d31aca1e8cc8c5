import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildSync } from 'esbuild';

/** A fresh directory and how to get rid of it. */
export async function temporaryDirectory(): Promise<{ path: string; remove(): Promise<void> }> {
  const path = await mkdtemp(join(tmpdir(), 'bulla-test-'));
  return { path, remove: () => rm(path, { recursive: true, force: true }) };
}

export interface Child {
  readonly process: ChildProcess;
  /** Resolves when the child has printed a line that holds `text`. */
  printed(text: string): Promise<void>;
  /** What was printed so far. */
  output(): string;
  /** Exit status (or the signal's name) and all that was printed. */
  readonly ended: Promise<{ readonly status: number | string; readonly output: string }>;
}

const bundles = new Map<string, string>();

/** One JavaScript file of a TypeScript file of test/, made once per process: a loader would take longer for each child. */
function bundled(script: string): string {
  const known = bundles.get(script);
  if (known !== undefined) return known;
  const root = fileURLToPath(new URL('../..', import.meta.url));
  // Packages are found from here.
  const directory = join(root, 'node_modules', '.cache', 'children');
  const file = join(directory, `${script.replaceAll('/', '-').replace(/\.ts$/, '')}.mjs`);
  const { outputFiles } = buildSync({
    entryPoints: [join(root, 'test', script)],
    outfile: file,
    write: false,
    bundle: true,
    platform: 'node',
    format: 'esm',
    packages: 'external',
    logLevel: 'error',
  });
  mkdirSync(directory, { recursive: true });
  // Another worker may make it, too.
  const fresh = `${file}.${process.pid}`;
  for (const { contents } of outputFiles) writeFileSync(fresh, contents);
  renameSync(fresh, file);
  bundles.set(script, file);
  return file;
}

/** Runs a TypeScript file of test/ in a process of its own; `shell` is put before it (`ulimit -f 1;`). */
export function runChild(script: string, args: readonly string[], shell?: string): Child {
  const command = [process.execPath, bundled(script), ...args];
  const child =
    shell === undefined
      ? spawn(command[0] as string, command.slice(1), { stdio: ['ignore', 'pipe', 'pipe'] })
      : spawn('/bin/sh', ['-c', `${shell} exec "$@"`, 'sh', ...command], {
          stdio: ['ignore', 'pipe', 'pipe'],
        });
  let output = '';
  const waiting = new Set<() => void>();
  const more = (data: Buffer): void => {
    output += data.toString();
    for (const look of waiting) look();
  };
  child.stdout.on('data', more);
  child.stderr.on('data', more);
  const ended = once(child, 'close').then(([status, signal]) => ({
    status: (status ?? signal) as number | string,
    output,
  }));
  return {
    process: child,
    ended,
    output: () => output,
    printed: (text) =>
      new Promise((resolve, reject) => {
        const look = (): void => {
          if (!output.includes(text)) return;
          waiting.delete(look);
          resolve();
        };
        waiting.add(look);
        ended.then(() => reject(new Error(`ended without printing ${text}:\n${output}`)), reject);
        look();
      }),
  };
}

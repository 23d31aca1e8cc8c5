import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

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

/** Runs a TypeScript file of test/ in a process of its own; `shell` is put before it (`ulimit -f 1;`). */
export function runChild(script: string, args: readonly string[], shell?: string): Child {
  const file = fileURLToPath(new URL(`../${script}`, import.meta.url));
  const command = [process.execPath, '--import', 'tsx', file, ...args];
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

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { onTestFinished } from 'vitest';
import { run } from '../../src/cli/start/run.ts';

/** What a command line did. */
export interface CliResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
  /** stdout read as JSON; throws where it is none. */
  json(): Record<string, unknown>;
}

export interface CliOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  readonly stdin?: string;
  readonly now?: Date;
  readonly signal?: AbortSignal;
  /** Path under which the program pretends to have been started. */
  readonly program?: string;
  /** Whether the streams pretend to be a terminal. */
  readonly tty?: boolean;
  /** Somebody sits there and types `stdin`. */
  readonly typed?: boolean;
  /** Told of what is written while the command runs. */
  readonly onStdout?: (text: string) => void;
  readonly onStderr?: (text: string) => void;
}

/** Runs a command line in this process, with a home directory of its own unless `env` names one. */
export async function bulla(argv: readonly string[], options: CliOptions = {}): Promise<CliResult> {
  const home = await temporaryDirectory();
  let stdout = '';
  let stderr = '';
  const stdin = new PassThrough();
  stdin.end(options.stdin ?? '');
  const typed = options.typed ?? false;
  const isTTY = options.tty ?? typed;
  const code = await run(argv, {
    stdin: Object.assign(stdin, { isTTY, ...(typed && { setRawMode: () => stdin }) }),
    stdout: {
      isTTY,
      columns: 100,
      write: (text) => {
        stdout += text;
        options.onStdout?.(text);
      },
    },
    stderr: {
      isTTY,
      columns: 100,
      write: (text) => {
        stderr += text;
        options.onStderr?.(text);
      },
    },
    env: { BULLA_HOME: join(home, 'bulla'), ...options.env },
    cwd: options.cwd ?? home,
    ...(options.program !== undefined && { program: options.program }),
    home,
    signal: options.signal ?? new AbortController().signal,
    now: () => options.now ?? new Date(),
  });
  return { code, stdout, stderr, json: () => JSON.parse(stdout) as Record<string, unknown> };
}

/** A directory that is gone when the test ends. */
export async function temporaryDirectory(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'bulla-test-'));
  onTestFinished(() => rm(path, { recursive: true, force: true }));
  return path;
}

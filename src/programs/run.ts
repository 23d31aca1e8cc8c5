import { spawn } from 'node:child_process';

/** A program of others that is asked one question: arguments, an input, and an answer that is bounded in size and time. */
export interface Question {
  /** A path, or a name that is looked for in PATH. No shell is between. */
  readonly command: string;
  readonly args: readonly string[];
  readonly input: string | Uint8Array;
  readonly env: Readonly<Record<string, string>>;
  /** How long it may take, in milliseconds. */
  readonly timeoutMs: number;
  /** Most bytes of each of its two outputs. */
  readonly maxOutput: number;
  readonly signal?: AbortSignal | undefined;
}

/** How a program ended. */
export interface Ended {
  /** Its exit status; undefined where a signal ended it. */
  readonly status: number | undefined;
  readonly stdout: Uint8Array;
  readonly stderr: Uint8Array;
  /** Why we ended it, if we did. */
  readonly ended?: 'late' | 'too-much' | 'interrupted';
}

/** How long the output of a program that has ended may still come, in milliseconds. */
const GRACE_MS = 1_000;

/**
 * Runs a program to its end. It is killed once it takes too long, writes too much or the signal ends: it can ignore a
 * polite signal, and what it leaves running can hold the pipes open.
 * @throws NodeJS.ErrnoException where it cannot be started
 */
export function ask(question: Question): Promise<Ended> {
  const { command, args, input, env, timeoutMs, maxOutput, signal } = question;
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      env: { ...env },
      shell: false,
      stdio: ['pipe', 'pipe', 'pipe'],
      windowsHide: true,
    });
    let ended: Ended['ended'];
    const end = (why?: Ended['ended']): void => {
      ended ??= why;
      child.kill('SIGKILL');
      child.stdout.destroy();
      child.stderr.destroy();
    };
    const interrupt = (): void => end('interrupted');
    const timers = [setTimeout(() => end('late'), timeoutMs)];
    const stdout = new Output(maxOutput, () => end('too-much'));
    const stderr = new Output(maxOutput, () => end('too-much'));
    const done = (): void => {
      timers.forEach(clearTimeout);
      signal?.removeEventListener('abort', interrupt);
    };
    child.stdout.on('data', (piece: Buffer) => stdout.add(piece));
    child.stderr.on('data', (piece: Buffer) => stderr.add(piece));
    child.on('exit', () => timers.push(setTimeout(end, GRACE_MS)));
    child.on('error', (cause) => {
      done();
      reject(cause);
    });
    child.on('close', (status) => {
      done();
      const outputs = { stdout: stdout.bytes(), stderr: stderr.bytes() };
      resolve({ status: status ?? undefined, ...outputs, ...(ended !== undefined && { ended }) });
    });
    // A program that ends without reading is told by its status.
    child.stdin.on('error', () => undefined);
    child.stdin.end(input);
    if (signal?.aborted === true) interrupt();
    else signal?.addEventListener('abort', interrupt, { once: true });
  });
}

class Output {
  private readonly pieces: Buffer[] = [];
  private size = 0;
  private readonly max: number;
  private readonly tooMuch: () => void;

  constructor(max: number, tooMuch: () => void) {
    this.max = max;
    this.tooMuch = tooMuch;
  }

  add(piece: Buffer): void {
    this.size += piece.byteLength;
    if (this.size > this.max) this.tooMuch();
    else this.pieces.push(piece);
  }

  bytes(): Uint8Array {
    return Buffer.concat(this.pieces);
  }
}

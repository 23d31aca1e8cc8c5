import { openSync } from 'node:fs';
import { ReadStream } from 'node:tty';
import { BullaError } from '../../errors.ts';
import type { Io, Sink } from './io.ts';

/** Longest line that is taken, in characters; a paste beyond it is a mistake. */
const MAX_CHARACTERS = 1024;

/** A terminal that can be told not to show what is typed. */
export interface Terminal {
  readonly input: NodeJS.ReadableStream & { setRawMode?(mode: boolean): unknown };
  readonly output: Sink;
  readonly signal: AbortSignal;
  /** Lets go of it. */
  close(): void;
}

/**
 * The terminal of the user: standard input, or, if that is a pipe, the controlling
 * terminal. Undefined if there is none.
 */
export function openTerminal(io: Io): Terminal | undefined {
  const stdin: Terminal['input'] = io.stdin;
  if (io.stdin.isTTY === true && typeof stdin.setRawMode === 'function')
    return opened(io, stdin, () => stdin.pause());
  if (io.stderr.isTTY !== true || io.stdin.isTTY === true) return undefined;
  try {
    const input = new ReadStream(openSync('/dev/tty', 'r'));
    return opened(io, input, () => input.destroy());
  } catch {
    // Without a controlling terminal there is no one to prompt; the caller says what to do instead.
    return undefined;
  }
}

function opened(io: Io, input: Terminal['input'], letGo: () => unknown): Terminal {
  io.asking?.(true);
  const close = (): void => {
    letGo();
    io.asking?.(false);
  };
  return { input, output: io.stderr, signal: io.signal, close };
}

/**
 * Asks for a secret without showing it. Ctrl-C and Ctrl-D end the question; the terminal is put back
 * as it was in every case.
 * @throws BullaError interrupted, usage where the line is too long
 */
export async function promptSecret(question: string, terminal: Terminal): Promise<Uint8Array> {
  const { input, output } = terminal;
  // Before the question: otherwise an immediate answer would be echoed.
  input.setRawMode?.(true);
  try {
    output.write(question);
    return new Uint8Array(Buffer.from(await readLine(terminal), 'utf8'));
  } finally {
    input.setRawMode?.(false);
    input.pause();
    output.write('\n');
  }
}

/**
 * Asks for something that may be seen; the terminal shows and edits it.
 * @throws BullaError interrupted, usage where the line is too long
 */
export async function promptLine(question: string, terminal: Terminal): Promise<string> {
  terminal.output.write(question);
  try {
    return await readLine(terminal);
  } catch (error) {
    terminal.output.write('\n');
    throw error;
  } finally {
    terminal.input.pause();
  }
}

function readLine({ input, signal }: Terminal): Promise<string> {
  return new Promise((resolve, reject) => {
    const line: string[] = [];
    const decoder = new TextDecoder();
    const end = (finish: () => void): void => {
      input.removeListener('data', take);
      input.removeListener('end', closed);
      signal.removeEventListener('abort', aborted);
      finish();
    };
    const aborted = (): void => end(() => reject(interrupted()));
    const closed = (): void => end(() => reject(interrupted()));
    const take = (chunk: Buffer | string): void => {
      const characters = [...(typeof chunk === 'string' ? chunk : decoder.decode(chunk, { stream: true }))];
      for (const [at, character] of characters.entries()) {
        const outcome = edit(line, character);
        if (outcome === 'more') continue;
        const rest = characters.slice(at + 1).join('');
        end(() => {
          // What was typed ahead belongs to the next question; a stream that flows would drop it.
          input.pause();
          if (rest !== '') input.unshift(Buffer.from(rest));
          if (outcome === 'done') resolve(line.join(''));
          else reject(outcome === 'interrupted' ? interrupted() : tooLong());
        });
        return;
      }
    };
    if (signal.aborted) return reject(interrupted());
    signal.addEventListener('abort', aborted);
    input.on('data', take);
    input.on('end', closed);
    input.resume();
  });
}

/** Applies one key to the line. */
function edit(line: string[], character: string): 'more' | 'done' | 'interrupted' | 'too long' {
  switch (character) {
    case '\r':
    case '\n':
      return 'done';
    case '\u0003':
      return 'interrupted';
    case '\u0004':
      return line.length === 0 ? 'interrupted' : 'done';
    case '\u0008':
    case '\u007f':
      line.pop();
      return 'more';
    case '\u0015':
      line.length = 0;
      return 'more';
    default:
      if (character < ' ') return 'more';
      line.push(character);
      return line.length > MAX_CHARACTERS ? 'too long' : 'more';
  }
}

function interrupted(): BullaError {
  return new BullaError('interrupted', 'ended before the question was answered', {
    hint: 'nothing was changed; run the command again',
  });
}

function tooLong(): BullaError {
  return new BullaError('usage', `an answer of more than ${MAX_CHARACTERS} characters is not taken`, {
    hint: 'was something else pasted? long secrets can be given in a file named by BULLA_PASSPHRASE_FILE',
  });
}

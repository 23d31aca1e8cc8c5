import { BullaError, throwIfAborted } from '../../errors.ts';
import type { Context } from '../shell/context.ts';
import type { Io } from '../shell/io.ts';
import { question } from './format.ts';

/** Longest answer that is read, in characters. */
const MAX_ANSWER = 1024;

/**
 * Asks as docker does, on standard output, and takes the answer from standard input, whatever that is.
 * @param declined what to say where the answer is not yes
 * @param hint how to do it without being asked
 * @throws BullaError interrupted where the answer is not yes; usage where there is none
 */
export async function confirmOrThrow(
  { io, output }: Context,
  text: string,
  { declined, hint }: { readonly declined: string; readonly hint: string },
): Promise<void> {
  if (output.options.json)
    throw new BullaError('usage', 'with -o json nothing is asked, and this has to be confirmed', { hint });
  output.text(question(text));
  const answer = await firstLine(io).catch((error: unknown) => {
    output.text('\n');
    throw error;
  });
  if (answer === undefined) {
    output.text('\n');
    throw new BullaError('usage', 'no terminal to confirm on', { hint });
  }
  if (answer.trim().toLowerCase() === 'y') return;
  throw new BullaError('interrupted', declined, { hint: 'nothing was changed' });
}

/** The first line of standard input; undefined where it is empty. @throws BullaError interrupted */
function firstLine({ stdin, signal }: Io): Promise<string | undefined> {
  return new Promise((resolve, reject) => {
    let text = '';
    const end = (finish: () => void): void => {
      stdin.removeListener('data', take);
      stdin.removeListener('end', closed);
      signal.removeEventListener('abort', aborted);
      stdin.pause();
      finish();
    };
    const closed = (): void => end(() => resolve(text === '' ? undefined : text));
    const take = (chunk: Buffer | string): void => {
      text += chunk.toString();
      const line = text.split(/\r?\n/, 1)[0] ?? '';
      if (line.length < text.length || text.length > MAX_ANSWER) end(() => resolve(line));
    };
    const aborted = (): void =>
      end(() => {
        try {
          throwIfAborted(signal);
        } catch (error) {
          reject(error);
        }
      });
    if (signal.aborted) return aborted();
    signal.addEventListener('abort', aborted);
    stdin.on('data', take);
    stdin.on('end', closed);
    stdin.on('error', closed);
    stdin.resume();
  });
}

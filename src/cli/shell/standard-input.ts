import type { FileHandle } from 'node:fs/promises';
import { openNameless } from '../../disk/nameless.ts';
import { BullaError, isBullaError, messageOf } from '../../errors.ts';
import type { Context, Image } from './context.ts';

/** How long nothing may come, in milliseconds: the program before the pipe may have to read a large image first. */
const IDLE_MS = 10 * 60_000;

/**
 * The image of an archive on standard input. It is written to a file without a name as it comes, so that what is held in
 * memory does not grow with it, and nothing stays behind.
 * @throws BullaError usage at a terminal, or where there are several images; content-invalid; timeout, interrupted,
 *   storage-error
 */
export async function openStandardInput(context: Context): Promise<Image> {
  const { io, settings } = context;
  if (settings.passwordStdin)
    throw new BullaError('usage', 'an archive and a password cannot both come from standard input', {
      hint: 'sign in before, with bulla login, or write the archive to a file',
    });
  if (io.stdin.isTTY === true)
    throw new BullaError('usage', 'standard input is a terminal', {
      hint: 'pipe an archive into it: docker save IMAGE | bulla push - REFERENCE',
    });
  const file = await openNameless();
  try {
    const size = await context.untimed(() => receive(io.stdin, file, context.signal));
    if (size === 0)
      throw new BullaError('content-invalid', 'nothing came on standard input', {
        hint: 'the command before the pipe may have failed: look at what it has printed',
      });
  } catch (error) {
    await file.close();
    throw error;
  }
  return await context.places.openReceived(file);
}

/** @returns how many bytes came */
async function receive(stdin: NodeJS.ReadableStream, file: FileHandle, signal: AbortSignal): Promise<number> {
  const pieces = stdin[Symbol.asyncIterator]();
  let size = 0;
  for (;;) {
    const { done, value } = await nextPiece(pieces, signal);
    if (done === true) return size;
    const piece = typeof value === 'string' ? Buffer.from(value) : value;
    try {
      await file.writeFile(piece);
    } catch (cause) {
      throw new BullaError('storage-error', `standard input cannot be stored: ${messageOf(cause)}`, {
        cause,
        hint: 'make room in the directory for temporary files, or name another one: TMPDIR=DIR',
      });
    }
    size += piece.byteLength;
  }
}

/** Ends the wait for a writer that writes nothing, and for one that is not waited for any more. */
function nextPiece(
  pieces: AsyncIterator<Buffer | string>,
  signal: AbortSignal,
): Promise<IteratorResult<Buffer | string>> {
  return new Promise((resolve, reject) => {
    const end = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
    };
    const fail = (error: unknown): void => {
      end();
      reject(error as Error);
    };
    const onAbort = (): void => fail(signal.reason);
    const timer = setTimeout(() => fail(idle()), IDLE_MS);
    signal.addEventListener('abort', onAbort, { once: true });
    if (signal.aborted) onAbort();
    pieces.next().then(
      (result) => {
        end();
        resolve(result);
      },
      (cause: unknown) => fail(isBullaError(cause) ? cause : unreadable(cause)),
    );
  });
}

function idle(): BullaError {
  return new BullaError('timeout', `nothing came on standard input for ${IDLE_MS / 60_000} minutes`, {
    hint: 'look at the command before the pipe',
  });
}

function unreadable(cause: unknown): BullaError {
  return new BullaError('storage-error', `standard input cannot be read: ${messageOf(cause)}`, {
    cause,
    hint: 'look at the command before the pipe',
  });
}

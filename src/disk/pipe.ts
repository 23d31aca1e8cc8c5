import type { FileHandle } from 'node:fs/promises';
import { setTimeout as wait } from 'node:timers/promises';
import { BullaError } from '../errors.ts';
import { isErrno } from './errno.ts';

/** How long it is waited for a program that writes to a pipe, in milliseconds. */
const PIPE_WRITER_MS: number = 10_000;
/** How long for its next byte: it may be one that asks a person for a password. */
export const PIPE_IDLE_MS: number = 120_000;
/** How long for all of it. */
const PIPE_TOTAL_MS: number = 300_000;
/** Between looks at a pipe that has nothing to say. */
const LOOK_MS = 10;

const PIECE_BYTES = 64 * 1024;

export interface PipeLimits {
  readonly maxBytes: number;
  /** Where it holds more. */
  tooLarge(): BullaError;
  readonly signal?: AbortSignal | undefined;
  /** PIPE_WRITER_MS, PIPE_IDLE_MS and PIPE_TOTAL_MS if left out. */
  readonly patience?: { readonly writerMs: number; readonly idleMs: number; readonly totalMs: number };
}

/**
 * Reads a pipe that was opened without blocking. A read that blocks would occupy a thread that nothing can
 * end, not even the end of the process; so the pipe is looked at again and again, until its time is over.
 * @throws BullaError storage-error without a writer, or if it does not finish in time; what `tooLarge` makes
 */
export async function readPipe(file: FileHandle, path: string, limits: PipeLimits): Promise<Uint8Array> {
  const patience = limits.patience ?? {
    writerMs: PIPE_WRITER_MS,
    idleMs: PIPE_IDLE_MS,
    totalMs: PIPE_TOTAL_MS,
  };
  const pieces: Uint8Array[] = [];
  const began = performance.now();
  let size = 0;
  let last = began;
  let hasWriter = false;
  for (;;) {
    const piece = await readNow(file);
    const now = performance.now();
    if (piece === 'no-writer' && hasWriter) return new Uint8Array(Buffer.concat(pieces, size));
    if (piece === 'no-writer') {
      if (now - last > patience.writerMs) throw late(path, 'no process writes to it');
    } else {
      hasWriter = true;
    }
    if (piece instanceof Uint8Array) {
      last = now;
      size += piece.byteLength;
      if (size > limits.maxBytes) throw limits.tooLarge();
      pieces.push(piece);
    }
    if (now - last > patience.idleMs || now - began > patience.totalMs)
      throw late(path, 'what writes to it does not end');
    if (!(piece instanceof Uint8Array)) await wait(LOOK_MS, undefined, { signal: limits.signal });
  }
}

/** The available bytes; `no-writer` if no process has it open for writing, `nothing` if one has but is silent. */
async function readNow(file: FileHandle): Promise<Uint8Array | 'no-writer' | 'nothing'> {
  try {
    const piece = Buffer.allocUnsafe(PIECE_BYTES);
    const { bytesRead } = await file.read(piece, 0, piece.byteLength, null);
    return bytesRead === 0 ? 'no-writer' : piece.subarray(0, bytesRead);
  } catch (error) {
    if (isErrno(error, 'EAGAIN')) return 'nothing';
    throw error;
  }
}

function late(path: string, why: string): BullaError {
  return new BullaError('storage-error', `${path} is a pipe, and ${why}`, {
    hint: 'give a file, or a pipe whose writer ends: <(command)',
  });
}

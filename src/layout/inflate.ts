import type { FileHandle } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import { storageError } from '../disk/atomic.ts';
import { openNameless } from '../disk/nameless.ts';
import { BullaError } from '../errors.ts';
import { fileSource, streamPlace } from './byte-source.ts';
import { damaged } from './tar-format.ts';

/** Layers are compressed already, so an honest archive shrinks little; a saved one of plain layers, more. */
const MAX_RATIO = 200;
const LEAST_BOUND = 64 * 1024 * 1024;

/**
 * Decompresses a file with gzip into one that has no name, so that nothing stays behind however this
 * process ends.
 * @throws BullaError content-invalid where it is damaged or far larger than it can honestly be
 */
export async function inflate(compressed: FileHandle, where: string): Promise<FileHandle> {
  const { size } = await compressed.stat();
  const bound = Math.max(LEAST_BOUND, size * MAX_RATIO);
  const file = await openNameless();
  let refusal: BullaError | undefined;
  try {
    let at = 0;
    const source = fileSource(compressed, size, where);
    const store = async (pieces: AsyncIterable<Uint8Array>): Promise<void> => {
      for await (const piece of pieces) {
        if (at + piece.byteLength > bound) {
          refusal = tooLarge(where, bound);
          throw refusal;
        }
        await file.writeFile(piece);
        at += piece.byteLength;
      }
    };
    await pipeline(Readable.from(streamPlace({ source, offset: 0, size })), createGunzip(), store);
    return file;
  } catch (error) {
    await file.close();
    // pipeline() can report that it ended the other streams instead of why.
    if (refusal !== undefined) throw refusal;
    if (error instanceof BullaError) throw error;
    const code = error instanceof Error && 'code' in error ? String(error.code) : '';
    if (code.startsWith('Z_')) throw damaged(where, 'its gzip is damaged or cut off');
    throw storageError(`cannot decompress ${where}`, error);
  }
}

function tooLarge(where: string, bound: number): BullaError {
  return new BullaError('content-invalid', `${where} becomes larger than ${bound} bytes when decompressed`, {
    hint: 'no honest archive shrinks that much; decompress it yourself if you trust it',
  });
}

import type { FileHandle } from 'node:fs/promises';
import { storageError } from '../disk/atomic.ts';
import { throwIfAborted } from '../errors.ts';
import { damaged } from './tar-format.ts';

/** Bytes that can be read at any place. */
export interface ByteSource {
  /** In bytes. */
  readonly size: number;
  /** Exactly `length` bytes. @throws BullaError content-invalid where there are fewer, storage-error */
  read(offset: number, length: number): Promise<Uint8Array>;
}

/** A piece of a source. */
export interface Place {
  readonly source: ByteSource;
  readonly offset: number;
  readonly size: number;
}

const PIECE_BYTES = 256 * 1024;

/** A file as a source; `size` is what is promised to be there. */
export function fileSource(file: FileHandle, size: number, where: string): ByteSource {
  return {
    size,
    async read(offset, length): Promise<Uint8Array> {
      const bytes = Buffer.allocUnsafeSlow(length);
      let at = 0;
      while (at < length) {
        const { bytesRead } = await readSome(file, bytes, at, offset + at, where);
        if (bytesRead === 0) throw damaged(where, 'it ends too early');
        at += bytesRead;
      }
      return bytes;
    },
  };
}

async function readSome(
  file: FileHandle,
  into: Buffer,
  at: number,
  position: number,
  where: string,
): Promise<{ bytesRead: number }> {
  try {
    return await file.read(into, at, into.byteLength - at, position);
  } catch (error) {
    throw storageError(`cannot read ${where}`, error);
  }
}

/** Bytes in memory as a place. */
export function placeInMemory(bytes: Uint8Array): Place {
  const source: ByteSource = {
    size: bytes.byteLength,
    read: async (offset, length) => bytes.slice(offset, offset + length),
  };
  return { source, offset: 0, size: bytes.byteLength };
}

/** The bytes of a place, piece by piece. */
export async function* streamPlace(place: Place, signal?: AbortSignal): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < place.size; at += PIECE_BYTES) {
    throwIfAborted(signal);
    yield await place.source.read(place.offset + at, Math.min(PIECE_BYTES, place.size - at));
  }
}

/** All bytes of a place of bounded size. */
export async function readPlace(place: Place): Promise<Uint8Array> {
  return await place.source.read(place.offset, place.size);
}

import { type openForReading, storageError } from '../disk/atomic.ts';

const PIECE_BYTES = 256 * 1024;

type OpenFile = Awaited<ReturnType<typeof openForReading>>;

/** Content of an open file, which is closed at the end. @throws BullaError storage-error */
export async function* pieces(file: OpenFile, path: string): AsyncGenerator<Uint8Array> {
  try {
    for (;;) {
      const piece = Buffer.allocUnsafe(PIECE_BYTES);
      const { bytesRead } = await file.read(piece, 0, piece.byteLength, null);
      if (bytesRead === 0) return;
      yield piece.subarray(0, bytesRead);
    }
  } catch (error) {
    throw storageError(`cannot read ${path}`, error);
  } finally {
    await file.close();
  }
}

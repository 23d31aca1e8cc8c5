import { constants } from 'node:fs';
import { type FileHandle, open, unlink } from 'node:fs/promises';
import { moveIntoPlace, storageError, temporaryBeside } from '../disk/atomic.ts';
import { type ByteSource, fileSource, type Place } from './byte-source.ts';
import { BLOCK, encodeHeader, padded } from './tar-format.ts';

/**
 * Writes a tar under a temporary name. The size of each entry is known before its bytes come, so it gets
 * its place at once, and many can be written at the same time.
 */
export class TarWriter {
  private readonly path: string;
  private readonly temporary: string;
  private readonly file: FileHandle;
  private readonly source: ByteSource;
  private end = 0;
  private holes = 0;

  private constructor(path: string, temporary: string, file: FileHandle) {
    this.path = path;
    this.temporary = temporary;
    this.file = file;
    this.source = fileSource(file, Number.MAX_SAFE_INTEGER, path);
  }

  /** @throws BullaError storage-error */
  static async create(path: string): Promise<TarWriter> {
    const temporary = temporaryBeside(path);
    try {
      const flags = constants.O_CREAT | constants.O_EXCL | constants.O_RDWR;
      return new TarWriter(path, temporary, await open(temporary, flags, 0o644));
    } catch (error) {
      throw storageError(`cannot write ${path}`, error);
    }
  }

  /** Whether a failed entry left a gap, so that this is not a valid tar. */
  get hasHoles(): boolean {
    return this.holes > 0;
  }

  /**
   * Writes an entry of exactly `size` bytes. If the stream breaks, its place stays empty.
   * @throws BullaError storage-error; what the stream throws
   */
  async put(name: string, size: number, stream: AsyncIterable<Uint8Array>): Promise<Place> {
    const header = encodeHeader(name, size);
    const start = this.end;
    const offset = start + header.byteLength;
    this.end = offset + padded(size);
    this.holes++;
    let at = offset;
    for await (const piece of stream) {
      await this.write(piece, at);
      at += piece.byteLength;
    }
    await this.write(new Uint8Array(padded(size) - size), at);
    await this.write(header, start);
    this.holes--;
    return { source: this.source, offset, size };
  }

  /** Whether a place is in this tar. */
  holds(place: Place): boolean {
    return place.source === this.source;
  }

  private async write(bytes: Uint8Array, position: number): Promise<void> {
    try {
      let at = 0;
      while (at < bytes.byteLength) {
        const { bytesWritten } = await this.file.write(bytes, at, bytes.byteLength - at, position + at);
        at += bytesWritten;
      }
    } catch (error) {
      throw storageError(`cannot write ${this.path}`, error);
    }
  }

  /** Ends the tar, makes it durable and moves it to its name. @throws BullaError storage-error */
  async commit(before: () => Promise<void>): Promise<void> {
    await this.write(new Uint8Array(2 * BLOCK), this.end);
    try {
      await this.file.sync();
      await before();
      await moveIntoPlace(this.temporary, this.path);
      await this.file.close();
    } catch (error) {
      throw storageError(`cannot write ${this.path}`, error);
    }
  }

  /** Closes and removes it. Never throws: what stays is swept later. */
  async discard(): Promise<void> {
    await this.file.close().catch(() => undefined);
    await unlink(this.temporary).catch(() => undefined);
  }
}

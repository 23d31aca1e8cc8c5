import type { FileHandle } from 'node:fs/promises';

/** Bytes gathered before they are written, and most that wait while the disk is slower than the network. */
const WRITE_BYTES = 256 * 1024;
const MAX_WAITING_BYTES = 512 * 1024;
/** Dirty pages are pushed out in the background after so many bytes, so that the last fsync is short. */
const SYNC_BYTES = 64 * 1024 * 1024;

/** What the file system said when bytes that had been taken were written. */
export class WriteFailure extends Error {
  override readonly name = 'WriteFailure';
}

/** Writes behind the source: one write runs while the next bytes are received and hashed. */
export class Writer {
  private readonly file: FileHandle;
  private position: number;
  private waiting: Uint8Array[] = [];
  private waitingBytes = 0;
  private writing: Promise<void> | undefined;
  private syncing: Promise<void> | undefined;
  private unsynced = 0;
  private failure: { readonly error: unknown } | undefined;

  constructor(file: FileHandle, position: number) {
    this.file = file;
    this.position = position;
  }

  async push(chunk: Uint8Array): Promise<void> {
    this.waiting.push(chunk);
    this.waitingBytes += chunk.byteLength;
    if (this.waitingBytes >= WRITE_BYTES && this.writing === undefined) this.write();
    while (this.waitingBytes >= MAX_WAITING_BYTES && this.writing !== undefined) await this.writing;
    this.check();
  }

  /** Writes the rest. @throws what the file system says, and nothing is left open */
  async end(): Promise<void> {
    try {
      // A write that ends starts the next by itself where enough is waiting: both have to be looked at.
      while (this.writing !== undefined || (this.waitingBytes > 0 && this.failure === undefined)) {
        if (this.writing === undefined) this.write();
        await this.writing;
      }
      await this.syncing;
    } finally {
      await this.file.close();
    }
    if (this.failure !== undefined) throw this.failure.error;
  }

  private write(): void {
    const chunks = this.waiting;
    this.waiting = [];
    this.waitingBytes = 0;
    this.writing = this.writeAll(chunks)
      .catch((error: unknown) => {
        this.failure ??= { error };
      })
      .finally(() => {
        this.writing = undefined;
        if (this.waitingBytes >= WRITE_BYTES && this.failure === undefined) this.write();
      });
  }

  private async writeAll(chunks: Uint8Array[]): Promise<void> {
    const total = chunks.reduce((sum, chunk) => sum + chunk.byteLength, 0);
    const { bytesWritten } = await this.file.writev(chunks, this.position);
    if (bytesWritten < total) {
      // Rare (signals, a disk that is nearly full): write the rest in one piece, which also gives the error.
      const rest = Buffer.concat(chunks).subarray(bytesWritten);
      for (let done = 0; done < rest.byteLength; ) {
        const at = this.position + bytesWritten + done;
        done += (await this.file.write(rest, done, rest.byteLength - done, at)).bytesWritten;
      }
    }
    this.position += total;
    this.unsynced += total;
    if (this.unsynced >= SYNC_BYTES && this.syncing === undefined) this.pushOut();
  }

  private pushOut(): void {
    this.unsynced = 0;
    this.syncing = this.file
      .datasync()
      .catch((error: unknown) => {
        this.failure ??= { error };
      })
      .finally(() => {
        this.syncing = undefined;
      });
  }

  private check(): void {
    if (this.failure !== undefined) throw new WriteFailure('a write failed', { cause: this.failure.error });
  }
}

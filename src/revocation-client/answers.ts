import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { makeDirectory } from '../disk/atomic.ts';
import { makeRoom } from '../disk/make-room.ts';
import { readSmallFile, writeSmallFile } from '../disk/small-file.ts';
import { isBullaError } from '../errors.ts';

/** Longest list that is read; the longest of public authorities have half of that. */
export const MAX_CRL_BYTES: number = 32 * 1024 * 1024;
/** Longest response about one certificate that is read. */
export const MAX_OCSP_BYTES: number = 64 * 1024;
/** What is kept on disk in all: the oldest goes first. */
const MAX_FILES = 1024;
const MAX_KEPT_BYTES: number = 128 * 1024 * 1024;

/**
 * Answers of responders and lists on disk, in a directory that may be removed at any time. Nothing there is trusted:
 * an answer is verified each time that it is read, as if it had just come.
 */
export class KeptAnswers {
  private readonly directory: string;

  constructor(directory: string) {
    this.directory = directory;
  }

  /** @param name what the answer is about: authority, serial number, URL */
  read(name: readonly string[], maxBytes: number): Uint8Array | undefined {
    try {
      return readSmallFile(this.fileOf(name), maxBytes);
    } catch (error) {
      if (isBullaError(error, 'content-invalid', 'storage-error')) return undefined;
      throw error;
    }
  }

  /** A disk that takes nothing makes the next run slower, and no answer wrong. */
  async keep(name: readonly string[], bytes: Uint8Array): Promise<void> {
    try {
      await makeDirectory(this.directory, 0o700);
      makeRoom(this.directory, MAX_FILES, MAX_KEPT_BYTES - bytes.byteLength);
      writeSmallFile(this.fileOf(name), bytes);
    } catch (error) {
      if (!isBullaError(error, 'storage-error')) throw error;
    }
  }

  private fileOf(name: readonly string[]): string {
    return join(this.directory, createHash('sha256').update(JSON.stringify(name)).digest('hex'));
  }
}

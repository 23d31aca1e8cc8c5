import { join } from 'node:path';
import { makeDirectory, sweepTemporaries } from '../disk/atomic.ts';
import { makeRoom } from '../disk/make-room.ts';
import { readSmallFile, writeSmallFile } from '../disk/small-file.ts';
import { isBullaError } from '../errors.ts';
import { algorithmOf, type Digest, digestOf } from '../oci/digest.ts';
import type { BlobCache } from '../trust/read/memory.ts';

const MAX_BYTES = 8 * 1024 * 1024;

/**
 * Content by digest in a directory of caches, which may be removed at any time. Nothing there is
 * trusted: it is hashed when it is read, and damaged content is treated as missing.
 */
export class BlobDirectory implements BlobCache {
  private readonly path: string;
  private readonly maxFiles: number;
  private isReady = false;

  /** @param maxFiles when there are so many, the older half goes */
  constructor(path: string, maxFiles = 4096) {
    this.path = path;
    this.maxFiles = maxFiles;
  }

  async load(digest: Digest): Promise<Uint8Array | undefined> {
    try {
      const bytes = readSmallFile(this.fileOf(digest), MAX_BYTES);
      return bytes !== undefined && digestOf(bytes, algorithmOf(digest)) === digest ? bytes : undefined;
    } catch (error) {
      if (isBullaError(error, 'content-invalid')) return undefined;
      throw error;
    }
  }

  async keep(digest: Digest, bytes: Uint8Array): Promise<void> {
    if (!this.isReady) {
      await makeDirectory(this.path, 0o700);
      await sweepTemporaries(this.path);
      makeRoom(this.path, this.maxFiles);
      this.isReady = true;
    }
    writeSmallFile(this.fileOf(digest), bytes);
  }

  private fileOf(digest: Digest): string {
    return join(this.path, digest.replace(':', '-'));
  }
}

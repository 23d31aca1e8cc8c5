import { join } from 'node:path';
import { openForReading } from '../disk/atomic.ts';
import { readSmallFile } from '../disk/small-file.ts';
import { isBullaError } from '../errors.ts';
import type { MetadataFetcher, TargetFetcher } from '../tuf/ports.ts';
import { assertRelativePath } from '../tuf/role-name.ts';
import { pieces } from './pieces.ts';

/**
 * A TUF repository in two directories, as a web server would serve them. Names of roles stand there
 * percent-encoded.
 */
export class DirectoryMirror implements MetadataFetcher, TargetFetcher {
  private readonly metadata: string;
  private readonly targets: string;

  constructor(metadata: string, targets: string) {
    this.metadata = metadata;
    this.targets = targets;
  }

  async fetchMetadata(fileName: string, maxBytes: number): Promise<Uint8Array | undefined> {
    return readSmallFile(join(this.metadata, fileName), maxBytes);
  }

  async fetchTarget(path: string): Promise<AsyncIterable<Uint8Array> | undefined> {
    assertRelativePath(path);
    const full = join(this.targets, path);
    const file = await ifFound(() => openForReading(full));
    return file === undefined ? undefined : pieces(file, full);
  }
}

async function ifFound<T>(read: () => Promise<T>): Promise<T | undefined> {
  try {
    return await read();
  } catch (error) {
    if (isBullaError(error, 'not-found')) return undefined;
    throw error;
  }
}

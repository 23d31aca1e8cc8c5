import { randomUUID } from 'node:crypto';
import { type FileHandle, open, rm } from 'node:fs/promises';
import { Limiter } from '../../actions/copy/concurrency.ts';
import { readFileBounded, storageError } from '../../disk/atomic.ts';
import { bodyOf } from './bodies.ts';
import type { ServerExchange } from './exchange.ts';
import { SMALL_MANIFEST_BYTES } from './manifest-files.ts';
import type { RegistryLimits } from './options.ts';

/** Large manifests that are in memory at a time: parsed, one can take 60 MB. */
const LARGE_AT_ONCE = 1;

/**
 * Takes manifests that are pushed. Small ones stay in memory; a large one waits in a file until it is there as a
 * whole and its turn has come, so that memory does not grow with the number of those who push, however slowly.
 */
export class ManifestSpool {
  private readonly turns = new Limiter(LARGE_AT_ONCE);
  private readonly pathOf: (id: string) => string;

  constructor(pathOf: (id: string) => string) {
    this.pathOf = pathOf;
  }

  /**
   * Runs `work` with the body of a request once all of it has come.
   * @throws Fault 413, 408; BullaError storage-error; what `work` throws
   */
  async receive<T>(
    exchange: ServerExchange,
    limits: RegistryLimits,
    work: (bytes: Uint8Array) => Promise<T>,
  ): Promise<T> {
    const path = this.pathOf(randomUUID());
    let file: FileHandle | undefined;
    let waiting: Uint8Array[] = [];
    let length = 0;
    try {
      for await (const chunk of bodyOf(exchange, limits.manifestBytes, limits)) {
        waiting.push(chunk);
        length += chunk.byteLength;
        if (length <= SMALL_MANIFEST_BYTES) continue;
        file ??= await openSpool(path);
        await append(file, waiting);
        waiting = [];
      }
      if (file === undefined) return await work(Buffer.concat(waiting));
      return await this.turns.run(async () => work(await readFileBounded(path, limits.manifestBytes)));
    } finally {
      await file?.close();
      if (file !== undefined) await rm(path, { force: true });
    }
  }
}

async function openSpool(path: string): Promise<FileHandle> {
  try {
    return await open(path, 'wx', 0o600);
  } catch (error) {
    throw storageError('cannot store the manifest', error);
  }
}

async function append(file: FileHandle, chunks: readonly Uint8Array[]): Promise<void> {
  try {
    for (const chunk of chunks) await file.appendFile(chunk);
  } catch (error) {
    throw storageError('cannot store the manifest', error);
  }
}

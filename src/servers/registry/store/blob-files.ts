import {
  copyFile,
  type FileHandle,
  link,
  mkdir,
  open,
  rename,
  rm,
  stat,
  unlink,
  utimes,
} from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { isErrno, storageError, syncDirectory, temporaryBeside } from '../../../disk/atomic.ts';
import type { Digest } from '../../../oci/digest.ts';
import { GroupSync } from './group-sync.ts';
import { blobPath } from './paths.ts';

/** A file of content, opened to be read. */
export interface OpenedBlob {
  readonly file: FileHandle;
  /** In bytes. */
  readonly size: number;
}

/** Content that someone asked about is spared by a collection for at least so long, in milliseconds. */
const TOUCH_AFTER_MS = 10 * 60_000;

/**
 * The files of content: in each repository's layout under its digest, and hard-linked in a pool so
 * that other repositories can have the same file without a copy.
 */
export class BlobFiles {
  private readonly pool: string;
  private readonly directorySyncs = new Map<string, GroupSync>();
  private readonly known = new Set<string>();

  /** @param pool directory in the shape of a layout, on the same file system as the repositories */
  constructor(pool: string) {
    this.pool = pool;
  }

  /** Size of a blob in bytes; undefined where the repository does not have it. */
  async size(layout: string, digest: Digest): Promise<number | undefined> {
    const path = blobPath(layout, digest);
    try {
      const found = await stat(path);
      // A collection uses the time of change; the caller is about to refer to the blob.
      if (Date.now() - found.ctimeMs > TOUCH_AFTER_MS) await utimes(path, found.atime, found.mtime);
      return found.isFile() ? found.size : undefined;
    } catch (error) {
      if (isErrno(error, 'ENOENT', 'ENOTDIR')) return undefined;
      throw storageError(`cannot look at ${digest}`, error);
    }
  }

  /** Opens a blob; undefined where the repository does not have it. The caller closes the file. */
  async open(layout: string, digest: Digest): Promise<OpenedBlob | undefined> {
    let file: FileHandle;
    try {
      file = await open(blobPath(layout, digest), 'r');
    } catch (error) {
      if (isErrno(error, 'ENOENT', 'ENOTDIR')) return undefined;
      throw storageError(`cannot open ${digest}`, error);
    }
    try {
      return { file, size: (await file.stat()).size };
    } catch (error) {
      await file.close();
      throw storageError(`cannot look at ${digest}`, error);
    }
  }

  /**
   * Takes a finished and synced temporary file in as a blob, durably. The temporary file is gone then.
   * @throws BullaError storage-error
   */
  async adopt(temporary: string, layout: string, digest: Digest): Promise<void> {
    const path = blobPath(layout, digest);
    try {
      await this.prepare(dirname(path));
      const { size } = await stat(temporary);
      if ((await this.size(layout, digest)) !== size && !(await this.reuse(temporary, size, path, digest))) {
        await rename(temporary, path);
      } else {
        await unlink(temporary);
      }
      await this.syncDirectory(dirname(path));
    } catch (error) {
      await rm(temporary, { force: true });
      throw storageError(`cannot store ${digest}`, error);
    }
  }

  /**
   * Writes a small blob, durably; not shared through the pool.
   * @throws BullaError storage-error
   */
  async write(layout: string, digest: Digest, bytes: Uint8Array): Promise<void> {
    const path = blobPath(layout, digest);
    if ((await this.size(layout, digest)) === bytes.byteLength) {
      // The process that wrote it may not have synced it yet.
      await this.syncDirectory(dirname(path));
      return;
    }
    const temporary = temporaryBeside(path);
    try {
      await this.prepare(dirname(path));
      const file = await open(temporary, 'wx', 0o644);
      try {
        await file.writeFile(bytes);
        await file.datasync();
      } finally {
        await file.close();
      }
      await rename(temporary, path);
      await this.syncDirectory(dirname(path));
    } catch (error) {
      await rm(temporary, { force: true });
      throw storageError(`cannot store ${digest}`, error);
    }
  }

  /** Whether {@link mount} would find the blob. */
  async canMount(from: string | undefined, digest: Digest): Promise<boolean> {
    return (await this.size(from ?? this.pool, digest)) !== undefined;
  }

  /**
   * Gives a repository a blob that another one has (`from`), or any (from the pool).
   * @returns whether it was there to be given
   * @throws BullaError storage-error
   */
  async mount(from: string | undefined, layout: string, digest: Digest): Promise<boolean> {
    const source = blobPath(from ?? this.pool, digest);
    const path = blobPath(layout, digest);
    try {
      if ((await stat(source)).isFile()) await this.prepare(dirname(path));
      await linkOrCopy(source, path);
      await this.syncDirectory(dirname(path));
      return true;
    } catch (error) {
      if (isErrno(error, 'ENOENT', 'ENOTDIR')) return false;
      throw storageError(`cannot mount ${digest}`, error);
    }
  }

  /**
   * Removes a blob from a repository, and from the pool when no other repository has it.
   * @returns its size, or undefined where it was not there
   * @throws BullaError storage-error
   */
  async remove(layout: string, digest: Digest): Promise<number | undefined> {
    const path = blobPath(layout, digest);
    try {
      const { size } = await stat(path);
      await unlink(path);
      await this.syncDirectory(dirname(path));
      await this.dropFromPool(digest);
      return size;
    } catch (error) {
      if (isErrno(error, 'ENOENT', 'ENOTDIR')) return undefined;
      throw storageError(`cannot remove ${digest}`, error);
    }
  }

  /** Removes the pool's link where it is the last one. */
  async dropFromPool(digest: Digest): Promise<void> {
    const path = blobPath(this.pool, digest);
    try {
      if ((await stat(path)).nlink === 1) await unlink(path);
    } catch (error) {
      if (!isErrno(error, 'ENOENT', 'ENOTDIR')) throw error;
    }
  }

  /** Makes the names in a directory durable, together with other callers that wait for the same. */
  async syncDirectory(directory: string): Promise<void> {
    let sync = this.directorySyncs.get(directory);
    if (sync === undefined) {
      sync = new GroupSync(() => syncDirectory(directory));
      this.directorySyncs.set(directory, sync);
    }
    await sync.request();
    if (sync.idle) this.directorySyncs.delete(directory);
  }

  /** Creates a directory with its parents, durably. */
  async prepare(directory: string): Promise<void> {
    if (this.known.has(directory)) return;
    const first = await mkdir(directory, { recursive: true });
    if (first !== undefined) {
      for (let at = directory; at.length >= first.length; at = dirname(at))
        await this.syncDirectory(dirname(at));
    }
    if (this.known.size > 10_000) this.known.clear();
    this.known.add(directory);
  }

  /**
   * Links new content into the pool, or the pool's file of the same content to its new name.
   * @returns whether the content has its name now
   */
  private async reuse(temporary: string, size: number, path: string, digest: Digest): Promise<boolean> {
    const shared = blobPath(this.pool, digest);
    await this.prepare(dirname(shared));
    try {
      await link(temporary, shared);
    } catch (error) {
      // The pool only saves room. File systems without hard links do without it.
      if (!isErrno(error, 'EEXIST', ...NO_LINK)) throw error;
      return isErrno(error, 'EEXIST') && (await sameSize(shared, size)) && (await tryLink(shared, path));
    }
    return false;
  }
}

/** Errors of link(2) that say that this file system has no links, or this file too many. */
const NO_LINK = ['EMLINK', 'EPERM', 'ENOTSUP', 'ENOSYS', 'EXDEV'] as const;

async function sameSize(path: string, size: number): Promise<boolean> {
  try {
    return (await stat(path)).size === size;
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return false;
    throw error;
  }
}

async function tryLink(source: string, path: string): Promise<boolean> {
  try {
    await link(source, path);
    return true;
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'EEXIST', ...NO_LINK)) return false;
    throw error;
  }
}

/** A second name for a file; a copy where the file system has no links, or the file too many. */
async function linkOrCopy(source: string, path: string): Promise<void> {
  try {
    await link(source, path);
  } catch (error) {
    if (isErrno(error, 'EEXIST')) return;
    if (!isErrno(error, ...NO_LINK)) throw error;
    const temporary = temporaryBeside(path);
    await copyFile(source, temporary);
    const file = await open(temporary, 'r+');
    await file.sync();
    await file.close();
    await rename(temporary, path);
  }
}

/** Directory of the pool below the server's private directory. */
export function poolDirectory(privateDirectory: string): string {
  return join(privateDirectory, 'pool');
}

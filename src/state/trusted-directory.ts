import { createHash } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  discard,
  makeDirectory,
  storageError,
  sweepTemporaries,
  TEMPORARY_PREFIX,
  temporaryBeside,
} from '../disk/atomic.ts';
import { withLock } from '../disk/lock.ts';
import { readSmallFile, writeSmallFile } from '../disk/small-file.ts';
import { DEFAULT_LIMITS } from '../tuf/limits.ts';
import { isPossible, same } from '../tuf/memory.ts';
import type { StateChange, TrustedStateStore } from '../tuf/ports.ts';
import { encodeRoleName } from '../tuf/role-name.ts';

/** Not `.json`, so that whoever lists the metadata does not take it for a role's. */
const LOCK = '.lock';
/** Longest name of a file that every file system takes, with room for what is put around it. */
const MAX_NAME = 200;

/**
 * Trusted metadata in a directory: each role's bytes as they came, under a name without a version
 * (`root.json`, `timestamp.json`, …), and nothing else that ends in `.json`. Every file appears whole.
 * Any number of processes may use it at once: writing takes a lock, only for as long as it writes.
 */
export class TrustedDirectory implements TrustedStateStore {
  private readonly path: string;
  private swept = false;

  private constructor(path: string) {
    this.path = path;
  }

  /** Opens a directory, and makes it where there is none. @throws BullaError storage-error */
  static async open(path: string): Promise<TrustedDirectory> {
    await makeDirectory(path);
    return new TrustedDirectory(path);
  }

  async load(role: string): Promise<Uint8Array | undefined> {
    return readSmallFile(this.fileOf(role), DEFAULT_LIMITS.listedBytes);
  }

  async replace(changes: readonly StateChange[]): Promise<boolean> {
    return await withLock(join(this.path, LOCK), async (lock) => {
      const missing: (StateChange & { readonly sync: boolean })[] = [];
      for (const change of changes) {
        const present = await this.load(change.role);
        if (!isPossible(change, present)) return false;
        // Where nothing was, a power cut can take nothing; but without root nothing goes on.
        const sync = present !== undefined || change.role === 'root';
        if (!same(present, change.bytes)) missing.push({ ...change, sync });
      }
      await this.sweep();
      await lock.assertHeld();
      for (const { role, bytes, sync } of missing) {
        if (bytes === undefined) await discard(this.fileOf(role));
        else await this.write(role, bytes, sync);
      }
      return true;
    });
  }

  async keep(role: string, bytes: Uint8Array): Promise<void> {
    await this.write(role, bytes, false);
  }

  /**
   * With `sync`, a power cut leaves the old content or the new; that it may be the old, which was
   * trusted too, is not worth waiting for the directory.
   */
  private async write(role: string, bytes: Uint8Array, sync: boolean): Promise<void> {
    const path = this.fileOf(role);
    if (!sync) {
      writeSmallFile(path, bytes);
      return;
    }
    const temporary = temporaryBeside(path);
    try {
      await writeFile(temporary, bytes, { flag: 'wx', flush: true });
      await rename(temporary, path);
    } catch (error) {
      await discard(temporary).catch(() => undefined);
      throw storageError(`cannot write ${path}`, error);
    }
  }

  /** Removes what killed processes left. */
  private async sweep(): Promise<void> {
    if (this.swept) return;
    this.swept = true;
    const isLeft = readdirSync(this.path).some((name) => name.startsWith(TEMPORARY_PREFIX));
    if (isLeft) await sweepTemporaries(this.path);
  }

  private fileOf(role: string): string {
    return join(this.path, stateFileName(role));
  }
}

/**
 * File name of a role's trusted metadata. Beyond what a repository's names need, capital letters are
 * encoded, so that a role `ROOT` is not `root` where the file system ignores case, and names that are
 * too long are replaced by their hash (`%s` begins no encoded character, so it can't be another's name).
 */
export function stateFileName(role: string): string {
  const name = encodeRoleName(role).replace(/%[0-9A-F]{2}|[A-Z]/g, (match) =>
    match.startsWith('%') ? match : `%${match.charCodeAt(0).toString(16)}`,
  );
  const hash = createHash('sha256').update(role, 'utf8').digest('hex');
  return `${name.length > MAX_NAME ? `%sha256-${hash}` : name}.json`;
}

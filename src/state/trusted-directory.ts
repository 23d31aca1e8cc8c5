import { createHash } from 'node:crypto';
import { linkSync, lstatSync, readdirSync } from 'node:fs';
import { rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  discard,
  isErrno,
  makeDirectory,
  storageError,
  sweepTemporaries,
  syncDirectory,
  TEMPORARY_PREFIX,
  temporaryBeside,
} from '../disk/atomic.ts';
import { withLock } from '../disk/lock.ts';
import { readSmallFile, writeSmallFile } from '../disk/small-file.ts';
import { BullaError, isBullaError } from '../errors.ts';
import { DEFAULT_LIMITS } from '../tuf/limits.ts';
import { isPossible, same } from '../tuf/memory.ts';
import type { StateChange, TrustedStateStore } from '../tuf/ports.ts';
import { encodeRoleName } from '../tuf/role-name.ts';

// Not `.json`, so that a listing of the metadata does not take it for a role's.
const LOCK = '.lock';
/** Longest name of a file that every file system takes, with room for what is put around it. */
const MAX_NAME = 200;

/**
 * Trusted metadata in a directory: each role's bytes as they came, under a name without a version
 * (`root.json`, `timestamp.json`, …), and nothing else that ends in `.json`. Every file appears whole.
 * Any number of processes may use it at once: replacing what is there takes a lock, only for as long as
 * it writes; one process creates the first files, without a lock.
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
    return this.read(role);
  }

  /** Forgets what bounds versions, on purpose, and whatever became of it. @throws BullaError storage-error */
  async forget(): Promise<void> {
    for (const role of ['timestamp', 'snapshot', 'targets', 'root'])
      await rm(this.fileOf(role), { recursive: true, force: true });
    await syncDirectory(this.path);
  }

  private read(role: string): Uint8Array | undefined {
    return readStored(this.fileOf(role));
  }

  async replace(changes: readonly StateChange[]): Promise<boolean> {
    await nextTurn();
    const isNew = changes.every(({ expected, bytes }) => expected === undefined && bytes !== undefined);
    try {
      // What is made only where nothing is needs no lock: the file system lets one of several make it.
      if (isNew) return await this.make(changes, create);
    } catch (error) {
      if (!isErrno(error, ...NO_LINKS)) throw error;
    }
    return await withLock(join(this.path, LOCK), async (lock) => {
      await this.sweep();
      await lock.assertHeld();
      return await this.make(changes, createUnderLock);
    });
  }

  private async make(changes: readonly StateChange[], begin: typeof create): Promise<boolean> {
    const missing = this.missing(changes);
    if (missing === undefined) return false;
    let isToSync = false;
    for (const { role, expected, bytes } of missing) {
      const path = this.fileOf(role);
      // What is forgotten, or made first, must be so before what comes after it.
      if (role === 'root' && isToSync) await syncDirectory(this.path);
      if (bytes === undefined) await discard(path);
      else if (expected !== undefined) await replaceSynced(path, bytes);
      else if (!(await begin(path, bytes))) return false;
      isToSync ||= bytes === undefined || expected === undefined;
    }
    if (isToSync) await syncDirectory(this.path);
    return true;
  }

  /** The changes that are not made already; undefined where one of them is not possible. */
  private missing(changes: readonly StateChange[]): readonly StateChange[] | undefined {
    const missing: StateChange[] = [];
    for (const change of changes) {
      const present = this.read(change.role);
      if (!isPossible(change, present)) return undefined;
      if (!same(present, change.bytes)) missing.push(change);
    }
    return missing;
  }

  async keep(role: string, bytes: Uint8Array): Promise<void> {
    writeSmallFile(this.fileOf(role), bytes);
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

/** Lets go out what is to be sent meanwhile. */
function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** What file systems without hard links answer to being asked for one. */
const NO_LINKS = ['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS'] as const;

/**
 * What was stored of a role.
 * @throws BullaError storage-error; with details.reason `damaged-state` where something is there that we did not store
 */
function readStored(path: string): Uint8Array | undefined {
  try {
    return readSmallFile(path, DEFAULT_LIMITS.listedBytes);
  } catch (error) {
    const isFile = lstatSync(path, { throwIfNoEntry: false })?.isFile() !== false;
    if (!isBullaError(error) || (isFile && error.code !== 'content-invalid')) throw error;
    throw new BullaError('storage-error', error.message, {
      cause: error,
      hint: 'it is not what was stored: restore it from a backup, or forget it on purpose',
      details: { reason: 'damaged-state' },
    });
  }
}

/**
 * Makes a file, that appears whole and whose content is durable, where nothing is.
 * @returns false where something else is there by now
 * @throws BullaError storage-error; the system's own error where there are no hard links
 */
async function create(path: string, bytes: Uint8Array): Promise<boolean> {
  const temporary = temporaryBeside(path);
  try {
    await writeFile(temporary, bytes, { flag: 'wx', flush: true });
    linkSync(temporary, path);
    return true;
  } catch (error) {
    if (isErrno(error, ...NO_LINKS)) throw error;
    if (!isErrno(error, 'EEXIST')) throw storageError(`cannot write ${path}`, error);
    return same(readStored(path), bytes);
  } finally {
    await discard(temporary);
  }
}

/** {@link create}; under the lock a file may be put in its place also where there are no hard links. */
async function createUnderLock(path: string, bytes: Uint8Array): Promise<boolean> {
  try {
    return await create(path, bytes);
  } catch (error) {
    if (!isErrno(error, ...NO_LINKS)) throw error;
    await replaceSynced(path, bytes);
    return true;
  }
}

/**
 * A power cut leaves the old content or the new; that it may be the old, which was trusted too, is not
 * worth waiting for the directory.
 */
async function replaceSynced(path: string, bytes: Uint8Array): Promise<void> {
  const temporary = temporaryBeside(path);
  try {
    await writeFile(temporary, bytes, { flag: 'wx', flush: true });
    await rename(temporary, path);
  } catch (error) {
    await discard(temporary).catch(() => undefined);
    throw storageError(`cannot write ${path}`, error);
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

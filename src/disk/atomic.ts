import { constants, type Stats, statSync, unlinkSync } from 'node:fs';
import {
  type FileHandle,
  link,
  lstat,
  mkdir,
  open,
  readdir,
  rename,
  rm,
  stat,
  unlink,
} from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { BullaError } from '../errors.ts';
import { isErrno, storageError } from './errno.ts';
import { livenessOf, processMark } from './identity.ts';
import { readPipe } from './pipe.ts';

export { isErrno, storageError } from './errno.ts';

/** Prefix of every temporary file, so that what a kill left behind can be recognised and removed. */
export const TEMPORARY_PREFIX = '.bulla-tmp-';

/** Leftovers whose process cannot be asked after are taken for dead when so old, in milliseconds. */
const ABANDONED_MS = 24 * 60 * 60 * 1000;

export interface WriteOptions {
  /** Permissions of the new file; 0o644 if left out, 0o600 for whatever is secret. */
  readonly mode?: number;
  /** Refuse to replace a file that is there. */
  readonly exclusive?: boolean;
}

/**
 * Writes a file so that readers, and later runs after a kill or a power failure, find the old content
 * or the new, never half: temporary file, fsync, rename, fsync of the directory.
 * @throws BullaError storage-error; conflict where `exclusive` and the file is there
 */
export async function writeFileAtomic(
  path: string,
  bytes: Uint8Array,
  options: WriteOptions = {},
): Promise<void> {
  const file = await createTemporary(path, options.mode);
  try {
    await file.write(bytes);
    await file.commit(path, options.exclusive);
  } catch (error) {
    await file.discard();
    throw error;
  }
}

/** A file under a temporary name, to be written in pieces and then moved to its own name. */
export interface TemporaryFile {
  readonly path: string;
  /** @throws BullaError storage-error */
  write(bytes: Uint8Array): Promise<void>;
  /**
   * Makes the content durable and moves it to its name.
   * @throws BullaError storage-error; conflict where `exclusive` and the name is taken
   */
  commit(path: string, exclusive?: boolean): Promise<void>;
  /** Closes and removes it; does nothing once it was committed. Never throws. */
  discard(): Promise<void>;
}

/**
 * Creates a temporary file in the directory of `path`.
 * @throws BullaError storage-error
 */
export async function createTemporary(path: string, mode = 0o644): Promise<TemporaryFile> {
  const temporary = temporaryBeside(path);
  let file: FileHandle | undefined;
  let committed = false;
  try {
    file = await open(temporary, 'wx', mode);
  } catch (error) {
    throw storageError(`cannot write ${path}`, error);
  }
  const close = async (): Promise<void> => {
    const closing = file;
    file = undefined;
    await closing?.close();
  };
  return {
    path: temporary,
    async write(bytes): Promise<void> {
      try {
        await file?.writeFile(bytes);
      } catch (error) {
        throw storageError(`cannot write ${path}`, error);
      }
    },
    async commit(to, exclusive = false): Promise<void> {
      try {
        await file?.sync();
        await close();
        await moveIntoPlace(temporary, to, exclusive);
        committed = true;
      } catch (error) {
        throw storageError(`cannot write ${to}`, error);
      }
    },
    async discard(): Promise<void> {
      // What cannot be removed now is swept later; the error that led here is the one to report.
      await close().catch(() => undefined);
      if (!committed) await unlink(temporary).catch(() => undefined);
    },
  };
}

/** Name for a temporary file in the directory of `path`, so that a rename stays on one file system. */
export function temporaryBeside(path: string): string {
  const { randomBytes } = process.getBuiltinModule('node:crypto');
  return join(dirname(path), `${TEMPORARY_PREFIX}${processMark()}-${randomBytes(6).toString('hex')}`);
}

/**
 * Moves a finished temporary file to its name and makes that durable.
 * @throws BullaError conflict where `exclusive` and the name is taken; else what node throws
 */
export async function moveIntoPlace(temporary: string, path: string, exclusive = false): Promise<void> {
  if (exclusive) {
    // link, unlike rename, fails where the name is taken.
    try {
      await link(temporary, path);
    } catch (cause) {
      if (!isErrno(cause, 'EEXIST')) throw cause;
      throw new BullaError('conflict', `${path} exists already`, {
        cause,
        hint: 'choose another name, or remove it first',
      });
    }
    await unlink(temporary);
  } else {
    await rename(temporary, path);
  }
  await syncDirectory(dirname(path));
}

/** Makes the names in a directory durable. */
export async function syncDirectory(path: string): Promise<void> {
  let directory: FileHandle | undefined;
  try {
    directory = await open(path, constants.O_RDONLY);
    await directory.sync();
  } catch (error) {
    // Some file systems can't sync a directory; their renames are as durable as they get.
    if (!isErrno(error, 'EINVAL', 'EPERM', 'EISDIR', 'ENOTSUP')) throw error;
  } finally {
    await directory?.close();
  }
}

/** Removes a temporary file; that it is not there is fine. */
export async function discard(path: string): Promise<void> {
  try {
    unlinkSync(path);
  } catch (error) {
    if (!isErrno(error, 'ENOENT')) throw storageError(`cannot remove ${path}`, error);
  }
}

/**
 * Removes what killed processes left in a directory: temporary files (and directories) whose process
 * has ended, or that were not touched for a day. Those of living processes stay.
 * @throws BullaError storage-error
 */
export async function sweepTemporaries(directory: string): Promise<void> {
  for (const name of await namesIn(directory)) {
    if (!name.startsWith(TEMPORARY_PREFIX)) continue;
    const path = join(directory, name);
    const mark = name.slice(TEMPORARY_PREFIX.length, name.lastIndexOf('-'));
    const liveness = livenessOf(mark);
    if (liveness === 'alive' || (liveness === 'unknown' && !(await isAbandoned(path)))) continue;
    try {
      await rm(path, { recursive: true, force: true });
    } catch (error) {
      throw storageError(`cannot remove ${path}`, error);
    }
  }
}

async function namesIn(directory: string): Promise<readonly string[]> {
  try {
    return await readdir(directory);
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return [];
    throw storageError(`cannot list ${directory}`, error);
  }
}

async function isAbandoned(path: string): Promise<boolean> {
  try {
    return Date.now() - (await lstat(path)).mtimeMs > ABANDONED_MS;
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return false;
    throw storageError(`cannot look at ${path}`, error);
  }
}

/** Creates a directory with its parents. @throws BullaError storage-error */
export async function makeDirectory(path: string, mode = 0o755): Promise<void> {
  try {
    // Most often it is there, and asking takes a tenth of the time that handing it to the thread pool takes.
    if (statSync(path, { throwIfNoEntry: false })?.isDirectory() === true) return;
    await makeWithParents(path, mode);
  } catch (error) {
    throw storageError(`cannot create the directory ${path}`, error);
  }
}

/**
 * Creates a directory below another one, of which no part below it may be a link: what is written there must not
 * end up elsewhere. The upper directory itself is its user's choice, and may be one.
 * @param below relative, without `..`
 * @throws BullaError storage-error
 */
export async function makeDirectoryBelow(directory: string, below: string, mode = 0o755): Promise<void> {
  await makeDirectory(directory, mode);
  await refuseLinksBelow(directory, below);
  await makeDirectory(join(directory, below), mode);
  await refuseLinksBelow(directory, below);
}

/**
 * Refuses a path whose parts below a directory are links, as far as they are there.
 * @throws BullaError storage-error
 */
export async function refuseLinksBelow(directory: string, below: string): Promise<void> {
  let path = directory;
  for (const part of below.split('/').filter((part) => part !== '' && part !== '.')) {
    path = join(path, part);
    let isLink: boolean;
    try {
      isLink = (await lstat(path)).isSymbolicLink();
    } catch (error) {
      if (isErrno(error, 'ENOENT')) return;
      throw storageError(`cannot look at ${path}`, error);
    }
    if (isLink)
      throw new BullaError('storage-error', `${path} is a symbolic link, and nothing is written through it`, {
        hint: 'remove the link, or name the directory that it leads to',
      });
  }
}

/**
 * Node's own `recursive` goes round for ever where a file system says ENOENT of a directory whose parent
 * is there, as /proc does.
 */
async function makeWithParents(path: string, mode: number): Promise<void> {
  if (await makeOne(path, mode)) return;
  const parent = dirname(path);
  if (parent !== path) await makeWithParents(parent, mode);
  if (await makeOne(path, mode)) return;
  throw Object.assign(new Error('no directory can be made there'), { code: 'ENOENT' });
}

/** False where the parent is missing. */
async function makeOne(path: string, mode: number): Promise<boolean> {
  try {
    await mkdir(path, { mode });
    return true;
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return false;
    // That it is there is fine; a file in its place is not.
    if (!isErrno(error, 'EEXIST', 'EISDIR', 'EROFS', 'EACCES', 'EPERM')) throw error;
    if ((await stat(path).catch(() => undefined))?.isDirectory() === true) return true;
    throw error;
  }
}

export interface FileReadOptions {
  /** No symbolic link at the end of the path: for foreign places. */
  readonly noFollow?: boolean;
  /** Also a pipe, as `<(command)` gives one: for what a person names on a command line. */
  readonly pipes?: boolean;
}

/**
 * Reads a whole file of at most `maxBytes`; never holds more than that, even where the size that the
 * file system tells is not true (files that grow). Nothing that could keep it waiting without an end is
 * read: pipes only where they are allowed, within a time; no devices but the empty one, no sockets.
 * @throws BullaError not-found, content-invalid where it is larger, storage-error
 */
export async function readFileBounded(
  path: string,
  maxBytes: number,
  options: FileReadOptions = {},
): Promise<Uint8Array> {
  const { file, stats, kind } = await openInput(path, options);
  try {
    if (kind === 'null') return new Uint8Array(0);
    if (kind === 'pipe') {
      if (options.pipes !== true) throw notRegular(path, stats);
      return await readPipe(file, path, { maxBytes, tooLarge: () => tooLarge(path, 'more', maxBytes) });
    }
    if (stats.size > maxBytes) throw tooLarge(path, `${stats.size} bytes`, maxBytes);
    return await readUpTo(file, maxBytes, path, stats);
  } catch (error) {
    throw storageError(`cannot read ${path}`, error);
  } finally {
    await file.close();
  }
}

/**
 * Opens a regular file for reading.
 * @throws BullaError not-found, storage-error, also where it is a pipe, a device or a directory
 */
export async function openForReading(path: string, options: FileReadOptions = {}): Promise<FileHandle> {
  const { file, stats, kind } = await openInput(path, options);
  if (kind === 'file') return file;
  await file.close();
  throw notRegular(path, stats);
}

/** Something that was opened to be read. */
export interface Input {
  readonly file: FileHandle;
  readonly stats: Stats;
  readonly kind: 'file' | 'pipe' | 'null';
}

/**
 * Opens a path without blocking, and returns what it is: of the opened file, not of the path.
 * @throws BullaError not-found, storage-error, also where it is a device, a socket or a directory
 */
export async function openInput(
  path: string,
  options: Pick<FileReadOptions, 'noFollow'> = {},
): Promise<Input> {
  const noFollow = options.noFollow === true;
  let file: FileHandle | undefined;
  try {
    // Without O_NONBLOCK, opening a pipe without a writer would block forever, and hold a thread.
    file = await open(
      path,
      constants.O_RDONLY | constants.O_NONBLOCK | (noFollow ? constants.O_NOFOLLOW : 0),
    );
    const stats = await file.stat();
    const kind = stats.isFile() ? 'file' : stats.isFIFO() ? 'pipe' : isNull(stats) ? 'null' : undefined;
    if (kind === undefined) throw notRegular(path, stats);
    return { file, stats, kind };
  } catch (error) {
    await file?.close();
    if (isErrno(error, 'ENOENT'))
      throw new BullaError('not-found', `${path} does not exist`, { cause: error, hint: 'check the path' });
    throw storageError(`cannot read ${path}`, error);
  }
}

/** The empty device: a usual way to say "no configuration". */
function isNull(stats: Stats): boolean {
  return stats.isCharacterDevice() && stats.rdev === statSync('/dev/null', { throwIfNoEntry: false })?.rdev;
}

/** What is there in place of a file. @throws never */
export function notRegular(path: string, stats: Stats): BullaError {
  const what = stats.isDirectory()
    ? 'a directory'
    : stats.isFIFO()
      ? 'a pipe'
      : stats.isSocket()
        ? 'a socket'
        : 'a device';
  return new BullaError('storage-error', `${path} is ${what}, and a regular file was expected`, {
    hint: 'give the path of a file; pipes are read only for a key, a certificate or a list on the command line',
  });
}

const PIECE_BYTES = 64 * 1024;

async function readUpTo(
  file: FileHandle,
  maxBytes: number,
  path: string,
  stats: { readonly size: number; isFile(): boolean },
): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  let size = 0;
  // One byte more than there should be: a read that comes back short has met the end of a regular file.
  let wanted = stats.isFile() ? stats.size + 1 : PIECE_BYTES;
  for (;;) {
    const piece = Buffer.allocUnsafe(wanted);
    const { bytesRead } = await file.read(piece, 0, wanted, null);
    size += bytesRead;
    if (size > maxBytes) throw tooLarge(path, 'more', maxBytes);
    pieces.push(piece.subarray(0, bytesRead));
    const isEnd = bytesRead === 0 || (stats.isFile() && stats.size > 0 && bytesRead < wanted);
    if (isEnd) return new Uint8Array(Buffer.concat(pieces, size));
    wanted = PIECE_BYTES;
  }
}

function tooLarge(path: string, found: string, maxBytes: number): BullaError {
  return new BullaError('content-invalid', `${path} has ${found}, more than the ${maxBytes} bytes allowed`, {
    hint: 'check that it is the right file',
  });
}

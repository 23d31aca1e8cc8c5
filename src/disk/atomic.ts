import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { type FileHandle, link, mkdir, open, rename, unlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { BullaError, messageOf } from '../errors.ts';

/** Prefix of every temporary file, so that what a kill left behind can be recognised and removed. */
export const TEMPORARY_PREFIX = '.bulla-tmp-';

export interface WriteOptions {
  /** Permissions of the new file; 0o644 if left out, 0o600 for whatever is secret. */
  readonly mode?: number;
  /** Refuse to replace a file that is there. */
  readonly exclusive?: boolean;
}

/**
 * Writes a file so that readers, and whoever comes after a kill or a power cut, find the old content
 * or the new, never half: temporary file, fsync, rename, fsync of the directory.
 * @throws BullaError storage-error; conflict where `exclusive` and the file is there
 */
export async function writeFileAtomic(
  path: string,
  bytes: Uint8Array,
  options: WriteOptions = {},
): Promise<void> {
  const temporary = temporaryBeside(path);
  try {
    const file = await open(temporary, 'wx', options.mode ?? 0o644);
    try {
      await file.writeFile(bytes);
      await file.sync();
    } finally {
      await file.close();
    }
    await moveIntoPlace(temporary, path, options.exclusive ?? false);
  } catch (error) {
    await discard(temporary);
    throw storageError(`cannot write ${path}`, error);
  }
}

/** Name for a temporary file in the directory of `path`, so that a rename stays on one file system. */
export function temporaryBeside(path: string): string {
  return join(dirname(path), TEMPORARY_PREFIX + randomBytes(9).toString('base64url'));
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
    await unlink(path);
  } catch (error) {
    if (!isErrno(error, 'ENOENT')) throw storageError(`cannot remove ${path}`, error);
  }
}

/** Creates a directory with its parents. @throws BullaError storage-error */
export async function makeDirectory(path: string, mode = 0o755): Promise<void> {
  try {
    await mkdir(path, { recursive: true, mode });
  } catch (error) {
    throw storageError(`cannot create the directory ${path}`, error);
  }
}

/**
 * Reads a whole file of at most `maxBytes`.
 * @throws BullaError not-found, content-invalid where it is larger, storage-error
 */
export async function readFileBounded(
  path: string,
  maxBytes: number,
  options: { readonly noFollow?: boolean } = {},
): Promise<Uint8Array> {
  let file: FileHandle | undefined;
  try {
    file = await open(path, constants.O_RDONLY | (options.noFollow === true ? constants.O_NOFOLLOW : 0));
    const { size } = await file.stat();
    if (size > maxBytes) {
      throw new BullaError(
        'content-invalid',
        `${path} has ${size} bytes, more than the ${maxBytes} allowed`,
        { hint: 'check that it is the right file' },
      );
    }
    const bytes = new Uint8Array(await file.readFile());
    return bytes;
  } catch (error) {
    if (isErrno(error, 'ENOENT'))
      throw new BullaError('not-found', `${path} does not exist`, { cause: error, hint: 'check the path' });
    throw storageError(`cannot read ${path}`, error);
  } finally {
    await file?.close();
  }
}

const HINTS: ReadonlyMap<string, string> = new Map([
  ['ENOSPC', 'the disk is full: make room and run the command again; what was there before is unharmed'],
  ['EDQUOT', 'the quota is used up: make room and run the command again'],
  ['EACCES', 'the permissions do not allow it: check owner and mode'],
  ['EPERM', 'the permissions do not allow it: check owner and mode'],
  ['EROFS', 'the file system is read-only: choose another place'],
  ['ELOOP', 'it is a symbolic link, and links are not followed here'],
  ['EISDIR', 'it is a directory, and a file was expected'],
  ['ENOTDIR', 'a part of the path is not a directory'],
]);

/** Wraps what the file system says; BullaErrors pass as they are. */
export function storageError(what: string, error: unknown): BullaError {
  if (error instanceof BullaError) return error;
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  return new BullaError('storage-error', `${what}: ${messageOf(error)}`, {
    cause: error,
    hint: HINTS.get(code) ?? 'check the path and the disk',
  });
}

/** Whether `error` is an error of the operating system with one of these codes. */
export function isErrno(error: unknown, ...codes: string[]): boolean {
  return error instanceof Error && 'code' in error && codes.includes(String(error.code));
}

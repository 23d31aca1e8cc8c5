import { BullaError, messageOf } from '../errors.ts';

const FULL = 'make room and run the command again; what was there before is unharmed';
const HINTS: ReadonlyMap<string, string> = new Map([
  ['ENOSPC', `the disk is full: ${FULL}`],
  ['EDQUOT', `the quota is used up: ${FULL}`],
  ['EFBIG', `the file would be larger than the file system or the limits of this process allow: ${FULL}`],
  ['EACCES', 'the permissions do not allow it: check owner and mode'],
  ['EPERM', 'the permissions do not allow it: check owner and mode'],
  ['EROFS', 'the file system is read-only: choose another place'],
  ['ELOOP', 'it is a symbolic link, and links are not followed here'],
  ['EISDIR', 'it is a directory, and a file was expected'],
  ['ENOTDIR', 'a part of the path is not a directory'],
  ['EMFILE', 'too many files are open: raise the limit (ulimit -n) or lower --concurrency'],
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

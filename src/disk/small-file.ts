import {
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  openSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { BullaError } from '../errors.ts';
import { notRegular, temporaryBeside } from './atomic.ts';
import { isErrno, storageError } from './errno.ts';

/**
 * Reads a regular file of at most `maxBytes` at once, without the thread pool: for files of some
 * kilobytes that are most likely in memory, handing the work over and back takes ten times as long as
 * the work.
 * @returns undefined where there is no such file
 * @throws BullaError content-invalid where it is larger, storage-error
 */
export function readSmallFile(path: string, maxBytes: number): Uint8Array | undefined {
  let file: number | undefined;
  try {
    // Without O_NONBLOCK, opening a pipe without a writer would block forever.
    file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const stats = fstatSync(file);
    if (!stats.isFile()) throw notRegular(path, stats);
    if (stats.size > maxBytes) throw tooLarge(path, maxBytes);
    return readAll(file, stats.size, path, maxBytes);
  } catch (error) {
    if (isErrno(error, 'ENOENT') && !leadsNowhere(path)) return undefined;
    throw storageError(`cannot read ${path}`, error);
  } finally {
    if (file !== undefined) closeSync(file);
  }
}

/**
 * Whether a path, or a directory above it, is a dangling link, such as to a volume that is not mounted.
 * That is not the same as nothing.
 */
function leadsNowhere(path: string): boolean {
  for (let at = path; ; at = dirname(at)) {
    const found = lstatSync(at, { throwIfNoEntry: false });
    if (found !== undefined)
      return found.isSymbolicLink() && statSync(at, { throwIfNoEntry: false }) === undefined;
    if (dirname(at) === at) return false;
  }
}

/**
 * Writes a file at once, that is there as a whole or not at all while the machine runs. It is not
 * synced: a power failure may leave other content, so use it only for content that can be fetched again.
 * @throws BullaError storage-error
 */
export function writeSmallFile(path: string, bytes: Uint8Array): void {
  const temporary = temporaryBeside(path);
  try {
    writeFileSync(temporary, bytes, { flag: 'wx' });
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw storageError(`cannot write ${path}`, error);
  }
}

function readAll(file: number, size: number, path: string, maxBytes: number): Uint8Array {
  // One byte more than there should be, to notice a file that grows.
  let bytes = new Uint8Array(size + 1);
  let filled = 0;
  for (;;) {
    const count = readSync(file, bytes, filled, bytes.byteLength - filled, null);
    if (count === 0) return bytes.subarray(0, filled);
    filled += count;
    if (filled > maxBytes) throw tooLarge(path, maxBytes);
    if (filled < bytes.byteLength) continue;
    const larger = new Uint8Array(2 * bytes.byteLength);
    larger.set(bytes);
    bytes = larger;
  }
}

function tooLarge(path: string, maxBytes: number): BullaError {
  return new BullaError('content-invalid', `${path} has more than the ${maxBytes} bytes allowed`, {
    hint: 'check that it is the right file',
  });
}

import { constants } from 'node:fs';
import { type FileHandle, open, unlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { storageError, temporaryBeside } from './atomic.ts';

/**
 * A file without a name in the directory for temporary files ($TMPDIR), to be written and read: nothing stays behind
 * however this process ends.
 * @throws BullaError storage-error
 */
export async function openNameless(): Promise<FileHandle> {
  const path = temporaryBeside(join(tmpdir(), 'archive'));
  try {
    const file = await open(path, constants.O_CREAT | constants.O_EXCL | constants.O_RDWR, 0o600);
    await unlink(path);
    return file;
  } catch (error) {
    throw storageError(`cannot create a temporary file in ${tmpdir()}`, error);
  }
}

import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { isErrno, storageError } from '../disk/atomic.ts';
import { BullaError } from '../errors.ts';

/** Largest key or certificate file that is read, in bytes. */
export const MAX_KEY_FILE_BYTES: number = 512 * 1024;

export interface ReadOptions {
  /** Refuse a symbolic link at the end of the path; for files that only we write. */
  readonly noFollow?: boolean;
}

export interface ReadSecretOptions extends ReadOptions {
  /** Take a file that group or others may read, too. */
  readonly anyMode?: boolean;
}

/**
 * Reads a file that holds a secret: a private key, a passphrase. Refused where others than its owner
 * have any access. A pipe is taken, so that `--key <(command)` works; a device or directory is not.
 * @throws BullaError key-invalid, not-found, storage-error
 */
export function readSecretFile(path: string, options: ReadSecretOptions = {}): Promise<Uint8Array> {
  return readKeyFile(path, options, (mode) => {
    if (options.anyMode === true || (mode & 0o077) === 0) return;
    throw new BullaError(
      'key-invalid',
      `${path} has mode ${octal(mode)}, so that others can get at the secret in it; expected 0600 or less`,
      { hint: `chmod 600 ${path}`, details: { path, mode: octal(mode) } },
    );
  });
}

/** Reads a public key or certificate file. @throws BullaError key-invalid, not-found, storage-error */
export function readPublicFile(path: string, options: ReadOptions = {}): Promise<Uint8Array> {
  return readKeyFile(path, options, () => undefined);
}

async function readKeyFile(
  path: string,
  options: ReadOptions,
  checkMode: (mode: number) => void,
): Promise<Uint8Array> {
  let file: FileHandle | undefined;
  try {
    file = await open(path, constants.O_RDONLY | (options.noFollow === true ? constants.O_NOFOLLOW : 0));
    // Of the open file, not of the path: what was checked is what is read.
    const found = await file.stat();
    if (!found.isFile() && !found.isFIFO()) {
      throw new BullaError(
        'key-invalid',
        `${path} is ${found.isDirectory() ? 'a directory' : 'a device'}, and a file was expected`,
        {
          hint: 'give the path of the key file itself',
        },
      );
    }
    checkMode(found.mode & 0o7777);
    return await readBounded(file, path);
  } catch (error) {
    if (isErrno(error, 'ENOENT'))
      throw new BullaError('not-found', `${path} does not exist`, { cause: error, hint: 'check the path' });
    throw storageError(`cannot read ${path}`, error);
  } finally {
    await file?.close();
  }
}

async function readBounded(file: FileHandle, path: string): Promise<Uint8Array> {
  const buffer = Buffer.alloc(MAX_KEY_FILE_BYTES + 1);
  let length = 0;
  while (length < buffer.byteLength) {
    const { bytesRead } = await file.read(buffer, length, buffer.byteLength - length);
    if (bytesRead === 0) break;
    length += bytesRead;
  }
  const bytes = Uint8Array.from(buffer.subarray(0, length));
  buffer.fill(0, 0, length);
  if (length > MAX_KEY_FILE_BYTES) {
    throw new BullaError(
      'key-invalid',
      `${path} has more than the ${MAX_KEY_FILE_BYTES} bytes that a key may have`,
      {
        hint: 'check that it is the right file',
      },
    );
  }
  return bytes;
}

function octal(mode: number): string {
  return `0${mode.toString(8)}`;
}

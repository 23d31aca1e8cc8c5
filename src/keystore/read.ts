import type { FileHandle } from 'node:fs/promises';
import { notRegular, openInput, storageError } from '../disk/atomic.ts';
import { readPipe } from '../disk/pipe.ts';
import { BullaError, isBullaError } from '../errors.ts';

/** Largest key or certificate file that is read, in bytes. */
export const MAX_KEY_FILE_BYTES: number = 512 * 1024;

export interface KeyReadOptions {
  /** Refuse a symbolic link at the end of the path; for files that only we write. */
  readonly noFollow?: boolean;
}

export interface ReadSecretOptions extends KeyReadOptions {
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
export function readPublicFile(path: string, options: KeyReadOptions = {}): Promise<Uint8Array> {
  return readKeyFile(path, options, () => undefined);
}

async function readKeyFile(
  path: string,
  options: KeyReadOptions,
  checkMode: (mode: number) => void,
): Promise<Uint8Array> {
  // Of the open file, not of the path: what was checked is what is read.
  const { file, stats, kind } = await openInput(path, options).catch((error: unknown) => {
    throw isBullaError(error, 'storage-error') && error.cause === undefined ? notAKey(error) : error;
  });
  try {
    if (kind === 'null') throw notAKey(notRegular(path, stats));
    checkMode(stats.mode & 0o7777);
    const tooLarge = (): BullaError => moreThanAKey(path);
    if (kind === 'pipe') return await readPipe(file, path, { maxBytes: MAX_KEY_FILE_BYTES, tooLarge });
    return await readBounded(file, path);
  } catch (error) {
    throw storageError(`cannot read ${path}`, error);
  } finally {
    await file.close();
  }
}

/** That there is something else than a file is wrong about the key, not about the disk. */
function notAKey({ message }: BullaError): BullaError {
  return new BullaError('key-invalid', message, { hint: 'give the path of the key file itself' });
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
  if (length > MAX_KEY_FILE_BYTES) throw moreThanAKey(path);
  return bytes;
}

function moreThanAKey(path: string): BullaError {
  return new BullaError(
    'key-invalid',
    `${path} has more than the ${MAX_KEY_FILE_BYTES} bytes that a key may have`,
    { hint: 'check that it is the right file' },
  );
}

function octal(mode: number): string {
  return `0${mode.toString(8)}`;
}

import { readSmallFile } from '../disk/small-file.ts';
import { BullaError, isBullaError, messageOf } from '../errors.ts';

/**
 * Reads a file that we wrote ourselves: one that is too large is damaged, not external content.
 * @param hint what to do about a damaged one
 * @returns undefined where there is none
 * @throws BullaError storage-error
 */
export function readOwnFile(path: string, maxBytes: number, hint: string): Uint8Array | undefined {
  try {
    return readSmallFile(path, maxBytes);
  } catch (error) {
    if (!isBullaError(error, 'content-invalid')) throw error;
    throw new BullaError('storage-error', messageOf(error), { cause: error, hint });
  }
}

import { readdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { storageError } from './errno.ts';

/**
 * Removes the oldest files of a cache, until a new one fits: half of them where there are too many, as that takes a
 * look at each.
 * @param maxBytes of all files together
 * @throws BullaError storage-error
 */
export function makeRoom(
  directory: string,
  maxFiles: number,
  maxBytes: number = Number.POSITIVE_INFINITY,
): void {
  try {
    removeOldest(directory, maxFiles, maxBytes);
  } catch (error) {
    throw storageError(`cannot remove files from ${directory}`, error);
  }
}

function removeOldest(directory: string, maxFiles: number, maxBytes: number): void {
  const names = readdirSync(directory);
  if (names.length < maxFiles && maxBytes === Number.POSITIVE_INFINITY) return;
  const files = names
    .map((name) => join(directory, name))
    .map((path) => ({ path, stats: statSync(path, { throwIfNoEntry: false }) }))
    .sort((a, b) => (a.stats?.mtimeMs ?? 0) - (b.stats?.mtimeMs ?? 0));
  let left = files.length;
  let bytes = files.reduce((sum, { stats }) => sum + (stats?.size ?? 0), 0);
  const most = left < maxFiles ? left : Math.ceil(left / 2);
  for (const { path, stats } of files) {
    if (left <= most && bytes <= maxBytes) return;
    rmSync(path, { force: true, recursive: true });
    left--;
    bytes -= stats?.size ?? 0;
  }
}

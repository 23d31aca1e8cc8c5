import { dirname, relative } from 'node:path';
import { createTemporary, makeDirectoryBelow, openForReading, refuseLinksBelow } from '../disk/atomic.ts';
import { isBullaError } from '../errors.ts';
import type { TufClient } from '../tuf/client.ts';
import { ContentCheck } from '../tuf/file-meta.ts';
import type { TargetFetcher } from '../tuf/ports.ts';
import type { FoundTarget } from '../tuf/search.ts';
import type { TargetFile } from '../tuf/targets.ts';
import { pieces } from './pieces.ts';

/**
 * Puts a target's verified content into a file (TUF 1.0.34 §5.7.3). What is there already and is the
 * same is kept without a request; until all is verified nothing is at `path` that was not before.
 * @param options.directory above the file: no part of the path below it may be a link
 * @param options.hashPrefix as `fetchTarget` of the client takes it
 * @returns whether it was fetched
 * @throws BullaError digest-mismatch, trust-invalid, storage-error; what the fetcher throws
 */
export async function saveTarget(
  client: TufClient,
  fetcher: TargetFetcher,
  found: FoundTarget,
  path: string,
  options: { readonly directory?: string; readonly hashPrefix?: boolean | undefined } = {},
): Promise<boolean> {
  const { directory = dirname(path) } = options;
  const below = dirname(relative(directory, path));
  await refuseLinksBelow(directory, below);
  if (await holds(path, found.target)) return false;
  await makeDirectoryBelow(directory, below);
  const file = await createTemporary(path);
  try {
    for await (const piece of await client.fetchTarget(found, fetcher, options)) await file.write(piece);
    await file.commit(path);
    return true;
  } finally {
    await file.discard();
  }
}

async function holds(path: string, target: TargetFile): Promise<boolean> {
  const check = new ContentCheck(target);
  try {
    for await (const piece of pieces(await openForReading(path, { noFollow: true }), path)) {
      if (check.update(piece).isTooLong) return false;
    }
  } catch (error) {
    if (isBullaError(error, 'not-found')) return false;
    throw error;
  }
  return check.mismatch() === undefined;
}

import { existsSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { acquireLock, type Lock } from '../../../disk/lock.ts';
import { BullaError, isBullaError } from '../../../errors.ts';
import { mayHoldRepositories, repositoryAt } from './names.ts';

/** Names of the repositories below a directory: all that have an OCI layout there. */
export async function repositoriesIn(root: string): Promise<readonly string[]> {
  const names: string[] = [];
  const look = async (directory: string): Promise<void> => {
    for (const item of await readdir(directory, { withFileTypes: true })) {
      if (!item.isDirectory() || !mayHoldRepositories(item.name)) continue;
      const path = join(directory, item.name);
      const name = repositoryAt(relative(root, path));
      if (name === undefined) continue;
      if (existsSync(join(path, 'oci-layout'))) names.push(name);
      await look(path);
    }
  };
  await look(root);
  return names;
}

/**
 * Keeps other servers off a directory.
 * @throws BullaError storage-error that says who has it
 */
export async function lockDirectory(root: string, path: string): Promise<Lock> {
  try {
    return await acquireLock(path, { waitMs: 0 });
  } catch (error) {
    if (!isBullaError(error, 'storage-error')) throw error;
    throw new BullaError('storage-error', `the registry directory ${root} is in use: ${error.message}`, {
      cause: error,
      hint: 'one server at a time: end the other one, or give this one a directory of its own',
    });
  }
}

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { BullaError, isBullaError } from '../../errors.ts';
import { askToCollect } from './control.ts';
import { type CollectOptions, type CollectReport, collect } from './store/collect.ts';
import { PRIVATE_DIRECTORY } from './store/names.ts';
import { Store } from './store/store.ts';

/**
 * Removes what nothing refers to from a registry directory. Where a server has it open, the server
 * does it, without stopping.
 * @throws BullaError not-found where there is no registry, storage-error
 */
export async function gc(dir: string, options: CollectOptions = {}): Promise<CollectReport> {
  const privateDirectory = join(dir, PRIVATE_DIRECTORY);
  if (!existsSync(privateDirectory)) {
    throw new BullaError('not-found', `there is no registry in ${dir}`, {
      hint: 'give the directory that bulla serve registry was started with',
    });
  }
  const done = await askToCollect(privateDirectory, options);
  if (done !== undefined) return done;
  let store: Store;
  try {
    store = await Store.open(dir);
  } catch (error) {
    // A server may have started between the two looks.
    const retried = isBullaError(error, 'storage-error')
      ? await askToCollect(privateDirectory, options)
      : undefined;
    if (retried !== undefined) return retried;
    throw error;
  }
  try {
    return await collect(store, options);
  } finally {
    await store.close();
  }
}

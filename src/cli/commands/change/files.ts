import { readFileBounded, writeFileAtomic } from '../../../disk/atomic.ts';
import {
  type ChangeFile,
  encodeChangeFile,
  MAX_CHANGE_BYTES,
  parseChangeFile,
} from '../../../trust/approve/change-file.ts';
import type { PendingChange } from '../../../trust/approve/pending-change.ts';
import type { Context } from '../../shell/context.ts';

/** Reads the file of a change. @throws BullaError not-found, content-invalid, storage-error */
export async function readChange(context: Context, path: string): Promise<ChangeFile> {
  return parseChangeFile(await readFileBounded(context.path(path), MAX_CHANGE_BYTES, { pipes: true }), path);
}

/** Writes the file of a change. @throws BullaError conflict where it is there and is not to be replaced; storage-error */
export async function writeChange(
  context: Context,
  path: string,
  change: PendingChange,
  replace: boolean,
): Promise<void> {
  await writeFileAtomic(context.path(path), encodeChangeFile(change.toFile()), { exclusive: !replace });
}

import { lstat, mkdir, readlink, realpath, rename, symlink, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { isErrno, storageError } from '../../../disk/atomic.ts';
import { BullaError } from '../../../errors.ts';
import { PLUGIN } from '../../docker-trust/plugin.ts';
import type { Context } from '../../shell/context.ts';

export interface InstallFlags {
  readonly dir?: string;
  readonly force?: true;
}

/** `bulla docker-trust install-plugin`: a symbolic link to this program, under the name that docker looks for. */
export async function install(context: Context, flags: InstallFlags): Promise<void> {
  const { io, output } = context;
  if (io.program === undefined)
    throw new BullaError('usage', 'this is not the installed command, and docker could not run it', {
      hint: 'run the bulla that npm has installed',
    });
  const config = io.env['DOCKER_CONFIG'] || join(io.home, '.docker');
  const directory = context.path(flags.dir ?? join(config, 'cli-plugins'));
  const path = join(directory, PLUGIN);
  try {
    const program = await realpath(io.program);
    await mkdir(directory, { recursive: true });
    const present = await linkAt(path);
    if (present !== undefined && present !== program && flags.force !== true)
      throw new BullaError('conflict', `${path} is there already${present === '' ? '' : `: ${present}`}`, {
        hint: '--force replaces it',
      });
    if (present !== program) await replaceWithLink(path, program);
    output.result(path, { plugin: path, program });
  } catch (error) {
    if (error instanceof BullaError) throw error;
    throw storageError(`cannot install the plug-in at ${path}`, error);
  }
  output.info(
    'docker 29 and later run it as docker trust; older versions have their own docker trust and do not',
  );
}

/** Where a link leads; an empty text for another kind of file, undefined where there is nothing. */
async function linkAt(path: string): Promise<string | undefined> {
  try {
    return (await lstat(path)).isSymbolicLink() ? await readlink(path) : '';
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return undefined;
    throw error;
  }
}

async function replaceWithLink(path: string, program: string): Promise<void> {
  const next = `${path}.${process.pid}`;
  await symlink(program, next);
  try {
    await rename(next, path);
  } catch (error) {
    await unlink(next);
    throw error;
  }
}

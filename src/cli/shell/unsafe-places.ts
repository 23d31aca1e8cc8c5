import { type Stats, statSync } from 'node:fs';
import { isAbsolute, join } from 'node:path';
import { configFile, type Directories } from '../../state/directories.ts';

/**
 * Warnings about the place of configuration, pins and memory: write access there decides
 * which trust roots this command uses (spec/configuration.md, "Directories").
 * @param uid of this process; undefined where the system has none
 * @returns warnings, one for each place
 */
export function unsafePlaces(
  directories: Directories,
  env: Readonly<Record<string, string | undefined>>,
  uid: number | undefined = process.getuid?.(),
): readonly string[] {
  const warnings: string[] = [];
  const home = env['BULLA_HOME'];
  if (home !== undefined && home !== '' && !isAbsolute(home))
    warnings.push(
      `BULLA_HOME is ${JSON.stringify(home)}, a relative path: configuration, pins and memory are those of the directory where a command is run; give a whole path`,
    );
  if (uid === undefined) return warnings;
  const { config, state } = directories;
  const paths = [config, configFile(directories), join(config, 'pins.json'), state, join(state, 'trust')];
  for (const path of new Set(paths)) {
    const stats = statOf(path);
    const why = stats && problemWith(stats, uid);
    if (why !== undefined)
      warnings.push(`${path} ${why}: that user controls what bulla trusts; make it yours alone`);
  }
  return warnings;
}

/** Why others decide what is in a file or directory; undefined where only its user and root do. */
export function problemWith(
  { mode, uid: owner }: Pick<Stats, 'mode' | 'uid'>,
  uid: number,
): string | undefined {
  if (owner !== uid && owner !== 0) return `belongs to another user (uid ${owner})`;
  return (mode & 0o002) === 0 ? undefined : 'is writable by every user of this machine';
}

/** A file without access cannot be read either, and its reader reports it. */
function statOf(path: string): Stats | undefined {
  try {
    return statSync(path, { throwIfNoEntry: false });
  } catch {
    return undefined;
  }
}

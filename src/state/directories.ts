import { homedir } from 'node:os';
import { join } from 'node:path';

/** Environment and home directory of a user. */
export interface UserEnvironment {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly home: string;
}

/** Directories of a user (XDG base directories). */
export interface Directories {
  readonly config: string;
  readonly cache: string;
  readonly state: string;
}

/** Where configuration, caches and trusted state are; `BULLA_HOME` puts all three below one directory. */
export function directories({ env, home }: UserEnvironment): Directories {
  const one = env['BULLA_HOME'];
  if (one !== undefined && one !== '') {
    return { config: one, cache: join(one, 'cache'), state: join(one, 'state') };
  }
  const base = (name: string, fallback: string): string => {
    const value = env[name];
    // A relative path is to be ignored (XDG Base Directory Specification).
    return join(value?.startsWith('/') === true ? value : join(home, fallback), 'bulla');
  };
  return {
    config: base('XDG_CONFIG_HOME', '.config'),
    cache: base('XDG_CACHE_HOME', '.cache'),
    state: base('XDG_STATE_HOME', '.local/state'),
  };
}

/** Where the configuration file is, if there is one. */
export function configFile({ config }: Directories): string {
  return join(config, 'config.yaml');
}

/** Of the user who runs the process. That of a user whom the system does not know, as in containers, is `/`. */
export function homeDirectory(): string {
  try {
    return homedir();
  } catch {
    return '/';
  }
}

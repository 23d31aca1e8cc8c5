import { homedir } from 'node:os';
import { join } from 'node:path';
import { type AuthFile, credentialsIn, helperOf, readAuthFile, serverKey } from './auth-file.ts';
import { getFromHelper } from './credential-helper.ts';
import type { Credentials, CredentialsProvider } from './credentials.ts';

export interface CredentialFilesOptions {
  /** The only file to look into (`--registry-config`). */
  readonly path?: string | undefined;
  readonly env?: NodeJS.ProcessEnv | undefined;
  /** The home directory. */
  readonly home?: string | undefined;
}

/**
 * Files that may hold credentials, in the order in which they are asked: `--registry-config` or
 * `$REGISTRY_AUTH_FILE` alone; else podman's, then docker's.
 */
export function credentialFiles(options: CredentialFilesOptions = {}): readonly string[] {
  const env = options.env ?? process.env;
  const home = options.home ?? homedir();
  const only = options.path ?? env['REGISTRY_AUTH_FILE'];
  if (only !== undefined && only !== '') return [only];
  const runtime = env['XDG_RUNTIME_DIR'];
  const files = runtime === undefined || runtime === '' ? [] : [join(runtime, 'containers', 'auth.json')];
  files.push(join(env['XDG_CONFIG_HOME'] || join(home, '.config'), 'containers', 'auth.json'));
  files.push(dockerConfig(env, home));
  return files;
}

/** Where `login` writes: the file that was named, else docker's, which every tool of this field reads. */
export function loginFile(options: CredentialFilesOptions = {}): string {
  const env = options.env ?? process.env;
  const only = options.path ?? env['REGISTRY_AUTH_FILE'];
  return only !== undefined && only !== '' ? only : dockerConfig(env, options.home ?? homedir());
}

function dockerConfig(env: NodeJS.ProcessEnv, home: string): string {
  return join(env['DOCKER_CONFIG'] || join(home, '.docker'), 'config.json');
}

/**
 * Credentials from the files and helpers that docker and podman use. In each file: the registry's own
 * helper, then the common one, then the entry with the longest matching path. Read once.
 */
export function storedCredentials(options: CredentialFilesOptions = {}): CredentialsProvider {
  const env = options.env ?? process.env;
  let files: Promise<readonly AuthFile[]> | undefined;
  const fromHelpers = new Map<string, Promise<Credentials | undefined>>();
  const askHelper = (helper: string, server: string): Promise<Credentials | undefined> => {
    const key = `${helper} ${server}`;
    const asked = fromHelpers.get(key) ?? getFromHelper(helper, server, env);
    fromHelpers.set(key, asked);
    return asked;
  };
  return async (registry, repository) => {
    files ??= readAll(credentialFiles(options));
    for (const file of await files) {
      const helper = helperOf(file, registry);
      const found =
        (helper === undefined ? undefined : await askHelper(helper, serverKey(registry))) ??
        credentialsIn(file, registry, repository);
      if (found !== undefined) return found;
    }
    return undefined;
  };
}

async function readAll(paths: readonly string[]): Promise<readonly AuthFile[]> {
  const files = await Promise.all(paths.map(readAuthFile));
  return files.filter((file) => file !== undefined);
}

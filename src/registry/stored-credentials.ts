import { homedir } from 'node:os';
import { join } from 'node:path';
import { isBullaError } from '../errors.ts';
import { type AuthFile, credentialsIn, helperOf, ownHelperOf, readAuthFile, serverKey } from './auth-file.ts';
import { getFromHelper } from './credential-helper.ts';
import type { Credentials, CredentialsProvider } from './credentials.ts';

export interface CredentialFilesOptions {
  /** The only file to look into (`--registry-config`). */
  readonly path?: string | undefined;
  /** Helpers get it without what is secret ({@link childEnvironment}). */
  readonly env?: NodeJS.ProcessEnv | undefined;
  /** The home directory. */
  readonly home?: string | undefined;
  /** Told, once each, what is ignored and why; never a secret. */
  readonly note?: ((line: string) => void) | undefined;
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

/** How long an answer of a helper serves those who ask next, in milliseconds. */
const HELPER_MEMORY_MS = 30_000;

/**
 * Credentials from the files and helpers that docker and podman use. In each file: the registry's own
 * helper, then the common one, then the entry with the longest matching path. Files are read anew each
 * time; what asks remembers.
 */
export function storedCredentials(options: CredentialFilesOptions = {}): CredentialsProvider {
  const find = credentialsFinder(options);
  return async (registry, repository) => (await find(registry, repository))?.credentials;
}

/** Credentials, and where they were found. */
export interface FoundCredentials {
  readonly credentials: Credentials;
  readonly source: 'file' | 'helper';
  /** A path, or `docker-credential-NAME`. */
  readonly where: string;
}

/** As {@link storedCredentials}, and says where they were found. */
export function credentialsFinder(
  options: CredentialFilesOptions = {},
): (registry: string, repository: string | undefined) => Promise<FoundCredentials | undefined> {
  const env = options.env ?? process.env;
  const helpers = new HelperMemory(env);
  const told = new Set<string>();
  const note = (line: string): void => {
    if (!told.has(line)) options.note?.(line);
    told.add(line);
  };
  return async (registry, repository) => {
    const files = await Promise.all(credentialFiles(options).map(readAuthFile));
    let missing: string | undefined;
    for (const file of files) {
      if (file === undefined) continue;
      const helper = helperOf(file, registry);
      const given = helper === undefined ? undefined : await helpers.ask(helper, file, registry, note);
      if (given === 'not-installed') missing ??= helper;
      else if (given !== undefined)
        return { credentials: given, source: 'helper', where: `docker-credential-${helper}` };
      const written = credentialsIn(file, registry, repository, note);
      if (written !== undefined) return { credentials: written, source: 'file', where: file.path };
    }
    // It has no substitute: it is unknown whether there are credentials.
    if (missing !== undefined) await helpers.get(missing, serverKey(registry));
    return undefined;
  };
}

function isNotInstalled(error: unknown): boolean {
  return isBullaError(error) && error.details['reason'] === 'not-installed';
}

/** Helpers take their time, and some ask the person: many repositories of a registry ask once. */
class HelperMemory {
  private readonly env: NodeJS.ProcessEnv;
  private readonly answers = new Map<
    string,
    { readonly answer: Promise<Credentials | undefined>; readonly at: number }
  >();

  constructor(env: NodeJS.ProcessEnv) {
    this.env = env;
  }

  /**
   * A file may come from another machine, where its helper for all registries is: then its entries count. A helper that is
   * named for this registry has to be there.
   */
  async ask(
    helper: string,
    file: AuthFile,
    registry: string,
    note: (line: string) => void,
  ): Promise<Credentials | 'not-installed' | undefined> {
    try {
      const given = await this.get(helper, serverKey(registry));
      if (given === undefined) note(`docker-credential-${helper} has no credentials for ${registry}`);
      return given;
    } catch (error) {
      if (!isNotInstalled(error) || ownHelperOf(file, registry) !== undefined) throw error;
      note(`${file.path}: credsStore is ignored: docker-credential-${helper} is not installed`);
      return 'not-installed';
    }
  }

  /** @throws BullaError config-invalid where the helper is not installed (details.reason `not-installed`) or broken */
  get(helper: string, server: string): Promise<Credentials | undefined> {
    const key = `${helper} ${server}`;
    const known = this.answers.get(key);
    if (known !== undefined && performance.now() - known.at < HELPER_MEMORY_MS) return known.answer;
    const answer = getFromHelper(helper, server, this.env);
    this.answers.set(key, { answer, at: performance.now() });
    answer.catch(() => this.answers.delete(key));
    return answer;
  }
}

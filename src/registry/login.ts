import { BullaError } from '../errors.ts';
import { changeAuths, helperOf, keysFor, readAuthFile, serverKey, spellingsOf } from './auth-file.ts';
import { RegistryClient, type RegistryClientOptions } from './client.ts';
import { eraseFromHelper, storeInHelper } from './credential-helper.ts';
import { basicAuthorization, fixedCredentials, type LoginCredentials } from './credentials.ts';
import { type CredentialFilesOptions, loginFile } from './stored-credentials.ts';

export interface LoginOptions extends CredentialFilesOptions {
  /** How the registry is reached; its credentials are those that are tried. */
  readonly client?: Omit<RegistryClientOptions, 'credentials'> | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Where credentials went, and whether the registry looked at them. */
export interface LoginResult {
  /** A path, or `docker-credential-NAME`. */
  readonly storedIn: string;
  /** False if the registry requires no login, so that it proved nothing. */
  readonly verified: boolean;
}

/**
 * Tries credentials on a registry, and stores them where they are right: in the helper that the
 * configuration names, else in the file itself, which only its owner can read.
 * @throws BullaError unauthorized where the registry refuses them (nothing is stored), config-invalid,
 *   storage-error and what reaching the registry can fail with
 */
export async function login(
  registry: string,
  credentials: LoginCredentials,
  options: LoginOptions = {},
): Promise<LoginResult> {
  if (credentials.kind === 'basic' && (credentials.username === '' || credentials.username.includes(':'))) {
    throw new BullaError('usage', 'a user name is not empty and has no colon', {
      hint: 'check the --username',
    });
  }
  const verified = await tryCredentials(registry, credentials, options);
  return { storedIn: await store(registry, credentials, options), verified };
}

/** One GET of `/v2/`, and the login that it asks for: no upload is opened to see whether one may. */
async function tryCredentials(
  registry: string,
  credentials: LoginCredentials,
  options: LoginOptions,
): Promise<boolean> {
  let asked = false;
  const fixed = fixedCredentials(registry, credentials);
  const client = new RegistryClient({
    ...options.client,
    credentials: (host, repository) => {
      asked = true;
      return fixed(host, repository);
    },
  });
  try {
    const response = await client.session(registry).call({
      method: 'GET',
      to: '/v2/',
      access: { repository: undefined, scopes: [] },
      expect: [200],
      signal: options.signal,
    });
    await response.body.discard();
    return asked;
  } finally {
    await client.close();
  }
}

async function store(
  registry: string,
  credentials: LoginCredentials,
  options: LoginOptions,
): Promise<string> {
  const path = loginFile(options);
  const file = await readAuthFile(path);
  const helper = file === undefined ? undefined : helperOf(file, registry);
  if (helper !== undefined) {
    await storeInHelper(helper, serverKey(registry), credentials, options.env);
    return `docker-credential-${helper}`;
  }
  await changeAuths(path, (auths) => {
    auths.set(serverKey(registry), entryOf(credentials));
    return true;
  });
  return path;
}

function entryOf(credentials: LoginCredentials): { auth: string } | { identitytoken: string } {
  if (credentials.kind === 'identity') return { identitytoken: credentials.token };
  const { username, password } = credentials;
  return { auth: basicAuthorization(username, password).slice('Basic '.length) };
}

/**
 * Forgets the credentials of a registry, in the helper and in the file that `login` would use.
 * @returns false where there were none
 */
export async function logout(registry: string, options: CredentialFilesOptions = {}): Promise<boolean> {
  const path = loginFile(options);
  const file = await readAuthFile(path);
  if (file === undefined) return false;
  const helper = helperOf(file, registry);
  const erased = helper !== undefined && (await eraseFromHelper(helper, serverKey(registry), options.env));
  const keys = keysFor(registry, undefined);
  const removed = await changeAuths(path, (auths) =>
    [...auths.keys()]
      .filter((key) => spellingsOf(key).some((spelling) => keys.includes(spelling)))
      .map((key) => auths.delete(key))
      .some((gone) => gone),
  );
  return erased || removed;
}

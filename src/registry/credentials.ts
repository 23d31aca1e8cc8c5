/** Who we are to a registry. Never printed, never part of an error. */
export type Credentials =
  | { readonly kind: 'basic'; readonly username: string; readonly password: string }
  /** An identity (refresh) token, to be exchanged at the token server. */
  | { readonly kind: 'identity'; readonly token: string }
  /** A token for the registry itself (`registrytoken`), sent as it is wherever the registry asks for Bearer. */
  | { readonly kind: 'registry'; readonly token: string };

/** Credentials that a login has: what a token server is asked with. */
export type LoginCredentials = Exclude<Credentials, { readonly kind: 'registry' }>;

/**
 * Finds credentials for a repository of a registry (or for the registry itself); undefined where
 * there are none. Asked only after a registry demanded some.
 * @throws BullaError config-invalid where a file or a helper is broken
 */
export type CredentialsProvider = (
  registry: string,
  repository: string | undefined,
) => Promise<Credentials | undefined>;

/** Never any credentials. */
export const ANONYMOUS: CredentialsProvider = async () => undefined;

/** The same credentials for one registry, and none for others. */
export function fixedCredentials(registry: string, credentials: Credentials): CredentialsProvider {
  return async (asked) => (asked === registry ? credentials : undefined);
}

/** Value of an Authorization header for Basic (RFC 7617). */
export function basicAuthorization(username: string, password: string): string {
  return `Basic ${Buffer.from(`${username}:${password}`, 'utf8').toString('base64')}`;
}

import { readFileBounded } from '../disk/atomic.ts';
import { decodeUtf8, fromBase64url } from '../encoding/bytes.ts';
import { parseJsonObject } from '../encoding/json.ts';
import { BullaError, isBullaError } from '../errors.ts';
import { ask, type ServiceOptions } from './service.ts';

/** Largest identity token that is used, in bytes. */
export const MAX_TOKEN_BYTES: number = 64 * 1024;
/** The audience that Fulcio expects. */
const AUDIENCE = 'sigstore';
/** Where a Kubernetes pod has a projected token for cosign and for bulla, if its manifest says so. */
export const PROJECTED_TOKEN: string = '/var/run/sigstore/cosign/oidc-token';

/** Where a token may come from. */
export interface TokenPlaces {
  /** `--identity-token`: the path of a file, or `env://NAME`; the places below if left out. */
  readonly given?: string | undefined;
  readonly env: (name: string) => string | undefined;
  /** Resolves a path of the command line. */
  readonly path: (path: string) => string;
  /** {@link PROJECTED_TOKEN} if left out. */
  readonly projected?: string | undefined;
}

/**
 * An OpenID Connect token that says who signs: from the given place, else `SIGSTORE_ID_TOKEN` (GitLab, and others), GitHub
 * Actions, or the file of a Kubernetes pod, in this order. It is a secret: it is sent to Fulcio, and never shown.
 * @throws BullaError usage where there is none, or it is not a token; not-found; what GitHub's issuer answers
 */
export async function identityToken(
  places: TokenPlaces,
  services: ServiceOptions,
  signal?: AbortSignal,
): Promise<string> {
  const { given, env, path, projected = PROJECTED_TOKEN } = places;
  if (given !== undefined) return await givenToken(given, env, path);
  const variable = env('SIGSTORE_ID_TOKEN');
  if (variable !== undefined && variable !== '') return checked(variable, 'SIGSTORE_ID_TOKEN');
  const url = env('ACTIONS_ID_TOKEN_REQUEST_URL');
  const bearer = env('ACTIONS_ID_TOKEN_REQUEST_TOKEN');
  if (url && bearer) return await fromGithub(url, bearer, services, signal);
  try {
    return await fromFile(projected);
  } catch (error) {
    if (!isBullaError(error, 'not-found')) throw error;
  }
  throw new BullaError('usage', 'there is no identity token to sign with', {
    hint: 'give --identity-token FILE or env://NAME; on GitHub the job needs "permissions: id-token: write", on GitLab "id_tokens: SIGSTORE_ID_TOKEN: aud: sigstore"',
  });
}

async function givenToken(
  given: string,
  env: TokenPlaces['env'],
  path: TokenPlaces['path'],
): Promise<string> {
  // What is given is not repeated in any message: it may be the token itself.
  if (isToken(given.trim())) {
    throw new BullaError(
      'usage',
      '--identity-token was given a token, which others can read on the command line',
      {
        hint: 'put it into a file or a variable: --identity-token FILE, or --identity-token env://NAME',
      },
    );
  }
  const name = /^env:\/\/([A-Za-z_][A-Za-z0-9_]*)$/.exec(given)?.[1];
  if (name === undefined) return await fromFile(path(given));
  const value = env(name);
  if (value !== undefined && value !== '') return checked(value, name);
  throw new BullaError('usage', `the variable ${name} with the identity token is not set`, {
    hint: 'set it, or give the path of a file',
  });
}

async function fromFile(path: string): Promise<string> {
  return checked(decodeUtf8(await readFileBounded(path, MAX_TOKEN_BYTES, { pipes: true }), path), path);
}

/** GitHub Actions: a job with the permission asks its own issuer, with a token for that. */
async function fromGithub(
  address: string,
  bearer: string,
  services: ServiceOptions,
  signal: AbortSignal | undefined,
): Promise<string> {
  if (!URL.canParse(address)) {
    throw new BullaError('usage', 'ACTIONS_ID_TOKEN_REQUEST_URL is not a URL', {
      hint: 'GitHub Actions sets it; leave it as it is, or give --identity-token',
    });
  }
  const url = new URL(address);
  url.searchParams.set('audience', AUDIENCE);
  const headers = { authorization: `bearer ${bearer}`, accept: 'application/json' };
  const request = { service: 'token issuer', method: 'GET', url, headers, secrets: [bearer] } as const;
  const { body } = await ask(request, services, signal);
  const where = 'the answer of GitHub’s token issuer';
  const { value } = parseJsonObject(body, { what: where, maxBytes: MAX_TOKEN_BYTES });
  return checked(typeof value === 'string' ? value : '', where);
}

function checked(text: string, where: string): string {
  const token = text.trim();
  if (isToken(token)) return token;
  throw new BullaError('usage', `${where} holds no identity token`, {
    hint: 'a token has three parts in base64url, separated by dots, and begins with eyJ',
  });
}

/** A JSON Web Token in its compact form (RFC 7515 §7.1). */
function isToken(text: string): boolean {
  return text.length <= MAX_TOKEN_BYTES && /^eyJ[\w-]+\.[\w-]+\.[\w-]+$/.test(text);
}

/** Why Fulcio may have refused a token, from what the token says; undefined if nothing is odd. */
export function oddTokenText(token: string, now: Date): string | undefined {
  const payload = fromBase64url(token.split('.')[1] ?? '');
  if (payload === undefined) return 'its payload is not base64url';
  try {
    const { aud, exp } = parseJsonObject(payload, {
      what: 'the token',
      maxBytes: MAX_TOKEN_BYTES,
      floats: true,
    });
    const audiences = Array.isArray(aud) ? aud : [aud];
    if (typeof exp === 'number' && exp * 1000 <= now.getTime()) return 'it has expired';
    if (!audiences.includes(AUDIENCE)) return `it is not for the audience "${AUDIENCE}"`;
    return undefined;
  } catch (error) {
    if (!isBullaError(error)) throw error;
    return 'its payload is not JSON';
  }
}

import * as z from 'zod/mini';
import { parseJsonObject } from '../encoding/json.ts';
import { BullaError } from '../errors.ts';
import type { HttpRequest } from '../http/exchange.ts';
import { basicAuthorization, type LoginCredentials } from './credentials.ts';

/** Largest answer of a token server that is read, in bytes. */
export const MAX_TOKEN_BYTES: number = 128 * 1024;
/** "For compatibility with older clients, a token should never be returned with less than 60 seconds". */
const DEFAULT_LIFETIME_S = 60;
const CLIENT_ID = 'bulla';

/** What a token server is asked for. */
export interface TokenQuestion {
  readonly realm: URL;
  readonly service: string | undefined;
  readonly scopes: readonly string[];
  readonly credentials: LoginCredentials | undefined;
}

export interface Token {
  readonly value: string;
  readonly lifetimeMs: number;
  /** An identity token that takes the place of the one that was sent. */
  readonly identityToken?: string | undefined;
}

/**
 * The request for a token: GET with `service` and repeated `scope`, Basic where there is a password;
 * or, with an identity token, a form POST (docker's token and OAuth2 specifications).
 */
export function tokenRequest(
  question: TokenQuestion,
): Pick<HttpRequest, 'method' | 'url' | 'headers' | 'body'> {
  const { realm, service, scopes, credentials } = question;
  if (credentials?.kind === 'identity') {
    const form = new URLSearchParams({ grant_type: 'refresh_token', client_id: CLIENT_ID });
    if (service !== undefined) form.set('service', service);
    if (scopes.length > 0) form.set('scope', scopes.join(' '));
    form.set('refresh_token', credentials.token);
    return {
      method: 'POST',
      url: realm,
      headers: { accept: 'application/json', 'content-type': 'application/x-www-form-urlencoded' },
      body: Buffer.from(form.toString(), 'utf8'),
    };
  }
  const url = new URL(realm);
  if (service !== undefined) url.searchParams.append('service', service);
  for (const scope of scopes) url.searchParams.append('scope', scope);
  if (credentials !== undefined) url.searchParams.append('account', credentials.username);
  const headers: Record<string, string> = { accept: 'application/json' };
  if (credentials !== undefined) {
    headers['authorization'] = basicAuthorization(credentials.username, credentials.password);
  }
  return { method: 'GET', url, headers };
}

const answerSchema = z.looseObject({
  // Members that are null are not there; some servers write the number as a text.
  token: z.nullish(z.string()),
  access_token: z.nullish(z.string()),
  expires_in: z.nullish(z.union([z.number(), z.string()])),
  refresh_token: z.nullish(z.string()),
});

/**
 * Reads a token server's answer.
 * @throws BullaError unauthorized where it holds no token that can stand in a header
 */
export function parseToken(bytes: Uint8Array, host: string): Token {
  const what = `the answer of the token server ${host}`;
  const json = parseJsonObject(bytes, { what, maxBytes: MAX_TOKEN_BYTES, floats: true });
  const parsed = answerSchema.safeParse(json);
  // Some servers fill only one of the two and leave the other empty.
  const value = parsed.data?.token || parsed.data?.access_token || '';
  if (!/^[\x21-\x7e]+$/.test(value)) {
    throw new BullaError('unauthorized', `${what} holds no usable token`, {
      hint: 'the token server is misconfigured',
    });
  }
  const seconds = Number(parsed.data?.expires_in ?? 0);
  const refresh = parsed.data?.refresh_token;
  return {
    value,
    lifetimeMs: (seconds > 0 && Number.isFinite(seconds) ? seconds : DEFAULT_LIFETIME_S) * 1000,
    ...(refresh !== undefined && refresh !== null && refresh !== '' && { identityToken: refresh }),
  };
}

import { randomBytes } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AuthBehaviour } from './behaviour.ts';

/** What a request needs: `repository:app:pull`. */
export interface Need {
  readonly scope: string;
}

/** Checks Authorization headers, and is the token server. */
export class AuthServer {
  private readonly granted = new Map<string, ReadonlySet<string>>();
  private readonly identities = new Set<string>();

  /** Makes all tokens invalid, as a restart of a registry with a new key does. */
  revoke(): void {
    this.granted.clear();
  }

  /** True where the request may pass; else it was answered. */
  admit(
    auth: AuthBehaviour,
    need: string,
    origin: string,
    request: IncomingMessage,
    response: ServerResponse,
  ): boolean {
    const header = request.headers.authorization ?? '';
    if (auth.mode === 'basic') {
      if (isUser(auth.users, header)) return true;
      return refuse(response, `Basic realm="test"`, 'UNAUTHORIZED');
    }
    const scopes = this.granted.get(header.replace(/^Bearer /, ''));
    if (scopes !== undefined && (need === '' || isGranted(scopes, need))) return true;
    const error =
      header === '' ? '' : `,error="${scopes === undefined ? 'invalid_token' : 'insufficient_scope'}"`;
    const scope = need === '' ? '' : `,scope="${need}"`;
    const realm = auth.realm ?? `${origin}/token`;
    return refuse(response, `Bearer realm="${realm}",service="test"${scope}${error}`, 'UNAUTHORIZED');
  }

  /** GET or POST /token. */
  issue(
    auth: AuthBehaviour & { mode: 'token' },
    request: IncomingMessage,
    body: string,
    response: ServerResponse,
  ): void {
    const form = new URLSearchParams(body);
    const url = new URL(request.url ?? '/', 'http://x');
    const header = request.headers.authorization ?? '';
    const identity = form.get('refresh_token') ?? '';
    const byIdentity =
      request.method === 'POST' &&
      ((auth.identityTokens ?? []).includes(identity) || this.identities.has(identity));
    const known = byIdentity || isUser(auth.users ?? {}, header);
    if (!known && (header !== '' || request.method === 'POST')) {
      response
        .writeHead(401, { 'content-type': 'application/json' })
        .end('{"details":"incorrect username or password"}');
      return;
    }
    const asked =
      request.method === 'POST' ? (form.get('scope') ?? '').split(' ') : url.searchParams.getAll('scope');
    const anonymous = new Set(auth.anonymous ?? []);
    const weak = (auth.weakTokens ?? 0) > 0;
    if (weak) auth.weakTokens = (auth.weakTokens ?? 0) - 1;
    const scopes = asked
      .filter((scope) => scope !== '')
      .map((scope) => narrow(scope, (action) => !weak && (known || anonymous.has(action))));
    const token = randomBytes(12).toString('hex');
    this.granted.set(token, new Set(scopes.flatMap(expand)));
    if (byIdentity && auth.rotate !== undefined) this.identities.add(auth.rotate);
    response.writeHead(200, { 'content-type': 'application/json' }).end(
      JSON.stringify({
        [auth.field ?? 'token']: token,
        ...(auth.expiresIn !== undefined && { expires_in: auth.expiresIn }),
        ...(byIdentity && auth.rotate !== undefined && { refresh_token: auth.rotate }),
      }),
    );
  }
}

function refuse(response: ServerResponse, challenge: string, code: string): false {
  response
    .writeHead(401, { 'www-authenticate': challenge, 'content-type': 'application/json' })
    .end(JSON.stringify({ errors: [{ code, message: 'authentication required' }] }));
  return false;
}

function isUser(users: Readonly<Record<string, string>>, header: string): boolean {
  const [user, ...rest] = Buffer.from(header.replace(/^Basic /, ''), 'base64')
    .toString()
    .split(':');
  return header.startsWith('Basic ') && user !== undefined && users[user] === rest.join(':');
}

/** `repository:app:pull,push` with only the actions that pass. */
function narrow(scope: string, passes: (action: string) => boolean): string {
  const at = scope.lastIndexOf(':');
  return `${scope.slice(0, at)}:${scope
    .slice(at + 1)
    .split(',')
    .filter(passes)
    .join(',')}`;
}

/** `repository:app:pull,push` → `repository:app:pull`, `repository:app:push` */
function expand(scope: string): string[] {
  const at = scope.lastIndexOf(':');
  return scope
    .slice(at + 1)
    .split(',')
    .map((action) => `${scope.slice(0, at)}:${action}`);
}

function isGranted(scopes: ReadonlySet<string>, need: string): boolean {
  return need.split(' ').every((scope) => expand(scope).every((one) => scopes.has(one)));
}

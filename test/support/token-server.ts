import { generateKeyPairSync, randomUUID, sign } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { listen } from './listen.ts';
import { pem, selfSignedCertificate } from './self-signed.ts';

/** Issues bearer tokens as distribution's token specification says, and remembers who asked for what. */
export interface TokenServer {
  readonly realm: string;
  readonly service: string;
  readonly issuer: string;
  /** PEM of the self-signed certificate that a registry has to trust. */
  readonly certificate: string;
  /** Scopes of all token requests so far, in order. */
  readonly requests: readonly TokenRequest[];
  stop(): Promise<void>;
}

export interface TokenRequest {
  readonly method: string;
  readonly scopes: readonly string[];
  /** Who asked; undefined: nobody in particular. */
  readonly user: string | undefined;
}

export interface TokenServerOptions {
  readonly users: Readonly<Record<string, string>>;
  /** What somebody without a name may do; nothing by default. */
  readonly anonymous?: readonly string[];
  /** Seconds until a token is no longer accepted; 300 by default. */
  readonly lifetime?: number;
  /** Opaque refresh tokens and whose they are. */
  readonly refreshTokens?: Readonly<Record<string, string>>;
}

interface Access {
  readonly type: string;
  readonly name: string;
  readonly actions: readonly string[];
}

/** Starts a token server on a free port of 127.0.0.1. */
export async function startTokenServer(options: TokenServerOptions): Promise<TokenServer> {
  const keys = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const certificate = selfSignedCertificate('token server of a test', keys);
  const service = 'registry.test';
  const issuer = 'tokens.test';
  const lifetime = options.lifetime ?? 300;
  const requests: TokenRequest[] = [];

  const issue = (user: string | undefined, scopes: readonly string[]): string => {
    const seconds = Math.floor(Date.now() / 1000);
    const header = { typ: 'JWT', alg: 'ES256', x5c: [certificate.toString('base64')] };
    const claims = {
      iss: issuer,
      sub: user ?? '',
      aud: service,
      iat: seconds,
      nbf: seconds - 5,
      exp: seconds + lifetime,
      jti: randomUUID(),
      access: scopes.map((scope) => grant(scope, user, options)),
    };
    const head = [header, claims].map((part) => Buffer.from(JSON.stringify(part)).toString('base64url'));
    const signature = sign('sha256', Buffer.from(head.join('.')), {
      key: keys.privateKey,
      dsaEncoding: 'ieee-p1363',
    });
    return `${head.join('.')}.${signature.toString('base64url')}`;
  };

  const server = createServer((request, response) => {
    answer(request, response).catch((error: unknown) => response.destroy(error as Error));
  });
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const query = new URL(request.url ?? '/', 'http://token').searchParams;
    const form = request.method === 'POST' ? new URLSearchParams(await text(request)) : query;
    const scopes = form.getAll('scope').flatMap((scope) => scope.split(' '));
    const user = identify(request, form, options);
    requests.push({ method: request.method ?? '', scopes, user: user ?? undefined });
    response.setHeader('content-type', 'application/json');
    if (user === null) {
      response.statusCode = 401;
      response.end('{"details":"wrong name or password"}');
      return;
    }
    const token = issue(user, scopes);
    const name = request.method === 'POST' ? 'access_token' : 'token';
    response.end(JSON.stringify({ [name]: token, expires_in: lifetime }));
  };
  const { host, stop } = await listen(server);
  return {
    realm: `http://${host}/token`,
    service,
    issuer,
    certificate: pem('CERTIFICATE', certificate),
    requests,
    stop,
  };
}

/** Who asks: undefined where nobody says so, null where what they say is wrong. */
function identify(
  request: IncomingMessage,
  form: URLSearchParams,
  options: TokenServerOptions,
): string | undefined | null {
  const refreshToken = form.get('refresh_token');
  if (refreshToken !== null) return options.refreshTokens?.[refreshToken] ?? null;
  const basic = /^Basic (.+)$/.exec(request.headers.authorization ?? '')?.[1];
  if (basic === undefined) return undefined;
  const [user = '', ...rest] = Buffer.from(basic, 'base64').toString('utf8').split(':');
  return options.users[user] === rest.join(':') ? user : null;
}

function grant(scope: string, user: string | undefined, options: TokenServerOptions): Access {
  const [type = '', ...rest] = scope.split(':');
  const actions = (rest.pop() ?? '').split(',');
  const allowed = options.anonymous ?? [];
  return {
    type,
    name: rest.join(':'),
    actions: user === undefined ? actions.filter((action) => allowed.includes(action)) : actions,
  };
}

async function text(request: IncomingMessage): Promise<string> {
  let body = '';
  for await (const chunk of request) body += String(chunk);
  return body;
}

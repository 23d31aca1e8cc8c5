import { isDeepStrictEqual } from 'node:util';
import { BullaError, isBullaError } from '../errors.ts';
import type { HttpResponse } from '../http/exchange.ts';
import { orInterrupted } from '../http/failure.ts';
import type { HttpPool } from '../http/pool.ts';
import { type RetryPolicy, sendWithRetries, type Timing } from '../http/retry.ts';
import { type Challenge, parseChallenges } from './challenge.ts';
import { basicAuthorization, type Credentials, type CredentialsProvider } from './credentials.ts';
import { readDecoded } from './decoded.ts';
import { failureError, readFailure } from './failure.ts';
import { allowedAddresses, checkRealm } from './realm.ts';
import { MAX_TOKEN_BYTES, parseToken, type Token, tokenRequest } from './token.ts';

/** Passwords and tokens that are kept out of what is shown. */
const MAX_SECRETS = 256;

export interface AuthenticatorOptions {
  /** As references name it; also the name for which credentials are looked up. */
  readonly registry: string;
  readonly base: URL;
  readonly pool: HttpPool;
  readonly credentials: CredentialsProvider;
  readonly timing: Timing;
  readonly retry: RetryPolicy;
  readonly allowPrivate: boolean;
  /** Whether the settings say of another server that plain http is spoken to it. */
  readonly isPlain: (url: URL) => boolean;
}

/** For whom and for what a request is authorised. */
export interface Access {
  readonly repository: string | undefined;
  /** In the form of docker's token specification: `repository:team/app:pull`. */
  readonly scopes: readonly string[];
}

interface CachedToken {
  readonly authorization: Promise<string>;
  /** What the promise brought, once it has. */
  value?: string;
  /** On the client's clock, in milliseconds: past this a new one is asked for beforehand. */
  freshUntil: number;
}

interface BearerDemand {
  readonly scheme: 'bearer';
  readonly realm: URL;
  readonly service: string | undefined;
}

type Demand = { readonly scheme: 'basic' } | BearerDemand;

/**
 * Authorization for one registry. Nothing is sent before the registry asks; what it asked for is then
 * remembered, so that further requests carry it from the start. Tokens are kept by their sorted
 * scopes, and one that several requests need is asked for once.
 */
export class Authenticator {
  private readonly options: AuthenticatorOptions;
  private readonly tokens = new Map<string, CachedToken>();
  private readonly known = new Map<string, Promise<Credentials | undefined>>();
  /** Actions that the registry demanded beyond those that we know a request to need. */
  private readonly widened = new Map<string, readonly string[]>();
  private demand: Demand | undefined;
  private readonly sent = new Set<string>();

  constructor(options: AuthenticatorOptions) {
    this.options = options;
  }

  /** What was asked for so far. */
  get scheme(): 'none' | 'basic' | 'bearer' {
    return this.demand?.scheme ?? 'none';
  }

  /** Authorization to send from the start; undefined as long as nothing was asked for. */
  async header(access: Access, signal?: AbortSignal): Promise<string | undefined> {
    if (this.demand === undefined) return undefined;
    return await this.authorize(this.demand, access, signal);
  }

  /**
   * Authorization that a 401 asks for.
   * @param used what was sent with the refused request
   * @returns undefined where there is no better one than that
   * @throws BullaError unauthorized and what credentials and token server can fail with
   */
  async answer(
    challenges: readonly string[],
    access: Access,
    used: string | undefined,
    signal?: AbortSignal,
  ): Promise<string | undefined> {
    const challenge = choose(parseChallenges(challenges));
    if (challenge === undefined) return undefined;
    const demand = this.readDemand(challenge);
    this.demand = demand;
    if (demand.scheme === 'bearer') {
      const key = keyOf(access);
      this.widened.set(key, scopesOf(challenge));
      if (used !== undefined && this.tokens.get(key)?.value === used) this.tokens.delete(key);
    }
    if (demand.scheme === 'basic' && used !== undefined)
      await orInterrupted(this.freshCredentials(access.repository), signal);
    const authorization = await this.authorize(demand, access, signal);
    return authorization === used ? undefined : authorization;
  }

  /** What was sent so far, or may have been, and is to be shown nowhere, though the registry says it again. */
  secrets(): readonly string[] {
    return [...this.sent];
  }

  private remember(...secrets: readonly string[]): void {
    for (const secret of secrets) this.sent.add(secret);
    // A process that runs for days gets a new token every few minutes.
    while (this.sent.size > MAX_SECRETS) this.sent.delete(this.sent.values().next().value ?? '');
  }

  private readDemand(challenge: Challenge): Demand {
    if (challenge.scheme === 'basic') return { scheme: 'basic' };
    return {
      scheme: 'bearer',
      realm: checkRealm(challenge.parameters.get('realm'), this.options.base, this.options.isPlain),
      service: challenge.parameters.get('service'),
    };
  }

  private async authorize(
    demand: Demand,
    access: Access,
    signal: AbortSignal | undefined,
  ): Promise<string | undefined> {
    const credentials = await orInterrupted(this.credentials(access.repository), signal);
    if (credentials?.kind === 'registry') return `Bearer ${credentials.token}`;
    if (demand.scheme === 'bearer') return await orInterrupted(this.token(demand, access), signal);
    if (credentials === undefined) return undefined;
    if (credentials.kind === 'basic') return basicAuthorization(credentials.username, credentials.password);
    throw new BullaError(
      'unauthorized',
      `${this.options.registry} wants a password and only a token is stored`,
      {
        hint: `log in again with \`bulla login ${this.options.registry}\``,
      },
    );
  }

  private token(demand: BearerDemand, access: Access): Promise<string> {
    const key = keyOf(access);
    const cached = this.tokens.get(key);
    if (cached !== undefined && this.options.timing.now() < cached.freshUntil) return cached.authorization;
    const entry: CachedToken = { authorization: this.request(demand, access), freshUntil: Infinity };
    this.tokens.set(key, entry);
    entry.authorization.then(
      (value) => {
        entry.value = value;
      },
      () => {
        if (this.tokens.get(key) === entry) this.tokens.delete(key);
      },
    );
    return entry.authorization;
  }

  /** Belongs to all who wait for it, so no single one can call it off. */
  private async request(demand: BearerDemand, access: Access): Promise<string> {
    const sent = this.options.timing.now();
    const token = await this.fetchToken(demand, access);
    const entry = this.tokens.get(keyOf(access));
    // A tenth early, so that it doesn't expire on its way.
    if (entry !== undefined) entry.freshUntil = sent + token.lifetimeMs * 0.9;
    return `Bearer ${token.value}`;
  }

  private async fetchToken(demand: BearerDemand, access: Access): Promise<Token> {
    const { repository } = access;
    const { host } = demand.realm;
    let credentials = await this.credentials(repository);
    let response = await this.askTokenServer(demand, access, credentials);
    if (response.status === 401 && credentials !== undefined) {
      // Passwords that helpers give out end, too: a process that runs for days asks for a new one.
      const before = credentials;
      credentials = await this.freshCredentials(repository);
      if (!isDeepStrictEqual(before, credentials)) {
        await response.body.discard();
        response = await this.askTokenServer(demand, access, credentials);
      }
    }
    // No redirect is followed: the credentials are for this server.
    if (response.status !== 200)
      throw this.refused(await readFailure(response, this.secrets()), demand.realm, credentials);
    const token = parseToken(await readDecoded(response, MAX_TOKEN_BYTES, `the answer of ${host}`), host);
    this.remember(token.value);
    if (token.identityToken !== undefined && credentials?.kind === 'identity') {
      this.known.set(repository ?? '', Promise.resolve({ kind: 'identity', token: token.identityToken }));
      this.remember(token.identityToken);
    }
    return token;
  }

  private askTokenServer(
    demand: BearerDemand,
    access: Access,
    credentials: Credentials | undefined,
  ): Promise<HttpResponse> {
    const { pool, base, timing, retry, allowPrivate } = this.options;
    const scopes = mergeScopes([...access.scopes, ...(this.widened.get(keyOf(access)) ?? [])]);
    // A token for the registry itself is for no other server.
    const login = credentials?.kind === 'registry' ? undefined : credentials;
    const question = tokenRequest({ ...demand, scopes, credentials: login });
    return sendWithRetries({ pool, policy: retry, timing }, () =>
      pool.send({
        ...question,
        purpose: 'token',
        allow: allowedAddresses(demand.realm, base, pool.classOf(base), allowPrivate),
      }),
    );
  }

  private refused(
    failure: Awaited<ReturnType<typeof readFailure>>,
    realm: URL,
    credentials: Credentials | undefined,
  ): BullaError {
    const where = `${this.options.registry}: the token server ${realm.host}`;
    const error = failureError(failure, where);
    if (failure.status !== 404 && !isBullaError(error, 'unauthorized')) return error;
    return new BullaError('unauthorized', error.message, {
      hint:
        credentials === undefined
          ? `it wants a login: \`bulla login ${this.options.registry}\``
          : `it does not take the stored credentials: log in again with \`bulla login ${this.options.registry}\``,
      details: error.details,
    });
  }

  private credentials(repository: string | undefined): Promise<Credentials | undefined> {
    return this.known.get(repository ?? '') ?? this.freshCredentials(repository);
  }

  private freshCredentials(repository: string | undefined): Promise<Credentials | undefined> {
    const key = repository ?? '';
    const found = this.options.credentials(this.options.registry, repository);
    this.known.set(key, found);
    found.then(
      (credentials) => this.remember(...secretsOf(credentials)),
      () => this.known.delete(key),
    );
    return found;
  }
}

/** A password as it is, and as it is sent. */
function secretsOf(credentials: Credentials | undefined): readonly string[] {
  if (credentials === undefined) return [];
  if (credentials.kind !== 'basic') return [credentials.token];
  const { username, password } = credentials;
  return [
    password,
    basicAuthorization(username, password).replace(/^Basic /, ''),
    encodeURIComponent(password),
  ];
}

/** Bearer before Basic: a token tells less than a password does. Others are not spoken. */
function choose(challenges: readonly Challenge[]): Challenge | undefined {
  return (
    challenges.find(({ scheme }) => scheme === 'bearer') ??
    challenges.find(({ scheme }) => scheme === 'basic')
  );
}

const SCOPE = /^[a-z]+(?:\([a-z]+\))?:[^\s:]+(?::\d+[^\s:]*)?:[a-z*,]+$/;

/** Scopes that a challenge names; several are separated by spaces. */
function scopesOf(challenge: Challenge): readonly string[] {
  const text = challenge.parameters.get('scope') ?? '';
  return text
    .split(' ')
    .filter((scope) => SCOPE.test(scope))
    .slice(0, 16);
}

/** One scope for each resource, with all its actions; sorted. */
export function mergeScopes(scopes: readonly string[]): readonly string[] {
  const merged = new Map<string, Set<string>>();
  for (const scope of scopes) {
    const at = scope.lastIndexOf(':');
    const resource = scope.slice(0, at);
    const actions = merged.get(resource) ?? new Set();
    for (const action of scope.slice(at + 1).split(',')) actions.add(action);
    merged.set(resource, actions);
  }
  return [...merged].map(([resource, actions]) => `${resource}:${[...actions].sort().join(',')}`).sort();
}

function keyOf(access: Access): string {
  return [...access.scopes].sort().join(' ');
}

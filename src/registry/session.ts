import { BullaError } from '../errors.ts';
import type { HttpRequest, HttpResponse } from '../http/exchange.ts';
import type { HttpPool } from '../http/pool.ts';
import { redactUrl } from '../http/redact.ts';
import { parseRetryAfter, type RetryPolicy, sendWithRetries, type Timing } from '../http/retry.ts';
import { type Access, Authenticator } from './authenticator.ts';
import type { CredentialsProvider } from './credentials.ts';
import { failureError, type RegistryFailure, readFailure } from './failure.ts';
import { allowedAddresses } from './realm.ts';
import { refusalError, type Written } from './refusal.ts';
import type { SchemeFinder } from './scheme.ts';
import type { Warnings } from './warnings.ts';

/** A body that can be sent more than once. */
export type ReplayableBody =
  | Uint8Array
  | { readonly size: number; readonly open: () => Promise<AsyncIterable<Uint8Array>> };

/** One request to a registry, and what is done about redirects, logins and failures. */
export interface RegistryCall {
  readonly method: HttpRequest['method'];
  /** Path and query on the registry, or where it sent us for an upload. */
  readonly to: string | URL;
  readonly access: Access;
  readonly headers?: Readonly<Record<string, string>> | undefined;
  readonly body?: ReplayableBody | undefined;
  /** What the request writes: an answer that refuses it is then searched for the rule that does not allow it. */
  readonly writes?: Written | undefined;
  /** Statuses that the caller handles; all others become errors. */
  readonly expect: readonly number[] | 'any';
  /**
   * Send again after failures; only where that does no harm. `throttled`: after 429 only, which says that
   * nothing was done. True if left out.
   */
  readonly retry?: boolean | 'throttled' | undefined;
  /** Runs before the request is sent again; what it throws ends the call. */
  readonly again?: (() => Promise<void>) | undefined;
  /** Hand redirects to other hosts to the caller, as an answer, rather than follow them. */
  readonly stayOnHost?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface SessionOptions {
  readonly registry: string;
  /** Where requests go; as long as `scheme` has not said otherwise. */
  readonly base: URL;
  /** Finds out whether plain HTTP or TLS is spoken, where nothing says so. */
  readonly scheme?: SchemeFinder | undefined;
  readonly pool: HttpPool;
  readonly credentials: CredentialsProvider;
  readonly timing: Timing;
  readonly retry: RetryPolicy;
  readonly allowPrivate: boolean;
  /** Whether the settings say of another server that plain http is spoken to it. */
  readonly isPlain: (url: URL) => boolean;
  readonly warnings: Warnings;
}

const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);
const MAX_REDIRECTS = 5;
/** How long redirects and logins of one try may go on, in milliseconds: each of them can be slow. */
export const MAX_TRY_MS: number = 120_000;

/** Talks to one registry: everything that is the same for each of its repositories. */
export class RegistrySession {
  readonly registry: string;
  /** Largest body, in bytes, that the way to the registry is known to let through; learnt from refusals. */
  largestBody: number = Number.POSITIVE_INFINITY;
  private readonly options: SessionOptions;
  private readonly authenticator: Authenticator;

  constructor(options: SessionOptions) {
    this.options = options;
    this.registry = options.registry;
    const base = (): URL => this.base;
    this.authenticator = new Authenticator({
      ...options,
      get base() {
        return base();
      },
    });
  }

  /** Where requests go. */
  get base(): URL {
    return this.options.scheme?.base ?? this.options.base;
  }

  get timing(): Timing {
    return this.options.timing;
  }

  get retry(): RetryPolicy {
    return this.options.retry;
  }

  /** Begins one more connection to the registry, for requests that are about to come at the same time. */
  connectEarly(): void {
    this.options.pool.connectEarly(this.base);
  }

  /** Whether requests carry a login by now. */
  async signsIn(access: Access): Promise<boolean> {
    return (await this.authenticator.header(access)) !== undefined;
  }

  /** How the registry asks for a login, as far as it has. */
  get login(): 'none' | 'basic' | 'bearer' {
    return this.authenticator.scheme;
  }

  noteRetry(reason: string, delayMs: number): void {
    this.options.pool.noteRetry(reason, delayMs);
  }

  /**
   * Sends a request and gives an answer whose status the caller expects.
   * @throws BullaError by the status of any other answer; those of HttpPool.send; unauthorized
   */
  async call(call: RegistryCall): Promise<HttpResponse> {
    const { scheme } = this.options;
    let sent = 0;
    const send = async (): Promise<HttpResponse> => {
      if (sent++ > 0) await call.again?.();
      return scheme === undefined
        ? await this.authorized(call)
        : await scheme.send(() => this.authorized(call), call.signal);
    };
    const { pool, retry, timing } = this.options;
    const response =
      call.retry === false
        ? await send()
        : await sendWithRetries(
            {
              pool,
              policy: retry,
              timing,
              signal: call.signal,
              only: call.retry === 'throttled' ? 429 : undefined,
            },
            send,
          );
    this.options.warnings.note(this.registry, response.headers.all('warning'), this.authenticator.secrets());
    if (call.expect === 'any' || call.expect.includes(response.status)) return response;
    const failure = await this.failure(response);
    if (call.writes !== undefined) throw refusalError(failure, this.where(call), call.writes);
    throw failureError(failure, this.where(call));
  }

  /** The failure in a response that the caller expected. */
  async failure(response: HttpResponse): Promise<RegistryFailure> {
    const retryAfterMs = parseRetryAfter(response.headers.get('retry-after'), this.options.timing.now());
    return {
      ...(await readFailure(response, this.authenticator.secrets())),
      ...(retryAfterMs !== undefined && { retryAfterMs }),
    };
  }

  /** Names a call in messages. */
  where(call: Pick<RegistryCall, 'method' | 'to'>): string {
    const url = typeof call.to === 'string' ? new URL(call.to, this.base) : call.to;
    const target = url.origin === this.base.origin ? redactUrl(url).slice(url.origin.length) : redactUrl(url);
    return `${this.registry}: ${call.method} ${target}`;
  }

  /**
   * Where an answer sends us: its Location, resolved. A registry behind a proxy that ends TLS may
   * name itself by http; it is then reached as it was reached before.
   * @throws BullaError registry-error where there is none, or it would leave https
   */
  location(response: HttpResponse): URL {
    const text = response.headers.get('location');
    let url: URL | undefined;
    try {
      url = text === undefined || text.length > 16_384 ? undefined : new URL(text, response.url);
    } catch {
      url = undefined;
    }
    if (url === undefined) throw misled(this.registry, 'with no usable Location');
    if (url.protocol === 'http:' && response.url.protocol === 'https:') {
      const isOurs = url.host === this.base.host || (url.hostname === this.base.hostname && url.port === '');
      if (!isOurs) throw misled(this.registry, `from https to ${redactUrl(url)}`);
      url = new URL(url.pathname + url.search, this.base);
    }
    if (url.protocol !== 'http:' && url.protocol !== 'https:')
      throw misled(this.registry, `to ${redactUrl(url)}`);
    url.username = '';
    url.password = '';
    url.hash = '';
    return url;
  }

  private async authorized(call: RegistryCall): Promise<HttpResponse> {
    const { access, signal } = call;
    const until = this.timing.now() + MAX_TRY_MS;
    let authorization = await this.authenticator.header(access, signal);
    let response = await this.follow(call, authorization, until);
    // A second time only because a token turned out to be too weak or too old, which one refresh cures.
    for (let round = 0; round < 2 && this.isRefusal(response); round++) {
      if (round > 0 && !isInsufficient(response)) break;
      const challenges = response.headers.all('www-authenticate');
      const better = await this.authenticator.answer(challenges, access, authorization, signal);
      if (better === undefined) break;
      await response.body.discard();
      if (this.timing.now() > until) throw ledAround(this.registry);
      authorization = better;
      response = await this.follow(call, authorization, until);
    }
    return response;
  }

  /** Only the registry itself may ask for a login. */
  private isRefusal(response: HttpResponse): boolean {
    return response.status === 401 && response.url.origin === this.base.origin;
  }

  private async follow(
    call: RegistryCall,
    authorization: string | undefined,
    until: number,
  ): Promise<HttpResponse> {
    let url = typeof call.to === 'string' ? new URL(call.to, this.base) : call.to;
    let left = url.origin !== this.base.origin;
    for (let hops = 0; ; hops++) {
      const response = await this.send(call, url, left ? undefined : authorization);
      const readOnly = call.method === 'GET' || call.method === 'HEAD';
      if (!REDIRECTS.has(response.status) || !readOnly || response.headers.get('location') === undefined) {
        return response;
      }
      const next = this.location(response);
      left = left || next.origin !== this.base.origin;
      if (left && call.stayOnHost === true) return response;
      if (hops >= MAX_REDIRECTS) throw misled(this.registry, `through more than ${MAX_REDIRECTS} redirects`);
      await response.body.discard();
      if (this.timing.now() > until) throw ledAround(this.registry);
      url = next;
    }
  }

  private async send(call: RegistryCall, url: URL, authorization: string | undefined): Promise<HttpResponse> {
    const { pool, allowPrivate } = this.options;
    const { body } = call;
    const streamed = body === undefined || body instanceof Uint8Array ? undefined : body;
    return await pool.send({
      method: call.method,
      url,
      headers: { ...call.headers, ...(authorization !== undefined && { authorization }) },
      body: streamed === undefined ? (body as Uint8Array | undefined) : await streamed.open(),
      contentLength: streamed?.size,
      signal: call.signal,
      allow: allowedAddresses(url, this.base, pool.classOf(this.base), allowPrivate),
    });
  }
}

function isInsufficient(response: HttpResponse): boolean {
  return response.headers
    .all('www-authenticate')
    .some((value) => /insufficient_scope|invalid_token/.test(value));
}

function misled(registry: string, how: string): BullaError {
  return new BullaError('registry-error', `${registry} sends us on ${how}, which is refused`, {
    hint: 'the registry, or a proxy before it, is misconfigured or hostile',
  });
}

function ledAround(registry: string): BullaError {
  return new BullaError(
    'timeout',
    `${registry} gave no answer but redirects and demands to log in for ${MAX_TRY_MS / 1000} s`,
    { hint: 'the registry is slow, or holds the line on purpose; try again later' },
  );
}

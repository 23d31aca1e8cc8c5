import type { Socket } from 'node:net';
import type { Dispatcher, Pool as PoolType, ProxyAgent } from 'undici';
import Pool from 'undici/lib/dispatcher/pool.js';
import { BullaError } from '../errors.ts';
import { type AddressClass, bareHost, classOfAddress, isLoopbackHost } from './address.ts';
import {
  type Classify,
  makeConnector,
  type Resolve,
  serverChecks,
  type TlsFor,
  type TlsOptions,
} from './connector.ts';
import { type HttpCounters, type HttpEventSink, newCounters } from './events.ts';
import { exchange, type HttpRequest, type HttpResponse } from './exchange.ts';
import { interruption } from './failure.ts';
import { Preconnection } from './preconnection.ts';
import { type ProxySettings, proxyFor } from './proxy.ts';
import { redactUrl } from './redact.ts';
import { type Activity, type Patience, PROGRESS_MS } from './watch.ts';

export interface HttpPoolOptions {
  /**
   * Options of each server; or those of the servers that the caller chooses, of which no other server gets
   * more than the CA: a server that we were sent to is checked, and gets no certificate of ours.
   */
  readonly tls?: TlsOptions | TlsFor | undefined;
  readonly proxy?: ProxySettings | undefined;
  /** Most connections to one origin; 32 if left out. */
  readonly connections?: number | undefined;
  readonly connectTimeoutMs?: number | undefined;
  /** How long an answer to a request without a body may take to begin; 60 s if left out. */
  readonly headersTimeoutMs?: number | undefined;
  /** How long the next piece of a body may take; 60 s if left out. */
  readonly bodyTimeoutMs?: number | undefined;
  /** How long the least progress of a body may take (LEAST_PROGRESS_BYTES of watch.ts); 300 s if left out. */
  readonly progressTimeoutMs?: number | undefined;
  readonly userAgent?: string | undefined;
  readonly events?: HttpEventSink | undefined;
  /** A connection that was begun before this pool was made. */
  readonly preconnected?: Preconnection | undefined;
  /** Name service and classes of addresses, for tests. */
  readonly resolve?: Resolve | undefined;
  readonly classify?: Classify | undefined;
}

export const CONNECT_TIMEOUT_MS: number = 10_000;
/** A proxy, or a second address of the server, takes its turn after the first one's time is up. */
const CONNECTION_PATIENCE = 2.5;
export const HEADERS_TIMEOUT_MS: number = 60_000;
export const BODY_TIMEOUT_MS: number = 60_000;
/** A server that stores what it was sent may think about it for long. */
export const UPLOAD_HEADERS_TIMEOUT_MS: number = 300_000;
export const MAX_HEADER_BYTES: number = 64 * 1024;

/** One set of connections for each server, way to it, and rule about addresses. */
function keyOf(url: URL, allow: ReadonlySet<AddressClass> | undefined, proxy: URL | undefined): string {
  return [url.origin, proxy?.href ?? '', allow === undefined ? 'any' : [...allow].sort().join('+')].join(' ');
}

function proxyAuthorization(proxy: URL): Record<string, string> {
  if (proxy.username === '') return {};
  const pair = `${decodeURIComponent(proxy.username)}:${decodeURIComponent(proxy.password)}`;
  return { 'proxy-authorization': `Basic ${Buffer.from(pair).toString('base64')}` };
}

function notHttp(url: URL): BullaError {
  return new BullaError('registry-error', `${redactUrl(url)} is not an http or https URL`, {
    hint: 'the registry refers to an address that cannot be used',
  });
}

/**
 * Keep-alive connections of a process, one set for each origin and for each rule about addresses.
 * Made once and shared by all clients with the same TLS and proxy settings.
 */
export class HttpPool {
  readonly counters: HttpCounters = newCounters();
  private readonly options: HttpPoolOptions;
  private readonly classify: Classify;
  private readonly dispatchers = new Map<string, Promise<Dispatcher>>();
  private readonly activities = new Map<string, Activity>();
  private readonly addresses = new Map<string, AddressClass>();
  private readonly preconnected: Preconnection[];
  private ids = 0;

  constructor(options: HttpPoolOptions = {}) {
    this.options = options;
    this.classify = options.classify ?? classOfAddress;
    this.preconnected = options.preconnected === undefined ? [] : [options.preconnected];
  }

  /**
   * Begins one more connection for a request that is about to come, while others are under way. For a
   * server of the caller's own choice only; does nothing where a proxy is between.
   */
  connectEarly(url: URL): void {
    if (proxyFor(url, this.options.proxy ?? {}) === undefined) this.preconnected.push(new Preconnection(url));
  }

  /**
   * Sends one request and gives its answer once the headers are there.
   * @throws BullaError registry-unreachable, timeout, interrupted, forbidden (an address that is not
   *   allowed); whatever the body's source throws, as it is
   */
  async send(request: HttpRequest): Promise<HttpResponse> {
    const { url, signal } = request;
    if (signal?.aborted === true) throw interruption(signal);
    if (url.protocol !== 'https:' && url.protocol !== 'http:') throw notHttp(url);
    if (request.purpose === 'token') this.counters.tokenRequests++;
    else this.counters.requests++;
    const proxy = proxyFor(url, this.options.proxy ?? {});
    if (proxy !== undefined) this.checkLiteral(url, request.allow);
    const absolute = proxy !== undefined && url.protocol === 'http:';
    const path = url.pathname + url.search;
    const streamed = request.body !== undefined && !(request.body instanceof Uint8Array);
    const headers: Record<string, string> = {
      'user-agent': this.options.userAgent ?? 'bulla',
      ...request.headers,
      ...(absolute && { host: url.host, ...proxyAuthorization(proxy) }),
      ...(streamed &&
        request.contentLength !== undefined && { 'content-length': `${request.contentLength}` }),
    };
    const key = keyOf(url, request.allow, proxy);
    return await exchange({
      id: ++this.ids,
      request,
      headers,
      dispatcher: await this.dispatcherFor(key, url, request.allow, proxy),
      dispatch: {
        origin: absolute ? proxy.origin : url.origin,
        path: absolute ? `${url.origin}${path}` : path,
        headersTimeout: this.headersTimeout(request.method),
        bodyTimeout: this.options.bodyTimeoutMs ?? BODY_TIMEOUT_MS,
      },
      patience: this.patience(request.method),
      activity: this.activity(key),
      counters: this.counters,
      events: this.options.events,
    });
  }

  /** For a caller that retries: counted, and reported to the trace. */
  noteRetry(reason: string, delayMs: number): void {
    this.counters.retries++;
    this.options.events?.({ type: 'retry', reason, delayMs });
  }

  /**
   * Class of the address that an origin was last reached at, or that its name says; undefined where
   * neither tells (nothing was sent there yet, or a proxy was between).
   */
  classOf(url: URL): AddressClass | undefined {
    if (isLoopbackHost(url.hostname)) return 'loopback';
    return classOfAddress(bareHost(url)) ?? this.addresses.get(url.origin);
  }

  /** Ends all connections; what is under way fails. */
  async close(): Promise<void> {
    for (const connection of this.preconnected) connection.drop();
    const all = await Promise.allSettled(this.dispatchers.values());
    this.dispatchers.clear();
    await Promise.all(all.map((made) => made.status === 'fulfilled' && made.value.destroy()));
  }

  /** A proxy asks the name service itself, so only what is written out can be checked. */
  private checkLiteral(url: URL, allow: ReadonlySet<AddressClass> | undefined): void {
    const kind = isLoopbackHost(url.hostname) ? 'loopback' : classOfAddress(bareHost(url));
    if (kind !== undefined && allow?.has(kind) === false) {
      throw new BullaError(
        'forbidden',
        `${url.host} is a ${kind} address that the registry must not send us to`,
        {
          hint: 'allow private addresses in the configuration if it is meant to be so',
        },
      );
    }
  }

  private headersTimeout(method: HttpRequest['method']): number {
    const reading = this.options.headersTimeoutMs ?? HEADERS_TIMEOUT_MS;
    return method === 'GET' || method === 'HEAD' ? reading : Math.max(reading, UPLOAD_HEADERS_TIMEOUT_MS);
  }

  private patience(method: HttpRequest['method']): Patience {
    return {
      connectionMs: CONNECTION_PATIENCE * (this.options.connectTimeoutMs ?? CONNECT_TIMEOUT_MS),
      answerMs: this.headersTimeout(method),
      idleMs: this.bodyTimeout(method),
      progressMs: this.options.progressTimeoutMs ?? PROGRESS_MS,
    };
  }

  private bodyTimeout(method: HttpRequest['method']): number {
    const reading = this.options.bodyTimeoutMs ?? BODY_TIMEOUT_MS;
    return method === 'GET' || method === 'HEAD' ? reading : Math.max(reading, UPLOAD_HEADERS_TIMEOUT_MS);
  }

  private activity(key: string): Activity {
    const known = this.activities.get(key) ?? { at: 0 };
    this.activities.set(key, known);
    return known;
  }

  private dispatcherFor(
    key: string,
    url: URL,
    allow: ReadonlySet<AddressClass> | undefined,
    proxy: URL | undefined,
  ): Promise<Dispatcher> {
    let dispatcher = this.dispatchers.get(key);
    if (dispatcher === undefined) {
      dispatcher = proxy === undefined ? this.direct(url, allow) : this.proxied(url, allow, proxy);
      // A certificate file that cannot be read now may be there at the next try.
      dispatcher.catch(() => this.dispatchers.delete(key));
      this.dispatchers.set(key, dispatcher);
    }
    return dispatcher;
  }

  private async direct(url: URL, allow: ReadonlySet<AddressClass> | undefined): Promise<Dispatcher> {
    const connect = makeConnector({
      tls: url.protocol === 'https:' ? await this.tlsOf(url, allow === undefined) : {},
      connectTimeoutMs: this.options.connectTimeoutMs ?? CONNECT_TIMEOUT_MS,
      allow,
      authenticate: allow === undefined,
      resolve: this.options.resolve,
      classify: this.classify,
      preconnected: (host, port) => this.takePreconnected(host, port),
      onConnected: (address) => {
        this.counters.connections++;
        const kind = this.classify(address ?? '');
        if (kind !== undefined && allow === undefined) this.addresses.set(url.origin, kind);
      },
    });
    return new Pool(url.origin, { ...this.limits(), connect });
  }

  private takePreconnected(host: string, port: string): Socket | undefined {
    for (const connection of this.preconnected) {
      const socket = connection.take(host, port);
      if (socket !== undefined) return socket;
    }
    return undefined;
  }

  private async proxied(
    url: URL,
    allow: ReadonlySet<AddressClass> | undefined,
    proxy: URL,
  ): Promise<Dispatcher> {
    const proxyTls = proxy.protocol === 'https:' ? serverChecks(await this.tlsOf(proxy, false)) : {};
    if (url.protocol === 'http:')
      return new Pool(proxy.origin, {
        ...this.limits(),
        connect: proxyTls as NonNullable<PoolType.Options['connect']>,
      });
    const tls = await this.tlsOf(url, allow === undefined);
    const { cert, key, passphrase } = tls;
    // Its proxy agent works only with what the whole of undici adds to its parts.
    const { ProxyAgent } = await import('undici');
    return new ProxyAgent({
      ...this.limits(),
      uri: proxy.href,
      requestTls: {
        ...serverChecks(tls),
        ...(allow === undefined && cert !== undefined && { cert, key: key ?? cert, passphrase }),
      } as NonNullable<ProxyAgent.Options['requestTls']>,
      proxyTls: proxyTls as NonNullable<ProxyAgent.Options['proxyTls']>,
    });
  }

  private async tlsOf(url: URL, isOwn: boolean): Promise<TlsOptions> {
    const { tls = {} } = this.options;
    if (typeof tls === 'function') return await tls(url, isOwn);
    return isOwn ? tls : { ca: tls.ca };
  }

  private limits(): PoolType.Options {
    return {
      connections: this.options.connections ?? 32,
      maxHeaderSize: MAX_HEADER_BYTES,
      // A source that ends too early must not look like a shorter body.
      strictContentLength: true,
    };
  }
}

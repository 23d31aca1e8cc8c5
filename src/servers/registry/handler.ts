import type { IncomingMessage, ServerResponse } from 'node:http';
import { type Guard, type Refusal, requestTarget } from '../guard.ts';
import { handleBlob } from './blobs.ts';
import { answerBytes, answerFault, answerJson, refuseMethod, type ServerExchange } from './exchange.ts';
import { Fault, faultOf } from './faults.ts';
import { handleCatalog, handleReferrers, handleTags } from './listings.ts';
import { handleManifest } from './manifests.ts';
import { type Route, type RouteName, routeOf } from './routes.ts';
import type { Services } from './services.ts';
import { handleUpload, handleUploads } from './uploads.ts';

/** Who may do what; undefined: everyone may do everything. */
export interface AccessControl {
  /**
   * @returns name of the signed-in user, or undefined if no login is required
   * @throws Fault 401, 429
   */
  check(request: IncomingMessage, kind: RouteName): Promise<string | undefined>;
}

/** What is reported about a finished request. */
export interface RequestRecord {
  readonly route: RouteName;
  readonly method: string;
  /** Path without the query. */
  readonly path: string;
  readonly status: number;
  readonly user: string | undefined;
  readonly milliseconds: number;
  /** Bytes of the request's body that were taken, and of the answer's. */
  readonly received: number;
  readonly sent: number;
  /** Why it failed, where the fault is ours. */
  readonly error?: unknown;
  readonly request: IncomingMessage;
}

export interface HandlerOptions {
  readonly services: Services;
  readonly access: AccessControl | undefined;
  readonly guard: Guard;
  /** Text of `/metrics`. */
  readonly metrics: () => string;
  readonly done: (record: RequestRecord) => void;
}

/** A refused request's body is read up to here, so that the client gets to read the answer. */
const DRAIN_BYTES = 4 * 1024 * 1024;
const DRAIN_MS = 5_000;

/** Answers one request, whatever happens. */
export async function handleRequest(
  options: HandlerOptions,
  request: IncomingMessage,
  response: ServerResponse,
  expectsContinue: boolean,
): Promise<void> {
  const started = performance.now();
  const [path = '', search = ''] = split(requestTarget(request).path);
  let name: RouteName = 'other';
  let failure: unknown;
  let exchange: ServerExchange = {
    request,
    response,
    query: new URLSearchParams(search),
    isHead: request.method === 'HEAD',
    user: undefined,
    traffic: { received: 0, sent: 0 },
    expectsContinue,
  };
  // A connection that breaks shows in what is being awaited; without this it would end the process.
  request.on('error', () => undefined);
  response.on('error', () => undefined);
  try {
    response.setHeader('Docker-Distribution-Api-Version', 'registry/2.0');
    response.setHeader('X-Content-Type-Options', 'nosniff');
    const route = routeFor(path);
    name = route === undefined ? 'other' : route.kind;
    // A browser sends what it remembers of signing in along, so this comes first.
    mustNotBe(options.guard.crossOrigin(request));
    if (name !== 'health' && options.access !== undefined)
      exchange = { ...exchange, user: await options.access.check(request, name) };
    // To a name that is not ours, a browser sends no password of ours.
    if (exchange.user === undefined) mustNotBe(options.guard.foreignHost(request));
    if (route === undefined) throw new Fault(404, 'UNSUPPORTED', 'there is nothing at this address');
    await answerRoute(options, exchange, route);
  } catch (error) {
    const fault = faultOf(error);
    if (fault.status >= 500) failure = error;
    refuse(exchange, fault);
  }
  options.done({
    route: name,
    method: request.method ?? '',
    path,
    status: response.statusCode,
    user: exchange.user,
    milliseconds: performance.now() - started,
    ...exchange.traffic,
    request,
    ...(failure !== undefined && { error: failure }),
  });
}

/** @throws Fault 400, 403, 421 */
function mustNotBe(refusal: Refusal | undefined): void {
  if (refusal !== undefined) throw new Fault(refusal.status, 'DENIED', refusal.message);
}

function split(url: string): [string, string] {
  const at = url.indexOf('?');
  return at < 0 ? [url, ''] : [url.slice(0, at), url.slice(at + 1)];
}

function routeFor(path: string): Route | { readonly kind: 'health' | 'metrics' } | undefined {
  if (path === '/healthz') return { kind: 'health' };
  if (path === '/metrics') return { kind: 'metrics' };
  return routeOf(path);
}

async function answerRoute(
  options: HandlerOptions,
  exchange: ServerExchange,
  route: NonNullable<ReturnType<typeof routeFor>>,
): Promise<void> {
  const { services } = options;
  switch (route.kind) {
    case 'health':
      return answerBytes(exchange, 200, 'text/plain; charset=utf-8', 'ok\n');
    case 'metrics':
      return answerBytes(exchange, 200, 'text/plain; version=0.0.4; charset=utf-8', options.metrics());
    case 'base':
      if (exchange.request.method !== 'GET' && !exchange.isHead) refuseMethod('GET, HEAD');
      return answerJson(exchange, {});
    case 'catalog':
      return await handleCatalog(services, exchange);
    case 'tags':
      return await handleTags(services, exchange, route.repository);
    case 'referrers':
      return await handleReferrers(services, exchange, route.repository, route.reference);
    case 'manifest':
      return await handleManifest(services, exchange, route.repository, route.reference);
    case 'blob':
      return await handleBlob(services, exchange, route.repository, route.reference);
    case 'uploads':
      return await handleUploads(services, exchange, route.repository);
    case 'upload':
      return await handleUpload(services, exchange, route.repository, route.id);
  }
}

/** Answers with a fault. What is left of the body is read, within bounds, or the connection ends. */
function refuse(exchange: ServerExchange, fault: Fault): void {
  const { request, response } = exchange;
  if (response.headersSent || response.destroyed) {
    response.destroy();
    return;
  }
  if (request.complete || request.destroyed) {
    answerFault(exchange, fault);
    return;
  }
  // Nothing of the body was asked for: the client must not send it now.
  if (exchange.expectsContinue) {
    response.shouldKeepAlive = false;
    answerFault(exchange, fault);
    return;
  }
  const left = Number(request.headers['content-length'] ?? Number.POSITIVE_INFINITY);
  if (left > DRAIN_BYTES) response.shouldKeepAlive = false;
  answerFault(exchange, fault);
  drain(request);
}

function drain(request: IncomingMessage): void {
  const timer = setTimeout(() => request.destroy(), DRAIN_MS);
  let drained = 0;
  request.on('data', (chunk: Uint8Array) => {
    drained += chunk.byteLength;
    if (drained > DRAIN_BYTES) request.destroy();
  });
  request.once('close', () => clearTimeout(timer));
  request.once('end', () => clearTimeout(timer));
}

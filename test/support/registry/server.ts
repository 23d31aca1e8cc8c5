import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { AuthServer } from './auth.ts';
import type { Fault, FaultAction, LoggedRequest, RegistryBehaviour } from './behaviour.ts';
import { blobs, fail, manifests, type Routed, referrers, startUpload, tags, upload } from './handlers.ts';
import { StoredRepository } from './store.ts';

export interface RegistryOptions extends RegistryBehaviour {
  /** PEM; https then. */
  readonly tls?: { readonly key: string; readonly cert: string };
}

/**
 * An OCI registry in memory, on a port of its own on 127.0.0.1, that misbehaves as it is told: how it
 * behaves in general is `behaviour` (see {@link RegistryBehaviour}: referrers API or not, logins, ETags,
 * immutable tags, lost and stale lists, …), what goes wrong with single requests is injected with
 * {@link FaultyRegistry.fault}. It keeps a log of all requests.
 *
 * ```ts
 * const registry = await startRegistry({ referrersApi: false, auth: { mode: 'basic', users: { me: 'pw' } } });
 * registry.fault({ method: 'GET', path: /blobs/, action: { cutAfter: 100 } });
 * // … work with `${registry.host}/team/app` …
 * expect(registry.requests(/manifests/)).toEqual(['GET /v2/team/app/manifests/v1']);
 * await registry.close();
 * ```
 */
export interface FaultyRegistry {
  /** `127.0.0.1:PORT`, the registry of references. */
  readonly host: string;
  /** `http://127.0.0.1:PORT` */
  readonly origin: string;
  /** May be changed at any time. */
  readonly behaviour: RegistryBehaviour;
  readonly log: LoggedRequest[];
  /** What a repository holds, to look at or to tamper with. */
  repository(name: string): StoredRepository;
  /** Makes something go wrong; the first fault that matches a request counts. */
  fault(fault: Fault): void;
  /** Forgets all faults. */
  heal(): void;
  /** `METHOD path` of requests whose path matches, token requests left out unless asked for. */
  requests(path?: RegExp): string[];
  /** Forgets the log. */
  forget(): void;
  /** Makes every token that was given out invalid. */
  revokeTokens(): void;
  close(): Promise<void>;
}

export async function startRegistry(options: RegistryOptions = {}): Promise<FaultyRegistry> {
  const { tls, ...behaviour } = options;
  const registry = new Server(behaviour, tls);
  await registry.listen();
  return registry;
}

class Server implements FaultyRegistry {
  readonly behaviour: RegistryBehaviour;
  readonly log: LoggedRequest[] = [];
  private readonly repositories = new Map<string, StoredRepository>();
  private readonly faults: (Fault & { passed: number; struck: number })[] = [];
  private readonly auth = new AuthServer();
  private readonly sockets = new Set<Socket>();
  private readonly scheme: string;
  private readonly server: ReturnType<typeof createServer>;

  constructor(behaviour: RegistryBehaviour, tls: RegistryOptions['tls']) {
    this.behaviour = behaviour;
    const listener = (request: IncomingMessage, response: ServerResponse): void => {
      this.serve(request, response).catch((error) => response.destroy(error));
    };
    this.scheme = tls === undefined ? 'http' : 'https';
    this.server = tls === undefined ? createServer(listener) : createTlsServer({ ...tls }, listener);
    this.server.on('connection', (socket: Socket) => {
      this.sockets.add(socket);
      socket.on('close', () => this.sockets.delete(socket));
    });
  }

  get host(): string {
    return `127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  get origin(): string {
    return `${this.scheme}://${this.host}`;
  }

  listen(): Promise<void> {
    return new Promise((resolve) => this.server.listen(0, '127.0.0.1', resolve));
  }

  close(): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    return new Promise((resolve) => this.server.close(() => resolve()));
  }

  repository(name: string): StoredRepository {
    const repository = this.repositories.get(name) ?? new StoredRepository();
    this.repositories.set(name, repository);
    return repository;
  }

  fault(fault: Fault): void {
    this.faults.push({ ...fault, passed: 0, struck: 0 });
  }

  heal(): void {
    this.faults.length = 0;
  }

  requests(path: RegExp = /^\/v2\//): string[] {
    return this.log.filter((entry) => path.test(entry.path)).map((entry) => `${entry.method} ${entry.path}`);
  }

  forget(): void {
    this.log.length = 0;
  }

  revokeTokens(): void {
    this.auth.revoke();
  }

  private async serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const entry: LoggedRequest = {
      method: request.method ?? '',
      path: request.url ?? '',
      headers: request.headers,
      status: 0,
      bytes: 0,
    };
    this.log.push(entry);
    response.on('close', () => {
      entry.status = response.headersSent ? response.statusCode : 0;
    });
    const action = this.strike(entry);
    if (action !== undefined && (await early(action, request, response))) return;
    const body = await read(request);
    entry.bytes = body.length;
    if (action !== undefined) late(action, response);
    for (const warning of this.behaviour.warnings ?? []) response.appendHeader('warning', warning);
    this.route(request, body, response);
  }

  private strike(entry: LoggedRequest): FaultAction | undefined {
    for (const fault of this.faults) {
      if (fault.struck >= (fault.times ?? 1)) continue;
      if (fault.method !== undefined && fault.method !== entry.method) continue;
      if (fault.path !== undefined && !fault.path.test(entry.path)) continue;
      if (fault.passed++ < (fault.after ?? 0)) continue;
      fault.struck++;
      return fault.action;
    }
    return undefined;
  }

  private route(request: IncomingMessage, body: Buffer, response: ServerResponse): void {
    const url = new URL(request.url ?? '/', this.origin);
    const { auth } = this.behaviour;
    if (url.pathname === '/token' && auth?.mode === 'token') {
      this.auth.issue(auth, request, body.toString(), response);
      return;
    }
    const match = /^\/v2\/(.+?)\/(manifests|blobs|referrers|tags)\/(.*)$/.exec(url.pathname);
    const name = match?.[1] ?? '';
    if (match?.[2] === 'referrers' && this.behaviour.referrersApi === false) {
      // Before any login, as distribution does it.
      fail(response, 404, 'PAGE_NOT_FOUND');
      return;
    }
    const need = needOf(request.method ?? '', name, url);
    if (auth !== undefined && !this.auth.admit(auth, need, this.origin, request, response)) return;
    if (url.pathname === '/v2/') {
      response.writeHead(200, { 'content-type': 'application/json' }).end('{}');
    } else if (url.pathname === '/v2/_catalog') {
      response
        .writeHead(200, { 'content-type': 'application/json' })
        .end(JSON.stringify({ repositories: [...this.repositories.keys()].sort() }));
    } else if (match === null) {
      response.writeHead(404, { 'content-type': 'text/plain' }).end('404 page not found\n');
    } else {
      const routed: Routed = {
        method: request.method ?? '',
        repository: name,
        store: this.repository(name),
        url,
        request,
        body,
        response,
        behaviour: this.behaviour,
        other: (other) => this.repositories.get(other),
      };
      dispatch(routed, match[2] ?? '', match[3] ?? '');
    }
  }
}

function dispatch(routed: Routed, kind: string, rest: string): void {
  if (kind === 'manifests') manifests(routed, rest);
  else if (kind === 'referrers') referrers(routed, rest);
  else if (kind === 'tags') tags(routed);
  else if (rest === 'uploads/') startUpload(routed);
  else if (rest.startsWith('uploads/')) upload(routed, rest.slice('uploads/'.length));
  else blobs(routed, rest);
}

function needOf(method: string, name: string, url: URL): string {
  if (url.pathname === '/v2/_catalog') return 'registry:catalog:*';
  if (name === '') return '';
  if (method === 'GET' || method === 'HEAD') return `repository:${name}:pull`;
  if (method === 'DELETE' && !url.pathname.includes('/uploads/')) return `repository:${name}:delete`;
  const from = url.searchParams.get('from');
  return `repository:${name}:pull,push${from === null ? '' : ` repository:${from}:pull`}`;
}

/** Actions before the request is looked at; true where that was the answer. */
async function early(
  action: FaultAction,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<boolean> {
  if ('delayMs' in action) {
    await new Promise((resolve) => setTimeout(resolve, action.delayMs));
    return false;
  }
  if ('reset' in action) {
    request.socket.destroy();
    return true;
  }
  if ('answer' in action) {
    action.answer(request, response);
    return true;
  }
  if ('endless' in action) {
    response.writeHead(200, { 'content-type': 'application/json' });
    const more = (): void => {
      while (!response.destroyed && response.write(Buffer.alloc(65_536, 0x20)));
    };
    response.on('drain', more);
    more();
    return true;
  }
  if ('status' in action) {
    await read(request);
    response.writeHead(action.status, action.headers).end(action.body);
    return true;
  }
  return false;
}

/** Actions on the proper answer. */
function late(action: FaultAction, response: ServerResponse): void {
  const end = response.end.bind(response);
  const writeHead = response.writeHead.bind(response) as (status: number, headers?: object) => ServerResponse;
  if ('loseAnswer' in action) {
    response.writeHead = (() => response) as never;
    response.end = (() => response.socket?.destroy()) as never;
  } else if ('addHeaders' in action) {
    response.writeHead = ((status: number, headers: object) =>
      writeHead(status, { ...headers, ...action.addHeaders })) as never;
  } else if ('reply' in action) {
    response.writeHead = ((status: number, headers: Record<string, string>) => {
      const changed = action.reply(status, headers ?? {});
      return writeHead(changed.status ?? status, changed.headers ?? headers);
    }) as never;
  } else if ('cutAfter' in action) {
    response.end = ((body: Uint8Array) => {
      response.write(body.subarray(0, action.cutAfter), () => response.socket?.destroy());
    }) as never;
  } else if ('corrupt' in action) {
    response.end = ((body: Uint8Array) => {
      const copy = Buffer.from(body);
      copy[0] = (copy[0] ?? 0) ^ 1;
      return end(copy);
    }) as never;
  }
}

async function read(request: IncomingMessage): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const piece of request) pieces.push(piece as Buffer);
  return Buffer.concat(pieces);
}

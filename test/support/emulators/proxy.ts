import { createHash } from 'node:crypto';
import { Agent, createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import { buffer } from 'node:stream/consumers';
import { listen } from '../listen.ts';

/** A request, as it is passed on to the registry behind. */
export interface Asked {
  readonly method: string;
  /** Without its query. */
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
  readonly body: Buffer;
}

export interface Answer {
  readonly status: number;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
  readonly body: Buffer;
}

/** What a request is about. */
export interface Route {
  readonly kind: 'base' | 'manifests' | 'blobs' | 'uploads' | 'tags' | 'referrers' | 'other';
  readonly repository: string;
  /** Tag, digest or upload. */
  readonly reference: string;
}

export interface Context extends Route {
  /** `127.0.0.1:PORT` of the emulator. */
  readonly host: string;
  /** Has the registry behind answer, the same request or another. */
  pass(instead?: Partial<Asked>): Promise<Answer>;
  /** All tags of the repository in byte order, or undefined where the registry behind refuses. */
  tags(): Promise<readonly string[] | undefined>;
  /**
   * Address at another host that answers one GET of this content, and nothing else: HEAD is answered 403, as a
   * storage does whose addresses are signed for one method; so is a request with an Authorization header, by 400.
   */
  storage(): string;
}

/** Answers a request as a registry of some kind does; whatever it needs to remember it keeps itself. */
export type Dialect = (asked: Asked, context: Context) => Promise<Answer> | Answer;

/** A registry of another kind, made of a real one. */
export interface Emulator {
  /** `127.0.0.1:PORT` */
  readonly host: string;
  /** `METHOD /path?query STATUS` of what was asked, the storage left out. */
  readonly log: readonly string[];
  forget(): void;
  stop(): Promise<void>;
}

/**
 * Puts a dialect before a registry. The Host header goes through unchanged, so that addresses in answers lead back
 * here. Whole bodies are held: for tests.
 * @param upstream `host:port` of the registry
 */
export async function startEmulator(upstream: string, dialect: Dialect): Promise<Emulator> {
  const agent = new Agent({ keepAlive: true, maxSockets: 64 });
  const log: string[] = [];
  const stored = new Map<string, Asked>();
  let host = '';
  let storageHost = '';

  const answer = async (asked: Asked): Promise<Answer> => {
    const route = routeOf(asked.path);
    const pass = (instead: Partial<Asked> = {}): Promise<Answer> =>
      forward(agent, upstream, { ...asked, ...instead });
    const context: Context = {
      ...route,
      host,
      pass,
      tags: () => allTags(pass, route.repository),
      storage: () => {
        const id = createHash('sha256').update(asked.path).digest('hex');
        stored.set(`/${id}`, asked);
        return `http://${storageHost}/${id}?X-Amz-Signature=0`;
      },
    };
    return await dialect(asked, context);
  };

  const storageAnswer = async (asked: Asked): Promise<Answer> => {
    const original = stored.get(asked.path);
    if (asked.headers['authorization'] !== undefined) return page(400, 'only one auth mechanism allowed');
    if (original === undefined || asked.method !== 'GET') return page(403, 'SignatureDoesNotMatch');
    const { range } = asked.headers;
    const found = await forward(agent, upstream, {
      ...original,
      method: 'GET',
      headers: { host, accept: original.headers['accept'], ...(range !== undefined && { range }) },
    });
    const { 'content-length': length, 'content-range': part } = found.headers;
    return { ...found, headers: { 'content-length': length, 'content-range': part } };
  };

  const front = await listen(
    createServer((incoming, outgoing) => {
      serve(incoming, outgoing, async (asked) => {
        const given = await answer(asked);
        log.push(`${incoming.method} ${incoming.url} ${given.status}`);
        return given;
      });
    }),
  );
  const storage = await listen(
    createServer((incoming, outgoing) => serve(incoming, outgoing, storageAnswer)),
  );
  host = front.host;
  // Another host: what was meant for the registry must not be sent there.
  storageHost = storage.host.replace('127.0.0.1', 'localhost');
  return {
    host,
    log,
    forget: () => {
      log.length = 0;
    },
    stop: async () => {
      await Promise.all([front.stop(), storage.stop()]);
      agent.destroy();
    },
  };
}

function serve(
  incoming: IncomingMessage,
  outgoing: ServerResponse,
  work: (asked: Asked) => Promise<Answer>,
): void {
  outgoing.on('error', () => {});
  const { method = 'GET', url = '/', headers } = incoming;
  const { pathname, searchParams } = new URL(url, 'http://emulator.invalid');
  buffer(incoming)
    .then((body) => work({ method, path: pathname, query: searchParams, headers, body }))
    .then(({ status, headers: given, body }) => {
      for (const [name, value] of Object.entries(given)) {
        if (value === undefined || name === 'transfer-encoding' || name === 'connection') continue;
        outgoing.setHeader(name, value);
      }
      outgoing.writeHead(status);
      outgoing.end(method === 'HEAD' ? undefined : body);
    })
    .catch(() => outgoing.destroy());
}

function forward(agent: Agent, upstream: string, asked: Asked): Promise<Answer> {
  const [host, port] = upstream.split(':');
  const { method, query, body } = asked;
  const path = query.size === 0 ? asked.path : `${asked.path}?${query}`;
  const headers = Object.fromEntries(
    Object.entries(asked.headers).filter(
      ([name, value]) => value !== undefined && name !== 'transfer-encoding' && name !== 'connection',
    ),
  ) as Record<string, string>;
  if (body.length > 0 || method === 'PUT' || method === 'PATCH' || method === 'POST')
    headers['content-length'] = String(body.length);
  return new Promise((resolve, reject) => {
    const onward = request({ host, port, method, path, headers, agent }, (answer) => {
      buffer(answer).then(
        (bytes) =>
          resolve({
            status: answer.statusCode ?? 502,
            headers: answer.headers as Answer['headers'],
            body: bytes,
          }),
        reject,
      );
    });
    onward.on('error', reject);
    onward.end(body);
  });
}

export function routeOf(path: string): Route {
  if (/^\/v2\/?$/.test(path)) return { kind: 'base', repository: '', reference: '' };
  const [, repository = '', rest = ''] =
    /^\/v2\/(.+?)\/((?:manifests|blobs|tags|referrers)\/.*)$/.exec(path) ?? [];
  const [, kind = 'other', reference = ''] =
    /^(blobs\/uploads|manifests|blobs|tags|referrers)\/(.*)$/.exec(rest) ?? [];
  return { kind: (kind === 'blobs/uploads' ? 'uploads' : kind) as Route['kind'], repository, reference };
}

export function isDigest(reference: string): boolean {
  return /^sha(?:256|512):[0-9a-f]+$/.test(reference);
}

async function allTags(pass: Context['pass'], repository: string): Promise<readonly string[] | undefined> {
  const query = new URLSearchParams();
  const headers = { accept: 'application/json' };
  const tags = new Set<string>();
  for (;;) {
    const path = `/v2/${repository}/tags/list`;
    const { status, body, headers: given } = await pass({ method: 'GET', path, query, headers });
    if (status !== 200) return undefined;
    for (const tag of (JSON.parse(body.toString()) as { tags: string[] | null }).tags ?? []) tags.add(tag);
    const next = /<[^>]*\?([^>]*)>/.exec(String(given['link'] ?? ''))?.[1];
    if (next === undefined) return [...tags].sort();
    for (const [name, value] of new URLSearchParams(next)) query.set(name, value);
  }
}

/** An error as registries write it. */
export function refusal(
  status: number,
  code: string,
  message: string,
  headers: Answer['headers'] = {},
): Answer {
  return json(status, { errors: [{ code, message, detail: null }] }, headers);
}

export function json(status: number, value: unknown, headers: Answer['headers'] = {}): Answer {
  const body = Buffer.from(JSON.stringify(value));
  return { status, headers: { 'content-type': 'application/json', ...headers }, body };
}

/** Something that is not of the distribution API. */
export function page(status: number, text: string, headers: Answer['headers'] = {}): Answer {
  const body = Buffer.from(`<html><body>${text}</body></html>`);
  return { status, headers: { 'content-type': 'text/html; charset=utf-8', ...headers }, body };
}

export function redirect(status: number, location: string): Answer {
  return { status, headers: { location }, body: Buffer.alloc(0) };
}

/** An answer without some of its headers. */
export function without(answer: Answer, ...names: string[]): Answer {
  return {
    ...answer,
    headers: { ...answer.headers, ...Object.fromEntries(names.map((name) => [name, undefined])) },
  };
}

/** A request without the conditions that a registry does not know. */
export function unconditional(asked: Asked): Partial<Asked> {
  return { headers: { ...asked.headers, 'if-match': undefined, 'if-none-match': undefined } };
}

/** `n` of a query, no more than `most`. */
export function pageSize(query: URLSearchParams, most: number): number {
  const asked = Number(query.get('n') ?? most);
  return Number.isInteger(asked) && asked > 0 ? Math.min(asked, most) : most;
}

/**
 * Whether a PUT would give an existing tag another digest.
 * @param fixed which tags cannot be moved
 */
export async function moves(asked: Asked, context: Context, fixed: RegExp): Promise<boolean> {
  const { kind, reference, pass } = context;
  if (asked.method !== 'PUT' || kind !== 'manifests' || isDigest(reference) || !fixed.test(reference))
    return false;
  const accept = 'application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json';
  const { status } = await pass({ method: 'HEAD', headers: { accept }, body: Buffer.alloc(0) });
  return status === 200;
}

import type { IncomingMessage, ServerResponse } from 'node:http';
import { BullaError, messageOf } from '../errors.ts';
import { type Guard, type Refusal, requestTarget } from './guard.ts';
import type { RequestHandler } from './listener.ts';
import type { RequestSample } from './metrics.ts';

/** What a service tells and takes over HTTP. */
export interface Endpoints {
  /** Text in pieces: there may be megabytes of it. */
  readonly metrics: () => Iterable<string>;
  /** Why it is not ready; undefined where it is. */
  readonly unready: () => string | undefined;
  /** The page at a path; undefined where there is none. */
  readonly page?: ((path: string, query: URLSearchParams) => Promise<Answer | undefined>) | undefined;
  /** What clients post, by path. */
  readonly posts?: ReadonlyMap<string, PostEndpoint> | undefined;
  readonly guard: Guard;
  readonly done: (sample: RequestSample) => void;
  readonly problem: (message: string) => void;
}

/** What clients post to a path. */
export interface PostEndpoint {
  /** Its name in metrics. */
  readonly route: string;
  /** Largest body in bytes. */
  readonly maxBytes: number;
  /** The answer to a request that is refused before its body is read; it is asked before the method is checked. */
  readonly refuse?: ((request: IncomingMessage) => Answer | undefined) | undefined;
  /** Whether a client has shown a secret, so that it is not a web page: it may use any name of this server. */
  readonly isTrusted?: ((request: IncomingMessage) => boolean) | undefined;
  readonly answer: (body: Uint8Array, request: IncomingMessage) => Answer | Promise<Answer>;
}

export interface Answer {
  readonly status: number;
  readonly text: string | Iterable<string>;
  /** Media type; plain text if left out. */
  readonly type?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

const TEXT = 'text/plain; charset=utf-8';
/** How long the body of a request may take to arrive, in milliseconds. */
const BODY_MS = 10_000;
const ROUTES: ReadonlyMap<string, string> = new Map([
  ['/healthz', 'health'],
  ['/readyz', 'ready'],
  ['/metrics', 'metrics'],
]);

/** Answers `/healthz`, `/readyz`, `/metrics`, what is posted, and pages. */
export function endpointHandler(endpoints: Endpoints): RequestHandler {
  return async (request, response, expectsContinue) => {
    const started = performance.now();
    const [path = '', query = ''] = requestTarget(request).path.split('?', 2);
    const post = endpoints.posts?.get(path);
    const route = post?.route ?? ROUTES.get(path) ?? 'other';
    request.on('error', () => undefined);
    response.on('error', () => undefined);
    let answer: Answer;
    let received = 0;
    try {
      const refusal = refusalOf(endpoints.guard, request, post);
      if (refusal !== undefined) answer = { status: refusal.status, text: `${refusal.message}\n` };
      else if (post !== undefined) {
        const body = await posted(post, request, response, expectsContinue);
        received = body instanceof Uint8Array ? body.byteLength : 0;
        answer = body instanceof Uint8Array ? await post.answer(body, request) : body;
      } else answer = await read(endpoints, route, path, query, request.method ?? '');
    } catch (error) {
      endpoints.problem(`a request to ${route} failed: ${messageOf(error)}`);
      answer = { status: 500, text: 'failed; the log says why\n' };
    }
    const sent = await reply(request, response, answer);
    endpoints.done({
      method: request.method ?? '',
      route,
      status: answer.status,
      milliseconds: performance.now() - started,
      received,
      sent,
    });
  };
}

function refusalOf(
  guard: Guard,
  request: IncomingMessage,
  post: PostEndpoint | undefined,
): Refusal | undefined {
  return guard.crossOrigin(request) ?? (post?.isTrusted?.(request) ? undefined : guard.foreignHost(request));
}

async function read(
  endpoints: Endpoints,
  route: string,
  path: string,
  query: string,
  method: string,
): Promise<Answer> {
  const isRead = method === 'GET' || method === 'HEAD';
  if (route === 'other')
    return (
      (isRead ? await endpoints.page?.(path, new URLSearchParams(query)) : undefined) ?? {
        status: 404,
        text: 'there is nothing at this address\n',
      }
    );
  if (!isRead) return { status: 405, text: 'GET, HEAD\n', headers: { Allow: 'GET, HEAD' } };
  if (route === 'metrics')
    return { status: 200, text: endpoints.metrics(), type: 'text/plain; version=0.0.4; charset=utf-8' };
  const problem = route === 'ready' ? endpoints.unready() : undefined;
  return problem === undefined ? { status: 200, text: 'ok\n' } : { status: 503, text: `${problem}\n` };
}

/** The body of a request that is taken, or what to answer instead. */
async function posted(
  { maxBytes, refuse }: PostEndpoint,
  request: IncomingMessage,
  response: ServerResponse,
  expectsContinue: boolean,
): Promise<Uint8Array | Answer> {
  const refused = refuse?.(request);
  if (refused !== undefined) return refused;
  if (request.method !== 'POST') return { status: 405, text: 'POST\n', headers: { Allow: 'POST' } };
  if (Number(request.headers['content-length'] ?? 0) > maxBytes) return tooLarge(maxBytes);
  if (expectsContinue) response.writeContinue();
  const timer = setTimeout(() => request.destroy(), BODY_MS);
  try {
    const pieces: Uint8Array[] = [];
    let size = 0;
    for await (const piece of request as AsyncIterable<Uint8Array>) {
      size += piece.byteLength;
      if (size > maxBytes) return tooLarge(maxBytes);
      pieces.push(piece);
    }
    return Buffer.concat(pieces);
  } catch (cause) {
    throw new BullaError('timeout', `the body did not arrive: ${messageOf(cause)}`, {
      cause,
      hint: 'the sender will try again',
    });
  } finally {
    clearTimeout(timer);
  }
}

function tooLarge(maxBytes: number): Answer {
  return {
    status: 413,
    text: `more than ${maxBytes} bytes\n`,
    headers: { Connection: 'close' },
  };
}

/** @returns bytes of the body */
async function reply(request: IncomingMessage, response: ServerResponse, answer: Answer): Promise<number> {
  if (response.headersSent || response.destroyed) return 0;
  const { status, text, type = TEXT, headers } = answer;
  if (!request.complete && status >= 400) response.shouldKeepAlive = false;
  response.writeHead(status, {
    'Content-Type': type,
    ...(typeof text === 'string' && { 'Content-Length': Buffer.byteLength(text) }),
    'X-Content-Type-Options': 'nosniff',
    ...headers,
  });
  const isHead = request.method === 'HEAD';
  let sent = 0;
  if (typeof text === 'string') {
    response.end(isHead ? undefined : text);
    sent = Buffer.byteLength(text);
  } else {
    if (!isHead) sent = await writePieces(response, text);
    response.end();
  }
  if (!request.complete) request.resume();
  return sent;
}

function untilTaken(response: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      response.off('drain', done);
      response.off('close', done);
      resolve();
    };
    response.on('drain', done);
    response.on('close', done);
  });
}

/** Writes as fast as it is taken, and lets others have their turn in between. */
async function writePieces(response: ServerResponse, pieces: Iterable<string>): Promise<number> {
  let sent = 0;
  for (const piece of pieces) {
    if (response.destroyed) break;
    const bytes = Buffer.from(piece);
    sent += bytes.byteLength;
    if (response.write(bytes)) await new Promise((resolve) => setImmediate(resolve));
    else await untilTaken(response);
  }
  return sent;
}

import type { IncomingMessage, ServerResponse } from 'node:http';
import { BullaError, isBullaError, messageOf } from '../../errors.ts';
import { type Guard, type Refusal, requestTarget } from '../guard.ts';
import type { RequestHandler } from '../listener.ts';
import type { RequestSample } from '../metrics.ts';
import { isAuthorized, MAX_NOTIFICATION_BYTES, repositoriesIn } from './notify.ts';
import type { PageAnswer } from './pages.ts';

/** What the re-signer tells and takes over HTTP. */
export interface Endpoints {
  /** Text in pieces: with many collections there are megabytes of it. */
  readonly metrics: () => Iterable<string>;
  /** Why it is not ready; undefined where it is. */
  readonly unready: () => string | undefined;
  /** The page at a path; undefined where there is none, or pages are not served. */
  readonly page?: ((path: string) => Promise<PageAnswer | undefined>) | undefined;
  readonly guard: Guard;
  /** Undefined: notifications are refused. */
  readonly notifySecret: () => string | undefined;
  /** Called with repositories that have changed; it must not wait for anything. */
  readonly notified: (repositories: ReadonlySet<string>) => void;
  readonly done: (sample: RequestSample) => void;
  readonly problem: (message: string) => void;
}

const TEXT = 'text/plain; charset=utf-8';
const NOTIFY_MS = 10_000;
const ROUTES: ReadonlyMap<string, string> = new Map([
  ['/healthz', 'health'],
  ['/readyz', 'ready'],
  ['/metrics', 'metrics'],
  ['/notify', 'notify'],
]);

interface Answer {
  readonly status: number;
  readonly text: string | Iterable<string>;
  readonly type?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** Answers `/healthz`, `/readyz`, `/metrics`, `POST /notify`, and the pages of the report. */
export function endpointHandler(endpoints: Endpoints): RequestHandler {
  return async (request, response, expectsContinue) => {
    const started = performance.now();
    const path = requestTarget(request).path.split('?', 1)[0] ?? '';
    const route = ROUTES.get(path) ?? 'other';
    request.on('error', () => undefined);
    response.on('error', () => undefined);
    let answer: Answer;
    let received = 0;
    try {
      const refusal = refusalOf(endpoints, request, route);
      if (refusal !== undefined) answer = { status: refusal.status, text: `${refusal.message}\n` };
      else if (route === 'notify') {
        const body = await notification(endpoints, request, response, expectsContinue);
        received = body instanceof Uint8Array ? body.byteLength : 0;
        answer = body instanceof Uint8Array ? accept(endpoints, body) : body;
      } else answer = await read(endpoints, route, path, request.method ?? '');
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

/** A client with the secret of notifications is not a web page, and may use any name of this server. */
function refusalOf(
  { guard, notifySecret }: Endpoints,
  request: IncomingMessage,
  route: string,
): Refusal | undefined {
  const secret = route === 'notify' ? notifySecret() : undefined;
  const isTrusted = secret !== undefined && isAuthorized(request.headers.authorization, secret);
  return guard.crossOrigin(request) ?? (isTrusted ? undefined : guard.foreignHost(request));
}

async function read(endpoints: Endpoints, route: string, path: string, method: string): Promise<Answer> {
  const isRead = method === 'GET' || method === 'HEAD';
  if (route === 'other')
    return (
      (isRead ? await endpoints.page?.(path) : undefined) ?? {
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

/** The body of an authorized notification, or what to answer instead. */
async function notification(
  endpoints: Endpoints,
  request: IncomingMessage,
  response: ServerResponse,
  expectsContinue: boolean,
): Promise<Uint8Array | Answer> {
  const secret = endpoints.notifySecret();
  if (secret === undefined) return { status: 404, text: 'notifications are not configured\n' };
  if (request.method !== 'POST') return { status: 405, text: 'POST\n', headers: { Allow: 'POST' } };
  if (!isAuthorized(request.headers.authorization, secret))
    return {
      status: 401,
      text: 'the secret is missing or wrong\n',
      headers: { 'WWW-Authenticate': 'Bearer' },
    };
  if (Number(request.headers['content-length'] ?? 0) > MAX_NOTIFICATION_BYTES) return tooLarge();
  if (expectsContinue) response.writeContinue();
  const timer = setTimeout(() => request.destroy(), NOTIFY_MS);
  try {
    const pieces: Uint8Array[] = [];
    let size = 0;
    for await (const piece of request as AsyncIterable<Uint8Array>) {
      size += piece.byteLength;
      if (size > MAX_NOTIFICATION_BYTES) return tooLarge();
      pieces.push(piece);
    }
    return Buffer.concat(pieces);
  } catch (cause) {
    throw new BullaError('timeout', `the notification did not arrive: ${messageOf(cause)}`, {
      cause,
      hint: 'the sender will try again',
    });
  } finally {
    clearTimeout(timer);
  }
}

function accept(endpoints: Endpoints, body: Uint8Array): Answer {
  try {
    endpoints.notified(repositoriesIn(body));
    return { status: 202, text: 'taken\n' };
  } catch (error) {
    if (!isBullaError(error, 'content-invalid')) throw error;
    return { status: 400, text: `${error.message}\n` };
  }
}

function tooLarge(): Answer {
  return {
    status: 413,
    text: `more than ${MAX_NOTIFICATION_BYTES} bytes\n`,
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

import {
  createServer,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerOptions,
  type ServerResponse,
} from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { BullaError, messageOf } from '../errors.ts';

/** Bounds on connections. */
export interface ListenerLimits {
  /** Connections at a time. */
  readonly connections: number;
  /** Largest headers of a request in bytes. */
  readonly headerBytes: number;
  /** Headers must be complete after so long, in milliseconds. */
  readonly headersMs: number;
  /** A connection on which nothing moves is closed after so long, in milliseconds. */
  readonly idleMs: number;
  /** Requests still running when the server is to stop have so long to end, in milliseconds. */
  readonly graceMs: number;
}

/**
 * Answers one request, whatever happens; it never fails.
 * @param expectsContinue the client waits for `100 Continue` before it sends the body
 */
export type RequestHandler = (
  request: IncomingMessage,
  response: ServerResponse,
  expectsContinue: boolean,
) => Promise<void>;

/** Certificate chain and key in PEM. */
export interface TlsFiles {
  readonly cert: string | Uint8Array;
  readonly key: string | Uint8Array;
}

/** The socket that is listened on, and the requests that are running. */
export interface Listener {
  /** @throws BullaError usage where it cannot listen there */
  listen(host: string, port: number): Promise<AddressInfo>;
  /** Takes no new requests, lets those that run end, and cuts off what takes longer than allowed. */
  stop(): Promise<void>;
}

/** @throws BullaError config-invalid where certificate or key cannot be used */
export function createListener(
  handle: RequestHandler,
  tls: TlsFiles | undefined,
  limits: ListenerLimits,
): Listener {
  const running = new Set<Promise<void>>();
  const answer =
    (expectsContinue: boolean): RequestListener =>
    (request, response) => {
      const work = handle(request, response, expectsContinue).finally(() => running.delete(work));
      running.add(work);
    };
  const server = createHttpServer(tls, limits, answer(false));
  server.on('checkContinue', answer(true));
  return {
    listen: (host, port) => listen(server, host, port),
    stop: () => stop(server, running, limits.graceMs),
  };
}

function createHttpServer(
  tls: TlsFiles | undefined,
  limits: ListenerLimits,
  listener: RequestListener,
): Server {
  const settings: ServerOptions = {
    maxHeaderSize: limits.headerBytes,
    headersTimeout: limits.headersMs,
    // A push of many gigabytes takes as long as it takes; what counts is that it moves (limits.idleMs).
    requestTimeout: 0,
    connectionsCheckingInterval: Math.max(100, Math.min(5_000, limits.headersMs)),
    keepAliveTimeout: limits.idleMs,
    keepAlive: true,
    noDelay: true,
  };
  const server =
    tls === undefined ? createServer(settings, listener) : createSecureServer(settings, tls, listener);
  server.timeout = limits.idleMs;
  server.maxConnections = limits.connections;
  // Bounded by their bytes; a count would make node drop an If-Match in silence.
  server.maxHeadersCount = 0;
  return server;
}

function createSecureServer(settings: ServerOptions, tls: TlsFiles, listener: RequestListener): Server {
  try {
    const pem = { cert: toPem(tls.cert), key: toPem(tls.key) };
    return createTlsServer({ ...settings, ...pem, minVersion: 'TLSv1.2' }, listener);
  } catch (cause) {
    throw new BullaError(
      'config-invalid',
      `the certificate and its key cannot be used: ${messageOf(cause)}`,
      {
        cause,
        hint: 'give a certificate chain and the key of its first certificate, both in PEM, the key not encrypted',
      },
    );
  }
}

function toPem(value: string | Uint8Array): string | Buffer {
  return typeof value === 'string' ? value : Buffer.from(value);
}

function listen(server: Server, host: string, port: number): Promise<AddressInfo> {
  return new Promise((resolve, reject) => {
    const failed = (cause: Error): void =>
      reject(
        new BullaError('usage', `cannot listen on ${host} port ${port}: ${messageOf(cause)}`, {
          cause,
          hint: 'choose another address or port, or end what listens there',
        }),
      );
    server.once('error', failed);
    server.listen(port, host, () => {
      server.off('error', failed);
      resolve(server.address() as AddressInfo);
    });
  });
}

async function stop(server: Server, running: ReadonlySet<Promise<void>>, graceMs: number): Promise<void> {
  if (!server.listening) return;
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  server.closeIdleConnections();
  const timer = setTimeout(() => server.closeAllConnections(), graceMs);
  while (running.size > 0) await Promise.allSettled([...running]);
  // What is still open waits for a request that would not be answered, or for the rest of an answer.
  server.closeIdleConnections();
  const last = setTimeout(() => server.closeAllConnections(), Math.min(graceMs, 500));
  await closed;
  clearTimeout(timer);
  clearTimeout(last);
}

/** `127.0.0.1:5000`, as it stands in references. */
export function formatAddress({ address, port }: AddressInfo): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}

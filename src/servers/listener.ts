import {
  createServer,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerOptions,
  type ServerResponse,
} from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { type AddressInfo, isIP } from 'node:net';
import { type SecureContextOptions, Server as TlsServer } from 'node:tls';
import { readFileBounded } from '../disk/atomic.ts';
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

/** Paths of a certificate chain and its key. */
export interface TlsPaths {
  readonly cert: string;
  readonly key: string;
}

/** Largest certificate with its chain, or key, in bytes. */
const MAX_TLS_BYTES = 1024 * 1024;

/** Where a server listens. */
export interface ListenAddress {
  readonly host: string;
  readonly port: number;
}

/** The socket that is listened on, and the requests that are running. */
export interface Listener {
  /** @throws BullaError usage where it cannot listen there */
  listen(host: string, port: number): Promise<AddressInfo>;
  /** Uses another certificate for new connections. @throws BullaError config-invalid where it cannot be used */
  use(tls: TlsFiles): void;
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
    use(files) {
      if (server instanceof TlsServer) checked(() => server.setSecureContext(secureContext(files)));
    },
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
  return checked(() => createTlsServer({ ...settings, ...secureContext(tls) }, listener));
}

function secureContext({ cert, key }: TlsFiles): SecureContextOptions {
  return { cert: toPem(cert), key: toPem(key), minVersion: 'TLSv1.2' };
}

function checked<T>(use: () => T): T {
  try {
    return use();
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

/** Names by which an address to listen on is reached: itself, where it is a name. */
export function namesOf({ host }: Pick<ListenAddress, 'host'>): readonly string[] {
  return isIP(host) === 0 ? [host] : [];
}

/**
 * An address to listen on: `HOST`, `HOST:PORT`, `[IPv6]:PORT`. Without a host it is 127.0.0.1: to other programs
 * `:5000` is every address, and here that has to be said.
 * @param where the configuration that says so, for messages
 * @param defaultPort undefined: the text must have a port
 * @throws BullaError usage; config-invalid for a configuration
 */
export function parseListenAddress(text: string, where?: string, defaultPort?: number): ListenAddress {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]]*))(?::([0-9]{1,5}))?$/.exec(text);
  const port = match?.[3] === undefined ? defaultPort : Number(match[3]);
  if (match === null || port === undefined || port > 65_535) {
    const problem = `${JSON.stringify(text)} is not an address to listen on`;
    const forms = `${defaultPort === undefined ? '' : 'HOST, '}HOST:PORT or [IPv6]:PORT`;
    throw new BullaError(
      where === undefined ? 'usage' : 'config-invalid',
      where === undefined ? problem : `${where}: ${problem}`,
      { hint: `write ${forms}, such as 127.0.0.1:${defaultPort ?? 8089} or 0.0.0.0:${defaultPort ?? 8089}` },
    );
  }
  return { host: match[1] || match[2] || '127.0.0.1', port };
}

/**
 * Reads a certificate chain and its key.
 * @throws BullaError not-found, content-invalid, storage-error
 */
export async function readTlsFiles({ cert, key }: TlsPaths): Promise<TlsFiles> {
  const read = (path: string): Promise<Uint8Array> => readFileBounded(path, MAX_TLS_BYTES, { pipes: true });
  const [certBytes, keyBytes] = await Promise.all([read(cert), read(key)]);
  return { cert: certBytes, key: keyBytes };
}

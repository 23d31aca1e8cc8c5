import { createServer, type RequestListener, type Server, type ServerOptions } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { BullaError, messageOf } from '../../errors.ts';
import { handleRequest, type RequestRecord } from './handler.ts';
import { ManifestFiles } from './manifest-files.ts';
import { DEFAULT_LIMITS, type RegistryLimits } from './options.ts';
import { Store } from './store/store.ts';
import { Uploads } from './store/uploads.ts';

/** What a registry server is started with. */
export interface RegistryServerOptions {
  /** Directory that holds the repositories, each an OCI image layout; created where it is missing. */
  readonly dir: string;
  /** Address to listen on; 127.0.0.1 if left out. */
  readonly address?: string;
  /** Port to listen on; any free one if left out. */
  readonly port?: number;
  /** Certificate chain and key in PEM. */
  readonly tls?: { readonly cert: string | Uint8Array; readonly key: string | Uint8Array };
  /** Accept manifests that refer to content that is not there. */
  readonly sparse?: boolean;
  readonly limits?: Partial<RegistryLimits>;
}

/** A registry server that is running. */
export interface RegistryServer {
  /** `http://127.0.0.1:5000` */
  readonly url: string;
  /** `127.0.0.1:5000`, as it stands in references. */
  readonly address: string;
  /** Stops gracefully: requests that are running may end, then everything is on the disk. */
  close(): Promise<void>;
}

/**
 * Starts an OCI registry (distribution-spec 1.1) on a directory.
 * @throws BullaError storage-error where the directory cannot be used, also because another server
 * uses it; usage where it cannot listen
 */
export async function serveRegistry(options: RegistryServerOptions): Promise<RegistryServer> {
  const limits: RegistryLimits = { ...DEFAULT_LIMITS, ...options.limits };
  const store = await Store.open(options.dir);
  const uploads = new Uploads({
    pathOf: (id) => store.uploadPath(id),
    expiryMs: limits.uploadExpiryMs,
    maxUploads: limits.uploads,
  });
  const services = {
    store,
    uploads,
    manifests: new ManifestFiles(),
    limits,
    events: { emit: () => undefined },
    sparse: options.sparse ?? false,
  };
  const running = new Set<Promise<void>>();
  const handler = { services, access: undefined, metrics: () => '', done: (_: RequestRecord) => undefined };
  const listener =
    (expectsContinue: boolean): RequestListener =>
    (request, response) => {
      const work = handleRequest(handler, request, response, expectsContinue).finally(() =>
        running.delete(work),
      );
      running.add(work);
    };
  const server = createHttpServer(options, limits, listener(false));
  server.on('checkContinue', listener(true));
  try {
    await listen(server, options.address ?? '127.0.0.1', options.port ?? 0);
  } catch (error) {
    await uploads.close();
    await store.close();
    throw error;
  }
  const address = formatAddress(server.address() as AddressInfo);
  let closing: Promise<void> | undefined;
  return {
    url: `${options.tls === undefined ? 'http' : 'https'}://${address}`,
    address,
    close(): Promise<void> {
      closing ??= stop(server, running, limits.graceMs).then(async () => {
        await uploads.close();
        await store.close();
      });
      return closing;
    },
  };
}

function createHttpServer(
  options: RegistryServerOptions,
  limits: RegistryLimits,
  listener: RequestListener,
): Server {
  const settings: ServerOptions = {
    maxHeaderSize: limits.headerBytes,
    headersTimeout: limits.headersMs,
    // A push of many gigabytes takes as long as it takes; what counts is that it moves (limits.idleMs).
    requestTimeout: 0,
    connectionsCheckingInterval: Math.min(5_000, limits.headersMs),
    keepAliveTimeout: limits.idleMs,
    keepAlive: true,
    noDelay: true,
  };
  const server =
    options.tls === undefined
      ? createServer(settings, listener)
      : createTlsServer({ ...settings, ...pem(options.tls), minVersion: 'TLSv1.2' }, listener);
  server.timeout = limits.idleMs;
  server.maxConnections = limits.connections;
  server.maxHeadersCount = 100;
  return server;
}

function pem(tls: NonNullable<RegistryServerOptions['tls']>): {
  cert: string | Buffer;
  key: string | Buffer;
} {
  return { cert: toPem(tls.cert), key: toPem(tls.key) };
}

function toPem(value: string | Uint8Array): string | Buffer {
  return typeof value === 'string' ? value : Buffer.from(value);
}

async function listen(server: Server, host: string, port: number): Promise<void> {
  await new Promise<void>((resolve, reject) => {
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
      resolve();
    });
  });
}

function formatAddress({ address, port }: AddressInfo): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}

/** Takes no new requests, lets those that run end, and cuts off what takes longer than `graceMs`. */
async function stop(server: Server, running: ReadonlySet<Promise<void>>, graceMs: number): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  server.closeIdleConnections();
  const timer = setTimeout(() => server.closeAllConnections(), graceMs);
  while (running.size > 0) await Promise.allSettled([...running]);
  server.closeIdleConnections();
  // Answers are out; a connection that is still open waits for a request that would not be answered.
  const last = setTimeout(() => server.closeAllConnections(), 200);
  await closed;
  clearTimeout(timer);
  clearTimeout(last);
}

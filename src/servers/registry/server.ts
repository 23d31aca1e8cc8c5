import { Guard } from '../guard.ts';
import { createListener, formatAddress, type Listener, namesOf } from '../listener.ts';
import { type LogSink, problemEntry } from '../log.ts';
import { counter, gauge, Metrics } from '../metrics.ts';
import { type Insider, openAccess, withInsider } from './access.ts';
import { requestEntry } from './access-log.ts';
import { type Control, openControl } from './control.ts';
import type { RegistryEvent } from './events.ts';
import { type AccessControl, type HandlerOptions, handleRequest, type RequestRecord } from './handler.ts';
import { ManifestFiles } from './manifest-files.ts';
import { type NotificationEndpoint, Notifications } from './notifications.ts';
import { DEFAULT_LIMITS, type RegistryLimits } from './options.ts';
import type { Services } from './services.ts';
import { ManifestSpool } from './spool.ts';
import { type CollectOptions, type CollectReport, collect } from './store/collect.ts';
import { Store } from './store/store.ts';
import { Uploads } from './store/uploads.ts';

/** What a registry server is started with. */
export interface RegistryServerOptions {
  /** Directory that holds the repositories, each an OCI image layout; created where it is missing. */
  readonly dir: string;
  /** Address to listen on; 127.0.0.1 if left out. */
  readonly address?: string | undefined;
  /** Port to listen on; any free one if left out. */
  readonly port?: number | undefined;
  /** Certificate chain and key in PEM. */
  readonly tls?: { readonly cert: string | Uint8Array; readonly key: string | Uint8Array } | undefined;
  /**
   * Names by which clients reach it, beside loopback names, IP addresses, `address` and the names in the
   * certificate. Requests without a login to any other name are refused: a web page may have sent them.
   */
  readonly hosts?: readonly string[] | undefined;
  /** Path of a file of names and bcrypt hashes; without it, everyone may do everything. */
  readonly htpasswd?: string | undefined;
  /** With `htpasswd`: everyone may read. */
  readonly anonymousRead?: boolean | undefined;
  /** Receivers of notifications about pushes, pulls and deletions. */
  readonly notifications?: readonly NotificationEndpoint[] | undefined;
  /** Called for every event within this process; it must not wait for anything. */
  readonly onEvent?: ((event: RegistryEvent) => void) | undefined;
  /** With `htpasswd`: a client within this process that may do everything. */
  readonly insider?: Insider | undefined;
  /** Takes the log: a line for each request, and problems. */
  readonly log?: LogSink | undefined;
  /** Accept manifests that refer to content that is not there. */
  readonly sparse?: boolean | undefined;
  readonly limits?: Partial<RegistryLimits> | undefined;
}

/** A registry server that is running. */
export interface RegistryServer {
  /** `http://127.0.0.1:5000` */
  readonly url: string;
  /** `127.0.0.1:5000`, as it stands in references. */
  readonly address: string;
  /** Removes what nothing refers to, while serving. */
  gc(options?: CollectOptions): Promise<CollectReport>;
  /** Stops gracefully: requests that are running may end, then everything is on the disk. */
  close(): Promise<void>;
}

/**
 * Starts an OCI registry (distribution-spec 1.1) on a directory.
 * @throws BullaError storage-error where the directory cannot be used, also because another server
 * uses it; usage where it cannot listen, and for a URL that cannot be notified; config-invalid, not-found for the password file
 */
export async function serveRegistry(options: RegistryServerOptions): Promise<RegistryServer> {
  const limits: RegistryLimits = { ...DEFAULT_LIMITS, ...options.limits };
  const report = (problem: string): void => options.log?.(problemEntry(problem, new Date()));
  const { address: host = '127.0.0.1', hosts = [] } = options;
  const guard = new Guard([...hosts, ...namesOf({ host })], options.tls);
  const scheme = options.tls === undefined ? 'http' : 'https';
  let address = '';
  const events = new Notifications(options.notifications ?? [], scheme, () => address, report);
  const access = await accessOf(options, report);
  const store = await Store.open(options.dir, { report });
  const uploads = new Uploads({
    pathOf: (id) => store.uploadPath(id),
    expiryMs: limits.uploadExpiryMs,
    maxUploads: limits.uploads,
  });
  const services: Services = {
    store,
    uploads,
    manifests: new ManifestFiles(),
    spool: new ManifestSpool((id) => store.uploadPath(id)),
    limits,
    events: {
      emit(event, exchange) {
        events.emit(event, exchange);
        options.onEvent?.(event);
      },
    },
    sparse: options.sparse ?? false,
  };
  const metrics = metricsOf(services, events);
  const handler: HandlerOptions = {
    services,
    access,
    guard,
    metrics: () => metrics.text(),
    done(record: RequestRecord): void {
      metrics.count(record);
      options.log?.(requestEntry(record, new Date()));
    },
  };
  const stopping = new AbortController();
  const collecting = serialised((how: CollectOptions) => collect(store, how, stopping.signal));
  let listener: Listener | undefined;
  let control: Control | undefined;
  const close = once(async () => {
    await listener?.stop();
    stopping.abort();
    await control?.close();
    await collecting.idle();
    await events.close(limits.graceMs);
    await uploads.close();
    await store.close();
  });
  try {
    listener = createListener(
      (request, response, expectsContinue) => handleRequest(handler, request, response, expectsContinue),
      options.tls,
      limits,
    );
    address = formatAddress(await listener.listen(host, options.port ?? 0));
    control = await openControl(store.privateDirectory, collecting.run, report);
  } catch (error) {
    await close();
    throw error;
  }
  return { url: `${scheme}://${address}`, address, gc: (how = {}) => collecting.run(how), close };
}

async function accessOf(
  { htpasswd, anonymousRead, insider }: RegistryServerOptions,
  report: (problem: string) => void,
): Promise<AccessControl | undefined> {
  if (htpasswd === undefined) return undefined;
  const access = await openAccess({ htpasswd, anonymousRead: anonymousRead ?? false, report });
  return insider === undefined ? access : withInsider(access, insider);
}

function metricsOf({ store, uploads }: Services, events: Notifications): Metrics {
  return new Metrics('bulla_registry', [
    gauge('repositories', 'Repositories.', () => store.catalog.size),
    gauge('uploads', 'Uploads in progress.', () => uploads.count),
    gauge(
      'journal_bytes',
      'Bytes of changes that are in the journal and may not be in index.json files yet.',
      () => store.journalBytes,
    ),
    gauge('notifications_waiting', 'Events not delivered yet.', () => events.waiting),
    counter('notifications_dropped_total', 'Events given up because too many waited.', () => events.dropped),
    counter('notification_failures_total', 'Deliveries that failed.', () => events.failures),
    gauge('process_resident_memory_bytes', 'Memory of the process.', () => process.memoryUsage.rss()),
  ]);
}

/** One after the other. */
function serialised<A, R>(
  work: (argument: A) => Promise<R>,
): { run(argument: A): Promise<R>; idle(): Promise<unknown> } {
  let last: Promise<unknown> = Promise.resolve();
  return {
    run(argument): Promise<R> {
      const result = last.then(() => work(argument));
      last = result.catch(() => undefined);
      return result;
    },
    idle: () => last,
  };
}

function once(work: () => Promise<void>): () => Promise<void> {
  let running: Promise<void> | undefined;
  return () => {
    running ??= work();
    return running;
  };
}

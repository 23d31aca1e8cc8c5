import { stat } from 'node:fs/promises';
import { messageOf } from '../errors.ts';
import type { Clock } from '../trust/format/ports.ts';
import { type Endpoints, endpointHandler } from './endpoints.ts';
import { Guard } from './guard.ts';
import {
  createListener,
  formatAddress,
  type ListenAddress,
  type Listener,
  type ListenerLimits,
  namesOf,
  readTlsFiles,
  type TlsPaths,
} from './listener.ts';
import { type LogFields, type LogSink, problemEntry } from './log.ts';
import type { Metrics } from './metrics.ts';

/** A service that is running. */
export interface RunningService {
  /** `127.0.0.1:8089` */
  readonly address: string;
  readonly url: string;
  /** Reads its files again. What cannot be used is reported, and what was read before stays in use. */
  reload(): Promise<void>;
  /** Ends it gracefully. */
  close(): Promise<void>;
}

/** What every service is started with. */
export interface ServiceOptions {
  readonly clock: Clock;
  readonly log: LogSink;
  /**
   * Reads the service's own files again, reports what cannot be used, and does not fail.
   * @returns the files to watch from now on; undefined where they are the same as before
   */
  readonly readAgain: () => Promise<readonly string[] | undefined>;
}

/** What a service tells about itself, and where. */
export interface Doors extends Pick<Endpoints, 'page' | 'posts'> {
  readonly listen: ListenAddress;
  /** Names by which clients reach it, besides localhost, IP addresses, the host of {@link listen} and those in its certificate. */
  readonly hosts: readonly string[];
  /** Read again with the other files. Left out: plain HTTP. */
  readonly tls?: TlsPaths | undefined;
  readonly metrics: Metrics;
  /** Files that are read again when they change, besides those of {@link tls}. */
  readonly files: readonly string[];
}

const LIMITS: ListenerLimits = {
  connections: 512,
  headerBytes: 16 * 1024,
  headersMs: 10_000,
  idleMs: 30_000,
  graceMs: 5_000,
};
/** How often files are looked at for changes, in milliseconds. */
const WATCH_MS = 2_000;

/** Starts a service, or ends what was begun of it. */
export async function started<S extends { open(): Promise<void>; close(): Promise<void> }>(
  service: S,
): Promise<S> {
  try {
    await service.open();
  } catch (error) {
    await service.close();
    throw error;
  }
  return service;
}

/**
 * What services that stay have in common: a listener with `/healthz`, `/readyz` and `/metrics`, files that are read
 * again on request and when they change, and a graceful end.
 */
export class ServiceFrame {
  address = '';
  private readonly options: ServiceOptions;
  private readonly stopping = new AbortController();
  private readonly watched = new WatchedFiles();
  private tls: TlsPaths | undefined;
  private guard: Guard = new Guard([]);
  private listener: Listener | undefined;
  private names: readonly string[] = [];
  private watching: Promise<void> | undefined;
  private reloading: Promise<void> = Promise.resolve();
  private isReady = false;

  constructor(options: ServiceOptions) {
    this.options = options;
  }

  get url(): string {
    return `${this.tls === undefined ? 'http' : 'https'}://${this.address}`;
  }

  /** Aborted when the service is to end. */
  get signal(): AbortSignal {
    return this.stopping.signal;
  }

  /**
   * Listens, and watches the files. `/readyz` says no until {@link ready}.
   * @throws BullaError usage where it cannot listen, or for an invalid host name; config-invalid, not-found,
   * content-invalid, storage-error for the certificate
   */
  async open({ listen, hosts, tls, metrics, page, posts, files }: Doors): Promise<void> {
    const pem = tls === undefined ? undefined : await readTlsFiles(tls);
    this.tls = tls;
    this.names = [...hosts, ...namesOf(listen)];
    this.guard = new Guard(this.names, pem);
    await this.watched.take(this.withTls(files));
    const current = (): Guard => this.guard;
    const handler = endpointHandler({
      metrics: () => metrics.pieces(),
      page,
      posts,
      unready: () => (this.isReady ? undefined : 'starting or ending'),
      get guard() {
        return current();
      },
      done: (sample) => metrics.count(sample),
      problem: (message) => this.problem(message),
    });
    this.listener = createListener(handler, pem, LIMITS);
    this.address = formatAddress(await this.listener.listen(listen.host, listen.port));
    this.watching = this.watch();
  }

  ready(): void {
    this.isReady = true;
  }

  reload(): Promise<void> {
    return this.inTurn(async () => {
      // What changes while it is read is read once more.
      await this.watched.changed();
      await this.readAgain();
    });
  }

  /** Lets requests end that are running, and waits for a reload. */
  async stop(): Promise<void> {
    this.isReady = false;
    this.stopping.abort();
    await this.listener?.stop();
    await this.watching;
    await this.reloading;
  }

  problem(message: string): void {
    this.options.log(problemEntry(message, this.options.clock.now()));
  }

  log(level: string, event: string, more: LogFields): void {
    this.options.log({ time: this.options.clock.now().toISOString(), level, event, ...more });
  }

  private async readAgain(): Promise<void> {
    await this.takeCertificate();
    const files = await this.options.readAgain();
    if (files !== undefined) await this.watched.take(this.withTls(files));
  }

  private async takeCertificate(): Promise<void> {
    if (this.tls === undefined) return;
    try {
      const pem = await readTlsFiles(this.tls);
      this.listener?.use(pem);
      this.guard = new Guard(this.names, pem);
    } catch (error) {
      this.problem(`the certificate in use stays: ${messageOf(error)}`);
    }
  }

  private withTls(files: readonly string[]): readonly string[] {
    return this.tls === undefined ? files : [...files, this.tls.cert, this.tls.key];
  }

  private async watch(): Promise<void> {
    const { clock } = this.options;
    while (!this.signal.aborted) {
      await clock.sleep(WATCH_MS, this.signal).catch(() => undefined);
      if (this.signal.aborted) return;
      await this.inTurn(async () => {
        if (await this.watched.changed()) await this.readAgain();
      });
    }
  }

  private inTurn(work: () => Promise<void>): Promise<void> {
    this.reloading = this.reloading.then(work);
    return this.reloading;
  }
}

/** Notices that files were replaced or written, by looking at them: it works on every file system. */
class WatchedFiles {
  private stamps = new Map<string, string>();

  /** Watches these files: those that it did not know from how they are now on. */
  async take(paths: readonly string[]): Promise<void> {
    this.stamps = new Map(
      await Promise.all(
        paths.map(
          async (path): Promise<[string, string]> => [path, this.stamps.get(path) ?? (await stampOf(path))],
        ),
      ),
    );
  }

  /** Whether one of them is another than when this was asked last. */
  async changed(): Promise<boolean> {
    const before = this.stamps;
    this.stamps = new Map();
    await Promise.all([...before.keys()].map(async (path) => this.stamps.set(path, await stampOf(path))));
    return [...before].some(([path, stamp]) => this.stamps.get(path) !== stamp);
  }
}

/** Links are followed: Kubernetes replaces a mounted Secret by turning a link around. */
async function stampOf(path: string): Promise<string> {
  try {
    const { ino, size, mtimeNs, ctimeNs } = await stat(path, { bigint: true });
    return `${ino} ${size} ${mtimeNs} ${ctimeNs}`;
  } catch {
    return 'none';
  }
}

import { SEARCH_TIMEOUT_MS } from '../http/deadline.ts';
import { HttpPool, type HttpPoolOptions } from '../http/pool.ts';
import { DEFAULT_RETRY, REAL_TIMING, type RetryPolicy, type Timing } from '../http/retry.ts';
import type { RegistryReference } from '../oci/reference.ts';
import type { CallOptions, Target } from '../oci/target.ts';
import { listRepositories } from './catalog.ts';
import { ANONYMOUS, type CredentialsProvider } from './credentials.ts';
import { DialectMemory, type DialectStore } from './dialect.ts';
import { endpointOf, isOnThisMachine } from './endpoint.ts';
import { FallbackWriter } from './fallback.ts';
import { KeyedMutex } from './keyed-mutex.ts';
import type { Writers } from './push.ts';
import { RecentWrites } from './recent-writes.ts';
import { Repository } from './repository.ts';
import { type RepositoryContext, Scopes } from './repository-context.ts';
import { SchemeFinder } from './scheme.ts';
import { RegistrySession } from './session.ts';
import { Warnings } from './warnings.ts';

export interface RegistryClientOptions {
  /** Connections to share with other clients; the client makes, and closes, its own if left out. */
  readonly pool?: HttpPool | undefined;
  /** Settings of its own connections. */
  readonly http?: HttpPoolOptions | undefined;
  readonly credentials?: CredentialsProvider | undefined;
  /** Plain HTTP for every registry, or for none; left out, for those on this machine that speak no TLS. */
  readonly plainHttp?: boolean | undefined;
  /**
   * Whether plain http may be spoken to a token server that is neither the registry nor on this machine; asked for
   * registries of plain http only. Left out, what `plainHttp` says.
   */
  readonly isPlain?: ((url: URL) => boolean) | undefined;
  readonly dialects?: DialectStore | undefined;
  /** Where registries' warnings go, each once. */
  readonly warn?: ((message: string) => void) | undefined;
  readonly retry?: Partial<RetryPolicy> | undefined;
  readonly timing?: Timing | undefined;
  /** Let registries send us to private addresses (realms, redirects, upload locations). */
  readonly allowPrivate?: boolean | undefined;
  /** Upload blobs in chunks of this size, in bytes, rather than whole. */
  readonly chunkBytes?: number | undefined;
  /**
   * Least time that a list of referrers is watched after it was changed, in milliseconds; 400 if left
   * out. It should be longer than other writers need from reading the list to writing it.
   */
  readonly settleMs?: number | undefined;
  /** How long one listing may take in all, in milliseconds; SEARCH_TIMEOUT_MS of http/deadline.ts if left out. */
  readonly searchTimeoutMs?: number | undefined;
}

const DEFAULT_SETTLE_MS = 400;

export interface RepositoryOptions {
  /** `write` asks for the right to push from the first token on; `read`, when something is pushed. */
  readonly access?: 'read' | 'write' | undefined;
}

interface Registry {
  readonly session: RegistrySession;
  readonly dialect: DialectMemory;
  readonly recent: RecentWrites;
  readonly writers: Writers;
}

/** Gives repositories of any registry; logins, dialects and connections are shared between them. */
export class RegistryClient {
  readonly pool: HttpPool;
  private readonly options: RegistryClientOptions;
  private readonly registries = new Map<string, Registry>();
  private readonly warnings: Warnings;

  constructor(options: RegistryClientOptions = {}) {
    this.options = options;
    this.pool = options.pool ?? new HttpPool(options.http);
    this.warnings = new Warnings(options.warn ?? (() => undefined));
  }

  /** A repository; nothing is sent before something is asked of it. Its `close` ends nothing shared. */
  repository(
    reference: Pick<RegistryReference, 'registry' | 'repository'>,
    options: RepositoryOptions = {},
  ): Target {
    return this.open(reference, options, async () => undefined);
  }

  /**
   * Names of the repositories of a registry, where it tells them.
   * @throws BullaError not-found, unauthorized, forbidden, registry-error
   */
  listRepositories(registry: string, options?: CallOptions): AsyncIterable<string> {
    return listRepositories(this.registry(registry).session, this.searchMs, options);
  }

  private get searchMs(): number {
    return this.options.searchTimeoutMs ?? SEARCH_TIMEOUT_MS;
  }

  /** What is asked of a registry itself. */
  session(registry: string): RegistrySession {
    return this.registry(registry).session;
  }

  /** Ends the connections, if they are the client's own. */
  async close(): Promise<void> {
    if (this.options.pool === undefined) await this.pool.close();
  }

  /** For {@link openRepository}: a repository that ends with `onClose`. */
  open(
    { registry, repository }: Pick<RegistryReference, 'registry' | 'repository'>,
    options: RepositoryOptions,
    onClose: () => Promise<void>,
  ): Target {
    const { room, writers } = this.parts({ registry, repository }, options);
    return new Repository(room, writers, onClose);
  }

  /** What a repository is made of, for those who look closer than its ports allow ({@link registryProbes}). */
  parts(
    { registry, repository }: Pick<RegistryReference, 'registry' | 'repository'>,
    options: RepositoryOptions = {},
  ): { readonly room: RepositoryContext; readonly writers: Writers } {
    const { session, dialect, recent, writers } = this.registry(registry);
    const room = {
      session,
      dialect,
      recent,
      repository,
      name: `${registry}/${repository}`,
      scopes: new Scopes(repository, options.access === 'write'),
      chunkBytes: this.options.chunkBytes,
      settleMs: this.options.settleMs ?? DEFAULT_SETTLE_MS,
      searchMs: this.searchMs,
    };
    return { room, writers };
  }

  private registry(name: string): Registry {
    let registry = this.registries.get(name);
    if (registry === undefined) {
      registry = this.connect(name);
      this.registries.set(name, registry);
    }
    return registry;
  }

  private connect(name: string): Registry {
    const { options } = this;
    const dialect = new DialectMemory(name, options.dialects);
    const isOpen = options.plainHttp === undefined && isOnThisMachine(name);
    const session = new RegistrySession({
      registry: name,
      base: endpointOf(name, options.plainHttp),
      scheme: isOpen ? new SchemeFinder(name, dialect) : undefined,
      pool: this.pool,
      credentials: options.credentials ?? ANONYMOUS,
      timing: options.timing ?? REAL_TIMING,
      retry: { ...DEFAULT_RETRY, ...options.retry },
      allowPrivate: options.allowPrivate ?? false,
      isPlain: options.isPlain ?? (() => options.plainHttp === true),
      warnings: this.warnings,
    });
    return {
      session,
      dialect,
      recent: new RecentWrites(),
      writers: { fallback: new FallbackWriter(), turns: new KeyedMutex() },
    };
  }
}

/** One repository with a client of its own, which ends with it. */
export function openRepository(
  reference: Pick<RegistryReference, 'registry' | 'repository'>,
  options: RegistryClientOptions & RepositoryOptions = {},
): Target {
  const client = new RegistryClient(options);
  return client.open(reference, options, () => client.close());
}

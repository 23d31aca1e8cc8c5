import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import type { OpenedNotary } from '../actions/verify/by-policy.ts';
import type { CollectionPorts } from '../actions/verify/collection.ts';
import { parseJsonObject } from '../encoding/json.ts';
import { HttpPool, type HttpPoolOptions } from '../http/pool.ts';
import { proxyFromEnvironment } from '../http/proxy.ts';
import { REAL_TIMING } from '../http/retry.ts';
import { placeOf } from '../oci/place.ts';
import { formatRepository } from '../oci/reference.ts';
import type { CallOptions, Target } from '../oci/target.ts';
import { RegistryClient, type RegistryClientOptions } from '../registry/client.ts';
import { storedCredentials } from '../registry/stored-credentials.ts';
import { BlobDirectory } from '../state/blob-directory.ts';
import { type Directories, directories } from '../state/directories.ts';
import { PinFile } from '../state/pins.ts';
import { canonicalPlace } from '../state/place.ts';
import { TrustDirectory } from '../state/trust-directory.ts';
import type { BlobCache, TrustMemory } from '../trust/read/memory.ts';
import type { Pin } from '../trust/read/pin.ts';
import { Places } from './places.ts';

/**
 * What a function of this library works with. Everything may be left out: then it works as the command does for
 * the user who runs the process, with the same pins, memory, cache, keys and registry credentials. `config.yaml` is
 * not read: how registries are reached is said here. A service that verifies for others passes its own stores, and
 * one `client` for all calls.
 */
export interface Config extends CallOptions {
  /** The time it is; read from the clock at each call if left out. */
  readonly now?: Date | undefined;
  /** Name and version of the program, for registries and for signatures that it makes; `bulla/VERSION` if left out. */
  readonly agent?: string | undefined;
  /** Where configuration, cache and state are kept; those of the user if left out (`BULLA_HOME`, XDG). */
  readonly directories?: Partial<Directories> | undefined;
  /** A client to share between calls; it is not closed. Each call makes one of its own if left out. */
  readonly client?: RegistryClient | undefined;
  /** How registries are reached, if no client is given; credentials are those of docker and podman if left out. */
  readonly registry?: RegistryClientOptions | undefined;
  /** Pins; those that `bulla pin` keeps if left out. */
  readonly pins?: Iterable<Pin> | undefined;
  /** What is remembered of collections: without a lasting memory there is no protection against rollback. */
  readonly memory?: TrustMemory | undefined;
  /** Files of collections by digest. */
  readonly cache?: BlobCache | undefined;
  /** Told what a user should know although the call goes on. */
  readonly onWarning?: ((message: string) => void) | undefined;
}

/** One call of the library: its configuration with defaults, and the places that it opens. */
export class Call {
  readonly now: Date;
  readonly agent: string;
  readonly directories: Directories;
  readonly signal: AbortSignal | undefined;
  readonly places: Places;
  private readonly config: Config;
  private own: RegistryClient | undefined;
  private ownPool: HttpPool | undefined;

  constructor(config: Config) {
    this.config = config;
    this.now = config.now ?? new Date();
    this.agent = config.agent ?? `bulla/${version()}`;
    this.directories = { ...directories({ env: process.env, home: homedir() }), ...config.directories };
    this.signal = config.signal;
    this.places = new Places({
      signal: this.signal,
      client: async () => this.client(),
      path: (path) => resolve(path),
      untimed: (work) => work(),
    });
  }

  /** What collections are found and read with. */
  get collections(): CollectionPorts<Target> {
    const { config, now, signal } = this;
    const { state, cache } = this.directories;
    return {
      ...{ now, signal, onWarning: config.onWarning },
      memory: config.memory ?? new TrustDirectory(join(state, 'trust')),
      cache: config.cache ?? new BlobDirectory(join(cache, 'trust')),
      pins: async () =>
        config.pins ?? (await new PinFile(join(this.directories.config, 'pins.json')).list()).values(),
      placeOf: (reference) =>
        reference.kind === 'registry'
          ? placeOf(reference)
          : canonicalPlace(formatRepository({ ...reference, path: resolve(reference.path) })),
      openSource: (reference) => this.places.openTarget(reference),
      isUnattended: false,
      pause: (ms) => REAL_TIMING.sleep(ms, signal),
    };
  }

  /** Ends what was opened. */
  async close(ended: 'well' | 'badly'): Promise<void> {
    try {
      await this.places.close(ended);
    } finally {
      await this.own?.close();
      await this.ownPool?.close();
    }
  }

  /** The client that the caller gave, or one that ends with the call. */
  client(): RegistryClient {
    const { client, registry = {}, onWarning } = this.config;
    if (client !== undefined) return client;
    this.own ??= new RegistryClient({
      credentials: storedCredentials(),
      warn: onWarning,
      ...registry,
      http: this.http,
    });
    return this.own;
  }

  /** Trust data at a Notary server, and what the user's memory has of it. @throws BullaError usage */
  async notary(server: URL, gun: string): Promise<OpenedNotary> {
    const [{ NotaryServer }, { NotaryMemoryFile }] = await Promise.all([
      import('../notary-client/server.ts'),
      import('../state/notary-memory.ts'),
    ]);
    const { credentials = storedCredentials(), allowPrivate, retry } = this.config.registry ?? {};
    const options = { pool: this.pool(), credentials, allowPrivate, retry, signal: this.signal };
    const source = new NotaryServer({ ...options, server, warn: this.config.onWarning }).repository(gun);
    return { source, memory: new NotaryMemoryFile(join(this.directories.state, 'notary'), source.place) };
  }

  /** Connections to services other than registries, which end with the call. */
  pool(): HttpPool {
    this.ownPool ??= new HttpPool(this.http);
    return this.ownPool;
  }

  /** Tells the caller of the library. */
  warn(message: string): void {
    this.config.onWarning?.(message);
  }

  private get http(): HttpPoolOptions {
    const { http } = this.config.registry ?? {};
    return { proxy: proxyFromEnvironment(process.env), userAgent: this.agent, ...http };
  }
}

/** Runs one call of the library, and ends what it has opened. */
export async function call<T>(config: Config, work: (call: Call) => Promise<T>): Promise<T> {
  const one = new Call(config);
  try {
    const result = await work(one);
    await one.close('well');
    return result;
  } catch (error) {
    // The failure that matters is the first.
    await one.close('badly').catch(() => undefined);
    throw error;
  }
}

let known: string | undefined;

/** Version of this package: the build writes it beside the compiled library. */
export function version(): string {
  known ??= readVersion();
  return known;
}

function readVersion(): string {
  const path = new URL('../package.json', import.meta.url);
  try {
    const { version } = parseJsonObject(readFileSync(path), { what: path.pathname });
    return typeof version === 'string' ? version : '0.0.0';
  } catch {
    return '0.0.0-source';
  }
}

import { isBullaError } from '../errors.ts';
import { isTransient } from '../http/failure.ts';
import type { HttpPool } from '../http/pool.ts';
import { redactUrl } from '../http/redact.ts';
import { DEFAULT_RETRY, REAL_TIMING, type RetryPolicy, type Timing } from '../http/retry.ts';
import type { NotaryFileName, NotarySource } from '../notary/source.ts';
import { ANONYMOUS, type CredentialsProvider } from '../registry/credentials.ts';
import { RegistrySession } from '../registry/session.ts';
import { Warnings } from '../registry/warnings.ts';
import { checkGun } from './gun.ts';

export interface NotaryServerOptions {
  readonly pool: HttpPool;
  /** Base URL; a path of its own is kept. */
  readonly server: URL;
  /** Looked up by the server's host first, then by the registry of the repository, as docker does it. */
  readonly credentials?: CredentialsProvider | undefined;
  readonly retry?: Partial<RetryPolicy> | undefined;
  readonly timing?: Timing | undefined;
  readonly allowPrivate?: boolean | undefined;
  /** Whether plain http may be spoken to a token server elsewhere; left out, it may not. */
  readonly isPlain?: ((url: URL) => boolean) | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly warn?: ((message: string) => void) | undefined;
}

/** What a server answered with a file. */
export interface ServedFile {
  readonly bytes: Uint8Array;
  /** Headers that say when it was made. */
  readonly headers: Readonly<Record<string, string>>;
}

/** Tries of a body that breaks off. */
const BODY_TRIES = 3;
const KEPT_HEADERS = ['date', 'last-modified', 'etag', 'cache-control'] as const;

/**
 * A Notary v1 server. Nothing is sent before something is asked of it, nor is a health endpoint asked:
 * Azure's has none. Connections, tokens and retries are shared by all of its repositories.
 */
export class NotaryServer {
  readonly url: URL;
  private readonly options: NotaryServerOptions;
  private readonly courtesy: Courtesy;
  private readonly sessions = new Map<string, RegistrySession>();

  constructor(options: NotaryServerOptions) {
    this.options = options;
    this.courtesy = new Courtesy(options.timing ?? REAL_TIMING);
    this.url = new URL(options.server);
    this.url.pathname = this.url.pathname.replace(/\/*$/, '/');
  }

  /**
   * The metadata of a repository.
   * @param signal ends what is asked for this source, where a server is shared
   * @throws BullaError usage
   */
  repository(gun: string, signal?: AbortSignal): ServerSource {
    return new ServerSource(this, checkGun(gun), signal);
  }

  /**
   * A file below `/v2/GUN/_trust/tuf/`.
   * @returns undefined for 404, whatever the server says with it
   * @throws BullaError unauthorized, forbidden, registry-…, timeout, content-invalid (too large)
   */
  async get(
    gun: string,
    path: string,
    maxBytes: number,
    signal: AbortSignal | undefined = this.options.signal,
  ): Promise<ServedFile | undefined> {
    const session = this.session(gun);
    const to = new URL(`v2/${gun}/_trust/tuf/${path}`, this.url);
    const access = { repository: gun, scopes: [`repository:${gun}:pull`] };
    for (let attempt = 1; ; attempt++) {
      await this.courtesy.turn(signal);
      const response = await session.call({ method: 'GET', to, access, expect: [200, 404], signal });
      if (response.status === 404) {
        await response.body.discard();
        return undefined;
      }
      try {
        const bytes = await response.body.read(maxBytes, redactUrl(to));
        const kept = KEPT_HEADERS.flatMap((name) => {
          const value = response.headers.get(name);
          return value === undefined ? [] : [[name, value.slice(0, 200)] as const];
        });
        return { bytes, headers: Object.fromEntries(kept) };
      } catch (error) {
        if (attempt >= BODY_TRIES || !isTransient(error)) throw error;
        session.noteRetry('the body broke off', 0);
      }
    }
  }

  /** One for each registry, because each has its own credentials. */
  private session(gun: string): RegistrySession {
    const registry = gun.split('/')[0] ?? gun;
    let session = this.sessions.get(registry);
    if (session === undefined) {
      session = this.connect(registry);
      this.sessions.set(registry, session);
    }
    return session;
  }

  private connect(registry: string): RegistrySession {
    const { pool, credentials = ANONYMOUS, retry, allowPrivate, isPlain, warn } = this.options;
    return new RegistrySession({
      registry: this.url.host,
      base: this.url,
      pool,
      credentials: async (host) =>
        (await credentials(host, undefined)) ?? (await credentials(registry, undefined)),
      timing: this.courtesy,
      retry: { ...DEFAULT_RETRY, ...retry },
      allowPrivate: allowPrivate ?? false,
      isPlain: isPlain ?? (() => false),
      warnings: new Warnings(warn ?? (() => undefined)),
    });
  }
}

/** A pause that a server asks one request to make is one for all: they are many, and it is one. */
class Courtesy implements Timing {
  private readonly timing: Timing;
  private until = 0;

  constructor(timing: Timing) {
    this.timing = timing;
  }

  now(): number {
    return this.timing.now();
  }

  /** Called by itself, as a function. */
  readonly random = (): number => this.timing.random();

  async sleep(ms: number, signal?: AbortSignal): Promise<void> {
    if (ms >= SHARED_PAUSE_MS) this.until = Math.max(this.until, this.now() + ms);
    await this.timing.sleep(ms, signal);
  }

  /** Waits for the end of the pause, if there is one. */
  async turn(signal: AbortSignal | undefined): Promise<void> {
    const left = this.until - this.now();
    if (left > 0) await this.timing.sleep(left, signal);
  }
}

/** Shorter pauses are those of single failures. */
const SHARED_PAUSE_MS = 1_000;

/** The metadata of one repository on a server. */
export class ServerSource implements NotarySource {
  readonly place: string;
  readonly gun: string;
  private readonly server: NotaryServer;
  private readonly signal: AbortSignal | undefined;

  constructor(server: NotaryServer, gun: string, signal?: AbortSignal) {
    this.server = server;
    this.signal = signal;
    this.gun = gun;
    this.place = `${redactUrl(server.url).replace(/\/*$/, '/')}${gun}`;
  }

  async fetch(file: NotaryFileName, maxBytes: number): Promise<Uint8Array | undefined> {
    return (await this.fetchServed(file, maxBytes))?.bytes;
  }

  /**
   * {@link fetch} with what the server said about the file. A file whose hash is known is asked for by it,
   * so that no state is mixed with the next; where the server does not have it so, by its name.
   */
  async fetchServed(file: NotaryFileName, maxBytes: number): Promise<ServedFile | undefined> {
    const { role, version, sha256 } = file;
    const get = (path: string): Promise<ServedFile | undefined> =>
      this.server.get(this.gun, path, maxBytes, this.signal);
    if (version !== undefined) return await get(`${version}.${role}.json`);
    const exact = sha256 === undefined ? undefined : await get(`${role}.${sha256}.json`);
    return exact ?? (await get(`${role}.json`));
  }

  /** The public key that the server signs a role with. @returns undefined where it does not */
  async fetchKey(role: 'timestamp' | 'snapshot'): Promise<Uint8Array | undefined> {
    try {
      return (await this.server.get(this.gun, `${role}.key`, MAX_KEY_BYTES))?.bytes;
    } catch (error) {
      // It is evidence only; servers in front of Notary often do not pass it on.
      if (isBullaError(error, 'forbidden', 'unauthorized', 'registry-error')) return undefined;
      throw error;
    }
  }
}

const MAX_KEY_BYTES = 64 * 1024;

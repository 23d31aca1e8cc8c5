/** What was found out about a registry by asking it; never guessed from its name. */
export interface Dialect {
  /** Whether referrers are listed by the API or by the fallback tag. */
  readonly referrers?: 'api' | 'fallback' | undefined;
  /** What tells an unchanged tag apart in one request: If-None-Match, or a HEAD and its digest. */
  readonly conditional?: 'etag' | 'head' | undefined;
  /** Whether HEAD of a manifest tells what GET does; else it is not asked. */
  readonly head?: 'works' | 'get' | undefined;
  /** What `last=` of a tag that exists gives: the tags after it in byte order, or no more than a wrong list. */
  readonly tags?: 'after' | 'whole' | undefined;
  /** On this machine: that no TLS is spoken. */
  readonly scheme?: 'http' | undefined;
}

/**
 * Keeps what is known about registries between processes. What it holds may be old or gone: it decides
 * which requests are sent first, never what is true.
 */
export interface DialectStore {
  get(registry: string): Promise<Dialect | undefined>;
  set(registry: string, dialect: Dialect): Promise<void>;
}

/** The dialect of one registry, for this process, backed by a store. */
export class DialectMemory {
  private readonly registry: string;
  private readonly store: DialectStore | undefined;
  private loading: Promise<void> | undefined;
  private current: Dialect = {};
  private readonly seen = new Set<keyof Dialect>();

  constructor(registry: string, store: DialectStore | undefined) {
    this.registry = registry;
    this.store = store;
  }

  async get(): Promise<Dialect> {
    if (this.store !== undefined) {
      this.loading ??= this.load(this.store);
      await this.loading;
    }
    return this.current;
  }

  /** Notes what was seen just now. */
  async learn(seen: Dialect): Promise<void> {
    const before = await this.get();
    for (const fact of Object.keys(seen)) this.seen.add(fact as keyof Dialect);
    const after = { ...before, ...seen };
    if (isSame(before, after)) return;
    this.current = after;
    await this.store?.set(this.registry, after);
  }

  /** Whether a fact was learned by this process: what a store has of it may be old. */
  wasSeen(fact: keyof Dialect): boolean {
    return this.seen.has(fact);
  }

  private async load(store: DialectStore): Promise<void> {
    this.current = { ...(await store.get(this.registry)), ...this.current };
  }
}

function isSame(a: Dialect, b: Dialect): boolean {
  return (
    a.referrers === b.referrers &&
    a.conditional === b.conditional &&
    a.head === b.head &&
    a.tags === b.tags &&
    a.scheme === b.scheme
  );
}

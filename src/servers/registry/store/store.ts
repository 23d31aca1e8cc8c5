import { existsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Limiter } from '../../../actions/copy/concurrency.ts';
import { makeDirectory, writeFileAtomic } from '../../../disk/atomic.ts';
import type { Lock } from '../../../disk/lock.ts';
import { utf8 } from '../../../encoding/bytes.ts';
import type { JsonObject } from '../../../encoding/json.ts';
import { BullaError } from '../../../errors.ts';
import { isDigest } from '../../../oci/digest.ts';
import { BlobFiles, poolDirectory } from './blob-files.ts';
import { CommitQueue, type TagView } from './commit-queue.ts';
import { readIndexFile, withListed, writeIndexFile } from './index-file.ts';
import { Journal } from './journal.ts';
import { directoryOf, PRIVATE_DIRECTORY } from './names.ts';
import { Pins } from './pins.ts';
import type { RepositoryChange, RepositoryIndex } from './repository.ts';
import { lockDirectory, repositoriesIn } from './root.ts';
import { SortedSet } from './sorted-set.ts';

/** A repository that is in memory. */
export interface StoredRepository {
  readonly name: string;
  /** Its OCI image layout. */
  readonly layout: string;
  readonly index: RepositoryIndex;
  /** What is being referred to or removed right now. */
  readonly pins: Pins;
}

interface Loaded extends StoredRepository {
  users: number;
  dirty: boolean;
  flushing: Promise<void> | undefined;
  timer: NodeJS.Timeout | undefined;
  /** How long the last writing of index.json took, in milliseconds. */
  flushMs: number;
  /** What it was counted for. */
  entries: number;
}

export interface StoreOptions {
  /** Told about what is wrong on the disk but does not stop the server. */
  readonly report?: (problem: string) => void;
  /** Manifests and tags of unused repositories that are kept in memory; each repository counts too. */
  readonly maxEntries?: number;
}

const FLUSH_AFTER_MS = 300;
/** Writing index.json takes at most one part in so many of the time, however large it is. */
const FLUSH_SHARE = 30;
const READ_AT_ONCE = 4;
const RETRY_FLUSH_MS = 5_000;
const JOURNAL_BYTES = 64 * 1024 * 1024;
/** Some 60 MB: many small repositories, or few large ones. */
const MAX_ENTRIES = 256 * 1024;
/** What a repository without content takes, in entries. */
const OWN_ENTRIES = 16;

/**
 * The registry's directory: repositories as OCI layouts, a journal, and a lock that keeps a second
 * server out. See spec/registry.md.
 */
export class Store {
  readonly root: string;
  readonly privateDirectory: string;
  readonly blobs: BlobFiles;
  readonly catalog: SortedSet = new SortedSet();
  private readonly loaded = new Map<string, Promise<Loaded>>();
  /** Those whose index.json is behind or being written. */
  private readonly behind = new Set<Loaded>();
  /** Of all that are loaded. */
  private entries = 0;
  private readonly lock: Lock;
  private readonly report: (problem: string) => void;
  private readonly maxEntries: number;
  private journal!: Journal;
  private queue!: CommitQueue;
  private checkpointing: Promise<void> | undefined;
  private closed = false;
  private isRecovered = false;
  /** An index.json of many manifests takes some memory while it is read. */
  private readonly reading = new Limiter(READ_AT_ONCE);

  private constructor(root: string, lock: Lock, options: StoreOptions) {
    this.root = root;
    this.privateDirectory = join(root, PRIVATE_DIRECTORY);
    this.blobs = new BlobFiles(poolDirectory(this.privateDirectory));
    this.lock = lock;
    this.report = options.report ?? (() => undefined);
    this.maxEntries = options.maxEntries ?? MAX_ENTRIES;
  }

  /**
   * Opens a registry directory, creating it where it is missing, and redoes what the journal has and
   * index.json files don't.
   * @throws BullaError storage-error, also where another process has it open
   */
  static async open(root: string, options: StoreOptions = {}): Promise<Store> {
    const privateDirectory = join(root, PRIVATE_DIRECTORY);
    await makeDirectory(root);
    await makeDirectory(privateDirectory, 0o700);
    const lock = await lockDirectory(root, join(privateDirectory, 'lock'));
    const store = new Store(root, lock, options);
    try {
      await store.recover();
      return store;
    } catch (error) {
      await lock.release();
      throw error;
    }
  }

  /** Runs `work` on a repository; undefined is handed over where there is none of that name. */
  async use<T>(name: string, work: (repository: StoredRepository | undefined) => Promise<T>): Promise<T> {
    if (!this.catalog.has(name)) return work(undefined);
    return this.hold(name, work);
  }

  /** Runs `work` on a repository, which is created where there is none of that name. */
  async useOrCreate<T>(name: string, work: (repository: StoredRepository) => Promise<T>): Promise<T> {
    return this.hold(name, work);
  }

  /**
   * Makes a change durable, then visible.
   * @param check sees the tags as they will be at this change's place in the order, and throws to refuse
   * @throws BullaError storage-error; whatever `check` throws
   */
  async commit(
    repository: StoredRepository,
    change: RepositoryChange,
    check?: (tag: TagView) => void,
  ): Promise<void> {
    const loaded = repository as Loaded;
    await this.queue.commit({
      repository: repository.name,
      index: repository.index,
      change,
      check,
      applied: () => {
        this.count(loaded);
        this.markDirty(loaded);
      },
    });
    if (this.journal.size > JOURNAL_BYTES) this.checkpointSoon();
  }

  /** Path of a new file among the uploads. */
  uploadPath(id: string): string {
    return join(this.privateDirectory, 'uploads', id);
  }

  /** Repositories that are in memory. */
  get loadedCount(): number {
    return this.loaded.size;
  }

  /** Bytes in the journal that index.json files don't have yet, about. */
  get journalBytes(): number {
    return this.journal.size;
  }

  /** Writes every index.json that is behind, and starts the journal anew. */
  async checkpoint(): Promise<void> {
    this.checkpointing ??= this.doCheckpoint().finally(() => {
      this.checkpointing = undefined;
    });
    await this.checkpointing;
  }

  /** Writes what is behind and lets another process in. Nothing works afterwards. */
  async close(): Promise<void> {
    if (this.closed) return;
    this.closed = true;
    await this.queue.drain();
    try {
      await this.checkpoint();
    } finally {
      for (const loading of this.loaded.values()) clearTimeout((await loading).timer);
      await this.journal.close();
      await this.lock.release();
    }
  }

  private async recover(): Promise<void> {
    await rm(join(this.privateDirectory, 'uploads'), { recursive: true, force: true });
    await makeDirectory(join(this.privateDirectory, 'uploads'), 0o700);
    for (const name of await repositoriesIn(this.root)) this.catalog.add(name);
    this.journal = await Journal.open(this.privateDirectory, async (record) => {
      const { repository, change } = readRecord(record);
      await this.hold(repository, async (found) => {
        const complete =
          change.op === 'put'
            ? { ...change, manifest: await withListed(found.layout, change.manifest) }
            : change;
        found.index.apply(complete);
        this.count(found);
        found.dirty = true;
        this.behind.add(found);
      });
    });
    this.queue = new CommitQueue(this.journal);
    await this.checkpoint();
    this.isRecovered = true;
  }

  private async hold<T>(name: string, work: (repository: Loaded) => Promise<T>): Promise<T> {
    const repository = await this.acquire(name);
    try {
      return await work(repository);
    } finally {
      repository.users--;
      if (this.entries > this.maxEntries) await this.evict();
    }
  }

  /** The repository, counted as in use in the same step in which it was found to be the one in memory. */
  private async acquire(name: string): Promise<Loaded> {
    for (;;) {
      let loading = this.loaded.get(name);
      if (loading === undefined) {
        loading = this.read(name);
        this.loaded.set(name, loading);
        loading.catch(() => this.loaded.delete(name));
      } else {
        // Last used comes last, so that the first are evicted first.
        this.loaded.delete(name);
        this.loaded.set(name, loading);
      }
      const repository = await loading;
      if (this.loaded.get(name) !== loading) continue;
      repository.users++;
      return repository;
    }
  }

  private async read(name: string): Promise<Loaded> {
    const layout = join(this.root, directoryOf(name));
    if (!this.catalog.has(name)) await this.create(name, layout);
    const { index, isBehind } = await this.reading.run(() => readIndexFile(layout, this.report));
    const repository: Loaded = {
      name,
      layout,
      index,
      pins: new Pins(),
      users: 0,
      dirty: false,
      flushing: undefined,
      timer: undefined,
      flushMs: 0,
      entries: 0,
    };
    this.count(repository);
    if (isBehind) this.markBehind(repository);
    return repository;
  }

  /** What was found out by reading manifests is written, so that the next start need not read them. */
  private markBehind(repository: Loaded): void {
    if (this.isRecovered) {
      this.markDirty(repository);
      return;
    }
    repository.dirty = true;
    this.behind.add(repository);
  }

  private count(repository: Loaded): void {
    const { manifests, tagNames } = repository.index;
    const entries = OWN_ENTRIES + manifests.size + tagNames.size;
    this.entries += entries - repository.entries;
    repository.entries = entries;
  }

  private async create(name: string, layout: string): Promise<void> {
    await this.blobs.prepare(join(layout, 'blobs', 'sha256'));
    if (!existsSync(join(layout, 'index.json')))
      await writeFileAtomic(join(layout, 'index.json'), utf8('{"schemaVersion":2,"manifests":[]}'));
    await writeFileAtomic(join(layout, 'oci-layout'), utf8('{"imageLayoutVersion":"1.0.0"}'));
    this.catalog.add(name);
  }

  private async evict(): Promise<void> {
    for (const [name, loading] of this.loaded) {
      if (this.entries <= this.maxEntries) return;
      const repository = await loading;
      if (repository.users > 0 || repository.dirty || repository.flushing !== undefined) continue;
      if (this.loaded.get(name) !== loading) continue;
      this.loaded.delete(name);
      this.entries -= repository.entries;
    }
  }

  private markDirty(repository: Loaded): void {
    repository.dirty = true;
    this.behind.add(repository);
    this.scheduleFlush(repository, Math.max(FLUSH_AFTER_MS, repository.flushMs * FLUSH_SHARE));
  }

  private scheduleFlush(repository: Loaded, afterMs: number): void {
    if (repository.timer !== undefined || this.closed) return;
    repository.timer = setTimeout(() => {
      repository.timer = undefined;
      this.flush(repository).then(
        () => this.checkpointWhenIdle(),
        (error) => {
          this.report(`cannot write index.json of ${repository.name}: ${String(error)}`);
          this.scheduleFlush(repository, RETRY_FLUSH_MS);
        },
      );
    }, afterMs);
  }

  /** Writes index.json where it is behind. Resolves when what was visible before this call is in it. */
  private async flush(repository: Loaded): Promise<void> {
    while (repository.flushing !== undefined) await repository.flushing;
    if (!repository.dirty) return;
    repository.dirty = false;
    const started = performance.now();
    repository.flushing = writeIndexFile(repository.layout, repository.index).finally(() => {
      repository.flushing = undefined;
      repository.flushMs = performance.now() - started;
      if (!repository.dirty) this.behind.delete(repository);
    });
    try {
      await repository.flushing;
    } catch (error) {
      repository.dirty = true;
      this.behind.add(repository);
      throw error;
    }
  }

  private checkpointWhenIdle(): void {
    if (this.closed || this.journal.size === 0 || this.behind.size > 0) return;
    this.checkpointSoon();
  }

  private checkpointSoon(): void {
    if (this.closed) return;
    this.checkpoint().catch((error) => this.report(`cannot start the journal anew: ${String(error)}`));
  }

  private async doCheckpoint(): Promise<void> {
    await this.lock.assertHeld();
    const current = await this.queue.pause(() => this.journal.rotate());
    // Everything in the older files is visible by now, so whatever is dirty covers it.
    for (const repository of [...this.behind]) await this.flush(repository);
    await this.journal.dropBefore(current);
  }
}

function readRecord(record: JsonObject): { repository: string; change: RepositoryChange } {
  const { repository, ...change } = record;
  const digest = change['op'] === 'put' ? (change['manifest'] as JsonObject)['digest'] : change['digest'];
  if (typeof repository !== 'string' || (digest !== undefined && !isDigest(digest as string))) {
    throw new BullaError('storage-error', 'the journal has a record that this version does not understand', {
      hint: 'start the version of bulla that wrote it, and stop it cleanly',
    });
  }
  return { repository, change: change as unknown as RepositoryChange };
}

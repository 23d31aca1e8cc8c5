import { lstat, opendir } from 'node:fs/promises';
import { join } from 'node:path';
import { isErrno, readFileBounded, storageError, sweepTemporaries } from '../../../disk/atomic.ts';
import { BullaError, isBullaError, throwIfAborted } from '../../../errors.ts';
import { type Digest, isDigest } from '../../../oci/digest.ts';
import { childrenOf, MAX_MANIFEST_BYTES, parseCarried } from '../../../oci/manifest.ts';
import { poolDirectory } from './blob-files.ts';
import { blobPath } from './paths.ts';
import type { ManifestEntry } from './repository.ts';
import type { Store, StoredRepository } from './store.ts';

export interface CollectOptions {
  /** What changed less than this ago stays, in milliseconds: a push may be about to refer to it. One hour if left out. */
  readonly graceMs?: number;
  /** Keep manifests that have no tag and that nothing refers to. */
  readonly keepUntagged?: boolean;
  /** Only say what would be removed. */
  readonly dryRun?: boolean;
}

/** What a collection did, or would do. */
export interface CollectReport {
  readonly repositories: number;
  readonly manifests: number;
  readonly blobs: number;
  /** Bytes of the blobs, and of the manifests' files, that were removed. */
  readonly bytes: number;
}

const GRACE_MS = 60 * 60_000;

/**
 * Removes what nothing refers to: manifests that have no tag, are in no index and whose subject is not
 * there, then blobs that no manifest has. A manifest whose subject stays, stays with it, and so does
 * what it refers to. Pushes go on meanwhile: what one of them holds is not removed.
 * @throws BullaError storage-error; interrupted
 */
export async function collect(
  store: Store,
  options: CollectOptions = {},
  signal?: AbortSignal,
): Promise<CollectReport> {
  const sum = { repositories: 0, manifests: 0, blobs: 0, bytes: 0 };
  const grace = options.graceMs ?? GRACE_MS;
  // The clock of the file system is coarser than ours: without a grace period nothing is young.
  const oldest = grace <= 0 ? Number.POSITIVE_INFINITY : Date.now() - grace;
  for (const name of [...store.catalog]) {
    await store.use(name, async (repository) => {
      if (repository === undefined) return;
      const collection = new Collection(store, repository, options, oldest, signal);
      const gone = await collection.removeManifests();
      const swept = await collection.removeBlobs(gone);
      sum.repositories++;
      sum.manifests += gone.size;
      sum.blobs += swept.blobs;
      sum.bytes += swept.bytes;
    });
  }
  if (options.dryRun !== true) await sweepPool(store);
  return sum;
}

class Collection {
  private readonly store: Store;
  private readonly repository: StoredRepository;
  private readonly options: CollectOptions;
  private readonly oldest: number;
  private readonly signal: AbortSignal | undefined;

  constructor(
    store: Store,
    repository: StoredRepository,
    options: CollectOptions,
    oldest: number,
    signal: AbortSignal | undefined,
  ) {
    this.store = store;
    this.repository = repository;
    this.options = options;
    this.oldest = oldest;
    this.signal = signal;
  }

  /** @returns digests of the manifests that are gone, or would be */
  async removeManifests(): Promise<ReadonlySet<Digest>> {
    const gone = new Set<Digest>();
    if (this.options.keepUntagged === true) return gone;
    const { index, pins } = this.repository;
    await pins.recording(async (held) => {
      const kept = new Set<Digest>();
      for (const entry of [...index.manifests.values()]) {
        if (index.tagsOf(entry.digest).size > 0 || (await this.isYoung(entry)))
          await this.keep(entry.digest, kept);
      }
      for (const entry of [...index.manifests.values()]) {
        await this.keepHeld(held, kept);
        if (kept.has(entry.digest)) continue;
        if (this.options.dryRun === true || (await this.removeManifest(entry, held))) gone.add(entry.digest);
        // Something was pushed while it was this one's turn; what it refers to stays.
        else await this.keep(entry.digest, kept);
      }
    });
    return gone;
  }

  /** Removes files that no manifest refers to. */
  async removeBlobs(gone: ReadonlySet<Digest>): Promise<{ blobs: number; bytes: number }> {
    const swept = { blobs: 0, bytes: 0 };
    await this.repository.pins.recording(async (held) => {
      const referred = await this.referred(gone);
      for await (const digest of this.files()) {
        if (referred.has(digest) || held.has(digest)) continue;
        const size = await this.removeBlob(digest, gone.has(digest));
        if (size === undefined) continue;
        swept.blobs += gone.has(digest) ? 0 : 1;
        swept.bytes += size;
      }
    });
    return swept;
  }

  /** All manifests that stay, and what they list. */
  private async referred(gone: ReadonlySet<Digest>): Promise<ReadonlySet<Digest>> {
    const referred = new Set<Digest>();
    for (const entry of [...this.repository.index.manifests.values()]) {
      if (gone.has(entry.digest)) continue;
      referred.add(entry.digest);
      for (const child of await this.childrenOf(entry)) referred.add(child);
    }
    return referred;
  }

  private async *files(): AsyncGenerator<Digest, void, void> {
    for (const algorithm of ['sha256', 'sha512']) {
      const directory = join(this.repository.layout, 'blobs', algorithm);
      if (this.options.dryRun !== true) await sweepTemporaries(directory);
      for await (const name of namesIn(directory)) {
        const digest = `${algorithm}:${name}`;
        if (isDigest(digest)) yield digest;
      }
    }
  }

  /** Marks a manifest with all that hangs on it: what it lists, and what has it as its subject. */
  private async keep(digest: Digest, kept: Set<Digest>): Promise<void> {
    const { index } = this.repository;
    const waiting = [digest];
    for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
      if (kept.has(next)) continue;
      kept.add(next);
      const entry = index.manifests.get(next);
      if (entry !== undefined) waiting.push(...(await this.childrenOf(entry)));
      for (const referrer of index.referrersOf(next) ?? []) if (isDigest(referrer)) waiting.push(referrer);
    }
  }

  private async keepHeld(held: Set<Digest>, kept: Set<Digest>): Promise<void> {
    while (held.size > 0) {
      const digests = [...held];
      held.clear();
      for (const digest of digests) {
        // It may have been kept before it had what hangs on it now.
        kept.delete(digest);
        await this.keep(digest, kept);
      }
    }
  }

  private async removeManifest(entry: ManifestEntry, held: ReadonlySet<Digest>): Promise<boolean> {
    throwIfAborted(this.signal);
    const { index, pins } = this.repository;
    const spared = new Error('in use');
    try {
      const removed = await pins.remove(entry.digest, () =>
        this.store.commit(this.repository, { op: 'remove', digest: entry.digest }, () => {
          if (held.size > 0 || index.tagsOf(entry.digest).size > 0) throw spared;
        }),
      );
      return removed !== undefined;
    } catch (error) {
      if (error === spared) return false;
      throw error;
    }
  }

  private async removeBlob(digest: Digest, wasManifest: boolean): Promise<number | undefined> {
    throwIfAborted(this.signal);
    const { layout, pins } = this.repository;
    const found = await statOf(blobPath(layout, digest));
    // The file of a manifest that this collection removed was judged with the manifest.
    if (found === undefined || (!wasManifest && found.ctimeMs > this.oldest)) return undefined;
    if (this.options.dryRun === true) return found.size;
    const removed = await pins.remove(digest, () => this.store.blobs.remove(layout, digest));
    return removed?.result;
  }

  private async isYoung(entry: ManifestEntry): Promise<boolean> {
    const found = await statOf(blobPath(this.repository.layout, entry.digest));
    return found !== undefined && found.ctimeMs > this.oldest;
  }

  /** Digests that a manifest lists. While one cannot be read, it is unknown what may be removed. */
  private async childrenOf(entry: ManifestEntry): Promise<readonly Digest[]> {
    throwIfAborted(this.signal);
    const { digest, mediaType, size } = entry;
    try {
      const bytes = await readFileBounded(blobPath(this.repository.layout, digest), MAX_MANIFEST_BYTES);
      const manifest = parseCarried({ descriptor: { digest, mediaType, size }, bytes });
      return childrenOf(manifest).map((child) => child.digest);
    } catch (error) {
      if (!isBullaError(error, 'not-found', 'content-invalid')) throw error;
      throw new BullaError(
        'storage-error',
        `manifest ${digest} of ${this.repository.name} cannot be read: ${error.message}`,
        { cause: error, hint: 'push or delete that manifest, then collect again' },
      );
    }
  }
}

/** Removes what only the pool has. */
async function sweepPool(store: Store): Promise<void> {
  const pool = poolDirectory(store.privateDirectory);
  for (const algorithm of ['sha256', 'sha512']) {
    for await (const name of namesIn(join(pool, 'blobs', algorithm))) {
      const digest = `${algorithm}:${name}`;
      if (isDigest(digest)) await store.blobs.dropFromPool(digest);
    }
  }
}

async function* namesIn(directory: string): AsyncGenerator<string, void, void> {
  try {
    for await (const item of await opendir(directory)) if (item.isFile()) yield item.name;
  } catch (error) {
    if (!isErrno(error, 'ENOENT')) throw storageError(`cannot list ${directory}`, error);
  }
}

async function statOf(path: string): Promise<{ ctimeMs: number; size: number } | undefined> {
  try {
    return await lstat(path);
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return undefined;
    throw storageError(`cannot look at ${path}`, error);
  }
}

import { readFileBounded } from '../../disk/atomic.ts';
import { isBullaError } from '../../errors.ts';
import { annotationsLength, readAnnotations } from './store/annotations.ts';
import { ByteLru } from './store/lru.ts';
import { blobPath } from './store/paths.ts';
import type { ManifestEntry } from './store/repository.ts';
import type { StoredRepository } from './store/store.ts';

const CACHE_BYTES = 8 * 1024 * 1024;
/** Larger ones are sent from their files, in pieces. */
export const SMALL_MANIFEST_BYTES: number = 64 * 1024;
const SMALL_ANNOTATIONS_BYTES = 4 * 1024;
const ENTRY_BYTES = 256;

/** Reads manifests from their files, and keeps the small ones that were asked for last. */
export class ManifestFiles {
  private readonly contents = new ByteLru<Uint8Array>(CACHE_BYTES, SMALL_MANIFEST_BYTES + ENTRY_BYTES);
  private readonly small = new ByteLru<Uint8Array>(CACHE_BYTES, SMALL_ANNOTATIONS_BYTES + ENTRY_BYTES);

  /** Bytes of a small manifest; undefined where its file is gone. */
  async read(repository: StoredRepository, entry: ManifestEntry): Promise<Uint8Array | undefined> {
    const cached = this.contents.get(entry.digest);
    if (cached !== undefined) return cached;
    try {
      const path = blobPath(repository.layout, entry.digest);
      const bytes = await readFileBounded(path, Math.max(entry.size, SMALL_MANIFEST_BYTES));
      this.remember(entry, bytes);
      return bytes;
    } catch (error) {
      if (isBullaError(error, 'not-found')) return undefined;
      throw error;
    }
  }

  remember(entry: ManifestEntry, bytes: Uint8Array): void {
    if (bytes.byteLength > SMALL_MANIFEST_BYTES) return;
    // A copy, because a view would keep the whole buffer of the connection.
    this.contents.set(entry.digest, new Uint8Array(bytes), bytes.byteLength + ENTRY_BYTES);
  }

  /** JSON of a manifest's annotations, in pieces; nothing where it has none or they cannot be read. */
  async *annotations(
    repository: StoredRepository,
    { digest, listed }: ManifestEntry,
  ): AsyncGenerator<Uint8Array, void, void> {
    const length = annotationsLength(listed);
    if (length === 0) return;
    const cached = this.small.get(digest);
    if (cached !== undefined) {
      yield cached;
      return;
    }
    for await (const piece of readAnnotations(repository.layout, digest, listed)) {
      if (length <= SMALL_ANNOTATIONS_BYTES) this.small.set(digest, piece, length + ENTRY_BYTES);
      yield piece;
    }
  }
}

import { readFileBounded } from '../../disk/atomic.ts';
import { isBullaError } from '../../errors.ts';
import { MAX_MANIFEST_BYTES, parseManifest } from '../../oci/manifest.ts';
import { referrerDescriptor } from '../../oci/referrers.ts';
import { ByteLru } from './store/lru.ts';
import { blobPath } from './store/paths.ts';
import type { ManifestEntry } from './store/repository.ts';
import type { Repository } from './store/store.ts';

const CACHE_BYTES = 8 * 1024 * 1024;
const CACHE_ENTRY_BYTES = 64 * 1024;

/** Reads manifests from their files, and keeps the small ones that were asked for last. */
export class ManifestFiles {
  private readonly contents = new ByteLru<Uint8Array>(CACHE_BYTES, CACHE_ENTRY_BYTES);
  private readonly descriptors = new ByteLru<string>(CACHE_BYTES, CACHE_ENTRY_BYTES);

  /** A manifest's bytes; undefined where its file is gone. */
  async read(repository: Repository, entry: ManifestEntry): Promise<Uint8Array | undefined> {
    const cached = this.contents.get(entry.digest);
    if (cached !== undefined) return cached;
    try {
      const path = blobPath(repository.layout, entry.digest);
      const bytes = await readFileBounded(path, Math.max(entry.size, MAX_MANIFEST_BYTES));
      this.remember(entry, bytes);
      return bytes;
    } catch (error) {
      if (isBullaError(error, 'not-found')) return undefined;
      throw error;
    }
  }

  remember(entry: ManifestEntry, bytes: Uint8Array): void {
    // A copy, because a view would keep the whole buffer of the connection.
    this.contents.set(entry.digest, new Uint8Array(bytes), bytes.byteLength + 256);
  }

  /** JSON of the descriptor by which a manifest is listed as a referrer; undefined where its file is gone. */
  async referrer(repository: Repository, entry: ManifestEntry): Promise<string | undefined> {
    // The same bytes can be there as two types in two repositories.
    const key = `${entry.digest} ${entry.mediaType}`;
    const cached = this.descriptors.get(key);
    if (cached !== undefined) return cached;
    const bytes = await this.read(repository, entry);
    if (bytes === undefined) return undefined;
    const descriptor = { mediaType: entry.mediaType, digest: entry.digest, size: entry.size };
    const manifest = parseManifest({ descriptor, bytes });
    const text = JSON.stringify(referrerDescriptor({ descriptor, bytes }, manifest));
    this.descriptors.set(key, text, text.length * 2 + 256);
    return text;
  }
}

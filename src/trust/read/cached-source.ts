import { checkContent, type Descriptor, describe } from '../../oci/descriptor.ts';
import { type Digest, isDigest } from '../../oci/digest.ts';
import { type ManifestContent, mediaTypeOfManifest } from '../../oci/manifest.ts';
import type { Tag } from '../../oci/reference.ts';
import type { CallOptions } from '../../oci/target.ts';
import type { Assembly } from '../format/assemble.ts';
import type { ObjectSource } from '../format/object.ts';
import type { BlobCache } from './memory.ts';

/** Larger content is not kept: logs, which are read by publishers alone. */
const MAX_KEPT_BYTES = 2 * 1024 * 1024;

/** Keeps what was just pushed, but for the top: a registry takes that only where it has the parts. */
export async function keepParts(cache: BlobCache, { blobs, children }: Assembly): Promise<void> {
  for (const { descriptor, bytes } of [...blobs, ...children])
    if (bytes.byteLength <= MAX_KEPT_BYTES) await cache.keep(descriptor.digest, bytes);
}

/**
 * A source whose content is kept by digest, so that what was fetched once is not fetched again. Tags are
 * always requested. Cached content is verified like content from the registry.
 */
export class CachedSource implements ObjectSource {
  readonly name: string;
  private readonly source: ObjectSource;
  private readonly cache: BlobCache;
  private readonly keeps: boolean;

  /** @param keeps false for what strangers may have put there: what is in the cache is used, and nothing is added */
  constructor(source: ObjectSource, cache: BlobCache, keeps = true) {
    this.name = source.name;
    this.source = source;
    this.cache = cache;
    this.keeps = keeps;
  }

  async fetchManifest(reference: Tag | Digest, options: CallOptions = {}): Promise<ManifestContent> {
    if (!isDigest(reference)) return await this.source.fetchManifest(reference, options);
    const bytes = await this.cache.load(reference);
    if (bytes !== undefined)
      return { descriptor: describe(mediaTypeOfManifest(bytes, this.name), bytes), bytes };
    const content = await this.source.fetchManifest(reference, options);
    await this.keep(reference, content.bytes);
    return content;
  }

  fetchManifestUnless(
    reference: Tag,
    known: Digest,
    options: CallOptions = {},
  ): Promise<ManifestContent | undefined> {
    return this.source.fetchManifestUnless(reference, known, options);
  }

  async fetchBlob(descriptor: Descriptor, maxBytes: number, options: CallOptions = {}): Promise<Uint8Array> {
    if (descriptor.size > maxBytes) return await this.source.fetchBlob(descriptor, maxBytes, options);
    const kept = await this.cache.load(descriptor.digest);
    if (kept !== undefined) {
      checkContent(descriptor, kept, this.name);
      return kept;
    }
    const bytes = await this.source.fetchBlob(descriptor, maxBytes, options);
    await this.keep(descriptor.digest, bytes);
    return bytes;
  }

  openBlob(descriptor: Descriptor, options: CallOptions = {}): Promise<AsyncIterable<Uint8Array>> {
    return this.source.openBlob(descriptor, options);
  }

  private async keep(digest: Digest, bytes: Uint8Array): Promise<void> {
    if (this.keeps && bytes.byteLength <= MAX_KEPT_BYTES) await this.cache.keep(digest, bytes);
  }
}

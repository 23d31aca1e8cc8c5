import { BullaError } from '../../errors.ts';
import type { Digest } from '../../oci/digest.ts';
import type { ManifestContent } from '../../oci/manifest.ts';
import { placeNamed } from '../../oci/place.ts';
import { MemoryStateStore } from '../../tuf/memory.ts';
import type { TrustedStateStore } from '../../tuf/ports.ts';
import type { CollectionId } from '../format/binding.ts';

/** The head that a refresh ended with, and when that was. */
export interface KnownHead {
  readonly content: ManifestContent;
  readonly refreshedAt: Date;
}

/** What is remembered of one collection, wherever it lies: rollback protection lasts as long as it does. */
export interface CollectionMemory extends TrustedStateStore {
  /** The head last verified at a place. @throws BullaError storage-error */
  loadHead(place: string): Promise<KnownHead | undefined>;
  /** Remembers a verified head. @throws BullaError storage-error */
  keepHead(place: string, head: KnownHead): Promise<void>;
}

/**
 * The memory of all collections, by the canonical spelling of each place (spec/trust-reading.md, "Places"),
 * however a caller writes it: a port, kept on disk by the command line, in memory by others. */
export interface TrustMemory {
  /** Whether it outlives the process: without that there is expiry, and no protection against rollback. */
  readonly isLasting: boolean;
  /** The collection that was verified at a place (`HOST/REPOSITORY`) before. @throws BullaError storage-error */
  seen(place: string): Promise<CollectionId | undefined>;
  /**
   * Remembers which collection is at a place; a place keeps its collection until {@link forget}.
   * @throws BullaError trust-invalid where another was noted meanwhile; storage-error
   */
  note(place: string, id: CollectionId): Promise<void>;
  /** Forgets which collection is at a place; its metadata stays, should it come back. */
  forget(place: string): Promise<void>;
  /** Memory of one collection; made where there is none. @throws BullaError storage-error */
  open(id: CollectionId): Promise<CollectionMemory>;
}

/** A memory that ends with the process. */
export class ProcessMemory implements TrustMemory {
  readonly isLasting: boolean = false;
  private readonly places = new Map<string, CollectionId>();
  private readonly collections = new Map<CollectionId, ProcessCollection>();

  async seen(place: string): Promise<CollectionId | undefined> {
    return this.places.get(placeNamed(place));
  }

  async note(place: string, id: CollectionId): Promise<void> {
    const seen = await this.seen(place);
    if (seen !== undefined && seen !== id) throw otherCollection(place, seen, id);
    this.places.set(placeNamed(place), id);
  }

  async forget(place: string): Promise<void> {
    this.places.delete(placeNamed(place));
  }

  async open(id: CollectionId): Promise<CollectionMemory> {
    const known = this.collections.get(id) ?? new ProcessCollection();
    this.collections.set(id, known);
    return known;
  }
}

class ProcessCollection extends MemoryStateStore implements CollectionMemory {
  private readonly heads = new Map<string, KnownHead>();

  async loadHead(place: string): Promise<KnownHead | undefined> {
    return this.heads.get(placeNamed(place));
  }

  async keepHead(place: string, head: KnownHead): Promise<void> {
    this.heads.set(placeNamed(place), head);
  }
}

/** The error for a place that has another collection than it had. */
export function otherCollection(place: string, seen: CollectionId, found: CollectionId): BullaError {
  return new BullaError(
    'trust-invalid',
    `${place} has another collection than before: ${found.slice(0, 12)}, and ${seen.slice(0, 12)} was seen`,
    {
      hint: 'if it was deliberately created again, compare the root keys and pin it: bulla pin',
      details: { place, reason: 'collection', expected: seen, found },
    },
  );
}

/** Files of trust objects by digest, so that what was fetched once is not fetched again. Losing it costs a request. */
export interface BlobCache {
  load(digest: Digest): Promise<Uint8Array | undefined>;
  keep(digest: Digest, bytes: Uint8Array): Promise<void>;
}

/** A cache that ends with the process. */
export class ProcessBlobCache implements BlobCache {
  private readonly blobs = new Map<Digest, Uint8Array>();

  async load(digest: Digest): Promise<Uint8Array | undefined> {
    return this.blobs.get(digest);
  }

  async keep(digest: Digest, bytes: Uint8Array): Promise<void> {
    this.blobs.set(digest, bytes);
  }
}

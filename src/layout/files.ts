import type { Descriptor } from '../oci/descriptor.ts';
import type { Digest } from '../oci/digest.ts';
import type { CallOptions } from '../oci/target.ts';
import type { LayoutIndex } from './index-file.ts';

/** What a change of index.json comes to. */
export interface IndexChange {
  readonly index: LayoutIndex;
  /** Blobs that may go once the new index is in force. */
  readonly remove?: readonly Digest[];
}

/** The files of a layout, wherever they lie: a directory, a tar. What comes out is not verified yet. */
export interface LayoutFiles {
  /** For messages and as the store's name: `oci:dir`. */
  readonly name: string;
  /** Whether it can be written to. */
  readonly writable: boolean;
  /** Whether it has docker's manifest.json, as what `docker save` and its relatives write. */
  readonly isSaved?: boolean | undefined;
  /** index.json as it is now. */
  index(): Promise<LayoutIndex>;
  /**
   * Changes index.json exclusively. `step` sees it as it is then, and may call the other
   * methods but not this one; if it throws, nothing is changed.
   */
  change(step: (index: LayoutIndex) => Promise<IndexChange>): Promise<void>;
  /** Size of a blob in bytes; undefined where there is none. */
  blobSize(digest: Digest): Promise<number | undefined>;
  /** The stored bytes of a blob. @throws BullaError not-found */
  openBlob(digest: Digest, options?: CallOptions): Promise<AsyncIterable<Uint8Array>>;
  /** Stores a verified stream; if it breaks, nothing is stored. */
  putBlob(descriptor: Descriptor, stream: AsyncIterable<Uint8Array>): Promise<void>;
  /** Ends it, keeping what was written. */
  close(): Promise<void>;
  /** Ends it; what was written since it was opened need not be kept. */
  abandon(): Promise<void>;
}

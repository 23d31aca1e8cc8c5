import type { BullaError } from '../errors.ts';
import type { Descriptor } from './descriptor.ts';
import type { Digest } from './digest.ts';
import type { ManifestContent } from './manifest.ts';
import type { Tag } from './reference.ts';

/**
 * The ports through which everything above reaches content. A repository of a registry, an OCI
 * layout, an archive and a memory store implement them alike. All that comes out of a port was
 * checked against its digest; sizes are bounded; failures are BullaErrors:
 *
 * - `not-found` is said only where the other side said so itself;
 * - `registry-unreachable`, `registry-throttled`, `registry-error`, `timeout`, `unauthorized`,
 *   `forbidden`, `storage-error` where nothing is known about the content;
 * - `content-invalid` where what came is not what its digest, size or format promised.
 */
export interface CallOptions {
  readonly signal?: AbortSignal | undefined;
}

/** Turns a tag into a descriptor; a digest into one with its size and type. */
export interface Resolver {
  /** @throws BullaError not-found */
  resolve(reference: Tag | Digest, options?: CallOptions): Promise<Descriptor>;
}

/** Reads manifests. */
export interface ManifestFetcher {
  /**
   * The manifest's bytes as stored, at most 4 MiB, with the descriptor computed from them; asked for
   * by digest, they have that digest.
   * @throws BullaError not-found, content-invalid
   */
  fetchManifest(reference: Tag | Digest, options?: CallOptions): Promise<ManifestContent>;
  /** As fetchManifest, but undefined where `reference` still is `known`; at the price of one request. */
  fetchManifestUnless(
    reference: Tag,
    known: Digest,
    options?: CallOptions,
  ): Promise<ManifestContent | undefined>;
}

/** Reads blobs. */
export interface BlobFetcher {
  /**
   * A whole blob, verified, where it has at most `maxBytes`.
   * @throws BullaError not-found, content-invalid
   */
  fetchBlob(descriptor: Descriptor, maxBytes: number, options?: CallOptions): Promise<Uint8Array>;
  /**
   * A blob as a stream. It ends without an error only if all bytes came and have the size and digest
   * of `descriptor`. The reader reads the stream to its end or destroys it (`return()`).
   * @throws BullaError not-found, content-invalid
   */
  openBlob(descriptor: Descriptor, options?: CallOptions): Promise<AsyncIterable<Uint8Array>>;
}

/** How a blob came to be where it is now. */
export type BlobOutcome = 'exists' | 'mounted' | 'pushed';

export interface PushBlobOptions extends CallOptions {
  /** Repositories of the same registry that have the blob, to be mounted from; others ignore it. */
  readonly mountFrom?: readonly string[] | undefined;
  /**
   * Skip asking whether the blob is there already: it is known not to be there, or is `new`, so that it most likely is
   * not, unless it was stored a moment ago.
   */
  readonly known?: 'absent' | 'new' | undefined;
}

/** Writes blobs. */
export interface BlobPusher {
  hasBlob(descriptor: Descriptor, options?: CallOptions): Promise<boolean>;
  /**
   * Stores a blob unless it is there. `open` is called again for each new try.
   * @throws BullaError content-invalid where the bytes are not what the descriptor says; nothing is stored then
   */
  pushBlob(
    descriptor: Descriptor,
    open: () => Promise<AsyncIterable<Uint8Array>>,
    options?: PushBlobOptions,
  ): Promise<BlobOutcome>;
}

export interface PushManifestOptions extends CallOptions {
  /** Also names the manifest so; without it, it is stored by digest only. */
  readonly tag?: Tag | undefined;
  /** Only if the tag now points there (`undefined`: no condition; null: only if there is no such tag). */
  readonly expected?: Digest | null | undefined;
  /** The caller has just seen that `expected` holds: it is not looked at again where the other side cannot tell. */
  readonly isChecked?: boolean | undefined;
  /**
   * Send it once: whatever fails afterwards is reported, and whether it arrived is for the caller to find
   * out. For a tag that others move too, where a copy that comes late would undo their work.
   */
  readonly once?: boolean | undefined;
}

/** Writes manifests. */
export interface ManifestPusher {
  /**
   * Says that a manifest with this subject will be pushed soon: what listing it needs is prepared meanwhile. It may be
   * omitted, and pushing need not follow.
   */
  expectReferrerOf?(subject: Digest): void;
  /**
   * Stores manifest bytes unchanged. Where the manifest has a subject, it is listed among the
   * subject's referrers afterwards, by the registry itself or through the fallback index, and read
   * back to be sure.
   * @throws BullaError conflict where `expected` does not hold and the other side can tell
   */
  pushManifest(content: ManifestContent, options?: PushManifestOptions): Promise<void>;
}

/** Lists tags, in no promised order. */
export interface TagLister {
  /** At most {@link MAX_TAGS}. */
  listTags(options?: ListTagsOptions): Promise<readonly Tag[]>;
}

/** Most tags that a lister gives; where it gives as many, there may be more. */
export const MAX_TAGS = 100_000;

export interface ListTagsOptions extends CallOptions {
  /**
   * Only tags after this one in byte order, where the other side sorts; else all. Better one that exists:
   * some registries refuse any other, and the whole list is asked for then.
   */
  readonly last?: Tag | undefined;
  /** Tags after this one are not needed: listing may end with them, where the other side sorts. */
  readonly until?: Tag | undefined;
  /** A tag that was written before: where it is missing after `last`, the whole list is asked for. */
  readonly expected?: Tag | undefined;
}

export interface ReferrersOptions extends CallOptions {
  /** Only those of this type; always filtered here too, because registries may not. */
  readonly artifactType?: string | undefined;
  /**
   * Look into the fallback index even where the referrers API answered. notation writes it by default
   * everywhere, so it is asked for when the API brought nothing acceptable.
   */
  readonly fallbackToo?: boolean | undefined;
  /**
   * Tags of the repository, all of them, as they were listed a moment ago: a fallback index that is not among them
   * is not asked for.
   */
  readonly tags?: ReadonlySet<Tag> | undefined;
  /** Which entries the caller can use: others need not be kept in memory, but may be returned. */
  readonly keep?: ((listed: Descriptor) => boolean) | undefined;
  /**
   * Called where the list is longer than what is read of one: what was read is returned then, and the caller
   * must not take it for all there is. Left out, such a list is an error.
   */
  readonly onCut?: ((reason: BullaError) => void) | undefined;
}

/** Lists what refers to a manifest. */
export interface ReferrersLister {
  /**
   * Says that referrers will be listed soon, while something else is asked for: what listing them needs is
   * prepared meanwhile. It may be omitted, and listing need not follow.
   */
  expectReferrers?(): void;
  /**
   * Descriptors of manifests that claim `subject` as theirs, without duplicates. What they say is
   * a claim: fetch the manifest and check its subject before using it.
   */
  listReferrers(subject: Digest, options?: ReferrersOptions): Promise<readonly Descriptor[]>;
}

/** Removes things. */
export interface Deleter {
  /**
   * Removes a manifest with all its tags, and its entry in its subject's fallback index.
   * @throws BullaError not-found; registry-error where deletion is switched off
   */
  deleteManifest(digest: Digest, options?: CallOptions): Promise<void>;
  /** Removes a tag and leaves the manifest, where the other side can. */
  deleteTag(tag: Tag, options?: CallOptions): Promise<void>;
}

/** What signatures and images are read from. */
export interface Source extends Resolver, ManifestFetcher, BlobFetcher, TagLister, ReferrersLister {
  /** For messages: `registry.example.com/team/app`, `oci:dir`. */
  readonly name: string;
  /** The repository's name, where blobs can be mounted from it: within this registry (`host`). */
  readonly mount?: { readonly registry: string; readonly repository: string } | undefined;
  /** Whether its indexes may list images that were never put into it, as in what `docker save` writes of one platform. */
  readonly mayLackImages?: boolean | undefined;
}

/** What they are written to; reading included, because every write is read back. */
export interface Target extends Source, BlobPusher, ManifestPusher, Deleter {
  /**
   * Whether a manifest can be there without its parts, as in a layout that another tool left half-way;
   * a registry takes the parts first.
   */
  readonly mayLackParts?: boolean | undefined;
  /** Ends connections, writes what is buffered (an archive). Nothing works afterwards. */
  close(): Promise<void>;
  /** Ends it after a failure, where that is another thing: an archive stays as it was. */
  abandon?(): Promise<void>;
}

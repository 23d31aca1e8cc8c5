import { BullaError, throwIfAborted } from '../errors.ts';
import { checkBound, readVerified, streamOf } from './content.ts';
import { checkContent, type Descriptor } from './descriptor.ts';
import { type Digest, isDigest } from './digest.ts';
import { type CarriedManifest, childrenOf, type ManifestContent, parseCarried } from './manifest.ts';
import { isCarriedType, isForeignLayerType } from './media-types.ts';
import type { Tag } from './reference.ts';
import { filterReferrers, referrerDescriptor } from './referrers.ts';
import type {
  BlobOutcome,
  CallOptions,
  ListTagsOptions,
  PushBlobOptions,
  PushManifestOptions,
  ReferrersOptions,
  Target,
} from './target.ts';

/** Largest blob that a memory store takes, in bytes. */
const MAX_BLOB_BYTES = 256 * 1024 * 1024;

interface StoredManifest {
  readonly content: ManifestContent;
  readonly manifest: CarriedManifest;
}

/**
 * A repository in memory: the plainest {@link Target}, with compare-and-swap and with a list of
 * referrers that is never late. As registries do, it refuses a manifest whose parts are not there.
 */
export class MemoryStore implements Target {
  readonly name: string;
  private readonly blobs = new Map<Digest, Uint8Array>();
  private readonly manifests = new Map<Digest, StoredManifest>();
  private readonly tags = new Map<Tag, Digest>();

  constructor(name = 'memory') {
    this.name = name;
  }

  async resolve(reference: Tag | Digest, options: CallOptions = {}): Promise<Descriptor> {
    return (await this.fetchManifest(reference, options)).descriptor;
  }

  async fetchManifest(reference: Tag | Digest, options: CallOptions = {}): Promise<ManifestContent> {
    throwIfAborted(options.signal);
    const digest = isDigest(reference) ? reference : this.tags.get(reference);
    const stored = digest === undefined ? undefined : this.manifests.get(digest);
    if (stored === undefined) throw this.missing(reference);
    return stored.content;
  }

  async fetchManifestUnless(
    reference: Tag,
    known: Digest,
    options: CallOptions = {},
  ): Promise<ManifestContent | undefined> {
    const content = await this.fetchManifest(reference, options);
    return content.descriptor.digest === known ? undefined : content;
  }

  async fetchBlob(descriptor: Descriptor, maxBytes: number, options: CallOptions = {}): Promise<Uint8Array> {
    throwIfAborted(options.signal);
    checkBound(descriptor, maxBytes, this.name);
    const bytes = this.blob(descriptor);
    checkContent(descriptor, bytes, this.name);
    return bytes.slice();
  }

  async openBlob(descriptor: Descriptor, options: CallOptions = {}): Promise<AsyncIterable<Uint8Array>> {
    return streamOf(await this.fetchBlob(descriptor, MAX_BLOB_BYTES, options));
  }

  private blob(descriptor: Descriptor): Uint8Array {
    const bytes = this.blobs.get(descriptor.digest);
    if (bytes === undefined) throw this.missing(descriptor.digest);
    return bytes;
  }

  async hasBlob(descriptor: Descriptor, options: CallOptions = {}): Promise<boolean> {
    throwIfAborted(options.signal);
    return this.blobs.has(descriptor.digest);
  }

  async pushBlob(
    descriptor: Descriptor,
    open: () => Promise<AsyncIterable<Uint8Array>>,
    options: PushBlobOptions = {},
  ): Promise<BlobOutcome> {
    throwIfAborted(options.signal);
    if (this.blobs.has(descriptor.digest)) return 'exists';
    const bytes = await readVerified(descriptor, await open(), MAX_BLOB_BYTES, this.name);
    this.blobs.set(descriptor.digest, bytes);
    return 'pushed';
  }

  async pushManifest(content: ManifestContent, options: PushManifestOptions = {}): Promise<void> {
    throwIfAborted(options.signal);
    checkContent(content.descriptor, content.bytes, this.name);
    const manifest = parseCarried(content);
    this.checkParts(content, manifest);
    if (options.tag !== undefined) this.checkExpected(options.tag, options.expected);
    const { mediaType, digest, size } = content.descriptor;
    this.manifests.set(digest, {
      content: { descriptor: { mediaType, digest, size }, bytes: content.bytes.slice() },
      manifest,
    });
    if (options.tag !== undefined) this.tags.set(options.tag, digest);
  }

  private checkParts(content: ManifestContent, manifest: CarriedManifest): void {
    for (const child of childrenOf(manifest)) {
      const held = isCarriedType(child.mediaType)
        ? this.manifests.has(child.digest)
        : isForeignLayerType(child.mediaType) || this.blobs.has(child.digest);
      if (held) continue;
      throw new BullaError(
        'content-invalid',
        `${this.name}: ${content.descriptor.digest} names ${child.digest}, which is not there`,
        { hint: 'what a manifest is made of is pushed before it' },
      );
    }
  }

  private checkExpected(tag: Tag, expected: Digest | null | undefined): void {
    const now = this.tags.get(tag) ?? null;
    if (expected === undefined || expected === now) return;
    throw new BullaError(
      'conflict',
      `${this.name}: ${tag} should be ${expected ?? 'absent'} and is ${now ?? 'absent'}`,
      { hint: 'another process changed it in the meantime: check the current state, and try again' },
    );
  }

  async listTags(options: ListTagsOptions = {}): Promise<readonly Tag[]> {
    throwIfAborted(options.signal);
    const { last } = options;
    return [...this.tags.keys()].filter((tag) => last === undefined || tag > last).sort();
  }

  async listReferrers(subject: Digest, options: ReferrersOptions = {}): Promise<readonly Descriptor[]> {
    throwIfAborted(options.signal);
    const found = [...this.manifests.values()]
      .filter(({ manifest }) => manifest.subject?.digest === subject)
      .map(({ content, manifest }) => referrerDescriptor(content, manifest));
    return filterReferrers(found, options.artifactType);
  }

  async deleteManifest(digest: Digest, options: CallOptions = {}): Promise<void> {
    throwIfAborted(options.signal);
    if (!this.manifests.delete(digest)) throw this.missing(digest);
    for (const [tag, target] of this.tags) if (target === digest) this.tags.delete(tag);
  }

  async deleteTag(tag: Tag, options: CallOptions = {}): Promise<void> {
    throwIfAborted(options.signal);
    if (!this.tags.delete(tag)) throw this.missing(tag);
  }

  async close(): Promise<void> {}

  private missing(reference: Tag | Digest): BullaError {
    return new BullaError('not-found', `${this.name} has no ${reference}`, {
      hint: 'check the name: bulla ls lists the existing ones',
    });
  }
}

import { BullaError, isBullaError, throwIfAborted } from '../errors.ts';
import { checkBound, readVerified, streamOf, verifiedStream } from '../oci/content.ts';
import { bareDescriptor, checkContent, type Descriptor } from '../oci/descriptor.ts';
import { type Digest, isDigest } from '../oci/digest.ts';
import {
  type CarriedManifest,
  childrenOf,
  MAX_MANIFEST_BYTES,
  type ManifestContent,
  mediaTypeOfManifest,
  parseCarried,
} from '../oci/manifest.ts';
import { isCarriedType, isForeignLayerType } from '../oci/media-types.ts';
import type { Tag } from '../oci/reference.ts';
import { filterReferrers } from '../oci/referrers.ts';
import type {
  BlobOutcome,
  CallOptions,
  ListTagsOptions,
  PushBlobOptions,
  PushManifestOptions,
  ReferrersOptions,
  Target,
} from '../oci/target.ts';
import { withFallbackIndex } from './fallback-index.ts';
import type { IndexChange, LayoutFiles } from './files.ts';
import {
  callableNames,
  digestsNamed,
  findSaved,
  findTag,
  isSavedBeside,
  type LayoutIndex,
  tagsIn,
  withEntry,
  withoutDigests,
  withoutNameless,
  withoutTag,
} from './index-file.ts';
import { onlyEntry } from './only-entry.ts';
import { ReferrerScan } from './referrer-scan.ts';

/** How often something is read again while others change the layout. */
const MAX_TRIES = 5;

/**
 * An OCI image layout as a {@link Target}, wherever its files lie. Tags are the names of entries of
 * index.json. What refers to an image is listed in index.json without a name, where oras and notation
 * look for it, and in a fallback index, where regctl does (spec/layout.md).
 */
export class LayoutStore implements Target {
  readonly name: string;
  readonly mayLackParts: boolean = true;
  readonly mayLackImages: boolean;
  private readonly files: LayoutFiles;
  private readonly scan: ReferrerScan;

  constructor(files: LayoutFiles) {
    this.name = files.name;
    this.mayLackImages = files.isSaved === true;
    this.files = files;
    this.scan = new ReferrerScan((entry) => this.readListed(entry));
  }

  async resolve(reference: Tag | Digest, options: CallOptions = {}): Promise<Descriptor> {
    return (await this.fetchManifest(reference, options)).descriptor;
  }

  async fetchManifest(reference: Tag | Digest, options: CallOptions = {}): Promise<ManifestContent> {
    throwIfAborted(options.signal);
    return await this.settled(async (index) => {
      if (isDigest(reference)) return await this.manifestByDigest(index, reference);
      const entry = findTag(index, reference, this.name) ?? findSaved(index, reference);
      if (entry === undefined) throw this.missing(reference);
      const content = await this.readListed(entry);
      if (content === undefined) throw this.damaged(entry.digest);
      return content;
    });
  }

  /** Reads again where another process changed index.json, and took away what was being read. */
  private async settled<T>(read: (index: LayoutIndex) => Promise<T>): Promise<T> {
    for (let tries = 1; ; tries++) {
      const index = await this.files.index();
      const isSettled = async (): Promise<boolean> =>
        tries >= MAX_TRIES || (await this.files.index()) === index;
      try {
        const result = await read(index);
        if (await isSettled()) return result;
      } catch (error) {
        if (await isSettled()) throw error;
      }
    }
  }

  async fetchManifestUnless(
    reference: Tag,
    known: Digest,
    options: CallOptions = {},
  ): Promise<ManifestContent | undefined> {
    throwIfAborted(options.signal);
    const entry = findTag(await this.files.index(), reference, this.name);
    if (entry === undefined) throw this.missing(reference);
    return entry.digest === known ? undefined : await this.fetchManifest(entry.digest, options);
  }

  private async manifestByDigest(index: LayoutIndex, digest: Digest): Promise<ManifestContent> {
    const entry = index.entries.find((one) => one.digest === digest);
    const content = entry === undefined ? await this.readUnlisted(digest) : await this.readListed(entry);
    if (content === undefined) throw this.missing(digest);
    return content;
  }

  /** A manifest that some index names: of the type and size it says there; undefined where it is not. */
  private async readListed(entry: Descriptor): Promise<ManifestContent | undefined> {
    if ((await this.files.blobSize(entry.digest)) === undefined) return undefined;
    const bytes = await this.read(entry, MAX_MANIFEST_BYTES);
    return { descriptor: bareDescriptor(entry), bytes };
  }

  /** A blob that is a manifest by what it says itself: a child of an index, which index.json need not list. */
  private async readUnlisted(digest: Digest): Promise<ManifestContent | undefined> {
    const size = await this.files.blobSize(digest);
    if (size === undefined || size > MAX_MANIFEST_BYTES) return undefined;
    const bytes = await this.read({ digest, size }, MAX_MANIFEST_BYTES);
    const mediaType = typeOf(bytes);
    return mediaType === undefined ? undefined : { descriptor: { mediaType, digest, size }, bytes };
  }

  private async read(expected: Pick<Descriptor, 'digest' | 'size'>, maxBytes: number): Promise<Uint8Array> {
    checkBound(expected, maxBytes, this.name);
    return await readVerified(expected, await this.files.openBlob(expected.digest), maxBytes, this.name);
  }

  async fetchBlob(descriptor: Descriptor, maxBytes: number, options: CallOptions = {}): Promise<Uint8Array> {
    throwIfAborted(options.signal);
    checkBound(descriptor, maxBytes, this.name);
    const stream = await this.files.openBlob(descriptor.digest, options);
    return await readVerified(descriptor, stream, maxBytes, this.name);
  }

  async openBlob(descriptor: Descriptor, options: CallOptions = {}): Promise<AsyncIterable<Uint8Array>> {
    throwIfAborted(options.signal);
    return verifiedStream(descriptor, await this.files.openBlob(descriptor.digest, options), this.name);
  }

  async hasBlob(descriptor: Descriptor, options: CallOptions = {}): Promise<boolean> {
    throwIfAborted(options.signal);
    return (await this.files.blobSize(descriptor.digest)) === descriptor.size;
  }

  async pushBlob(
    descriptor: Descriptor,
    open: () => Promise<AsyncIterable<Uint8Array>>,
    options: PushBlobOptions = {},
  ): Promise<BlobOutcome> {
    this.checkWritable();
    if (await this.holds(descriptor, options)) return 'exists';
    await this.files.putBlob(descriptor, verifiedStream(descriptor, await open(), this.name));
    return 'pushed';
  }

  /**
   * Whether a blob is there and sound. Other tools write layouts, too, and a layout may have
   * another layer under the digest of ours: what is copied here is what was verified.
   */
  private async holds(descriptor: Descriptor, options: CallOptions): Promise<boolean> {
    if (!(await this.hasBlob(descriptor, options))) return false;
    try {
      for await (const _ of await this.openBlob(descriptor, options)) {
        // The stream checks itself.
      }
      return true;
    } catch (error) {
      if (isBullaError(error, 'content-invalid', 'not-found')) return false;
      throw error;
    }
  }

  async pushManifest(content: ManifestContent, options: PushManifestOptions = {}): Promise<void> {
    throwIfAborted(options.signal);
    this.checkWritable();
    checkContent(content.descriptor, content.bytes, this.name);
    const manifest = parseCarried(content);
    await this.files.change(async (index) => {
      await this.checkParts(content.descriptor, manifest);
      if (options.tag !== undefined) this.checkExpected(index, options.tag, options.expected);
      await this.files.putBlob(content.descriptor, streamOf(content.bytes));
      // What an index lists is reached through it; listed twice, tools that expect one image find many.
      const reached = await this.withoutSubject(manifest.kind === 'index' ? manifest.manifests : []);
      const after = withEntry(withoutNameless(index, reached), content.descriptor, options.tag);
      return manifest.subject === undefined
        ? { index: after }
        : await withFallbackIndex(this.files, this.scan, after, manifest.subject.digest);
    });
  }

  private async withoutSubject(children: readonly Descriptor[]): Promise<ReadonlySet<Digest>> {
    const result = new Set<Digest>();
    for (const child of children) {
      if ((await this.scan.subjectOf(child)) === undefined) result.add(child.digest);
    }
    return result;
  }

  private async checkParts(parent: Descriptor, manifest: CarriedManifest): Promise<void> {
    for (const child of childrenOf(manifest)) {
      if (isForeignLayerType(child.mediaType)) continue;
      if ((await this.files.blobSize(child.digest)) !== undefined) continue;
      throw new BullaError(
        'content-invalid',
        `${this.name}: ${parent.digest} names ${child.digest}, which is not there`,
        { hint: 'what a manifest is made of is pushed before it' },
      );
    }
  }

  private checkExpected(index: LayoutIndex, tag: Tag, expected: Digest | null | undefined): void {
    const now = findTag(index, tag, this.name)?.digest ?? null;
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
    return tagsIn(await this.files.index())
      .filter((tag) => last === undefined || tag > last)
      .sort();
  }

  async listReferrers(subject: Digest, options: ReferrersOptions = {}): Promise<readonly Descriptor[]> {
    throwIfAborted(options.signal);
    const found = await this.settled((index) => this.scan.referrersOf(subject, index, options.signal));
    return filterReferrers(found, options.artifactType);
  }

  async deleteManifest(digest: Digest, options: CallOptions = {}): Promise<void> {
    throwIfAborted(options.signal);
    this.checkWritable();
    await this.files.change(async (index) => {
      const { subject } = parseCarried(await this.manifestByDigest(index, digest));
      const after = withoutDigests(index, new Set([digest]));
      if (subject === undefined) return { index: after, remove: [digest] };
      const change = await withFallbackIndex(this.files, this.scan, after, subject.digest, digest);
      return { index: change.index, remove: [digest, ...(change.remove ?? [])] };
    });
  }

  async deleteTag(tag: Tag, options: CallOptions = {}): Promise<void> {
    throwIfAborted(options.signal);
    this.checkWritable();
    await this.files.change(async (index): Promise<IndexChange> => {
      if (findTag(index, tag, this.name) === undefined) throw this.missing(tag);
      return { index: withoutTag(index, tag) };
    });
  }

  /**
   * What is meant where neither tag nor digest is given: the one image of the layout.
   * @throws BullaError not-found where there is none, usage where there are several
   */
  async onlyImage(options: CallOptions = {}): Promise<Descriptor> {
    throwIfAborted(options.signal);
    const { digest } = await onlyEntry(await this.files.index(), this.scan, this.name);
    return await this.resolve(digest, options);
  }

  /**
   * The manifest of a name that need not be a tag: `gcr.io/team/app:v1`, as podman, skopeo, containerd and docker
   * write it.
   * @throws BullaError not-found; content-invalid where it names several
   */
  async findNamed(name: string): Promise<Digest> {
    const index = await this.files.index();
    const [digest, ...others] = digestsNamed(index, name);
    if (digest !== undefined && others.length === 0) return digest;
    if (digest === undefined) throw this.missing(name);
    throw new BullaError(
      'content-invalid',
      `${this.name}: ${JSON.stringify(name)} names ${others.length + 1} different manifests`,
      { hint: `say which one: ${[digest, ...others].slice(0, 10).join(', ')}` },
    );
  }

  /** What the entries of index.json are called, signatures and the like left out: names, or digests where none has one. */
  async entryNames(): Promise<readonly { readonly name: string; readonly digest: Digest }[]> {
    const index = await this.files.index();
    const named = callableNames(index).filter(({ name }) => !isDigest(name));
    if (named.length > 0) return named;
    const alone = new Set<Digest>();
    for (const entry of index.entries) {
      if (!isSavedBeside(entry) && (await this.scan.standsAlone(entry))) alone.add(entry.digest);
    }
    return [...alone].map((digest) => ({ name: digest, digest }));
  }

  /** Ends it and keeps what was written; of an archive, the file appears now. */
  async close(): Promise<void> {
    await this.files.close();
  }

  /** Ends it after a failure: an archive stays as it was. */
  async abandon(): Promise<void> {
    await this.files.abandon();
  }

  private checkWritable(): void {
    if (this.files.writable) return;
    throw new BullaError('usage', `${this.name} can only be read`, {
      hint: 'copy it into a layout (oci:DIR) or an uncompressed archive (oci-archive:FILE) first',
    });
  }

  private missing(reference: string): BullaError {
    return new BullaError('not-found', `${this.name} has no ${reference}`, {
      hint: 'check the name: bulla ls lists the existing ones',
    });
  }

  private damaged(digest: Digest): BullaError {
    return new BullaError('content-invalid', `${this.name}: index.json names ${digest}, which is not there`, {
      hint: 'the layout is incomplete: copy it again from its source',
    });
  }
}

function typeOf(bytes: Uint8Array): string | undefined {
  try {
    const type = mediaTypeOfManifest(bytes, 'blob');
    return isCarriedType(type) ? type : undefined;
  } catch (error) {
    // Not a manifest, but a config or a layer: a caller that asks for a manifest gets "not-found".
    if (error instanceof BullaError && error.code === 'content-invalid') return undefined;
    throw error;
  }
}

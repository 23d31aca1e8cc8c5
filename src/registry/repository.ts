import type { Descriptor } from '../oci/descriptor.ts';
import type { Digest } from '../oci/digest.ts';
import type { ManifestContent } from '../oci/manifest.ts';
import type { Tag } from '../oci/reference.ts';
import type {
  BlobOutcome,
  CallOptions,
  ListTagsOptions,
  PushBlobOptions,
  PushManifestOptions,
  ReferrersOptions,
  Target,
} from '../oci/target.ts';
import { fetchBlob, hasBlob, openBlob } from './blobs.ts';
import { fetchManifest, fetchManifestUnless, resolve } from './manifests.ts';
import { prepareReferrer, pushManifest, type Writers } from './push.ts';
import { listReferrers, prepareReferrers } from './referrers.ts';
import { deleteManifest, deleteTag } from './removal.ts';
import type { RepositoryContext } from './repository-context.ts';
import { listTags } from './tags.ts';
import { pushBlob } from './uploads.ts';

/** One repository of a registry behind the ports that everything above knows. */
export class Repository implements Target {
  readonly name: string;
  readonly mount: { readonly registry: string; readonly repository: string };
  private readonly room: RepositoryContext;
  private readonly writers: Writers;
  private readonly onClose: () => Promise<void>;

  constructor(room: RepositoryContext, writers: Writers, onClose: () => Promise<void>) {
    this.room = room;
    this.writers = writers;
    this.onClose = onClose;
    this.name = room.name;
    this.mount = { registry: room.session.base.host, repository: room.repository };
  }

  resolve(reference: Tag | Digest, options?: CallOptions): Promise<Descriptor> {
    return resolve(this.room, reference, options);
  }

  fetchManifest(reference: Tag | Digest, options?: CallOptions): Promise<ManifestContent> {
    return fetchManifest(this.room, reference, options);
  }

  fetchManifestUnless(tag: Tag, known: Digest, options?: CallOptions): Promise<ManifestContent | undefined> {
    return fetchManifestUnless(this.room, tag, known, options);
  }

  fetchBlob(descriptor: Descriptor, maxBytes: number, options?: CallOptions): Promise<Uint8Array> {
    return fetchBlob(this.room, descriptor, maxBytes, options);
  }

  openBlob(descriptor: Descriptor, options?: CallOptions): Promise<AsyncIterable<Uint8Array>> {
    return openBlob(this.room, descriptor, options);
  }

  listTags(options?: ListTagsOptions): Promise<readonly Tag[]> {
    return listTags(this.room, options);
  }

  expectReferrers(): void {
    // It can only save time; listing them reports the failure.
    prepareReferrers(this.room).catch(() => undefined);
  }

  listReferrers(subject: Digest, options?: ReferrersOptions): Promise<readonly Descriptor[]> {
    return listReferrers(this.room, subject, options);
  }

  hasBlob(descriptor: Descriptor, options?: CallOptions): Promise<boolean> {
    return hasBlob(this.room, descriptor, options);
  }

  pushBlob(
    descriptor: Descriptor,
    open: () => Promise<AsyncIterable<Uint8Array>>,
    options?: PushBlobOptions,
  ): Promise<BlobOutcome> {
    return pushBlob(this.room, descriptor, open, options);
  }

  expectReferrerOf(subject: Digest): void {
    // It can only save time; pushing it reports the failure.
    prepareReferrer(this.room, this.writers, subject).catch(() => undefined);
  }

  pushManifest(content: ManifestContent, options?: PushManifestOptions): Promise<void> {
    return pushManifest(this.room, this.writers, content, options);
  }

  deleteManifest(digest: Digest, options?: CallOptions): Promise<void> {
    return deleteManifest(this.room, this.writers, digest, options);
  }

  deleteTag(tag: Tag, options?: CallOptions): Promise<void> {
    return deleteTag(this.room, tag, options);
  }

  close(): Promise<void> {
    return this.onClose();
  }
}

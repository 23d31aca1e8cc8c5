import type { Descriptor } from '../../oci/descriptor.ts';
import type { Digest } from '../../oci/digest.ts';
import type { ManifestContent } from '../../oci/manifest.ts';
import type { Tag } from '../../oci/reference.ts';
import type { CallOptions } from '../../oci/target.ts';
import type { ObjectSource } from '../format/object.ts';
import { HEAD_TAG } from '../format/vocabulary.ts';

/** A source that notes what the tag of the head named, or shows another head in its place. */
export class HeadSource implements ObjectSource {
  readonly target: ObjectSource;
  readonly name: string;
  served: Digest | undefined;
  private readonly shown: ManifestContent | undefined;

  constructor(target: ObjectSource, shown?: ManifestContent) {
    this.target = target;
    this.name = target.name;
    this.shown = shown;
  }

  async fetchManifest(reference: Tag | Digest, options?: CallOptions): Promise<ManifestContent> {
    if (reference !== HEAD_TAG) return await this.target.fetchManifest(reference, options);
    const content = this.shown ?? (await this.target.fetchManifest(reference, options));
    this.served = content.descriptor.digest;
    return content;
  }

  async fetchManifestUnless(
    reference: Tag,
    known: Digest,
    options?: CallOptions,
  ): Promise<ManifestContent | undefined> {
    if (reference === HEAD_TAG && this.shown !== undefined)
      return this.shown.descriptor.digest === known ? undefined : await this.fetchManifest(reference);
    const content = await this.target.fetchManifestUnless(reference, known, options);
    if (reference === HEAD_TAG) this.served = content?.descriptor.digest ?? known;
    return content;
  }

  fetchBlob(descriptor: Descriptor, maxBytes: number, options?: CallOptions): Promise<Uint8Array> {
    return this.target.fetchBlob(descriptor, maxBytes, options);
  }

  openBlob(descriptor: Descriptor, options?: CallOptions): Promise<AsyncIterable<Uint8Array>> {
    return this.target.openBlob(descriptor, options);
  }
}

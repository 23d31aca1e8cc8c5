import { concatBytes } from '../../../../src/encoding/bytes.ts';
import { streamOf } from '../../../../src/oci/content.ts';
import type { Descriptor } from '../../../../src/oci/descriptor.ts';
import type { Digest } from '../../../../src/oci/digest.ts';
import type { ManifestContent } from '../../../../src/oci/manifest.ts';
import type { Tag } from '../../../../src/oci/reference.ts';
import type { BlobOutcome, ListTagsOptions, PushManifestOptions } from '../../../../src/oci/target.ts';
import type { TrustTarget } from '../../../../src/trust/format/ports.ts';
import { PLACE } from '../collection.ts';
import type { SimulatedProcess } from './process.ts';
import type { SimulatedRegistry } from './registry.ts';

/** The registry as one process sees it. */
export class Connection implements TrustTarget {
  readonly name: string = PLACE;
  private readonly registry: SimulatedRegistry;
  private readonly process: SimulatedProcess;

  constructor(registry: SimulatedRegistry, process: SimulatedProcess) {
    this.registry = registry;
    this.process = process;
  }

  fetchManifest(reference: Tag | Digest): Promise<ManifestContent> {
    return this.process.call('read', () => this.registry.manifest(reference));
  }

  fetchManifestUnless(reference: Tag, known: Digest): Promise<ManifestContent | undefined> {
    return this.process.call('read', () => {
      const content = this.registry.manifest(reference);
      return content.descriptor.digest === known ? undefined : content;
    });
  }

  fetchBlob({ digest }: Descriptor): Promise<Uint8Array> {
    return this.process.call('read', () => this.registry.blob(digest));
  }

  async openBlob(descriptor: Descriptor): Promise<AsyncIterable<Uint8Array>> {
    return streamOf(await this.fetchBlob(descriptor));
  }

  hasBlob({ digest }: Descriptor): Promise<boolean> {
    return this.process.call('read', () => this.registry.blobs.has(digest));
  }

  async pushBlob(
    descriptor: Descriptor,
    open: () => Promise<AsyncIterable<Uint8Array>>,
  ): Promise<BlobOutcome> {
    const pieces: Uint8Array[] = [];
    for await (const piece of await open()) pieces.push(piece);
    const bytes = concatBytes(pieces);
    return await this.process.call('write', () => {
      const outcome = this.registry.blobs.has(descriptor.digest) ? 'exists' : 'pushed';
      this.registry.putBlob(descriptor, bytes, this.process);
      return outcome;
    });
  }

  pushManifest(content: ManifestContent, { tag, expected }: PushManifestOptions = {}): Promise<void> {
    return this.process.call('write', () => this.registry.putManifest(content, tag, expected, this.process));
  }

  listTags({ last, until }: ListTagsOptions = {}): Promise<readonly Tag[]> {
    return this.process.call('read', () => this.registry.listTags(last, until));
  }

  deleteTag(tag: Tag): Promise<void> {
    return this.process.call('write', () => this.registry.deleteTag(tag, this.process));
  }

  deleteManifest(digest: Digest): Promise<void> {
    return this.process.call('write', () => this.registry.deleteManifest(digest, this.process));
  }
}

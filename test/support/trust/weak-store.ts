import { BullaError } from '../../../src/errors.ts';
import type { Digest } from '../../../src/oci/digest.ts';
import type { ManifestContent } from '../../../src/oci/manifest.ts';
import { MemoryStore } from '../../../src/oci/memory.ts';
import type { Tag } from '../../../src/oci/reference.ts';
import type { PushManifestOptions } from '../../../src/oci/target.ts';
import { HEAD_TAG, kindOfTag } from '../../../src/trust/format/vocabulary.ts';

/** A store that takes the last write, as registries do, and fails as it is told. */
export class WeakStore extends MemoryStore {
  /** What becomes of the next writes of the head, one after the other. */
  readonly puts: ('well' | 'answer-lost' | 'request-lost' | 'killed')[] = [];
  /** Called between the check and the write of a head: others move it meanwhile. */
  onStall: (() => Promise<void>) | undefined;
  /** Heads that were written, in order. */
  readonly heads: Digest[] = [];
  /** Deleting a tag deletes what it names, as some registries have it. */
  tagsTakeManifestsAlong = false;

  override async pushManifest(content: ManifestContent, options: PushManifestOptions = {}): Promise<void> {
    const { expected, once, ...rest } = options;
    if (options.tag !== HEAD_TAG || expected === undefined) return await super.pushManifest(content, rest);
    if (once !== true) throw new Error('a head must be written once');
    const found = await this.digestOf(HEAD_TAG);
    if (found !== expected) throw new BullaError('conflict', `${found}, not ${expected}`, { hint: 'look' });
    const stall = this.onStall;
    this.onStall = undefined;
    await stall?.();
    const fate = this.puts.shift() ?? 'well';
    if (fate === 'killed') throw new BullaError('interrupted', 'killed', { hint: 'none' });
    if (fate !== 'request-lost') {
      await super.pushManifest(content, rest);
      this.heads.push(content.descriptor.digest);
    }
    if (fate !== 'well') throw new BullaError('timeout', 'no answer', { hint: 'try again' });
  }

  override async deleteTag(tag: Tag): Promise<void> {
    if (this.tagsTakeManifestsAlong) {
      const digest = await this.digestOf(tag);
      if (digest !== null) return await super.deleteManifest(digest);
    }
    await super.deleteTag(tag);
  }

  /** Tags of candidates and stages. */
  async siblings(): Promise<readonly Tag[]> {
    return (await this.listTags()).filter((tag) => ['candidate', 'stage'].includes(kindOfTag(tag) ?? ''));
  }

  async digestOf(tag: Tag): Promise<Digest | null> {
    try {
      return (await this.fetchManifest(tag)).descriptor.digest;
    } catch {
      return null;
    }
  }

  /** Puts something at a tag, as somebody who may push and has no key. */
  async replay(content: ManifestContent, tag: Tag): Promise<void> {
    await super.pushManifest(content, { tag });
  }
}

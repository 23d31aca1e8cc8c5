import { BullaError } from '../../../../src/errors.ts';
import type { Descriptor } from '../../../../src/oci/descriptor.ts';
import { type Digest, isDigest } from '../../../../src/oci/digest.ts';
import { childrenOf, type ManifestContent, parseManifest } from '../../../../src/oci/manifest.ts';
import { isManifestType } from '../../../../src/oci/media-types.ts';
import type { Tag } from '../../../../src/oci/reference.ts';
import { HEAD_TAG } from '../../../../src/trust/format/vocabulary.ts';
import type { Dice } from './dice.ts';
import type { Scheduler } from './scheduler.ts';

/** How a registry differs from others. */
export interface RegistryDialect {
  /** Whether it honours a condition on a PUT; without it the last PUT wins. */
  readonly comparesAndSwaps: boolean;
  /** A listing shows the tags of up to so many milliseconds ago. */
  readonly listingLagMs: number;
  /** Whether it lists in order and begins after `last`. */
  readonly sorts: boolean;
  /** What becomes of the deletion of a tag: it is refused, or takes the manifest and all of its tags along. */
  readonly tagDeletion: 'tag' | 'refused' | 'manifest';
}

/** Who pushed something. */
export interface Pusher {
  readonly name: string;
}

/** Who is told what arrives. */
export interface RegistryObserver {
  blobPushed(digest: Digest, bytes: Uint8Array, by: Pusher): void;
  manifestPushed(content: ManifestContent, tag: Tag | undefined, by: Pusher): void;
  tagMoved(tag: Tag, to: Digest | undefined, by: Pusher): void;
}

interface TagChange {
  readonly at: number;
  readonly tag: Tag;
  readonly isThere: boolean;
}

/** One repository of a registry; each call is one effect at one moment. */
export class SimulatedRegistry {
  readonly dialect: RegistryDialect;
  readonly tags: Map<Tag, Digest> = new Map();
  readonly manifests: Map<Digest, ManifestContent> = new Map();
  readonly blobs: Map<Digest, Uint8Array> = new Map();
  /** Everything that was ever pushed, also what was deleted since. */
  readonly everPushed: ManifestContent[] = [];
  private readonly changes: TagChange[] = [];
  private readonly scheduler: Scheduler;
  private readonly dice: Dice;
  private readonly observer: RegistryObserver;

  constructor(dialect: RegistryDialect, scheduler: Scheduler, dice: Dice, observer: RegistryObserver) {
    this.dialect = dialect;
    this.scheduler = scheduler;
    this.dice = dice;
    this.observer = observer;
  }

  get head(): Digest | undefined {
    return this.tags.get(HEAD_TAG);
  }

  manifest(reference: Tag | Digest): ManifestContent {
    const digest = isDigest(reference) ? reference : this.tags.get(reference);
    const content = digest === undefined ? undefined : this.manifests.get(digest);
    if (content === undefined) throw missing(reference);
    return content;
  }

  blob(digest: Digest): Uint8Array {
    const bytes = this.blobs.get(digest);
    if (bytes === undefined) throw missing(digest);
    return bytes;
  }

  putBlob({ digest }: Descriptor, bytes: Uint8Array, by: Pusher): void {
    if (!this.blobs.has(digest)) this.observer.blobPushed(digest, bytes, by);
    this.blobs.set(digest, bytes);
  }

  putManifest(
    content: ManifestContent,
    tag: Tag | undefined,
    expected: Digest | null | undefined,
    by: Pusher,
  ): void {
    const { digest } = content.descriptor;
    if (!this.manifests.has(digest)) this.checkParts(content);
    if (this.dialect.comparesAndSwaps && expected !== undefined && tag !== undefined)
      this.compare(tag, expected);
    if (!this.manifests.has(digest)) this.everPushed.push(content);
    this.manifests.set(digest, content);
    this.observer.manifestPushed(content, tag, by);
    if (tag === undefined) return;
    this.tags.set(tag, digest);
    this.note(tag, true);
    this.observer.tagMoved(tag, digest, by);
  }

  private checkParts(content: ManifestContent): void {
    for (const child of childrenOf(parseManifest(content))) {
      const isThere = isManifestType(child.mediaType)
        ? this.manifests.has(child.digest)
        : this.blobs.has(child.digest);
      if (!isThere)
        throw new BullaError('content-invalid', `the registry does not have ${child.digest}`, {
          hint: 'what a manifest is made of is pushed before it',
        });
    }
  }

  private compare(tag: Tag, expected: Digest | null): void {
    const present = this.tags.get(tag) ?? null;
    if (present !== expected)
      throw new BullaError('conflict', `${tag} is ${present}, not ${expected}`, { hint: 'look again' });
  }

  /** Tags as of some moment within the lag, so that a later listing can show less than an earlier one. */
  listTags(last: Tag | undefined, until: Tag | undefined): readonly Tag[] {
    const { listingLagMs, sorts } = this.dialect;
    const moment = this.scheduler.now - this.dice.between(0, listingLagMs + 1);
    const tags = new Set(this.tags.keys());
    for (const { at, tag, isThere } of this.changes.toReversed()) {
      if (at <= moment) break;
      if (isThere) tags.delete(tag);
      else tags.add(tag);
    }
    if (!sorts) return [...tags].sort(() => this.dice.fraction() - 0.5);
    return [...tags]
      .filter((tag) => (last === undefined || tag > last) && (until === undefined || tag <= until))
      .sort();
  }

  deleteTag(tag: Tag, by: Pusher): void {
    const digest = this.tags.get(tag);
    if (this.dialect.tagDeletion === 'refused')
      throw new BullaError('registry-error', 'deletion is switched off', { hint: 'switch it on' });
    if (digest === undefined) throw missing(tag);
    if (this.dialect.tagDeletion === 'manifest') this.deleteManifest(digest, by);
    else this.untag(tag, by);
  }

  deleteManifest(digest: Digest, by: Pusher): void {
    if (!this.manifests.delete(digest)) throw missing(digest);
    for (const [tag, target] of this.tags) if (target === digest) this.untag(tag, by);
  }

  private untag(tag: Tag, by: Pusher): void {
    this.tags.delete(tag);
    this.note(tag, false);
    this.observer.tagMoved(tag, undefined, by);
  }

  /** Only changes of what a listing shows: a tag that comes, or goes. */
  private note(tag: Tag, isThere: boolean): void {
    const last = this.changes.findLast((change) => change.tag === tag);
    if (last?.isThere !== isThere) this.changes.push({ at: this.scheduler.now, tag, isThere });
  }
}

function missing(reference: string): BullaError {
  return new BullaError('not-found', `the registry has no ${reference}`, { hint: 'check the name' });
}

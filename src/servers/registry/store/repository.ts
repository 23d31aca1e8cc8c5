import type { Digest } from '../../../oci/digest.ts';
import type { AnnotationsPlace } from './annotations.ts';
import { SortedSet } from './sorted-set.ts';

/** What is kept in memory of a manifest; the rest is in its file. */
export interface ManifestEntry {
  readonly digest: Digest;
  readonly mediaType: string;
  /** In bytes. */
  readonly size: number;
  /** As the referrers API reports it: the manifest's own, else its config's media type. */
  readonly artifactType?: string | undefined;
  readonly subject?: Digest | undefined;
  /** Of one with a subject: where its annotations are, which are listed with it. */
  readonly listed?: AnnotationsPlace | undefined;
}

/** A change of a repository, as it stands in the journal. */
export type RepositoryChange =
  | { readonly op: 'put'; readonly manifest: ManifestEntry; readonly tags: readonly string[] }
  | { readonly op: 'untag'; readonly tag: string }
  | { readonly op: 'remove'; readonly digest: Digest };

/** Manifests, tags and referrers of one repository, in memory, so that no listing reads the disk. */
export class RepositoryIndex {
  readonly manifests: Map<Digest, ManifestEntry> = new Map<Digest, ManifestEntry>();
  readonly tagNames: SortedSet = new SortedSet();
  private readonly tags = new Map<string, Digest>();
  private readonly tagsByManifest = new Map<Digest, Set<string>>();
  private readonly referrersBySubject = new Map<Digest, SortedSet>();

  /** Digest that a tag names. */
  tag(name: string): Digest | undefined {
    return this.tags.get(name);
  }

  tagsOf(digest: Digest): ReadonlySet<string> {
    return this.tagsByManifest.get(digest) ?? NO_TAGS;
  }

  /** Digests of the manifests whose subject is `subject`, in byte order. */
  referrersOf(subject: Digest): SortedSet | undefined {
    return this.referrersBySubject.get(subject);
  }

  /** Doing the same changes again, in the same order, changes nothing: a replay may overlap. */
  apply(change: RepositoryChange): void {
    if (change.op === 'put') this.put(change.manifest, change.tags);
    else if (change.op === 'untag') this.untag(change.tag);
    else this.remove(change.digest);
  }

  private put(manifest: ManifestEntry, tags: readonly string[]): void {
    const known = this.manifests.get(manifest.digest);
    if (known?.subject !== undefined) this.forgetReferrer(known.digest, known.subject);
    this.manifests.set(manifest.digest, manifest);
    if (manifest.subject !== undefined) {
      const referrers = this.referrersBySubject.get(manifest.subject);
      if (referrers === undefined)
        this.referrersBySubject.set(manifest.subject, new SortedSet([manifest.digest]));
      else referrers.add(manifest.digest);
    }
    for (const tag of tags) {
      this.untag(tag);
      this.tags.set(tag, manifest.digest);
      this.tagNames.add(tag);
      const names = this.tagsByManifest.get(manifest.digest);
      if (names === undefined) this.tagsByManifest.set(manifest.digest, new Set([tag]));
      else names.add(tag);
    }
  }

  private untag(tag: string): void {
    const digest = this.tags.get(tag);
    if (digest === undefined) return;
    this.tags.delete(tag);
    this.tagNames.delete(tag);
    const names = this.tagsByManifest.get(digest);
    names?.delete(tag);
    if (names?.size === 0) this.tagsByManifest.delete(digest);
  }

  private remove(digest: Digest): void {
    for (const tag of [...this.tagsOf(digest)]) this.untag(tag);
    const manifest = this.manifests.get(digest);
    this.manifests.delete(digest);
    if (manifest?.subject !== undefined) this.forgetReferrer(digest, manifest.subject);
  }

  private forgetReferrer(digest: Digest, subject: Digest): void {
    const referrers = this.referrersBySubject.get(subject);
    referrers?.delete(digest);
    if (referrers?.size === 0) this.referrersBySubject.delete(subject);
  }
}

const NO_TAGS: ReadonlySet<string> = new Set();

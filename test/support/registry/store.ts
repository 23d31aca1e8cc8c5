import { createHash } from 'node:crypto';

export interface StoredManifest {
  readonly bytes: Buffer;
  readonly mediaType: string;
}

/** What one repository holds; tests may put in whatever they like. */
export class StoredRepository {
  readonly blobs: Map<string, Buffer> = new Map();
  readonly manifests: Map<string, StoredManifest> = new Map();
  readonly tags: Map<string, string> = new Map();
  /** What a tag was before the last write, for stale reads. */
  readonly before: Map<string, string | undefined> = new Map();
  /** Digests of referrers by subject, in the order of pushing. */
  readonly referrers: Map<string, Set<string>> = new Map();
  readonly uploads: Map<string, Buffer[]> = new Map();

  putBlob(bytes: Uint8Array): string {
    const digest = sha256(bytes);
    this.blobs.set(digest, Buffer.from(bytes));
    return digest;
  }

  putManifest(bytes: Uint8Array, mediaType: string, tag?: string): string {
    const digest = sha256(bytes);
    this.manifests.set(digest, { bytes: Buffer.from(bytes), mediaType });
    if (tag !== undefined) this.setTag(tag, digest);
    return digest;
  }

  setTag(tag: string, digest: string): void {
    this.before.set(tag, this.tags.get(tag));
    this.tags.set(tag, digest);
  }

  list(subject: string, digest: string): void {
    const set = this.referrers.get(subject) ?? new Set();
    set.add(digest);
    this.referrers.set(subject, set);
  }

  deleteManifest(digest: string): void {
    this.manifests.delete(digest);
    for (const [tag, target] of this.tags) if (target === digest) this.tags.delete(tag);
    for (const set of this.referrers.values()) set.delete(digest);
  }

  /** Descriptors of what refers to `subject`, as the referrers API gives them. */
  referrersOf(subject: string): Record<string, unknown>[] {
    return [...(this.referrers.get(subject) ?? [])].flatMap((digest) => {
      const stored = this.manifests.get(digest);
      if (stored === undefined) return [];
      const manifest = JSON.parse(stored.bytes.toString());
      return [
        {
          mediaType: stored.mediaType,
          digest,
          size: stored.bytes.length,
          artifactType: manifest.artifactType ?? manifest.config?.mediaType,
          annotations: manifest.annotations,
        },
      ];
    });
  }
}

export function sha256(bytes: Uint8Array): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}

export function digestLike(digest: string, bytes: Uint8Array): string {
  const algorithm = digest.startsWith('sha512:') ? 'sha512' : 'sha256';
  return `${algorithm}:${createHash(algorithm).update(bytes).digest('hex')}`;
}

import type { Digest } from '../../../oci/digest.ts';

/**
 * Keeps content from being removed between the moment when a push found it there and the moment when
 * the manifest that refers to it is visible. All decisions are made without an await in between.
 */
export class Pins {
  private readonly counts = new Map<Digest, number>();
  private readonly removals = new Map<Digest, Promise<unknown>>();
  private readonly recorders = new Set<Set<Digest>>();

  /** Runs `work` while none of `digests` can be removed; removals that have begun are waited for first. */
  async hold<T>(digests: readonly Digest[], work: () => Promise<T>): Promise<T> {
    for (const digest of digests) {
      this.counts.set(digest, (this.counts.get(digest) ?? 0) + 1);
      for (const recorder of this.recorders) recorder.add(digest);
    }
    try {
      for (const digest of digests) await this.removals.get(digest);
      return await work();
    } finally {
      for (const digest of digests) {
        const count = (this.counts.get(digest) ?? 1) - 1;
        if (count === 0) this.counts.delete(digest);
        else this.counts.set(digest, count);
      }
    }
  }

  /** Runs `work` with a set to which everything is added that is held from now on. */
  async recording<T>(work: (held: Set<Digest>) => Promise<T>): Promise<T> {
    const recorder = new Set<Digest>(this.counts.keys());
    this.recorders.add(recorder);
    try {
      return await work(recorder);
    } finally {
      this.recorders.delete(recorder);
    }
  }

  /** Runs `remove` unless something holds the content; undefined where it was not run. */
  async remove<T>(digest: Digest, remove: () => Promise<T>): Promise<{ readonly result: T } | undefined> {
    if (this.counts.has(digest) || this.removals.has(digest)) return undefined;
    const removal = remove();
    // Other callers only wait for the end; the failure is reported to this caller.
    this.removals.set(
      digest,
      removal.catch(() => undefined),
    );
    try {
      return { result: await removal };
    } finally {
      this.removals.delete(digest);
    }
  }
}

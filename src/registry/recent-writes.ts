import type { Digest } from '../oci/digest.ts';
import { isDigest } from '../oci/digest.ts';
import type { Tag } from '../oci/reference.ts';

/** How long a cache or a lagging replica may show what was there before a write, in milliseconds. */
export const STALE_MS = 8_000;
/** Tags and manifests that are remembered; the oldest go. */
const MAX_REMEMBERED = 2_000;
/** Earlier values of one tag that are remembered. */
const MAX_EARLIER = 64;
/** Tags of waiting changes: once such a tag was seen, others may remove it at any time. */
const REMOVABLE = /^_trust\./;

interface Written {
  readonly digest: Digest;
  readonly at: number;
  /** What was seen at the tag before. */
  readonly earlier: ReadonlySet<Digest>;
}

/**
 * What this process wrote, or saw, a moment ago, so that an answer from before that is told from one that is true: "not found"
 * for what was just stored, and for a tag what it was known to name before. Times are milliseconds since the epoch.
 */
export class RecentWrites {
  private readonly written = new Map<string, Written>();
  private readonly seen = new Map<string, Set<Digest>>();
  /** When a blob was last stored, or seen to be there. */
  private readonly blobs = new Map<string, number>();

  /** A tag, or a digest, was stored. */
  noteWritten(repository: string, reference: Tag | Digest, digest: Digest, now: number): void {
    const key = `${repository} ${reference}`;
    const earlier = new Set(this.seen.get(key));
    earlier.delete(digest);
    this.remember(key, digest);
    this.written.delete(key);
    this.written.set(key, { digest, at: now, earlier });
    trim(this.written);
  }

  /** A blob was stored, or seen to be there. */
  noteBlob(repository: string, digest: Digest, now: number): void {
    const key = `${repository} ${digest}`;
    this.blobs.delete(key);
    this.blobs.set(key, now);
    trim(this.blobs);
  }

  /** Whether a blob was there a moment ago: it need not be asked for, or sent, before a manifest names it. */
  hasBlob(repository: string, digest: Digest, now: number): boolean {
    const at = this.blobs.get(`${repository} ${digest}`);
    return at !== undefined && now >= at && now < at + STALE_MS;
  }

  /** A tag or a digest was removed, or is about to be: from now on it may be absent. */
  noteRemoved(repository: string, reference: Tag | Digest): void {
    // Some registries remove blobs along with the last manifest that names them.
    for (const key of this.blobs.keys()) if (key.startsWith(`${repository} `)) this.blobs.delete(key);
    // Some registries remove the manifest together with its tag.
    const digest = this.written.get(`${repository} ${reference}`)?.digest;
    if (digest !== undefined) this.written.delete(`${repository} ${digest}`);
    for (const [key, { digest }] of this.written) {
      if (key === `${repository} ${reference}`) this.written.delete(key);
      else if (digest === reference && key.startsWith(`${repository} `)) this.written.delete(key);
    }
  }

  /** Takes note of an answer. @param found null where it was "not found" */
  noteSeen(repository: string, reference: Tag | Digest, found: Digest | null): void {
    if (found === null || isDigest(reference)) return;
    const key = `${repository} ${reference}`;
    this.remember(key, found);
    if (REMOVABLE.test(reference) && this.written.get(key)?.digest === found) this.written.delete(key);
  }

  /**
   * Whether an answer is from before a write of ours.
   * @returns for how long it may be so, in milliseconds; 0 where that time is over and what was stored is still not
   *   there; undefined where the answer can be true
   */
  staleFor(
    repository: string,
    reference: Tag | Digest,
    found: Digest | null,
    now: number,
  ): number | undefined {
    const written = this.written.get(`${repository} ${reference}`);
    if (written === undefined || found === written.digest) return undefined;
    if (found !== null && !written.earlier.has(found)) return undefined;
    // A clock that was put back tells nothing about how long ago it was.
    if (now < written.at) return undefined;
    const left = written.at + STALE_MS - now;
    if (left > 0) return left;
    // Another client may have restored it on purpose, but a removal so soon is unlikely.
    return found === null && left > -STALE_MS ? 0 : undefined;
  }

  private remember(key: string, digest: Digest): void {
    const values = this.seen.get(key) ?? new Set();
    values.delete(digest);
    values.add(digest);
    const [oldest] = values;
    if (values.size > MAX_EARLIER && oldest !== undefined) values.delete(oldest);
    this.seen.delete(key);
    this.seen.set(key, values);
    trim(this.seen);
  }
}

function trim(map: Map<string, unknown>): void {
  const [oldest] = map.keys();
  if (map.size > MAX_REMEMBERED && oldest !== undefined) map.delete(oldest);
}

import type { ErrorCode } from '../../errors.ts';
import type { Digest } from '../../oci/digest.ts';

/** What was done to a collection. */
export type Work =
  /** It was fresh, and nothing waited. */
  | 'fresh'
  /** Snapshot and timestamp were re-signed. */
  | 'renewed'
  /** Staged changes were taken in. */
  | 'folded'
  /** A newer head that was there already, and had been buried, was put back. */
  | 'healed';

/** A change that could not be taken over by machine. */
export interface Conflict {
  readonly id: string;
  readonly names: readonly string[];
  /** `names`, `old`, or why a folder without the role's key has to leave it. */
  readonly reason: string;
}

/** A collection after one pass over it. */
export interface RenewedCollection {
  /** Digest of the head that was read back. */
  readonly head: Digest;
  readonly work: Work;
  /** Changes of names that were taken in. */
  readonly folded: number;
  readonly conflicts: readonly Conflict[];
  /** When the metadata of each role expires, bins left out. */
  readonly expiries: ReadonlyMap<string, Date>;
  /** When it is to be re-signed, before any jitter. */
  readonly renewAt: Date;
  /** What snapshot and timestamp live when they are new, in milliseconds. */
  readonly lifetimeMs: number;
  /** What had replaced the head, and was replaced by it. */
  readonly buriedBy?: string | undefined;
  /** Tags that were made on the way, so that they are not mistaken for other publishers' tags. */
  readonly ownTags?: readonly string[] | undefined;
}

/** How a step over a collection ended. */
export type Outcome =
  /** One look, and nothing had changed. */
  | { readonly kind: 'idle' }
  /** There is no collection, and none was ever seen. */
  | { readonly kind: 'absent' }
  | { readonly kind: 'passed'; readonly freshness: RenewedCollection }
  | { readonly kind: 'failed'; readonly failure: Failure };

/** Why a step failed. */
export interface Failure {
  readonly code: ErrorCode;
  readonly message: string;
  readonly hint?: string | undefined;
  /** `missing-head`, `binding`, …; as in the error's details. */
  readonly reason?: string | undefined;
  readonly role?: string | undefined;
  /** What the registry asked us to wait, in milliseconds. */
  readonly retryAfterMs?: number | undefined;
  /** The registry's status, where it answered. */
  readonly status?: number | undefined;
  /** It used up its own time, which says nothing about the registry. */
  readonly isOverBudget?: boolean | undefined;
}

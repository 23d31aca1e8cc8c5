import type { Digest } from '../../oci/digest.ts';
import type { EditPolicy } from '../../tuf/edit/policy.ts';
import type { TufSigner } from '../../tuf/edit/signing.ts';
import type { LeftChange } from '../candidates/intake.ts';
import type { RefusedSibling } from '../candidates/siblings.ts';
import type { FoldConflict } from '../change/fold.ts';
import type { LogEntry } from '../format/log.ts';
import type { Clock, Random } from '../format/ports.ts';
import type { Collection } from '../read/collection.ts';
import type { SignerState } from './signer-state.ts';

/** With what a collection is changed. */
export interface PublishOptions {
  readonly clock: Clock;
  readonly chance: Random;
  /** Every available key; the collection determines which of them are used. */
  readonly signers: readonly TufSigner[];
  readonly state: SignerState;
  /** Lifetimes, for the most part: versions are always collision-free. */
  readonly policy?: Partial<EditPolicy> | undefined;
  /** How long a staged change is waited for, in milliseconds; 60 s if left out. */
  readonly wait?: number | undefined;
  /** An accepted head, although its timestamp has expired: the user has checked it. */
  readonly trustServedHead?: Digest | undefined;
  /** The registry's own time, where it has told it: for what may be removed. The clock's if left out. */
  readonly registryNow?: (() => Date | undefined) | undefined;
  /**
   * What a change of roles may include from others, because the user was shown it: ids of entries, and of staged
   * changes of roles. All that keys have signed which keep their trust if left out.
   */
  readonly intake?: ReadonlySet<string> | undefined;
  /** Remove what is old and folded; true if left out. */
  readonly cleanUp?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((message: string) => void) | undefined;
  readonly onWarning?: ((message: string) => void) | undefined;
}

/** What a publish ended with. */
export interface Published {
  /** Digest of the head that was read back. */
  readonly head: Digest;
  readonly collection: Collection;
  /** Ids of the caller's changes, all of them in the head. */
  readonly ids: readonly string[];
  readonly rounds: number;
  /** Changes of others that were taken over. */
  readonly folded: readonly LogEntry[];
  /** Changes of others that cannot be taken over by machine. */
  readonly conflicts: readonly FoldConflict[];
  /** Candidates and stages that cannot be used here, and why. */
  readonly refused: readonly RefusedSibling[];
  /** Changes of others that a change of roles did not take in. */
  readonly left: readonly LeftChange[];
}

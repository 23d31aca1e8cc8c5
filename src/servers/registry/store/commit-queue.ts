import type { JsonObject } from '../../../encoding/json.ts';
import type { Digest } from '../../../oci/digest.ts';
import type { Journal } from './journal.ts';
import type { RepositoryChange, RepositoryIndex } from './repository.ts';

/** What a tag will name when everything before this change is done; undefined where it names nothing. */
export type TagView = (tag: string) => Digest | undefined;

/** A change that waits for its turn. */
export interface Commit {
  readonly repository: string;
  readonly index: RepositoryIndex;
  readonly change: RepositoryChange;
  /** Called when it is this change's turn; what it throws is the outcome, and nothing is changed. */
  readonly check?: ((tag: TagView) => void) | undefined;
  /** Called when the change is durable and visible. */
  readonly applied: () => void;
}

interface Waiting extends Commit {
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

const MAX_BATCH = 512;

/**
 * Puts all changes of all repositories in one order. Whatever waits goes into the journal with one
 * fsync, and only then becomes visible: readers never see what a crash could take back, and a
 * condition (`check`) holds at exactly the place in the order where its change stands.
 */
export class CommitQueue {
  private readonly journal: Journal;
  private waiting: Waiting[] = [];
  private between: (() => Promise<void>)[] = [];
  private worker: Promise<void> | undefined;

  constructor(journal: Journal) {
    this.journal = journal;
  }

  /** Resolves when the change is durable and visible. */
  commit(commit: Commit): Promise<void> {
    return new Promise((resolve, reject) => {
      this.waiting.push({ ...commit, resolve, reject });
      this.wake();
    });
  }

  /** Runs `work` while no change is being written. */
  pause<T>(work: () => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      this.between.push(() => work().then(resolve, reject));
      this.wake();
    });
  }

  /** Resolves when nothing waits. */
  async drain(): Promise<void> {
    while (this.worker !== undefined) await this.worker;
  }

  private wake(): void {
    this.worker ??= this.work().finally(() => {
      this.worker = undefined;
      if (this.waiting.length > 0 || this.between.length > 0) this.wake();
    });
  }

  private async work(): Promise<void> {
    while (this.waiting.length > 0 || this.between.length > 0) {
      const pauses = this.between;
      this.between = [];
      for (const pause of pauses) await pause();
      await this.writeBatch(this.nextBatch());
    }
  }

  /** The changes that are next and whose condition holds, in order. */
  private nextBatch(): Waiting[] {
    const batch: Waiting[] = [];
    const ahead = new Map<RepositoryIndex, Map<string, Digest | undefined>>();
    let taken = 0;
    for (const waiting of this.waiting) {
      if (taken === MAX_BATCH) break;
      // A removal takes tags by what they name, so it sees, and leaves, nothing half-way: a batch of its own.
      if (waiting.change.op === 'remove' && batch.length > 0) break;
      taken++;
      const tags = ahead.get(waiting.index) ?? new Map<string, Digest | undefined>();
      ahead.set(waiting.index, tags);
      try {
        waiting.check?.((tag) => (tags.has(tag) ? tags.get(tag) : waiting.index.tag(tag)));
      } catch (error) {
        waiting.reject(error);
        continue;
      }
      batch.push(waiting);
      const { change } = waiting;
      if (change.op === 'put') for (const tag of change.tags) tags.set(tag, change.manifest.digest);
      if (change.op === 'untag') tags.set(change.tag, undefined);
      if (change.op === 'remove') break;
    }
    this.waiting = this.waiting.slice(taken);
    return batch;
  }

  private async writeBatch(batch: readonly Waiting[]): Promise<void> {
    if (batch.length === 0) return;
    try {
      await this.journal.append(
        batch.map(({ repository, change }) => ({ repository, ...change }) as unknown as JsonObject),
      );
    } catch (error) {
      for (const waiting of batch) waiting.reject(error);
      return;
    }
    for (const waiting of batch) {
      waiting.index.apply(waiting.change);
      waiting.applied();
      waiting.resolve();
    }
  }
}

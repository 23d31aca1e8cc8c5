import type { Digest } from '../oci/digest.ts';
import type { IndexChange } from './files.ts';
import type { LayoutIndex } from './index-file.ts';

type Step = (index: LayoutIndex) => Promise<IndexChange>;

interface Waiting {
  readonly step: Step;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** Applies many changes of one index in one go, each seeing what those before it did. */
export class ChangeQueue {
  private readonly apply: (step: Step) => Promise<void>;
  private waiting: Waiting[] = [];
  private isRunning = false;

  /** @param apply takes the lock, runs a step over the index as it is, and stores what comes of it */
  constructor(apply: (step: Step) => Promise<void>) {
    this.apply = apply;
  }

  /** Resolves when the change is stored. A step that throws fails alone. */
  add(step: Step): Promise<void> {
    return new Promise((resolve, reject) => {
      this.waiting.push({ step, resolve, reject });
      if (!this.isRunning) void this.run();
    });
  }

  private async run(): Promise<void> {
    this.isRunning = true;
    while (this.waiting.length > 0) {
      const batch = this.waiting;
      this.waiting = [];
      await this.runBatch(batch);
    }
    this.isRunning = false;
  }

  private async runBatch(batch: readonly Waiting[]): Promise<void> {
    const applied: Waiting[] = [];
    try {
      await this.apply(async (before) => {
        let index = before;
        const remove: Digest[] = [];
        for (const one of batch) {
          try {
            const change = await one.step(index);
            index = change.index;
            remove.push(...(change.remove ?? []));
            applied.push(one);
          } catch (error) {
            one.reject(error);
          }
        }
        return { index, remove };
      });
      for (const one of applied) one.resolve();
    } catch (error) {
      for (const one of batch) one.reject(error);
    }
  }
}

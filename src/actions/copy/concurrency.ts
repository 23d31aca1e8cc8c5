import { setMaxListeners } from 'node:events';
import { throwIfAborted } from '../../errors.ts';

/** A semaphore: at most so many pieces of work run at once, the others wait in line. */
export class Limiter {
  private free: number;
  private readonly waiting: (() => void)[] = [];

  constructor(places: number) {
    this.free = places;
  }

  /** Runs `work` when a place is free. */
  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.free > 0) this.free--;
    else await new Promise<void>((resolve) => this.waiting.push(resolve));
    try {
      return await work();
    } finally {
      const next = this.waiting.shift();
      if (next === undefined) this.free++;
      else next();
    }
  }
}

/** Results of `work` for each item in the items' order, at most `places` at the same time. */
export async function mapConcurrently<T, R>(
  items: readonly T[],
  places: number,
  work: (item: T) => Promise<R>,
): Promise<R[]> {
  const limiter = new Limiter(places);
  return Promise.all(items.map((item) => limiter.run(() => work(item))));
}

/**
 * Work that belongs together: at most so many pieces at once, and all of it ends when one fails or the
 * caller says so.
 */
export class Pool {
  private readonly controller = new AbortController();
  private readonly limiter: Limiter;
  private failure: { readonly error: unknown } | undefined;

  /** @param places how many pieces at once, or the places that it shares with other pools */
  constructor(places: number | Limiter) {
    // Every request under way listens to it: more than Node expects, and no leak.
    setMaxListeners(0, this.controller.signal);
    this.limiter = typeof places === 'number' ? new Limiter(Math.max(1, places)) : places;
  }

  /** For whatever a piece calls. */
  get signal(): AbortSignal {
    return this.controller.signal;
  }

  /** Ends everything, for this reason. */
  stop(reason: unknown): void {
    this.controller.abort(reason);
  }

  /**
   * Runs a piece when its turn comes. It must not wait for another piece of the same pool.
   * @throws what the piece throws; BullaError interrupted once the pool was stopped
   */
  async run<T>(piece: () => Promise<T>): Promise<T> {
    return await this.limiter.run(async () => {
      throwIfAborted(this.signal);
      return await piece();
    });
  }

  /**
   * Waits for all of them. When one fails, the others are told to end and are waited for, so that
   * nothing goes on behind the caller's back.
   * @throws the first error that any piece of this pool ended with: the others follow from it
   */
  async all<T>(pieces: Iterable<Promise<T>>): Promise<T[]> {
    const failed = (error: unknown): void => {
      this.failure ??= { error };
      this.stop(error);
    };
    const results: T[] = [];
    await Promise.all([...pieces].map((piece, at) => piece.then((value) => (results[at] = value), failed)));
    if (this.failure !== undefined) throw this.failure.error;
    return results;
  }
}

/** A number of places: who asks for one when all are taken waits for its turn. */
export class Limiter {
  private free: number;
  private readonly waiting: (() => void)[] = [];

  constructor(places: number) {
    this.free = places;
  }

  /** Runs `work` when there is a place for it. */
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

/** Runs work for the same key one piece after another, within this process. */
export class KeyedMutex {
  private readonly last = new Map<string, Promise<void>>();

  /** Runs `work` when all earlier work for `key` has ended, well or not. */
  async take<T>(key: string, work: () => Promise<T>): Promise<T> {
    const before = this.last.get(key);
    let done = (): void => undefined;
    const mine = new Promise<void>((resolve) => {
      done = resolve;
    });
    this.last.set(key, mine);
    await before;
    try {
      return await work();
    } finally {
      if (this.last.get(key) === mine) this.last.delete(key);
      done();
    }
  }
}

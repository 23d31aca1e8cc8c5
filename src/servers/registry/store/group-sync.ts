/**
 * Shares one costly sync among all who asked for it before it began: an fsync that starts after a
 * write covers it, so n writers wait for two syncs at most, not for n.
 */
export class GroupSync {
  private readonly sync: () => Promise<void>;
  private running: Promise<void> | undefined;
  private next: Promise<void> | undefined;

  constructor(sync: () => Promise<void>) {
    this.sync = sync;
  }

  /** Resolves when a sync has ended that began after this call. */
  request(): Promise<void> {
    if (this.running === undefined) return this.start();
    this.next ??= this.running.then(
      () => this.start(),
      () => this.start(),
    );
    return this.next;
  }

  get idle(): boolean {
    return this.running === undefined && this.next === undefined;
  }

  private start(): Promise<void> {
    this.next = undefined;
    const running = this.sync().finally(() => {
      if (this.running === running) this.running = undefined;
    });
    this.running = running;
    return running;
  }
}

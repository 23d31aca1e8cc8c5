interface Event {
  readonly at: number;
  readonly run: () => void;
}

/**
 * Virtual time. Between two events everything that can go on without waiting goes on, so an order of
 * events is a schedule, and the same seed gives the same one. No real clock is read and nothing is slept.
 */
export class Scheduler {
  /** Milliseconds since 1970. */
  now: number;
  events = 0;
  private readonly queue: Event[] = [];

  constructor(start: Date) {
    this.now = start.getTime();
  }

  /** What is asked for one moment happens in the order in which it was asked for. */
  at(time: number, run: () => void): void {
    const event = { at: Math.max(time, this.now), run };
    let low = 0;
    let high = this.queue.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.queue[middle] as Event).at <= event.at) low = middle + 1;
      else high = middle;
    }
    this.queue.splice(low, 0, event);
  }

  after(ms: number, run: () => void): void {
    this.at(this.now + ms, run);
  }

  /**
   * Goes on until nothing is left to happen.
   * @returns whether it came to its end within so many events
   */
  async run(maxEvents: number): Promise<boolean> {
    await settle();
    for (let event = this.queue.shift(); event !== undefined; event = this.queue.shift()) {
      if (this.events++ > maxEvents) return false;
      this.now = event.at;
      event.run();
      await settle();
    }
    return true;
  }
}

/** Lets promises run on until all of them wait for an event. */
function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

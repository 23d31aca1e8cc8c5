import { interruption } from '../../../src/http/failure.ts';
import type { Clock } from '../../../src/trust/format/ports.ts';

interface Timer {
  readonly at: number;
  readonly wake: () => void;
}

/** A clock that goes on only where a test lets it, and then from one thing that waits to the next. */
export class VirtualTime implements Clock {
  /** What the wall clock is wrong by, in milliseconds. */
  shift = 0;
  private readonly start: number;
  private at = 0;
  private readonly timers = new Set<Timer>();

  constructor(start: Date = new Date('2030-01-01T00:00:00Z')) {
    this.start = start.getTime();
  }

  now(): Date {
    return new Date(this.start + this.at + this.shift);
  }

  readonly monotonic = (): number => this.at;

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted === true) return reject(interruption(signal));
      const onAbort = (): void => {
        this.timers.delete(timer);
        reject(interruption(signal as AbortSignal));
      };
      const wake = (): void => {
        signal?.removeEventListener('abort', onAbort);
        resolve();
      };
      const timer = { at: this.at + Math.max(0, ms), wake };
      this.timers.add(timer);
      signal?.addEventListener('abort', onAbort, { once: true });
    });
  }

  /** Lets so much time pass. */
  async pass(ms: number): Promise<void> {
    const end = this.at + ms;
    for (;;) {
      await settled();
      let next: Timer | undefined;
      for (const timer of this.timers) if (next === undefined || timer.at < next.at) next = timer;
      if (next === undefined || next.at > end) break;
      this.timers.delete(next);
      this.at = Math.max(this.at, next.at);
      next.wake();
    }
    this.at = end;
    await settled();
  }

  /** Lets time pass while something is awaited. */
  async until<T>(work: Promise<T>, stepMs = 100): Promise<T> {
    let isDone = false;
    const watched = work.finally(() => {
      isDone = true;
    });
    watched.catch(() => undefined);
    await settled();
    while (!isDone) await this.pass(stepMs);
    return await watched;
  }
}

/** All that can go on without time passing has gone on. */
function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

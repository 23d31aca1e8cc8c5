import { utf8 } from '../encoding/bytes.ts';
import { messageOf } from '../errors.ts';
import type { HttpPool } from '../http/pool.ts';
import { nextDelay, REAL_TIMING, type RetryPolicy, type Timing } from '../http/retry.ts';

/** Where alarms go. */
export interface AlarmSink<E> {
  send(events: readonly E[]): void;
  /** Delivers what waits, for at most so long. */
  close(graceMs: number): Promise<void>;
}

const POLICY: RetryPolicy = {
  tries: 6,
  baseMs: 1_000,
  maxMs: 60_000,
  retryAfterCapMs: 300_000,
  totalMs: 600_000,
};
const MAX_WAITING = 1_000;
const MAX_PER_DELIVERY = 50;
const ANSWER_MS = 10_000;
/**
 * Posts alarms to one URL of the configuration, in order, each a bounded number of times. What comes while
 * it cannot be reached waits; when too much waits, the oldest goes.
 */
export class Webhook<E> implements AlarmSink<E> {
  private readonly url: URL;
  private readonly headers: Readonly<Record<string, string>>;
  private readonly pool: HttpPool;
  private readonly timing: Timing;
  private readonly problem: (message: string) => void;
  private readonly bodyOf: (events: readonly E[]) => unknown;
  private readonly stopping = new AbortController();
  private waiting: E[] = [];
  private worker: Promise<void> | undefined;

  /** @param bodyOf what is posted, as JSON */
  constructor(
    target: { readonly url: URL; readonly headers: Readonly<Record<string, string>> },
    pool: HttpPool,
    problem: (message: string) => void,
    bodyOf: (events: readonly E[]) => unknown,
    timing: Timing = REAL_TIMING,
  ) {
    this.url = target.url;
    this.headers = target.headers;
    this.pool = pool;
    this.problem = problem;
    this.bodyOf = bodyOf;
    this.timing = timing;
  }

  send(events: readonly E[]): void {
    if (events.length === 0) return;
    this.waiting.push(...events);
    const surplus = this.waiting.length - MAX_WAITING;
    if (surplus > 0) {
      this.waiting.splice(0, surplus);
      this.problem(`${surplus} alarms were dropped: the webhook takes none`);
    }
    this.worker ??= this.deliverAll().finally(() => {
      this.worker = undefined;
    });
  }

  async close(graceMs: number): Promise<void> {
    const timer = setTimeout(() => this.stopping.abort(), graceMs);
    await this.worker;
    clearTimeout(timer);
  }

  private async deliverAll(): Promise<void> {
    while (this.waiting.length > 0 && !this.stopping.signal.aborted)
      await this.deliver(this.waiting.splice(0, MAX_PER_DELIVERY));
  }

  private async deliver(events: readonly E[]): Promise<void> {
    const body = utf8(JSON.stringify(this.bodyOf(events)));
    const began = this.timing.now();
    for (let attempt = 1; ; attempt++) {
      const failure = await this.post(body);
      if (failure === undefined) return;
      const elapsedMs = this.timing.now() - began;
      const delay = nextDelay(POLICY, { attempt, elapsedMs }, this.timing.random);
      // The path of a webhook may be its secret.
      this.problem(`${this.url.origin} did not take ${events.length} alarms: ${failure}`);
      if (delay === undefined || this.stopping.signal.aborted) return;
      await this.timing.sleep(delay, this.stopping.signal).catch(() => undefined);
    }
  }

  /** @returns why it failed */
  private async post(body: Uint8Array): Promise<string | undefined> {
    const late = new AbortController();
    const timer = setTimeout(() => late.abort(), ANSWER_MS);
    const stop = (): void => late.abort();
    this.stopping.signal.addEventListener('abort', stop, { once: true });
    try {
      const response = await this.pool.send({
        method: 'POST',
        url: this.url,
        headers: { ...this.headers, 'content-type': 'application/json' },
        body,
        signal: late.signal,
      });
      await response.body.discard();
      // A redirect is not followed: the alarm has not arrived.
      return response.status >= 200 && response.status < 300 ? undefined : `it answered ${response.status}`;
    } catch (error) {
      return late.signal.aborted ? 'it did not answer in time' : messageOf(error);
    } finally {
      clearTimeout(timer);
      this.stopping.signal.removeEventListener('abort', stop);
    }
  }
}

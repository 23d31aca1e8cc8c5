import { setMaxListeners } from 'node:events';
import type { ResignQueue, StepResult, Ticket } from '../../actions/renew/queue.ts';
import type { Steps } from '../../actions/renew/step.ts';

export interface LoopPorts {
  /** Milliseconds of a clock that never goes back. */
  readonly monotonic: () => number;
  sleep(ms: number, signal: AbortSignal): Promise<void>;
  readonly ended: (ticket: Ticket, result: StepResult, tookMs: number) => void;
}

/** Longest that nothing is looked at, in milliseconds. */
const LONGEST_SLEEP_MS = 60_000;

/** Serves each collection when it is due, until it is stopped. */
export class ResignLoop {
  private readonly queue: ResignQueue;
  private readonly steps: Steps;
  private readonly ports: LoopPorts;
  private readonly running = new Set<Promise<void>>();
  private readonly stopping = new AbortController();
  private isActive = true;
  private isStopped = false;
  private alarm: AbortController | undefined;
  private finished: Promise<void> | undefined;

  constructor(queue: ResignQueue, steps: Steps, ports: LoopPorts) {
    this.queue = queue;
    this.steps = steps;
    this.ports = ports;
    // Every step that is under way listens.
    setMaxListeners(0, this.stopping.signal);
  }

  get busy(): number {
    return this.running.size;
  }

  start(): void {
    this.finished ??= this.run();
  }

  /** Something changed that may make a collection due. */
  nudge(): void {
    this.alarm?.abort();
  }

  /** Whether it may work: a standby waits. What is under way ends by itself. */
  activate(isActive: boolean): void {
    this.isActive = isActive;
    this.nudge();
  }

  /** Begins nothing any more, and gives what is under way some time to end. */
  async stop(graceMs: number): Promise<void> {
    this.isStopped = true;
    this.nudge();
    const timer = setTimeout(() => this.stopping.abort(), graceMs);
    await this.finished;
    await Promise.all(this.running);
    clearTimeout(timer);
    this.stopping.abort();
  }

  private async run(): Promise<void> {
    while (!this.isStopped) {
      this.alarm = new AbortController();
      const now = this.ports.monotonic();
      if (this.isActive)
        for (let ticket = this.queue.take(now); ticket !== undefined; ticket = this.queue.take(now))
          this.begin(ticket);
      const next = this.isActive ? this.queue.nextAt(now) : undefined;
      const pause = Math.min(LONGEST_SLEEP_MS, Math.max(0, (next ?? Infinity) - this.ports.monotonic()));
      if (this.isStopped) break;
      await this.ports.sleep(pause, this.alarm.signal).catch(() => undefined);
    }
  }

  private begin(ticket: Ticket): void {
    const work = this.steps.step(ticket.place, this.stopping.signal).then((result) => {
      const now = this.ports.monotonic();
      this.running.delete(work);
      this.queue.done(ticket, result, now);
      this.ports.ended(ticket, result, now - ticket.since);
      this.nudge();
    });
    this.running.add(work);
  }
}

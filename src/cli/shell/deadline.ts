import { BullaError } from '../../errors.ts';

/**
 * Ends a run that searches for longer than it may. The clock stands while a person is asked and while content
 * is transferred: those take the time they take, and have deadlines of another kind.
 */
export class Deadline {
  readonly signal: AbortSignal;
  private readonly controller = new AbortController();
  private leftMs: number;
  private totalMs: number;
  private holders = 0;
  private since = 0;
  private timer: NodeJS.Timeout | undefined;

  constructor(ms: number) {
    this.leftMs = ms;
    this.totalMs = ms;
    this.signal = this.controller.signal;
    this.run();
  }

  /** There is more to do than such a run usually has. */
  allow(moreMs: number): void {
    this.hold();
    this.leftMs += moreMs;
    this.totalMs += moreMs;
    this.resume();
  }

  hold(): void {
    if (this.holders++ > 0) return;
    clearTimeout(this.timer);
    this.leftMs -= performance.now() - this.since;
  }

  resume(): void {
    if (--this.holders === 0) this.run();
  }

  /** Nothing of it is left behind. */
  end(): void {
    this.hold();
  }

  private run(): void {
    this.since = performance.now();
    // A timer takes 24 days at most.
    this.timer = setTimeout(() => this.expire(), Math.min(2 ** 31 - 1, Math.max(1, this.leftMs)));
    this.timer.unref();
  }

  private expire(): void {
    this.controller.abort(
      new BullaError(
        'timeout',
        `searching took longer than the ${Math.round(this.totalMs / 1000)} s that it may`,
        {
          hint: 'the registry is slow, or answers without an end: nothing is known about what was not found; allow more with --search-timeout',
          details: { reason: 'search-timeout' },
        },
      ),
    );
  }
}

/**
 * Commands without a clock of their own for searching: what they do takes as long as there is content
 * (`tuf`, `export`), as the configuration says (`resign`), or as people take (`ceremony`), has a deadline for each collection (`report`, `key report`), or goes on
 * until they are ended (`serve`).
 */
const UNTIMED: ReadonlySet<string> = new Set([
  'serve',
  'tuf',
  'export',
  'resign',
  'sync',
  'report',
  'key report',
  'ceremony',
  'completion',
]);

/** Whether a command, named by its words, has a deadline for what it searches. */
export function hasDeadline(words: readonly string[]): boolean {
  return !UNTIMED.has(words[0] ?? '') && !UNTIMED.has(words.join(' '));
}

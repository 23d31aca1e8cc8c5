import { BullaError } from '../errors.ts';

/** How long each part of an exchange may take, in milliseconds. */
export interface Patience {
  /** Waiting for a free connection while nothing at all happens on those to the same server. */
  readonly connectionMs: number;
  /** From the last byte of the request to the end of the answer's headers, whatever comes before them. */
  readonly answerMs: number;
  /** Without a byte, while a body is sent or received. */
  readonly idleMs: number;
  /** To send, or to receive, {@link LEAST_PROGRESS_BYTES} of a body. */
  readonly progressMs: number;
}

/** A sender of a body that is slower than this per {@link PROGRESS_MS} only blocks the connection. */
export const LEAST_PROGRESS_BYTES: number = 64 * 1024;
export const PROGRESS_MS: number = 300_000;

/** When something last happened on the connections to one server; on the clock of `performance.now()`. */
export interface Activity {
  at: number;
}

type Phase = 'connection' | 'sending' | 'answer' | 'body';

/**
 * Ends an exchange that is kept waiting. The client's own timers begin anew with each byte, so a server that
 * sends one 103 after another, or an endless chunk extension, would never be late; here only what was asked
 * for counts: a connection, the headers of the final answer, bytes of a body.
 */
export class Watch {
  private readonly patience: Patience;
  private readonly activity: Activity;
  private readonly onLate: (error: BullaError) => void;
  private readonly where: string;
  /** Whether what has come waits for the reader: then the other side is not the one that is slow. */
  private readonly isHeldUp: () => boolean;
  private phase: Phase = 'connection';
  private timer: NodeJS.Timeout | undefined;
  private second: NodeJS.Immediate | undefined;
  private since = performance.now();
  /** Bytes of the body in this phase, those at the last stride, and when that was. */
  private bytes = 0;
  private strideBytes = 0;
  private stride = 0;
  private last = 0;

  constructor(
    where: string,
    patience: Patience,
    activity: Activity,
    isHeldUp: () => boolean,
    onLate: (error: BullaError) => void,
  ) {
    this.where = where;
    this.patience = patience;
    this.activity = activity;
    this.isHeldUp = isHeldUp;
    this.onLate = onLate;
    this.arm(patience.connectionMs);
  }

  /** The next part begins. @param extraMs beyond what such a part may take */
  enter(phase: Exclude<Phase, 'connection'>, extraMs = 0): void {
    const now = performance.now();
    this.phase = phase;
    this.since = now + extraMs;
    this.last = now;
    this.stride = now;
    this.bytes = 0;
    this.strideBytes = 0;
    this.activity.at = now;
    this.arm(phase === 'answer' ? this.patience.answerMs + extraMs : this.patience.idleMs);
  }

  /** So many bytes of a body went by. */
  progress(bytes: number): void {
    this.bytes += bytes;
    this.last = performance.now();
    this.activity.at = this.last;
  }

  end(): void {
    clearTimeout(this.timer);
    clearImmediate(this.second);
    this.activity.at = performance.now();
  }

  private arm(ms: number): void {
    clearTimeout(this.timer);
    clearImmediate(this.second);
    this.timer = setTimeout(this.suspect, Math.max(1, ms));
  }

  /** After work that kept the thread to itself, timers come before what lies at the sockets: that is read first. */
  private readonly suspect = (): void => {
    this.second = setImmediate(this.look);
  };

  private readonly look = (): void => {
    const now = performance.now();
    const { patience } = this;
    if (this.phase === 'answer') {
      this.late('no complete headers of an answer', now - this.since);
    } else if (this.phase === 'connection') {
      const quiet = now - Math.max(this.since, this.activity.at);
      if (quiet >= patience.connectionMs - 1) this.late('no connection', quiet);
      else this.arm(patience.connectionMs - quiet);
    } else {
      this.lookAtBody(now);
    }
  };

  private lookAtBody(now: number): void {
    const { patience } = this;
    if (this.isHeldUp()) {
      this.last = now;
      this.restart(now);
    }
    if (now - this.last >= patience.idleMs - 1) {
      this.late('not a byte', now - this.last);
      return;
    }
    if (this.bytes - this.strideBytes >= LEAST_PROGRESS_BYTES) this.restart(now);
    if (now - this.stride >= patience.progressMs - 1) {
      this.late(`less than ${LEAST_PROGRESS_BYTES} bytes`, now - this.stride);
      return;
    }
    this.arm(Math.min(patience.idleMs - (now - this.last), patience.progressMs - (now - this.stride)));
  }

  private restart(now: number): void {
    this.stride = now;
    this.strideBytes = this.bytes;
  }

  private late(what: string, ms: number): void {
    this.onLate(
      new BullaError('timeout', `${this.where}: ${what} within ${Math.max(1, Math.round(ms / 1000))} s`, {
        hint: 'the server is slow, gone, or holds the line on purpose; try again later',
        details: { transient: true },
      }),
    );
  }
}

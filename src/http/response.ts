import type { Dispatcher } from 'undici';
import { BullaError } from '../errors.ts';

/** Headers of an answer, by lower-case name. */
export class ResponseHeaders {
  private readonly values: ReadonlyMap<string, readonly string[]>;

  constructor(headers: Readonly<Record<string, string | string[] | undefined>>) {
    const values = new Map<string, readonly string[]>();
    for (const [name, value] of Object.entries(headers)) {
      if (value !== undefined) values.set(name.toLowerCase(), typeof value === 'string' ? [value] : value);
    }
    this.values = values;
  }

  /** The first value. */
  get(name: string): string | undefined {
    return this.values.get(name)?.[0];
  }

  all(name: string): readonly string[] {
    return this.values.get(name) ?? [];
  }

  entries(): readonly (readonly [string, string])[] {
    return [...this.values].flatMap(([name, values]) => values.map((value) => [name, value] as const));
  }

  /** Content-Length; undefined where there is none or it is not a number. */
  get contentLength(): number | undefined {
    const text = this.get('content-length');
    return text !== undefined && /^\d{1,15}$/.test(text) ? Number(text) : undefined;
  }
}

/** Bytes that wait for a slow reader before the sender is asked to pause. */
const HIGH_WATER = 1024 * 1024;
/** Rest of an unwanted body that is read rather than losing the connection. */
const DISCARD_LIMIT = 64 * 1024;
/** How long that may take, in milliseconds: a new connection takes less. */
const DISCARD_TIMEOUT_MS = 1_000;
/** How long a whole bounded body may take, in milliseconds: a sender of a byte a minute is not waited for. */
export const READ_TIMEOUT_MS: number = 120_000;

/**
 * The body of an answer: to be iterated once, read whole within a bound, or discarded. One of the
 * three must happen, or the connection stays taken.
 */
export class ResponseBody implements AsyncIterable<Uint8Array>, AsyncIterator<Uint8Array, undefined> {
  private readonly pieces: Uint8Array[] = [];
  private readonly controller: Dispatcher.DispatchController;
  private waiting = 0;
  private ended = false;
  private failure: Error | undefined;
  private wake: (() => void) | undefined;

  constructor(controller: Dispatcher.DispatchController) {
    this.controller = controller;
  }

  /** For the pool: a piece arrived. */
  push(piece: Uint8Array): void {
    this.pieces.push(piece);
    this.waiting += piece.byteLength;
    if (this.waiting >= HIGH_WATER) this.controller.pause();
    this.notify();
  }

  /** For the pool: nothing more comes. */
  end(failure?: Error): void {
    this.ended = true;
    this.failure = failure;
    this.notify();
  }

  /** Whether pieces wait for the reader, and not the reader for pieces. */
  get isHeldUp(): boolean {
    return this.pieces.length > 0;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async next(): Promise<IteratorResult<Uint8Array, undefined>> {
    for (;;) {
      const piece = this.pieces.shift();
      if (piece !== undefined) {
        this.waiting -= piece.byteLength;
        if (this.waiting < HIGH_WATER && this.controller.paused) this.controller.resume();
        return { done: false, value: piece };
      }
      if (this.failure !== undefined) throw this.failure;
      if (this.ended) return { done: true, value: undefined };
      await new Promise<void>((resolve) => {
        this.wake = resolve;
      });
    }
  }

  async return(): Promise<IteratorResult<Uint8Array, undefined>> {
    this.abort(new Error('the reader stopped'));
    this.pieces.length = 0;
    return { done: true, value: undefined };
  }

  /** Ends the exchange; a reader gets `reason`. */
  abort(reason: Error): void {
    if (!this.ended) this.controller.abort(reason);
  }

  /**
   * The whole body.
   * @param what names it in messages
   * @param withinMs how long all of it may take, in milliseconds
   * @throws BullaError content-invalid where it has more than `maxBytes`; timeout
   */
  async read(maxBytes: number, what: string, withinMs: number = READ_TIMEOUT_MS): Promise<Uint8Array> {
    const timer = setTimeout(() => this.abort(tooSlow(what, withinMs)), withinMs);
    try {
      const pieces: Uint8Array[] = [];
      let size = 0;
      for await (const piece of this) {
        size += piece.byteLength;
        if (size > maxBytes) throw tooLarge(what, maxBytes);
        pieces.push(piece);
      }
      return pieces.length === 1 && pieces[0] !== undefined ? pieces[0] : Buffer.concat(pieces, size);
    } finally {
      clearTimeout(timer);
    }
  }

  /** Drops what is left, so that the connection can be used again where that is cheap. */
  async discard(): Promise<void> {
    const timer = setTimeout(() => this.abort(new Error('not waited for')), DISCARD_TIMEOUT_MS);
    try {
      let size = 0;
      for await (const piece of this) {
        size += piece.byteLength;
        if (size > DISCARD_LIMIT) return;
      }
    } catch {
      // The body is not needed, nor the reason why it ended.
    } finally {
      clearTimeout(timer);
    }
  }

  private notify(): void {
    const { wake } = this;
    this.wake = undefined;
    wake?.();
  }
}

function tooLarge(what: string, maxBytes: number): BullaError {
  return new BullaError('content-invalid', `${what} has more than the ${maxBytes} bytes allowed`, {
    hint: 'no honest answer of this kind is that large; nothing of it was used',
  });
}

function tooSlow(what: string, withinMs: number): BullaError {
  return new BullaError('timeout', `${what} did not arrive within ${withinMs / 1000} s`, {
    hint: 'the server is slow or holds the line on purpose; try again later',
  });
}

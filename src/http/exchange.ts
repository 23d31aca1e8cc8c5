import type { Dispatcher } from 'undici';
import { BullaError } from '../errors.ts';
import type { AddressClass } from './address.ts';
import type { HttpCounters, HttpEvent, HttpEventSink, RequestPurpose } from './events.ts';
import { interruption, networkError } from './failure.ts';
import { redactHeader, redactUrl, secretsIn } from './redact.ts';
import { ResponseBody, ResponseHeaders } from './response.ts';
import { type Activity, type Patience, Watch } from './watch.ts';

/** One request; no redirect is followed and nothing is tried twice. */
export interface HttpRequest {
  readonly method: 'GET' | 'HEAD' | 'PUT' | 'POST' | 'PATCH' | 'DELETE';
  readonly url: URL;
  readonly headers?: Readonly<Record<string, string>> | undefined;
  readonly body?: Uint8Array | AsyncIterable<Uint8Array> | undefined;
  /** Size of a streamed body, in bytes. */
  readonly contentLength?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly purpose?: RequestPurpose | undefined;
  /**
   * If the URL came from another server (a redirect, a realm): the only classes of addresses that
   * are connected to. The client certificate is not shown there.
   */
  readonly allow?: ReadonlySet<AddressClass> | undefined;
}

/** An answer whose headers are there, and whose body is still to be read or discarded. */
export interface HttpResponse {
  readonly status: number;
  /** What was asked. */
  readonly url: URL;
  readonly headers: ResponseHeaders;
  readonly body: ResponseBody;
}

/** What one exchange needs to know. */
export interface Exchange {
  readonly id: number;
  readonly request: HttpRequest;
  readonly headers: Readonly<Record<string, string>>;
  readonly dispatcher: Dispatcher;
  readonly dispatch: {
    readonly origin: string;
    readonly path: string;
    readonly headersTimeout: number;
    readonly bodyTimeout: number;
  };
  readonly patience: Patience;
  /** Of the connections that the request shares. */
  readonly activity: Activity;
  readonly counters: HttpCounters;
  readonly events: HttpEventSink | undefined;
}

/** Sent at once, a body needs its time on a slow line: so many bytes in a second at least. */
const LEAST_UPLOAD_RATE = 8 * 1024;

/**
 * Runs one exchange on undici's handler interface: between the socket and the reader of the body
 * is only a queue, because a copy pays for every layer once per piece.
 */
export function exchange(parts: Exchange): Promise<HttpResponse> {
  return new Promise((resolve, reject) => {
    const handler = new Handler(parts, resolve, reject);
    try {
      parts.dispatcher.dispatch(
        {
          ...parts.dispatch,
          method: parts.request.method,
          headers: { ...parts.headers },
          body: handler.outgoing() as never,
        },
        handler,
      );
    } catch (error) {
      handler.fail(error);
    }
  });
}

class Handler implements Dispatcher.DispatchHandler {
  private readonly parts: Exchange;
  private readonly resolve: (response: HttpResponse) => void;
  private readonly reject: (error: Error) => void;
  private readonly where: string;
  private readonly started = performance.now();
  private readonly watch: Watch;
  private controller: Dispatcher.DispatchController | undefined;
  private body: ResponseBody | undefined;
  private received = 0;
  /** What the source of the request's body threw: the true cause of what follows from it. */
  private sourceError: unknown;
  /** Of a streamed body: whether it is the source that is waited for. */
  private source: 'idle' | 'busy' = 'idle';
  private done = false;

  constructor(parts: Exchange, resolve: (response: HttpResponse) => void, reject: (error: Error) => void) {
    this.parts = parts;
    this.resolve = resolve;
    this.reject = reject;
    this.where = `${parts.request.method} ${redactUrl(parts.request.url)}`;
    this.watch = new Watch(
      this.where,
      parts.patience,
      parts.activity,
      () => this.body?.isHeldUp === true || this.source === 'busy',
      this.onLate,
    );
    parts.request.signal?.addEventListener('abort', this.onAbort, { once: true });
    this.emit(() => ({
      type: 'request',
      id: parts.id,
      method: parts.request.method,
      url: redactUrl(parts.request.url),
      headers: Object.entries(parts.headers).map(
        ([name, value]) => [name, redactHeader(name, value)] as const,
      ),
    }));
  }

  /** The request's body as undici takes it; its bytes are counted and its own failure is kept. */
  outgoing(): Uint8Array | AsyncIterable<Uint8Array> | null {
    const { body } = this.parts.request;
    if (body === undefined) return null;
    if (!(body instanceof Uint8Array)) return this.observe(body);
    this.parts.counters.sentBytes += body.byteLength;
    return body;
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.controller = controller;
    const { signal } = this.parts.request;
    if (signal?.aborted === true) controller.abort(interruption(signal));
    else if (this.done) controller.abort(new Error('given up'));
    else this.beginSending();
  }

  private beginSending(): void {
    const { body } = this.parts.request;
    if (body === undefined) this.watch.enter('answer');
    else if (body instanceof Uint8Array)
      this.watch.enter('answer', (body.byteLength / LEAST_UPLOAD_RATE) * 1000);
    else this.watch.enter('sending');
  }

  onResponseStart(
    controller: Dispatcher.DispatchController,
    status: number,
    raw: Readonly<Record<string, string | string[] | undefined>>,
  ): void {
    if (status < 200) return;
    const headers = new ResponseHeaders(raw);
    this.body = new ResponseBody(controller);
    this.watch.enter('body');
    this.emit(() => {
      const secrets = secretsIn(this.parts.headers['authorization']);
      return {
        type: 'response',
        id: this.parts.id,
        status,
        headers: headers
          .entries()
          .map(([name, value]) => [name, redactHeader(name, value, secrets)] as const),
        elapsedMs: this.elapsed(),
      };
    });
    this.resolve({ status, url: this.parts.request.url, headers, body: this.body });
  }

  onResponseData(_: Dispatcher.DispatchController, piece: Uint8Array): void {
    this.received += piece.byteLength;
    this.parts.counters.receivedBytes += piece.byteLength;
    this.watch.progress(piece.byteLength);
    this.body?.push(piece);
  }

  onResponseEnd(): void {
    this.finish();
    // undici frees the connection two steps later. A caller that continues before that gets another one, and
    // waits for it to be opened.
    queueMicrotask(() => setImmediate(() => this.body?.end()));
    this.emit(() => ({ type: 'end', id: this.parts.id, bytes: this.received, elapsedMs: this.elapsed() }));
  }

  onResponseError(_: Dispatcher.DispatchController | undefined, error: Error): void {
    this.fail(error);
  }

  fail(error: unknown): void {
    if (this.done) return;
    this.finish();
    const failure = this.named(error);
    this.body?.end(failure);
    this.reject(failure);
    this.emit(() => ({
      type: 'error',
      id: this.parts.id,
      message: failure.message,
      elapsedMs: this.elapsed(),
    }));
  }

  private named(error: unknown): Error {
    const { signal } = this.parts.request;
    if (this.sourceError instanceof Error) return this.sourceError;
    if (error instanceof BullaError) return error;
    if (signal?.aborted === true) return interruption(signal);
    return networkError(error, this.where, this.parts.request.allow === undefined);
  }

  private readonly onAbort = (): void => {
    const { signal } = this.parts.request;
    if (signal === undefined) return;
    const reason = interruption(signal);
    this.controller?.abort(reason);
    // A request that still waits for a connection has no controller to be told.
    this.fail(reason);
  };

  private readonly onLate = (error: BullaError): void => {
    this.controller?.abort(error);
    // As in onAbort.
    this.fail(error);
  };

  private async *observe(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    try {
      this.source = 'busy';
      for await (const piece of source) {
        this.source = 'idle';
        this.parts.counters.sentBytes += piece.byteLength;
        this.watch.progress(piece.byteLength);
        yield piece;
        this.source = 'busy';
      }
      // An answer may have come before the body was sent: then its body is what is waited for.
      if (this.body === undefined && !this.done) this.watch.enter('answer');
    } catch (error) {
      this.sourceError = error;
      throw error;
    } finally {
      this.source = 'idle';
    }
  }

  private finish(): void {
    this.done = true;
    this.watch.end();
    this.parts.request.signal?.removeEventListener('abort', this.onAbort);
  }

  private elapsed(): number {
    return performance.now() - this.started;
  }

  private emit(make: () => HttpEvent): void {
    this.parts.events?.(make());
  }
}

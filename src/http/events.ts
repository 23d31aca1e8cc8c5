/** What a request is for; token requests are counted apart. */
export type RequestPurpose = 'content' | 'token';

/** What happens on the wire, for `--trace`. Secrets are redacted before an event is made. */
export type HttpEvent =
  | {
      readonly type: 'request';
      readonly id: number;
      readonly method: string;
      readonly url: string;
      readonly headers: readonly (readonly [name: string, value: string])[];
    }
  | {
      readonly type: 'response';
      readonly id: number;
      readonly status: number;
      readonly headers: readonly (readonly [name: string, value: string])[];
      /** Since the request was handed over, in milliseconds. */
      readonly elapsedMs: number;
    }
  | { readonly type: 'end'; readonly id: number; readonly bytes: number; readonly elapsedMs: number }
  | { readonly type: 'error'; readonly id: number; readonly message: string; readonly elapsedMs: number }
  | { readonly type: 'retry'; readonly reason: string; readonly delayMs: number };

export type HttpEventSink = (event: HttpEvent) => void;

/** Figures of one pool since it was made. */
export interface HttpCounters {
  /** Requests sent, token requests apart; redirects and retries each count. */
  requests: number;
  tokenRequests: number;
  retries: number;
  connections: number;
  /** Of bodies, not of headers. */
  sentBytes: number;
  receivedBytes: number;
}

export function newCounters(): HttpCounters {
  return { requests: 0, tokenRequests: 0, retries: 0, connections: 0, sentBytes: 0, receivedBytes: 0 };
}

import { setTimeout as wait } from 'node:timers/promises';
import { messageOf } from '../errors.ts';
import type { HttpResponse } from './exchange.ts';
import { interruption, isTransient } from './failure.ts';
import type { HttpPool } from './pool.ts';

/** When to try again, and when to give up. Times in milliseconds. */
export interface RetryPolicy {
  /** Tries in all, the first included; more where a server says that it is only too busy ({@link triesFor}). */
  readonly tries: number;
  /** Longest pause before the second try; it doubles from try to try. */
  readonly baseMs: number;
  /** Longest pause of our own choosing. */
  readonly maxMs: number;
  /** Longest pause that a Retry-After may ask for; a longer one ends the trying. */
  readonly retryAfterCapMs: number;
  /** No pause ends later than this after the first try began. */
  readonly totalMs: number;
}

export const DEFAULT_RETRY: RetryPolicy = {
  tries: 6,
  baseMs: 200,
  maxMs: 10_000,
  retryAfterCapMs: 60_000,
  totalMs: 180_000,
};

/** Statuses by which a server asks for another try (RFC 9110 §15.5.9, §15.6; RFC 6585 §4). */
const RETRIABLE: ReadonlySet<number> = new Set([408, 429, 500, 502, 503, 504]);

export function isRetriableStatus(status: number): boolean {
  return RETRIABLE.has(status);
}

/**
 * How much more patience than for a failure there is for a server that counts requests: it did nothing, and others
 * wait for their turn as well. nginx says 503 unless it is told to say 429.
 */
const PATIENCE: ReadonlyMap<number, number> = new Map([
  [429, 4],
  [503, 2],
]);

/** Tries in all, the first included, where the last one was answered with `status`. */
export function triesFor({ tries }: RetryPolicy, status: number | undefined): number {
  return 1 + (tries - 1) * (PATIENCE.get(status ?? 0) ?? 1);
}

/** Clock and randomness of the waiting caller; tests bring their own. */
export interface Timing {
  /** Milliseconds since the epoch. */
  now(): number;
  /** @throws BullaError interrupted */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
  /** In [0, 1). */
  random(): number;
}

export const REAL_TIMING: Timing = {
  now: () => Date.now(),
  random: () => Math.random(),
  async sleep(ms, signal) {
    try {
      await wait(ms, undefined, { signal });
    } catch (error) {
      throw signal?.aborted === true ? interruption(signal) : error;
    }
  },
};

/** What is known after a failed try. */
export interface FailedTry {
  /** 1 for the first. */
  readonly attempt: number;
  readonly elapsedMs: number;
  /** Of the answer, if there was one. */
  readonly status?: number | undefined;
  /** What the server's Retry-After asks for. */
  readonly retryAfterMs?: number | undefined;
}

/**
 * Pause before the next try: between half and the whole of an exponential back-off, never less than
 * the server asked for.
 * @returns undefined where it is time to give up
 */
export function nextDelay(policy: RetryPolicy, failed: FailedTry, random: () => number): number | undefined {
  if (failed.attempt >= triesFor(policy, failed.status)) return undefined;
  const ceiling = Math.min(policy.maxMs, policy.baseMs * 2 ** (failed.attempt - 1));
  const asked = failed.retryAfterMs ?? 0;
  if (asked > policy.retryAfterCapMs) return undefined;
  const delay = Math.max(asked, ceiling * (0.5 + random() / 2));
  return failed.elapsedMs + delay > policy.totalMs ? undefined : delay;
}

/**
 * Milliseconds that a Retry-After header asks to wait: seconds, or an HTTP date (RFC 9110 §10.2.3).
 * @param now in milliseconds since the epoch
 * @returns undefined where it says neither
 */
export function parseRetryAfter(value: string | undefined, now: number): number | undefined {
  if (value === undefined) return undefined;
  const text = value.trim();
  if (/^\d{1,9}$/.test(text)) return Number(text) * 1000;
  if (!/^[A-Za-z]{3,9}, [\w -]+ \d{2}:\d{2}:\d{2} GMT$/.test(text)) return undefined;
  const date = Date.parse(text);
  return Number.isNaN(date) ? undefined : Math.max(0, date - now);
}

export interface Retrying {
  readonly pool: HttpPool;
  readonly policy: RetryPolicy;
  readonly timing: Timing;
  readonly signal?: AbortSignal | undefined;
  /** Send again after this status alone, and never for want of an answer. */
  readonly only?: number | undefined;
}

/**
 * Sends again what failed without an answer, or with one that asks for another try. Only for requests
 * whose effect is the same however often they arrive.
 * @returns the last answer, whatever its status, once it is time to give up
 */
export async function sendWithRetries(
  retrying: Retrying,
  send: () => Promise<HttpResponse>,
): Promise<HttpResponse> {
  const { pool, policy, timing, signal, only } = retrying;
  const began = timing.now();
  for (let attempt = 1; ; attempt++) {
    const outcome = only === undefined ? await tryOnce(send) : { response: await send() };
    if ('response' in outcome) {
      const { status } = outcome.response;
      if (only === undefined ? !isRetriableStatus(status) : status !== only) return outcome.response;
    }
    const now = timing.now();
    const delay = nextDelay(
      policy,
      { attempt, elapsedMs: now - began, ...askedBy(outcome, now) },
      timing.random,
    );
    if (delay === undefined) {
      if ('response' in outcome) return outcome.response;
      throw outcome.error;
    }
    pool.noteRetry(reasonOf(outcome), delay);
    if ('response' in outcome) await outcome.response.body.discard();
    await timing.sleep(delay, signal);
  }
}

type Outcome = { readonly response: HttpResponse } | { readonly error: unknown };

async function tryOnce(send: () => Promise<HttpResponse>): Promise<Outcome> {
  try {
    return { response: await send() };
  } catch (error) {
    if (!isTransient(error)) throw error;
    return { error };
  }
}

function askedBy(outcome: Outcome, now: number): Pick<FailedTry, 'status' | 'retryAfterMs'> {
  if ('error' in outcome) return {};
  const { status, headers } = outcome.response;
  return { status, retryAfterMs: parseRetryAfter(headers.get('retry-after'), now) };
}

function reasonOf(outcome: Outcome): string {
  return 'response' in outcome ? `status ${outcome.response.status}` : messageOf(outcome.error);
}

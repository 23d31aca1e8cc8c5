import { BullaError } from '../errors.ts';

/** How long a search or a listing may take in all where nothing else is set, in milliseconds. */
export const SEARCH_TIMEOUT_MS: number = 600_000;

/**
 * Has `work` end after a time, whatever its parts are allowed to take each.
 * @param what is looked for, for the message: `the tags of registry.example.com/app`
 * @throws BullaError timeout, besides what `work` throws
 */
export async function within<T>(
  ms: number,
  what: string,
  signal: AbortSignal | undefined,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const late = new AbortController();
  const timer = setTimeout(() => late.abort(searchTooLong(what, ms)), ms);
  try {
    return await work(signal === undefined ? late.signal : AbortSignal.any([signal, late.signal]));
  } finally {
    clearTimeout(timer);
  }
}

/** That a search was given up: nothing follows from what was not found. */
export function searchTooLong(what: string, ms: number): BullaError {
  return new BullaError('timeout', `${what}: not done within ${ms / 1000} s`, {
    hint: 'the registry is slow, or answers without an end; allow more with --search-timeout',
    details: { reason: 'search-timeout' },
  });
}

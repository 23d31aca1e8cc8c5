import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DEFAULT_RETRY, nextDelay, parseRetryAfter } from '../../src/http/retry.ts';

const NOW = Date.UTC(2026, 0, 1);

describe('nextDelay', () => {
  it('doubles, up to a bound, between half and whole', () => {
    const delays = (random: number) =>
      [1, 2, 3, 4, 5].map((attempt) => nextDelay(DEFAULT_RETRY, { attempt, elapsedMs: 0 }, () => random));
    expect(delays(0)).toEqual([100, 200, 400, 800, 1600]);
    expect(delays(1)).toEqual([200, 400, 800, 1600, 3200]);
    expect(nextDelay({ ...DEFAULT_RETRY, tries: 99 }, { attempt: 40, elapsedMs: 0 }, () => 1)).toBe(10_000);
  });

  it('gives up after the last try', () => {
    expect(nextDelay(DEFAULT_RETRY, { attempt: 6, elapsedMs: 0 }, () => 0)).toBeUndefined();
  });

  it('never ends a pause after the deadline, never pauses for less than was asked, nor for more than the cap', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 20 }),
        fc.integer({ min: 0, max: 400_000 }),
        fc.option(fc.integer({ min: 0, max: 250_000 }), { nil: undefined }),
        fc.double({ min: 0, max: 0.999, noNaN: true }),
        (attempt, elapsedMs, retryAfterMs, random) => {
          const delay = nextDelay(
            { ...DEFAULT_RETRY, tries: 50 },
            { attempt, elapsedMs, retryAfterMs },
            () => random,
          );
          if (delay === undefined) return;
          expect(elapsedMs + delay).toBeLessThanOrEqual(DEFAULT_RETRY.totalMs);
          expect(delay).toBeGreaterThanOrEqual(retryAfterMs ?? 0);
          expect(delay).toBeLessThanOrEqual(DEFAULT_RETRY.retryAfterCapMs);
          expect(delay).toBeGreaterThan(0);
        },
      ),
    );
  });
});

describe('parseRetryAfter', () => {
  it.each([
    ['0', 0],
    ['120', 120_000],
    [' 5 ', 5000],
    ['Thu, 01 Jan 2026 00:01:00 GMT', 60_000],
    ['Wed, 31 Dec 2025 23:00:00 GMT', 0],
    ['Thursday, 01-Jan-26 00:00:10 GMT', 10_000],
    ['-1', undefined],
    ['1.5', undefined],
    ['soon', undefined],
    ['2026', 2_026_000],
    ['99999999999999999999', undefined],
    ['2026-01-01T00:00:10Z', undefined],
    ['Thu, 01 Jan 2026 00:00:10 CEST', undefined],
    [undefined, undefined],
  ])('reads %j as %j', (value, ms) => {
    expect(parseRetryAfter(value, NOW)).toBe(ms);
  });
});

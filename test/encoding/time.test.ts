import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { formatTime, parseDuration, parseTime } from '../../src/encoding/time.ts';

describe('RFC 3339', () => {
  it('reads what it writes', () => {
    fc.assert(
      fc.property(
        fc.date({ min: new Date('1970-01-01Z'), max: new Date('9999-12-31Z'), noInvalidDate: true }),
        (date) => {
          expect(parseTime(formatTime(date))?.getTime()).toBe(Math.floor(date.getTime() / 1000) * 1000);
        },
      ),
    );
  });

  it.each([
    ['2026-12-08T00:00:00Z', '2026-12-08T00:00:00.000Z'],
    ['2026-12-08T01:30:00.123456789+01:30', '2026-12-08T00:00:00.123Z'],
    ['2026-12-07T19:00:00-05:00', '2026-12-08T00:00:00.000Z'],
  ])('%s is %s', (text, iso) => {
    expect(parseTime(text)?.toISOString()).toBe(iso);
  });

  it.each([
    '2026-02-30T00:00:00Z',
    '2026-13-01T00:00:00Z',
    '2026-12-08T24:00:00Z',
    '2026-12-08T00:60:00Z',
    '2026-12-08 00:00:00Z',
    '2026-12-08T00:00:00',
    '2026-12-08T00:00:00+24:00',
    '2026-12-08',
    'now',
    '',
  ])('%j is no time', (text) => {
    expect(parseTime(text)).toBeUndefined();
  });
});

describe('durations', () => {
  it.each([
    ['90d', 7_776_000_000],
    ['1h30m', 5_400_000],
    ['500ms', 500],
    ['1y', 31_536_000_000],
    ['2w', 1_209_600_000],
    ['0s', 0],
  ])('%s is %i ms', (text, milliseconds) => {
    expect(parseDuration(text)).toBe(milliseconds);
  });

  it.each(['', '90', 'd', '-1d', '1.5h', '1d ', '99999999999d', '999999999y'])('%j is none', (text) => {
    expect(parseDuration(text)).toBeUndefined();
  });
});

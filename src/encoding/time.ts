const RFC3339 =
  /^(\d{4})-(\d{2})-(\d{2})T(\d{2}):(\d{2}):(\d{2})(?:\.(\d{1,9}))?(Z|[+-](?:[01]\d|2[0-3]):[0-5]\d)$/;

/**
 * Instant of an RFC 3339 date-time, to the millisecond (finer digits are dropped), or undefined where
 * `text` is not one or names a day that does not exist.
 */
export function parseTime(text: string): Date | undefined {
  const match = RFC3339.exec(text);
  if (match === null) return undefined;
  const [, year, month, day, hour, minute, second, fraction, zone] = match as unknown as string[];
  const utc = Date.UTC(
    Number(year),
    Number(month) - 1,
    Number(day),
    Number(hour),
    Number(minute),
    Number(second),
  );
  const whole = new Date(utc);
  // Date.UTC carries an overflow into the next unit (30 February, 24:00), which RFC 3339 does not.
  if (formatTime(whole).slice(0, 19) !== text.slice(0, 19)) return undefined;
  const milliseconds = Number((fraction ?? '').padEnd(3, '0').slice(0, 3));
  return new Date(utc + milliseconds - offsetOf(zone ?? 'Z'));
}

/** RFC 3339 in UTC without a fraction, as TUF and Notation write it: `2026-12-08T00:00:00Z`. */
export function formatTime(time: Date): string {
  return `${time.toISOString().slice(0, 19)}Z`;
}

const UNIT_MS: ReadonlyMap<string, number> = new Map([
  ['ms', 1],
  ['s', 1000],
  ['m', 60_000],
  ['h', 3_600_000],
  ['d', 86_400_000],
  ['w', 604_800_000],
  ['y', 31_536_000_000],
]);

/**
 * Milliseconds of a duration such as `90d`, `12h`, `1h30m`, `500ms`; a year is 365 days.
 * @returns undefined where `text` is not one
 */
export function parseDuration(text: string): number | undefined {
  if (!/^(?:\d{1,9}(?:ms|s|m|h|d|w|y))+$/.test(text)) return undefined;
  let total = 0;
  for (const [, count, unit] of text.matchAll(/(\d+)(ms|s|m|h|d|w|y)/g)) {
    total += Number(count) * (UNIT_MS.get(unit ?? '') ?? 0);
  }
  return Number.isSafeInteger(total) ? total : undefined;
}

function offsetOf(zone: string): number {
  if (zone === 'Z') return 0;
  const minutes = Number(zone.slice(1, 3)) * 60 + Number(zone.slice(4, 6));
  return (zone.startsWith('-') ? -minutes : minutes) * 60_000;
}

const UNITS: readonly (readonly [name: string, seconds: number])[] = [
  ['day', 86_400],
  ['hour', 3_600],
  ['minute', 60],
  ['second', 1],
];

/** `in 12 days`, `3 hours ago`: one unit, rounded down, of which there are at least two where there can be. */
export function relativeTime(time: Date, now: Date): string {
  const seconds = Math.floor(Math.abs(time.getTime() - now.getTime()) / 1000);
  if (seconds === 0) return 'now';
  const [name, length] = UNITS.find(([, unit]) => seconds >= 2 * unit) ?? ['second', 1];
  const count = Math.floor(seconds / length);
  const text = `${count} ${name}${count === 1 ? '' : 's'}`;
  return time > now ? `in ${text}` : `${text} ago`;
}

import { OVERVIEW_FILE, pageName } from '../../actions/report/page-name.ts';
import type { Report, ReportedCollection, ReportState } from '../../actions/report/report.ts';
import { CLASSES, counted, SIGNS } from '../../actions/report/words.ts';
import { relativeTime } from '../../encoding/relative-time.ts';
import { formatTime } from '../../encoding/time.ts';
import { type Line, plainName, type Style } from './style.ts';

const STYLES: Readonly<Record<ReportState, Style>> = { fine: 'good', soon: 'soon', bad: 'bad' };

/** A report for the terminal: a line for each collection, and what needs attention. */
export function reportLines({ collections, at }: Report): Line[] {
  return collections.flatMap((one) => {
    const { state, place } = one;
    const line: Line = [
      [STYLES[state], `${SIGNS[CLASSES[state]]} `],
      ['strong', place],
      [STYLES[state], `  ${verdictOf(one)}`],
      ['faint', expiryText(one, at)],
    ];
    if (one.failure !== undefined)
      return [
        line,
        `    ${one.failure.message} [${one.failure.code}]`,
        `      ${one.failure.hint ?? ''}`.trimEnd(),
      ];
    const points = one.attention.flatMap(({ urgency, what, advice }): Line[] => [
      ['    ', [urgency, what]],
      `      ${advice}`,
    ]);
    return [line, ...points];
  });
}

function verdictOf(one: ReportedCollection): string {
  if (one.failure !== undefined) return 'could not be read';
  const count = one.attention.length;
  return count === 0 ? 'all is well' : `${counted(count, 'thing needs', 'things need')} attention`;
}

function expiryText(one: ReportedCollection, now: Date): string {
  if (one.failure !== undefined) return '';
  const [first] = [...one.roles].sort((a, b) => a.expires.getTime() - b.expires.getTime());
  if (first === undefined) return '';
  const word = first.state === 'expired' ? 'expired' : 'expires';
  return `  ${plainName(first.role)} ${word} ${relativeTime(first.expires, now)}`;
}

/** A report for `-o json` (spec/report.md); times as in all of our JSON. */
export function reportJson({ at, collections, worst }: Report): Record<string, unknown> {
  return {
    at: formatTime(at),
    overview: OVERVIEW_FILE,
    ...(worst !== undefined && { worst }),
    collections: collections.map((one) => withTimes({ ...one, page: pageName(one.place) })),
  };
}

/** Times as text, and `null` for what is not known. */
function withTimes(value: unknown): unknown {
  if (value instanceof Date) return formatTime(value);
  if (Array.isArray(value)) return value.map(withTimes);
  if (typeof value !== 'object' || value === null) return value ?? null;
  return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, withTimes(one)]));
}

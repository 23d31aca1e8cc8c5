import { relativeTime } from '../../encoding/relative-time.ts';
import { cut } from './drawing.ts';
import { html, type Markup } from './html.ts';
import type { ReportedRole } from './report.ts';
import { CLASSES, dayOf, SIGNS } from './words.ts';

const DAY_MS = 86_400_000;
const ROLES_DRAWN = 30;

/** Marks of the scale: days, and what they are called. */
const MARKS: readonly (readonly [days: number, label: string])[] = [
  [1, '1 day'],
  [7, '1 week'],
  [30, '1 month'],
  [91, '3 months'],
  [365, '1 year'],
  [1096, '3 years'],
  [3653, '10 years'],
];

interface Layout {
  readonly width: number;
  /** Where the scale begins and ends. */
  readonly left: number;
  readonly right: number;
  readonly row: number;
  readonly isNarrow: boolean;
}

const WIDE: Layout = { width: 980, left: 150, right: 960, row: 34, isNarrow: false };
const NARROW: Layout = { width: 380, left: 26, right: 360, row: 50, isNarrow: true };

/** What expires when: a line for each role, on a scale that shows the next days wider than later years. */
export function timeLine(roles: readonly ReportedRole[], now: Date): Markup {
  const drawn = [...roles].sort((a, b) => a.expires.getTime() - b.expires.getTime()).slice(0, ROLES_DRAWN);
  return html`<div class="wide">${drawing(drawn, now, WIDE, 'wide')}</div>
<div class="narrow">${drawing(drawn, now, NARROW, 'narrow')}</div>`;
}

function drawing(roles: readonly ReportedRole[], now: Date, layout: Layout, id: string): Markup {
  const { width, left, right, row, isNarrow } = layout;
  const days = roles.map(({ expires }) => (expires.getTime() - now.getTime()) / DAY_MS);
  const most = Math.max(14, ...days) * 1.05;
  const at = (day: number): number =>
    Math.round(left + ((right - left) * Math.log1p(Math.max(0, day))) / Math.log1p(most));
  const bottom = 30 + roles.length * row;
  // Labels at least so far from each other that they can be read.
  const marks: (readonly [number, string])[] = [];
  for (const [day, label] of MARKS.toReversed()) {
    const x = at(day);
    if (day <= most && x < right - 10 && x > left + 50 && (marks[0]?.[0] ?? width) - x > 64)
      marks.unshift([x, label]);
  }
  const text = roles.map(
    ({ role, state, expires }) =>
      `${cut(role, 60)} ${state === 'expired' ? 'expired' : 'expires'} ${relativeTime(expires, now)}, on ${dayOf(expires)}.`,
  );
  return html`<svg viewBox="0 0 ${width} ${bottom + 4}" role="img" aria-labelledby="time-${id}-title" aria-describedby="time-${id}-text">
<title id="time-${id}-title">What expires when</title>
<desc id="time-${id}-text">${text.join(' ')}</desc>
${marks.map(([x, label]) => html`<line class="grid" x1="${x}" x2="${x}" y1="22" y2="${bottom}"/><text class="faint" x="${x}" y="14" text-anchor="middle">${label}</text>`)}
<line class="now" x1="${left}" x2="${left}" y1="22" y2="${bottom}"/><text x="${left}" y="14" text-anchor="middle">now</text>
${roles.map((role, i) => line(role, { y: 30 + i * row, x: at(days[i] as number), now, left, right, isNarrow }))}
</svg>`;
}

interface Place extends Pick<Layout, 'left' | 'right' | 'isNarrow'> {
  readonly y: number;
  readonly x: number;
  readonly now: Date;
}

function line({ role, state, expires }: ReportedRole, { y, x, now, left, right, isNarrow }: Place): Markup {
  const kind = CLASSES[state];
  const when = `${SIGNS[kind]} ${state === 'expired' ? 'expired ' : ''}${relativeTime(expires, now)}`;
  const label = cut(role, 16);
  const middle = isNarrow ? y + 34 : y + 16;
  // The end of a line has its time beside it, or before it where there is no room.
  const isBefore = x > right - 130;
  const end = isNarrow
    ? html`<text class="fill-${kind}" x="${right}" y="${y + 18}" text-anchor="end">${when}</text>`
    : html`<text class="fill-${kind}" x="${isBefore ? x : x + 14}" y="${isBefore ? middle - 8 : middle + 4}" text-anchor="${isBefore ? 'end' : 'start'}">${when}</text>`;
  const title = isNarrow
    ? html`<text class="strong" x="${left + 8}" y="${y + 18}">${label}</text>`
    : html`<text class="strong" x="0" y="${middle + 5}">${label}</text>`;
  return html`${title}<line class="bar line-${kind}" x1="${left}" x2="${x}" y1="${middle}" y2="${middle}"/><circle class="fill-${kind}" cx="${x}" cy="${middle}" r="6"/>${end}`;
}

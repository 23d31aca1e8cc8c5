import { relativeTime } from '../../encoding/relative-time.ts';
import { formatTime } from '../../encoding/time.ts';
import { html, type Markup, type Part } from './html.ts';
import type { Attention, ReportState } from './report.ts';
import { CLASSES, SIGNS } from './words.ts';

/** A state as a sign and a word. */
export function stateMark(state: ReportState | 'expired', word: string): Markup {
  const kind = CLASSES[state];
  return html`<span class="state ${kind}">${sign(kind)}${word}</span>`;
}

/** The sign of a state, for the eye only: a word stands beside it. */
export function sign(kind: 'good' | 'soon' | 'bad'): Markup {
  return html`<span class="mark" aria-hidden="true">${SIGNS[kind]}</span>`;
}

/** A point in time for people and machines: `2026-11-28 09:15 UTC (3 days ago)`; or only the day. */
export function timeText(time: Date, now: Date, isDay = false): Markup {
  const exact = formatTime(time);
  const shown = isDay ? exact.slice(0, 10) : `${exact.slice(0, 16).replace('T', ' ')} UTC`;
  return html`<time datetime="${exact}">${shown}</time> <span class="quiet">(${relativeTime(time, now)})</span>`;
}

/** What is to be done, each with what to do about it. */
export function attentionList(points: readonly Attention[]): Markup {
  return html`<ul class="points">${points.map(
    ({ urgency, what, advice }) => html`
<li class="${urgency === 'faint' ? 'quiet' : urgency}">
<p class="what">${urgency === 'faint' ? undefined : html`<span class="${urgency}">${sign(urgency)}${urgency === 'bad' ? 'Now' : 'Soon'}: </span>`}<bdi>${what}</bdi></p>
${advice === '' ? undefined : html`<p><span class="quiet">What to do: </span>${advised(advice)}</p>`}
</li>`,
  )}</ul>`;
}

/** Advice is a command, or a sentence. */
function advised(advice: string): Markup {
  return advice.startsWith('bulla ') ? html`<code>${advice}</code>` : html`<bdi>${advice}</bdi>`;
}

/**
 * A table; the first cell of each row is its heading. On narrow screens each row becomes a block, in which every cell has
 * its column's heading; the roles keep it a table for screen readers.
 */
export function table(caption: string, heads: readonly string[], rows: readonly (readonly Part[])[]): Markup {
  return html`<div class="scroll"><table role="table"><caption>${caption}</caption>
<thead role="rowgroup"><tr role="row">${heads.map((head) => html`<th scope="col" role="columnheader">${head}</th>`)}</tr></thead>
<tbody role="rowgroup">${rows.map(
    ([first, ...cells]) => html`
<tr role="row"><th scope="row" role="rowheader">${first}</th>${cells.map((cell, at) => html`<td role="cell" data-label="${heads[at + 1]}">${cell}</td>`)}</tr>`,
  )}</tbody></table></div>`;
}

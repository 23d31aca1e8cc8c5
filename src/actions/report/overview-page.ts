import { relativeTime } from '../../encoding/relative-time.ts';
import { footerOf, type PageFrame } from './collection-page.ts';
import { html, type Markup, named, type Part, page } from './html.ts';
import { attentionList, sign, stateMark, table } from './parts.ts';
import type { Attention, ReportedCollection, ReportState } from './report.ts';
import { CLASSES, counted, STATE_WORDS } from './words.ts';

/** A collection in the overview. */
export interface OverviewRow {
  readonly place: string;
  /** Address of its page; undefined where it has none. */
  readonly href?: string | undefined;
  readonly state: ReportState;
  /** In place of the usual words for the state. */
  readonly verdict?: string | undefined;
  /** The role that expires first. */
  readonly first?: { readonly role: string; readonly expires: Date } | undefined;
  readonly names?: string | undefined;
  readonly waiting?: string | undefined;
  readonly attention: readonly Attention[];
}

/** What the overview says of a collection that was reported on. */
export function rowOf(collection: ReportedCollection, href: string | undefined): OverviewRow {
  const { place, state, failure } = collection;
  if (failure !== undefined) {
    const { code, message, hint = '' } = failure;
    return {
      ...{ place, state, href },
      verdict: 'Could not be read',
      attention: [{ kind: code, urgency: 'bad', what: `${message} [${code}]`, advice: hint }],
    };
  }
  const { names, hasMoreNames, waiting, attention, roles } = collection;
  const [first] = [...roles].sort((a, b) => a.expires.getTime() - b.expires.getTime());
  return {
    ...{ place, state, href, attention, first },
    names: hasMoreNames ? `more than ${names.length}` : String(names.length),
    waiting:
      waiting === undefined
        ? 'not known'
        : waiting.length === 0
          ? 'nothing'
          : counted(waiting.length, 'change'),
  };
}

/** The overview of many collections (spec/report.md): what needs attention first, then all of them. */
export function overviewPage(rows: readonly OverviewRow[], frame: PageFrame): string {
  const ordered = ORDER.flatMap((state) => rows.filter((row) => row.state === state));
  const worst = ordered[0]?.state ?? 'fine';
  const kind = rows.length === 0 ? 'soon' : CLASSES[worst];
  const count = (state: ReportState): number => rows.filter((row) => row.state === state).length;
  const troubled = ordered.filter(({ attention }) => attention.length > 0);
  const verdict =
    rows.length === 0
      ? 'There is no collection'
      : worst === 'fine'
        ? 'All is well'
        : `${counted(rows.length - count('fine'), 'collection needs', 'collections need')} attention`;
  const header = html`<p class="quiet small">bulla</p><h1>Trust report</h1>
<p class="quiet">${counted(rows.length, 'trust collection')}</p>`;
  const main = html`<div class="verdict ${kind}" role="status">${sign(kind)}<span>${verdict}</span></div>
<ul class="counts">
<li>${stateMark('fine', STATE_WORDS.fine)}<strong>${count('fine')}</strong></li>
<li>${stateMark('soon', STATE_WORDS.soon)}<strong>${count('soon')}</strong></li>
<li>${stateMark('bad', STATE_WORDS.bad)}<strong>${count('bad')}</strong></li>
</ul>
${
  troubled.length === 0
    ? undefined
    : html`<section aria-labelledby="attention"><h2 id="attention">Needs attention</h2>${troubled.slice(0, TROUBLED_SHOWN).map(troubles)}
${troubled.length > TROUBLED_SHOWN ? html`<p class="quiet">and ${counted(troubled.length - TROUBLED_SHOWN, 'more collection')} below</p>` : undefined}</section>`
}
<section aria-labelledby="all"><h2 id="all">All collections</h2>
${table(
  `${counted(rows.length, 'collection')}, and what of each expires first`,
  COLUMNS,
  ordered.slice(0, ROWS_SHOWN).map((row) => cellsOf(row, frame.now)),
)}
${rows.length > ROWS_SHOWN ? html`<p class="quiet">and ${counted(rows.length - ROWS_SHOWN, 'more collection')}, of which none is in a worse state</p>` : undefined}</section>`;
  return page('Trust report', header, main, footerOf(frame));
}

const ORDER: readonly ReportState[] = ['bad', 'soon', 'fine'];
/** Collections whose points are listed on the overview. */
const TROUBLED_SHOWN = 50;
/** Points of one collection that are listed on the overview; its page has all. */
const POINTS_SHOWN = 3;

function troubles(row: OverviewRow): Markup {
  const more = row.attention.length - POINTS_SHOWN;
  return html`<h3>${link(row)}</h3>${attentionList(row.attention.slice(0, POINTS_SHOWN))}
${more > 0 ? html`<p class="quiet small">and ${counted(more, 'more point')}</p>` : undefined}<br>`;
}

function link({ place, href }: OverviewRow): Markup {
  return href === undefined ? named(place, 300) : html`<a href="${href}">${named(place, 300)}</a>`;
}

const COLUMNS = ['Collection', 'State', 'Expires first', 'Names', 'Waits'];
/** Most collections that the table lists. */
const ROWS_SHOWN = 2_000;

function cellsOf(row: OverviewRow, now: Date): readonly Part[] {
  const { state, verdict, first, names, waiting } = row;
  const expiry =
    first === undefined ? undefined : html`${named(first.role, 60)} ${relativeTime(first.expires, now)}`;
  return [link(row), stateMark(state, verdict ?? STATE_WORDS[state]), expiry, names, waiting];
}

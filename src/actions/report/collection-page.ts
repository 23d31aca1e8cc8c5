import { formatTime } from '../../encoding/time.ts';
import { rolesDrawing } from './drawing.ts';
import { html, type Markup, named, page } from './html.ts';
import { attentionList, sign, stateMark, table, timeText } from './parts.ts';
import type {
  ReadCollection,
  ReportedChange,
  ReportedCollection,
  ReportedRole,
  ReportedStage,
  UnreadCollection,
} from './report.ts';
import { timeLine } from './time-line.ts';
import { CLASSES, counted, DUTIES, keyText, thresholdText } from './words.ts';

/** What a page says of itself. */
export interface PageFrame {
  readonly now: Date;
  /** Address of the overview; undefined where there is none. */
  readonly overview?: string | undefined;
  /** Version of bulla. */
  readonly version: string;
}

/** The page of one collection (spec/report.md): a whole HTML document that needs nothing else. */
export function collectionPage(collection: ReportedCollection, frame: PageFrame): string {
  const { place, failure } = collection;
  const back =
    frame.overview === undefined ? undefined : html`<a href="${frame.overview}">All collections</a>`;
  const header = html`${back === undefined ? undefined : html`<nav aria-label="Report">${back}</nav>`}
<h1>${named(place, 300)}</h1>
${failure === undefined ? facts(collection, frame.now) : undefined}`;
  const main = failure === undefined ? readable(collection, frame.now) : unreadable(collection);
  return page(`${place} · trust report`, header, main, footerOf(frame));
}

/** The same on every page. */
export function footerOf({ now, version }: Pick<PageFrame, 'now' | 'version'>): Markup {
  return html`<p>Made by bulla ${version} on <time datetime="${formatTime(now)}">${formatTime(now)}</time>. A report is for people: before you run an image, use <code>bulla verify</code>.</p>`;
}

function facts({ name, collection, head, created, place }: ReadCollection, now: Date): Markup {
  return html`<dl>
${name === place ? undefined : html`<dt>Made for</dt><dd>${named(name, 300)}</dd>`}
<dt>Collection</dt><dd class="id">${collection}</dd>
<dt>Head</dt><dd class="id">${head}</dd>
${created === undefined ? undefined : html`<dt>As of</dt><dd>${timeText(created, now)}</dd>`}
</dl>`;
}

function unreadable({ failure }: UnreadCollection): Markup {
  const { code, message, hint = '' } = failure;
  return html`<div class="verdict bad" role="status">${sign('bad')}<span>This collection could not be read</span></div>
<section aria-labelledby="attention"><h2 id="attention">What happened</h2>
${attentionList([{ kind: code, urgency: 'bad', what: `${message} [${code}]`, advice: hint }])}
<p class="small quiet">Nothing is known about its names and keys: do not take this for a collection without findings.</p></section>`;
}

function readable(collection: ReadCollection, now: Date): Markup {
  const { state, attention, notes, roles, names, waiting, trusted } = collection;
  const kind = CLASSES[state];
  const count = attention.length;
  const verdict =
    state === 'fine' ? 'All is well' : `${counted(count, 'thing needs', 'things need')} attention`;
  return html`<div class="verdict ${kind}" role="status">${sign(kind)}<span>${verdict}${trusted || state !== 'bad' ? '' : ': do not rely on this collection'}</span></div>
<nav aria-label="On this page"><ul>
${count > 0 ? html`<li><a href="#attention">Attention</a></li>` : undefined}<li><a href="#roles">Who may sign what</a></li><li><a href="#expiry">What expires when</a></li><li><a href="#names">Names</a></li><li><a href="#waiting">What waits</a></li><li><a href="#history">History</a></li>
</ul></nav><br>
${count + notes.length > 0 ? attentionSection(collection) : undefined}
<section aria-labelledby="roles"><h2 id="roles">Who may sign what</h2>
${rolesDrawing(roles)}
<p class="legend">Lines lead from a role to those whose keys it assigns. A filled circle is a key that has signed; an empty one has not.</p>
${rolesTable(roles, now)}</section>
<section aria-labelledby="expiry"><h2 id="expiry">What expires when</h2>
${timeLine(roles, now)}</section>
<section aria-labelledby="names"><h2 id="names">Names</h2>
${names.length === 0 ? html`<p class="quiet">No name is signed.</p>` : namesTable(collection, now)}</section>
<section aria-labelledby="waiting"><h2 id="waiting">What waits</h2>
${waits(waiting, now)}</section>
<section aria-labelledby="history"><h2 id="history">History</h2>
${historyList(collection, now)}</section>`;
}

function attentionSection({ attention, notes }: ReadCollection): Markup {
  const heading = attention.length > 0 ? 'Needs attention' : 'Notes';
  return html`<section aria-labelledby="attention"><h2 id="attention">${heading}</h2>
${attention.length > 0 ? attentionList(attention) : undefined}
${notes.length === 0 ? undefined : attention.length === 0 ? attentionList(notes) : html`<details><summary>${counted(notes.length, 'note')}</summary>${attentionList(notes)}</details>`}</section>`;
}

function rolesTable(roles: readonly ReportedRole[], now: Date): Markup {
  const words = { fine: 'valid', soon: 'expires soon', expired: 'expired' } as const;
  const rows = roles.map((role) => [
    html`${named(role.role, 128)}<br><span class="quiet small">${DUTIES[role.kind]}${role.paths === undefined ? undefined : html`, only ${listed(role.paths, 120)}`}</span>`,
    thresholdText(role),
    html`<ul>${role.keys.map(
      ({ name, keyid, scheme, hasSigned }) =>
        html`<li>${name === undefined ? undefined : html`${named(name, 80)} `}<span class="id">${keyid}</span> <span class="quiet small">${scheme}, ${hasSigned ? 'has signed' : 'has not signed'}</span></li>`,
    )}</ul>`,
    html`${stateMark(role.state, words[role.state])}<br>${timeText(role.expires, now)}<br><span class="quiet small">version ${role.version}</span>`,
  ]);
  return html`<details><summary>All roles and keys as a table</summary>
${table('Roles, their keys, and until when they are signed', ['Role', 'Needs', 'Keys', 'Signed until'], rows)}</details>`;
}

function namesTable({ names, hasMoreNames }: ReadCollection, now: Date): Markup {
  const caption = hasMoreNames
    ? `The first ${names.length} names; bulla ls lists all`
    : counted(names.length, 'signed name');
  const rows = names.map(({ name, digest, signers, since }) => [
    named(name),
    html`<span class="id">${digest}</span>`,
    listed(signers, 60),
    since === undefined ? undefined : timeText(since, now, true),
  ]);
  return table(caption, ['Name', 'Digest', 'Signed by', 'Since'], rows);
}

/** Names from outside, with commas. */
function listed(names: readonly string[], max: number): readonly Markup[] {
  return names.map((name, at) => html`${at === 0 ? '' : ', '}${named(name, max)}`);
}

const STAGE_STATES: Readonly<Record<ReportedStage['state'], string>> = {
  signatures: 'waits for signatures',
  online: 'has all signatures and waits for the online key',
  outdated: 'is outdated: its author must make it again',
};

function waits(waiting: ReadCollection['waiting'], now: Date): Markup {
  if (waiting === undefined)
    return html`<p class="quiet">Not known: the registry does not let us look beside the head.</p>`;
  if (waiting.length === 0) return html`<p>${stateMark('fine', 'Nothing waits')}</p>`;
  const missing = ({ missing }: ReportedStage): Markup[] =>
    missing.map(
      ({ role, threshold, valid, open }) =>
        html`<p>${named(role, 128)} has ${valid.length} of ${threshold} signatures. <span class="quiet">May still sign: ${open.length === 0 ? 'no key' : open.slice(0, 10).map((id) => html`<span class="id">${id.slice(0, 12)}</span> `)}</span></p>`,
    );
  return html`<ul class="points">${waiting.map(
    (stage) => html`
<li class="${stage.state === 'outdated' ? 'bad' : 'soon'}"><h3>${listed(stage.roles, 128)} <span class="quiet">${STAGE_STATES[stage.state]}</span></h3>
<p class="small quiet">id <span class="id">${stage.id}</span>${stage.since === undefined ? undefined : html`, since ${timeText(stage.since, now)}`}</p>
${stage.summary.slice(0, 40).map((change) => html`<p><bdi>${change}</bdi></p>`)}
${stage.summary.length > 40 ? html`<p class="quiet">and ${stage.summary.length - 40} more lines: bulla pending</p>` : undefined}
${missing(stage)}</li>`,
  )}</ul>`;
}

/** Changes that are shown at once; the others can be unfolded. */
const CHANGES_OPEN = 10;

function historyList({ changes, moreChanges, roots }: ReadCollection, now: Date): Markup {
  const list = (some: readonly ReportedChange[]): Markup =>
    html`<ol class="history" reversed>${some.map((change) => changeItem(change, now))}</ol>`;
  const rest = changes.slice(CHANGES_OPEN);
  return html`${changes.length === 0 ? html`<p class="quiet">The logs list no change of a name.</p>` : list(changes.slice(0, CHANGES_OPEN))}
${rest.length === 0 ? undefined : html`<details><summary>${counted(rest.length, 'older change')}</summary>${list(rest)}</details>`}
${moreChanges > 0 ? html`<p class="small quiet">${counted(moreChanges, 'more change')}: bulla log</p>` : undefined}
<details><summary>Changes of root keys: ${counted(roots.length, 'version')}</summary>
<ol class="history" reversed>${roots.map(
    ({ version, changes: told }) =>
      html`<li><h3>root ${version}</h3>${told.length === 0 ? html`<p class="quiet">the same keys</p>` : told.slice(0, 40).map((line) => html`<p><bdi>${line}</bdi></p>`)}</li>`,
  )}</ol></details>`;
}

function changeItem({ at, role, by, key, set, unset, more }: ReportedChange, now: Date): Markup {
  const author =
    by === undefined
      ? undefined
      : html` by ${named(keyText({ keyid: by, name: key, scheme: '', hasSigned: true }), 100)}`;
  return html`<li><p>${timeText(at, now)} <span class="quiet">in ${named(role, 128)}${author}</span></p>
${set.map(({ name, digest }) => html`<p><span class="good">signed</span> ${named(name)} <span class="id">${digest}</span></p>`)}
${unset.map((name) => html`<p><span class="bad">revoked</span> ${named(name)}</p>`)}
${more > 0 ? html`<p class="quiet">and ${counted(more, 'more name')}</p>` : undefined}</li>`;
}

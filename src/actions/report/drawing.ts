import { html, type Markup, visible } from './html.ts';
import type { ReportedKey, ReportedRole } from './report.ts';
import { CLASSES, dayOf, SIGNS, thresholdText } from './words.ts';

/** Most keys that are drawn of a role, and most signers that are drawn; the table has all. */
const KEYS_DRAWN = 6;
const SIGNERS_DRAWN = 24;
const LINE = 20;
const GAP = 14;

/** A role with its place in the drawing. */
interface Box {
  readonly role: ReportedRole;
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
  readonly parent?: Box | undefined;
}

/** How roles are laid out: in columns from left to right, or below each other for narrow screens. */
interface Layout {
  readonly width: number;
  readonly boxWidth: number;
  readonly isNarrow: boolean;
}

const WIDE: Layout = { width: 980, boxWidth: 272, isNarrow: false };
const NARROW: Layout = { width: 380, boxWidth: 320, isNarrow: true };

/** Who may sign what, as a drawing: each role beside the one that assigns its keys. */
export function rolesDrawing(roles: readonly ReportedRole[]): Markup {
  return html`<div class="wide">${drawing(roles, WIDE, 'wide')}</div>
<div class="narrow">${drawing(roles, NARROW, 'narrow')}</div>`;
}

function drawing(roles: readonly ReportedRole[], layout: Layout, id: string): Markup {
  const drawn = drawnRoles(roles);
  const boxes = layout.isNarrow ? below(drawn, layout) : beside(drawn, layout);
  const height = Math.max(0, ...boxes.map(({ y, height: own }) => y + own)) + 2;
  const left = roles.length - drawn.length;
  return html`<svg viewBox="0 0 ${layout.width} ${height}" role="img" aria-labelledby="roles-${id}-title" aria-describedby="roles-${id}-text">
<title id="roles-${id}-title">Who may sign what</title>
<desc id="roles-${id}-text">${descriptionOf(drawn)}${left > 0 ? ` ${left} more signers are in the table.` : ''}</desc>
${boxes.map((box) => edge(box, layout))}
${boxes.map(roleBox)}
</svg>`;
}

function drawnRoles(roles: readonly ReportedRole[]): readonly ReportedRole[] {
  const left = new Set(roles.filter(({ kind }) => kind === 'signer').slice(SIGNERS_DRAWN));
  return roles.filter((role) => !left.has(role));
}

function descriptionOf(roles: readonly ReportedRole[]): string {
  const root = 'The role root assigns the keys of targets, snapshot and timestamp; targets assigns those of ';
  const below = roles.filter(({ kind }) => kind === 'names' || kind === 'signer');
  const names = below.map(({ role }) => cut(role, 60)).join(', ');
  const signed = roles.map((role) => {
    const done = role.keys.filter(({ hasSigned }) => hasSigned).length;
    return `${cut(role.role, 60)} needs ${thresholdText(role)} and has ${done}.`;
  });
  return `${root}${names || 'no role'}. ${signed.join(' ')}`;
}

/** Roles of one level in a column, from left to right. */
function beside(roles: readonly ReportedRole[], { width, boxWidth }: Layout): readonly Box[] {
  const step = (width - boxWidth - 2) / 2;
  const column = (some: readonly ReportedRole[], level: number, top: number, parent?: Box): Box[] => {
    let y = top;
    return some.map((role) => {
      const box = { role, x: 1 + level * step, y, width: boxWidth, height: heightOf(role), parent };
      y += box.height + GAP;
      return box;
    });
  };
  const [root] = column(of(roles, 'root'), 0, 1);
  const top = column(of(roles, 'targets', 'snapshot', 'timestamp'), 1, 1, root);
  const targets = top.find(({ role }) => role.kind === 'targets');
  return [
    ...(root === undefined ? [] : [root]),
    ...top,
    ...column(of(roles, 'names', 'signer'), 2, 1, targets),
  ];
}

/** All roles below each other, each level further in. */
function below(roles: readonly ReportedRole[], { width, boxWidth }: Layout): readonly Box[] {
  const indent = (width - boxWidth - 2) / 2;
  const boxes: Box[] = [];
  let y = 1;
  const add = (some: readonly ReportedRole[], level: number, parent?: Box): void => {
    for (const role of some) {
      boxes.push({ role, x: 1 + level * indent, y, width: boxWidth, height: heightOf(role), parent });
      y += heightOf(role) + GAP;
    }
  };
  add(of(roles, 'root'), 0);
  const root = boxes[0];
  add(of(roles, 'targets'), 1, root);
  add(
    of(roles, 'names', 'signer'),
    2,
    boxes.find(({ role }) => role.kind === 'targets'),
  );
  add(of(roles, 'snapshot', 'timestamp'), 1, root);
  return boxes;
}

function of(
  roles: readonly ReportedRole[],
  ...kinds: readonly ReportedRole['kind'][]
): readonly ReportedRole[] {
  return kinds.flatMap((kind) => roles.filter((role) => role.kind === kind));
}

function linesOf({ keys, paths }: ReportedRole): number {
  const drawn = Math.min(keys.length, KEYS_DRAWN) + (keys.length > KEYS_DRAWN ? 1 : 0);
  return drawn + (paths === undefined ? 0 : 1);
}

function heightOf(role: ReportedRole): number {
  return 54 + linesOf(role) * LINE + 6;
}

/** Heights at which lines leave and reach boxes. */
const HEAD = 24;

function edge({ parent, ...box }: Box, { isNarrow }: Layout): Markup | undefined {
  if (parent === undefined) return undefined;
  const y = box.y + HEAD;
  if (isNarrow) {
    const x = parent.x + 12;
    return html`<path class="edge" d="M ${x} ${parent.y + parent.height} V ${y - 6} Q ${x} ${y} ${x + 6} ${y} H ${box.x}"/>`;
  }
  const [from, to] = [parent.x + parent.width, box.x];
  const middle = (from + to) / 2;
  return html`<path class="edge" d="M ${from} ${parent.y + HEAD} C ${middle} ${parent.y + HEAD} ${middle} ${y} ${to} ${y}"/>`;
}

function roleBox({ role, x, y, width, height }: Box): Markup {
  const { state, expires, keys, paths, count } = role;
  const kind = CLASSES[state];
  const until = state === 'expired' ? `expired ${dayOf(expires)}` : `until ${dayOf(expires)}`;
  const names = count === undefined ? '' : ` · ${count} ${count === 1 ? 'name' : 'names'}`;
  const more = keys.length - KEYS_DRAWN;
  const text = (line: number): number => y + 64 + line * LINE;
  const rows = keys.slice(0, KEYS_DRAWN).map((key, at) => keyRow(key, x + 16, text(at)));
  if (more > 0)
    rows.push(html`<text class="faint" x="${x + 32}" y="${text(KEYS_DRAWN)}">and ${more} more</text>`);
  if (paths !== undefined)
    rows.push(
      html`<text class="faint" x="${x + 14}" y="${text(rows.length)}">only ${cut(paths.join(', '), 28)}</text>`,
    );
  return html`<g>
<rect class="box" x="${x}" y="${y}" width="${width}" height="${height}" rx="8"/>
<rect class="fill-${kind}" x="${x}" y="${y + 8}" width="4" height="${height - 16}" rx="2"/>
<text class="strong" x="${x + 14}" y="${y + 23}">${cut(role.role, 15)}</text>
<text class="faint" x="${x + width - 12}" y="${y + 23}" text-anchor="end">needs ${thresholdText(role)}</text>
<text class="fill-${kind}" x="${x + 14}" y="${y + 42}">${SIGNS[kind]} ${until}${names}</text>
${rows}
</g>`;
}

/** A key: a filled circle with a check mark where it has signed, an empty one where it has not. */
function keyRow({ keyid, name, hasSigned }: ReportedKey, x: number, y: number): Markup {
  const sign = hasSigned
    ? html`<circle class="fill-good" cx="${x + 5}" cy="${y - 4}" r="6.5"/><path class="tick" d="M ${x + 2} ${y - 4} l 2.3 2.5 l 4 -4.6"/>`
    : html`<circle class="ring" cx="${x + 5}" cy="${y - 4}" r="5.5"/>`;
  const id = keyid.slice(0, 12);
  const label = name === undefined ? '' : `${cut(name, 14)} `;
  return html`${sign}<text class="mono" x="${x + 18}" y="${y}">${label}<tspan class="faint">${id}</tspan></text>`;
}

/** Text from outside, so long that it fits. */
export function cut(text: string, max: number): string {
  const clean = visible(text);
  return clean.length > max ? `${[...clean].slice(0, max - 1).join('')}…` : clean;
}

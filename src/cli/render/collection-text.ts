import { relativeTime } from '../../encoding/relative-time.ts';
import { formatTime } from '../../encoding/time.ts';
import { isSamePlace } from '../../oci/place.ts';
import type { NamedDigest } from '../../trust/read/names.ts';
import { type ExpiryState, expiryState } from '../../trust/report/expiry.ts';
import type { CollectionOverview, RoleOverview } from '../../trust/report/overview.ts';
import { formatVersion } from '../../tuf/edit/policy.ts';
import type { TufKey } from '../../tuf/keys.ts';
import { type Line, type Piece, plainName, type Style } from './style.ts';

/** How a collection is to be drawn. */
export interface DrawingOptions {
  readonly now: Date;
  /** What keys are called in the key store, by the fingerprint of their material. */
  readonly keyNames: ReadonlyMap<string, string>;
  /** Most names that are drawn of each role. */
  readonly names: number;
}

interface Branch {
  readonly label: readonly Piece[];
  readonly branches: readonly Branch[];
}

const STATE_STYLES: Readonly<Record<ExpiryState, Style>> = { fine: 'good', soon: 'soon', expired: 'bad' };

/** What a branch stands further in than the one it hangs from. */
const INDENT = 4;

/** A collection as a tree: each role below the one that says who may sign for it. */
export function collectionLines(overview: CollectionOverview, options: DrawingOptions): Line[] {
  const { place, name, id, created } = overview;
  const made = created === undefined ? '' : `, as of ${relativeTime(created, options.now)}`;
  const copied = isSamePlace(name, place) ? '' : `, made for ${name}`;
  const roles = (kinds: readonly RoleOverview['kind'][]) =>
    overview.roles.filter(({ kind }) => kinds.includes(kind));
  const [above, below] = [roles(['root', 'targets', 'snapshot', 'timestamp']), roles(['names', 'signer'])];
  const widthOf = (some: readonly RoleOverview[]) =>
    Math.max(...some.map(({ role }) => plainName(role).length));
  // One column, though some stand further in.
  const width = Math.max(widthOf(above), widthOf(below) + INDENT);
  const versionWidth = Math.max(...overview.roles.map(({ version }) => formatVersion(version).length));
  const delegated = roleBranches(below, [width - INDENT, versionWidth], options);
  const top = roleBranches(above, [width, versionWidth], options, delegated);
  return [
    [
      ['strong', place],
      ['faint', `  collection ${id.slice(0, 12)}${copied}${made}`],
    ],
    ...draw(top, ''),
  ];
}

function roleBranches(
  roles: readonly RoleOverview[],
  widths: readonly [number, number],
  options: DrawingOptions,
  belowTargets: readonly Branch[] = [],
): Branch[] {
  return roles.map((role) => ({
    label: roleLabel(role, widths, options),
    branches: role.kind === 'targets' ? belowTargets : nameBranches(role, options.names),
  }));
}

function roleLabel(
  overview: RoleOverview,
  [width, versionWidth]: readonly [number, number],
  options: DrawingOptions,
): Piece[] {
  const { role, version, paths, kind } = overview;
  const restricted = kind === 'signer' && paths !== undefined && paths.join() !== '*';
  return [
    ['strong', plainName(role).padEnd(width)],
    `  ${formatVersion(version).padEnd(versionWidth)}  `,
    expiryPiece(overview, options.now),
    `  ${keysText(overview, options.keyNames)}`,
    ['faint', restricted ? `  only ${paths.map(plainName).join(', ')}` : ''],
    ['faint', countText(overview)],
  ];
}

/** Until when a role counts, in the colour of how urgent that is. */
export function expiryPiece({ role, expires }: RoleOverview, now: Date, before = 'until '): Piece {
  const state = expiryState(role, expires, now);
  const when = formatTime(expires).slice(0, 10);
  const text = state === 'expired' ? `EXPIRED ${when}` : `${before}${when}`;
  return [STATE_STYLES[state], `${text} (${relativeTime(expires, now)})`];
}

/** Whose signatures a role needs: `publisher 3f2a91c04d1e`, `2 of 3: alice 3f2a91c04d1e ✓, …`. */
export function keysText(
  { keys, threshold, signedBy }: RoleOverview,
  keyNames: ReadonlyMap<string, string>,
): string {
  const isPlain = keys.length === 1 && threshold === 1;
  const listed = keys.map((key) => {
    const mark = !isPlain && signedBy.includes(key.keyid) ? ' ✓' : '';
    return `${keyText(key, keyNames)}${mark}`;
  });
  return isPlain ? `by ${listed.join()}` : `by ${threshold} of ${keys.length}: ${listed.join(', ')}`;
}

/** A key for people: what the key store calls it, and the beginning of its id. */
export function keyText(key: TufKey, keyNames: ReadonlyMap<string, string>): string {
  const name = keyNames.get(key.fingerprint ?? '');
  const id = key.keyid.slice(0, 12);
  return name === undefined ? id : `${name} ${id}`;
}

function countText({ count, bins }: RoleOverview): string {
  if (count === undefined) return '';
  const spread = bins === undefined ? '' : ` in ${bins} bins`;
  return `  ${count} ${count === 1 ? 'name' : 'names'}${spread}`;
}

function nameBranches({ names = new Map(), count = 0 }: RoleOverview, most: number): Branch[] {
  const shown = [...names].slice(0, most).map(([name, named]) => [plainName(name), named] as const);
  const width = Math.max(0, ...shown.map(([name]) => name.length));
  const branches = shown.map(([name, { digest }]: readonly [string, NamedDigest]) => ({
    label: [name.padEnd(width), ['faint', `  ${digest.slice(0, 19)}`] as const],
    branches: [],
  }));
  const more = count - shown.length;
  if (more <= 0 || most === 0) return branches;
  return [...branches, { label: [['faint', `… ${more} more: bulla ls`]], branches: [] }];
}

function draw(branches: readonly Branch[], indent: string): Line[] {
  return branches.flatMap(({ label, branches: below }, at) => {
    const last = at === branches.length - 1;
    return [
      [['faint', `${indent}${last ? '└── ' : '├── '}`] as const, ...label],
      ...draw(below, indent + (last ? '    ' : '│   ')),
    ];
  });
}

/** A collection for `-o json` (spec/output.md). */
export function collectionJson(
  overview: CollectionOverview,
  options: DrawingOptions,
): Record<string, unknown> {
  const { place, id, name, head, created, roles } = overview;
  return {
    place,
    collection: id,
    name,
    head,
    created: created === undefined ? null : formatTime(created),
    roles: roles.map((role) => roleJson(role, options)),
  };
}

/** One role of a collection for `-o json`. */
export function roleJson(
  overview: RoleOverview,
  { now, keyNames, names: most }: DrawingOptions,
): Record<string, unknown> {
  const { role, kind, version, expires, keys, threshold, signedBy, paths, count, bins, names } = overview;
  return {
    role,
    kind,
    version,
    expires: formatTime(expires),
    state: expiryState(role, expires, now),
    threshold,
    keys: keys.map((key) => ({
      keyid: key.keyid,
      scheme: key.json['scheme'],
      fingerprint: key.fingerprint ?? null,
      name: keyNames.get(key.fingerprint ?? '') ?? null,
    })),
    signedBy,
    ...(paths !== undefined && { paths }),
    ...(count !== undefined && { count }),
    ...(bins !== undefined && { bins }),
    ...(names !== undefined && {
      names: [...names].slice(0, most).map(([tag, named]) => ({ name: tag, ...named })),
    }),
  };
}

import { relativeTime } from '../../encoding/relative-time.ts';
import { formatTime } from '../../encoding/time.ts';
import type { NamedContent } from '../../trust/format/log.ts';
import type { History, PastChange } from '../../trust/report/history.ts';
import { type Line, plainName } from './style.ts';

/** How a history is to be shown. */
export interface HistoryOptions {
  readonly now: Date;
  /** What the key store calls keys, by their ids. */
  readonly keys: ReadonlyMap<string, string>;
  /** Only what changes say of this name. */
  readonly only: string | undefined;
  /** Most changes that are shown. */
  readonly max: number;
}

/** Most names of one change that are shown to people. */
const NAMES_SHOWN = 20;

/** A history for people, newest first. */
export function historyLines(history: History, options: HistoryOptions): Line[] {
  const lines: Line[] = [];
  for (const change of history.changes.slice(0, options.max)) lines.push(...changeLines(change, options));
  const more = history.changes.length - options.max;
  if (more > 0) lines.push([['faint', `… ${more} more changes: --max`]]);
  if (history.changes.length === 0) lines.push([['faint', 'no change of a name is listed']]);
  for (const [role, since] of history.since)
    lines.push([
      [
        'faint',
        `the log of ${plainName(role)} goes back to ${formatTime(since)} (${relativeTime(since, options.now)})`,
      ],
    ]);
  for (const { version, changes } of history.roots) {
    lines.push([['strong', `root ${version}`], changes.length === 0 ? '  same keys' : '']);
    for (const change of changes) lines.push(`  ${shortIds(change)}`);
  }
  return lines;
}

function changeLines({ role, entry }: PastChange, { now, keys, only }: HistoryOptions): Line[] {
  const { at, by, origin, id } = entry;
  const names = namesOf(entry, only);
  const width = Math.max(0, ...names.slice(0, NAMES_SHOWN).map(({ name }) => plainName(name).length));
  const key = by === undefined ? undefined : (keys.get(by) ?? plainName(by.slice(0, 12)));
  const lines: Line[] = [
    [
      ['strong', formatTime(at)],
      `  ${relativeTime(at, now)}  ${plainName(role)}${key === undefined ? '' : `  by ${key}`}`,
      ['faint', `  ${id.slice(0, 12)}${origin === undefined ? '' : `  copied from ${plainName(origin)}`}`],
    ],
  ];
  for (const { name, content } of names.slice(0, NAMES_SHOWN)) {
    const shown = plainName(name).padEnd(width);
    lines.push(
      content === undefined
        ? [['bad', `  - ${shown}`], '  revoked']
        : [['good', `  + ${shown}`], `  sha256:${content.sha256}`],
    );
  }
  const more = names.length - NAMES_SHOWN;
  if (more > 0) lines.push([['faint', `    … ${more} more names`]]);
  return lines;
}

/** Key ids for people; `-o json` has them whole. */
function shortIds(text: string): string {
  return text.replace(/\b([0-9a-f]{12})[0-9a-f]{52}\b/g, '$1');
}

interface ChangedName {
  readonly name: string;
  /** Undefined where it was taken out. */
  readonly content: NamedContent | undefined;
}

function namesOf({ set, unset }: PastChange['entry'], only: string | undefined): readonly ChangedName[] {
  const names = [
    ...[...(set ?? [])].map(([name, content]) => ({ name, content })),
    ...[...(unset ?? [])].map((name) => ({ name, content: undefined })),
  ];
  return only === undefined ? names : names.filter(({ name }) => name === only);
}

/** A history for `-o json` (spec/output.md). */
export function historyJson(history: History, { keys, only, max }: HistoryOptions): Record<string, unknown> {
  return {
    changes: history.changes.slice(0, max).map(({ role, entry }) => {
      const { id, at, by, origin } = entry;
      const names = namesOf(entry, only);
      return {
        id,
        at: formatTime(at),
        role,
        by: by ?? null,
        key: keys.get(by ?? '') ?? null,
        origin: origin ?? null,
        set: names.flatMap(({ name, content }) => (content === undefined ? [] : [setJson(name, content)])),
        unset: names.flatMap(({ name, content }) => (content === undefined ? [name] : [])),
      };
    }),
    more: Math.max(0, history.changes.length - max),
    roots: history.roots,
  };
}

function setJson(tag: string, { sha256, length, mediaType }: NamedContent): Record<string, unknown> {
  return { tag, digest: `sha256:${sha256}`, length, ...(mediaType !== undefined && { mediaType }) };
}

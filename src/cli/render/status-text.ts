import { adviseOn } from '../../actions/inspect/advice.ts';
import { relativeTime } from '../../encoding/relative-time.ts';
import { formatTime } from '../../encoding/time.ts';
import type { CollectionStatus, RoleStatus, StatusFinding } from '../../trust/report/status.ts';
import { type Line, plainName, type Style } from './style.ts';

/**
 * A status for people.
 * @param place as the person wrote it, for commands to copy
 */
export function statusLines(status: CollectionStatus, place: string, now: Date): Line[] {
  const { overview, roles, findings } = status;
  const { created, id } = overview;
  const made = created === undefined ? '' : `, as of ${relativeTime(created, now)}`;
  const width = Math.max(...roles.map(({ role }) => plainName(role).length));
  const lines: Line[] = [
    [
      ['strong', overview.place],
      ['faint', `  collection ${id.slice(0, 12)}${made}`],
    ],
  ];
  for (const role of roles) lines.push(roleLine(role, width, now));
  for (const finding of findings) {
    const { urgency, what, advice } = adviseOn(finding, overview.head, place, now);
    lines.push([[urgency, what]], `    ${advice}`);
  }
  if (findings.length === 0) lines.push([['good', 'nothing to do']]);
  return lines;
}

const URGENCIES = ['bad', 'soon', 'faint'] as const;

/** The most urgent of a status, in one line. @param place as the person wrote it */
export function statusLine({ overview, findings }: CollectionStatus, place: string, now: Date): Line {
  const all = findings.map((finding) => adviseOn(finding, overview.head, place, now));
  const [first] = URGENCIES.flatMap((urgency) => all.filter((one) => one.urgency === urgency));
  const name: Line = [['strong', place], '  '];
  if (first === undefined) return [...name, ['good', 'nothing to do']];
  const more = all.length > 1 ? ` (and ${all.length - 1} more)` : '';
  return [...name, [first.urgency, first.what], more];
}

function roleLine({ role, expires, state }: RoleStatus, width: number, now: Date): Line {
  const style: Style = state === 'fine' ? 'good' : state === 'soon' ? 'soon' : 'bad';
  const text = `${state === 'expired' ? 'EXPIRED' : 'until'} ${formatTime(expires)} (${relativeTime(expires, now)})`;
  return [`  ${plainName(role).padEnd(width)}  `, [style, text]];
}

/** A status for `-o json` (spec/output.md). */
export function statusJson(
  { overview, roles, findings, isComplete }: CollectionStatus,
  place: string,
  now: Date,
): Record<string, unknown> {
  return {
    place: overview.place,
    collection: overview.id,
    head: overview.head,
    created: overview.created === undefined ? null : formatTime(overview.created),
    roles: roles.map(({ role, expires, state }) => ({
      role,
      expires: formatTime(expires),
      state,
      secondsLeft: Math.floor((expires.getTime() - now.getTime()) / 1000),
    })),
    complete: isComplete,
    findings: findings.map((finding) => {
      const { what, advice } = adviseOn(finding, overview.head, place, now);
      return { kind: finding.kind, ...findingJson(finding), message: what, advice };
    }),
  };
}

function findingJson(finding: StatusFinding): Record<string, unknown> {
  switch (finding.kind) {
    case 'expiry':
      return { role: finding.role.role, state: finding.role.state };
    case 'waiting':
      return { role: finding.role, tag: finding.tag, changes: [finding.entry.id] };
    case 'unsigned': {
      const { role, tag, entries, signatures, threshold } = finding;
      return { role, tag, changes: entries.map(({ id }) => id), signatures, threshold };
    }
    case 'structure': {
      const { id, change, tags } = finding.staged;
      return { id, tags, roles: change.roles, signed: finding.isSigned };
    }
    case 'conflict': {
      const { role, tag, conflict } = finding;
      return { role, tag, changes: [conflict.entry.id], reason: conflict.reason, names: conflict.names };
    }
    case 'broken':
    case 'unsignable':
      return { role: finding.role, code: finding.problem.code, message: finding.problem.message };
    case 'newer':
      return { tag: finding.tag };
    case 'foreign':
      return { tag: finding.refused.tag, code: finding.refused.code };
  }
}

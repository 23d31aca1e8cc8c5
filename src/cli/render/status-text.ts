import { formatTime } from '../../encoding/time.ts';
import type { Digest } from '../../oci/digest.ts';
import type { LogEntry } from '../../trust/format/log.ts';
import type { CollectionStatus, RoleStatus, StatusFinding } from '../../trust/report/status.ts';
import { relativeTime } from './relative-time.ts';
import { shellWord } from './shell-word.ts';
import { type Line, plainName, type Style } from './style.ts';

/** Most names of a change that are shown to people. */
const NAMES_SHOWN = 5;

/** What a finding means, and what to do about it: a command, or a sentence. */
interface Told {
  readonly style: Style;
  readonly what: string;
  readonly advice: string;
}

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
    const { style, what, advice } = tell(finding, overview.head, place, now);
    lines.push([[style, what]], `    ${advice}`);
  }
  if (findings.length === 0) lines.push([['good', 'nothing to do']]);
  return lines;
}

function roleLine({ role, expires, state }: RoleStatus, width: number, now: Date): Line {
  const style: Style = state === 'fine' ? 'good' : state === 'soon' ? 'soon' : 'bad';
  const text = `${state === 'expired' ? 'EXPIRED' : 'until'} ${formatTime(expires)} (${relativeTime(expires, now)})`;
  return [`  ${plainName(role).padEnd(width)}  `, [style, text]];
}

function tell(finding: StatusFinding, head: Digest, place: string, now: Date): Told {
  switch (finding.kind) {
    case 'expiry':
      return tellExpiry(finding.role, head, place, now);
    case 'waiting': {
      const what = `${plainName(finding.role)}: a change waits at ${finding.tag}: ${changeText(finding.entry)}`;
      return { style: 'soon', what, advice: `bulla resign ${place}` };
    }
    case 'unsigned': {
      const { role, signatures, threshold, entries, tag } = finding;
      const changes = entries.map(changeText).join('; ') || 'no change of a name';
      return {
        style: 'soon',
        what: `${plainName(role)}: ${signatures} of ${threshold} have signed ${tag}: ${changes}`,
        advice: `bulla pending ${place}`,
      };
    }
    case 'structure':
      return tellStructure(finding, place);
    case 'conflict':
      return tellConflict(finding, place);
    case 'newer': {
      const made = finding.created === undefined ? '' : `, made ${relativeTime(finding.created, now)}`;
      return {
        style: 'soon',
        what: `${finding.tag} is newer than the head${made}: a publisher is at work, or was overtaken`,
        advice: `bulla resign ${place}`,
      };
    }
    case 'broken':
      return {
        style: 'bad',
        what: `the log of ${finding.role} cannot be read, so its names cannot be changed: ${finding.problem.message}`,
        advice: `with the root key: bulla rotate ${place} ${shellWord(finding.role)} --repair`,
      };
    case 'unsignable':
      return {
        style: 'bad',
        what: `${finding.problem.message}: it cannot be re-signed`,
        advice:
          finding.problem.hint?.replace('REPOSITORY', place) ??
          `bulla rotate ${place} ${shellWord(finding.role)} --renew`,
      };
    case 'foreign': {
      const { tag, code } = finding.refused;
      return {
        style: 'faint',
        what: `${tag} has nothing that can be included (${code})`,
        advice: 'it is harmless; the administrator of the registry can remove the tag',
      };
    }
  }
}

function tellExpiry({ role, expires, state }: RoleStatus, head: Digest, place: string, now: Date): Told {
  const isOnline = role === 'snapshot' || role === 'timestamp';
  const what =
    state === 'expired'
      ? `${plainName(role)} has expired ${relativeTime(expires, now)}: names cannot be verified`
      : `${plainName(role)} expires ${relativeTime(expires, now)}`;
  const renewal = isOnline ? `bulla resign ${place}` : `bulla rotate ${place} ${shellWord(role)} --renew`;
  // Without memory, an expired head is a base only if the user vouches for it.
  const vouched = `; without memory of it, and if this head is the newest: --trust-served-head ${head}`;
  const advice = state === 'expired' ? `${renewal}${vouched}` : renewal;
  return { style: state === 'expired' ? 'bad' : 'soon', what, advice };
}

function tellStructure(
  { staged, isSigned }: Extract<StatusFinding, { kind: 'structure' }>,
  place: string,
): Told {
  const { id, change, tags } = staged;
  const roles = change.roles.map(plainName).join(', ');
  return {
    style: 'soon',
    what: `a change of ${roles} ${isSigned ? 'waits' : 'lacks signatures'} at ${tags.join(', ')}`,
    advice: isSigned ? `bulla resign ${place}` : `bulla pending ${place}, then bulla approve ${place} ${id}`,
  };
}

function tellConflict(
  { role, conflict, tag }: Extract<StatusFinding, { kind: 'conflict' }>,
  place: string,
): Told {
  const { entry, reason, names } = conflict;
  const why =
    reason === 'names'
      ? `${shownNames(names)} ${names.length === 1 ? 'was' : 'were'} changed meanwhile`
      : 'it is older than the first entry in the log of the head';
  const [first] = names;
  const again =
    first === undefined ? '' : `, and if it is still wanted: bulla sign ${place}:${shellWord(first)}`;
  return {
    style: 'bad',
    what: `${plainName(role)}: a change at ${tag} is in conflict (${changeText(entry)}): ${why}`,
    advice: `bulla log ${place}${again}`,
  };
}

function changeText({ set, unset, id }: LogEntry): string {
  const what = set === undefined ? 'revokes' : 'signs';
  return `${id.slice(0, 12)} ${what} ${shownNames([...(set?.keys() ?? unset ?? [])])}`;
}

function shownNames(names: readonly string[]): string {
  const more = names.length - NAMES_SHOWN;
  return names.slice(0, NAMES_SHOWN).map(plainName).join(', ') + (more > 0 ? ` and ${more} more` : '');
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
    findings: findings.map((finding) => ({
      kind: finding.kind,
      ...findingJson(finding),
      message: tell(finding, overview.head, place, now).what,
      advice: tell(finding, overview.head, place, now).advice,
    })),
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

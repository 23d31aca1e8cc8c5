import { relativeTime } from '../../encoding/relative-time.ts';
import { plainName, shellWord } from '../../encoding/shell-word.ts';
import type { Digest } from '../../oci/digest.ts';
import type { LogEntry } from '../../trust/format/log.ts';
import type { RoleStatus, StatusFinding } from '../../trust/report/status.ts';

/** Most names of a change that are shown to people. */
const NAMES_SHOWN = 5;

/** What a finding means, and what to do about it: a command, or a sentence. */
export interface Advice {
  /** `bad`: it does not work now; `soon`: a person or a machine has something to do; `faint`: harmless. */
  readonly urgency: 'bad' | 'soon' | 'faint';
  readonly what: string;
  readonly advice: string;
}

/**
 * A finding in words.
 * @param head digest of the head that was looked at
 * @param place as the person wrote it, for commands to copy
 */
export function adviseOn(finding: StatusFinding, head: Digest, place: string, now: Date): Advice {
  switch (finding.kind) {
    case 'expiry':
      return tellExpiry(finding.role, head, place, now);
    case 'waiting': {
      const what = `${plainName(finding.role)}: a change waits at ${finding.tag}: ${changeText(finding.entry)}`;
      return { urgency: 'soon', what, advice: `bulla resign ${place}` };
    }
    case 'unsigned': {
      const { role, signatures, threshold, entries, tag } = finding;
      const changes = entries.map(changeText).join('; ') || 'no change of a name';
      return {
        urgency: 'soon',
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
        urgency: 'soon',
        what: `${finding.tag} is newer than the head${made}: a publisher is at work, or was overtaken`,
        advice: `bulla resign ${place}`,
      };
    }
    case 'broken':
      return {
        urgency: 'bad',
        what: `the log of ${finding.role} cannot be read, so its names cannot be changed: ${finding.problem.message}`,
        advice: `with the root key: bulla rotate ${place} ${shellWord(finding.role)} --repair`,
      };
    case 'unsignable':
      return {
        urgency: 'bad',
        what: `${finding.problem.message}: it cannot be re-signed`,
        advice:
          finding.problem.hint?.replace('REPOSITORY', place) ??
          `bulla rotate ${place} ${shellWord(finding.role)} --renew`,
      };
    case 'foreign': {
      const { tag, code } = finding.refused;
      return {
        urgency: 'faint',
        what: `${tag} has nothing that can be included (${code})`,
        advice: 'it is harmless; the administrator of the registry can remove the tag',
      };
    }
  }
}

function tellExpiry({ role, expires, state }: RoleStatus, head: Digest, place: string, now: Date): Advice {
  const isOnline = role === 'snapshot' || role === 'timestamp';
  const what =
    state === 'expired'
      ? `${plainName(role)} has expired ${relativeTime(expires, now)}: names cannot be verified`
      : `${plainName(role)} expires ${relativeTime(expires, now)}`;
  const renewal = isOnline ? `bulla resign ${place}` : `bulla rotate ${place} ${shellWord(role)} --renew`;
  // Without memory, an expired head is a base only if the user vouches for it.
  const vouched = `; without memory of it, and if this head is the newest: --trust-served-head ${head}`;
  const advice = state === 'expired' ? `${renewal}${vouched}` : renewal;
  return { urgency: state === 'expired' ? 'bad' : 'soon', what, advice };
}

function tellStructure(
  { staged, isSigned }: Extract<StatusFinding, { kind: 'structure' }>,
  place: string,
): Advice {
  const { id, change, tags } = staged;
  const roles = change.roles.map(plainName).join(', ');
  return {
    urgency: 'soon',
    what: `a change of ${roles} ${isSigned ? 'waits' : 'lacks signatures'} at ${tags.join(', ')}`,
    advice: isSigned ? `bulla resign ${place}` : `bulla pending ${place}, then bulla approve ${place} ${id}`,
  };
}

function tellConflict(
  { role, conflict, tag }: Extract<StatusFinding, { kind: 'conflict' }>,
  place: string,
): Advice {
  const { entry, reason, names } = conflict;
  const why =
    reason === 'names'
      ? `${shownNames(names)} ${names.length === 1 ? 'was' : 'were'} changed meanwhile`
      : 'it is older than the first entry in the log of the head';
  const [first] = names;
  const again =
    first === undefined ? '' : `, and if it is still wanted: bulla sign ${place}:${shellWord(first)}`;
  return {
    urgency: 'bad',
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

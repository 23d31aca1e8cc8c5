import type { Waiting } from '../../actions/change/pending.ts';
import { formatTime } from '../../encoding/time.ts';

const STATES: Readonly<Record<Waiting['state'], string>> = {
  signatures: 'waits for signatures',
  online: 'has all signatures, and waits for the online key',
  outdated: 'is outdated: its author has to make it again',
};

/** @param isShort leave out new names where there are very many */
export function waitingLines(waiting: Waiting, isShort: boolean): string[] {
  const { id, roles, changes, summary, since, signedBy, missing, state } = waiting;
  const when = since === undefined ? '' : `, since ${formatTime(since)}`;
  return [
    `${id}  ${roles.join(', ')}  ${STATES[state]}${when}`,
    ...(isShort ? summary : changes).map((line) => `  ${line}`),
    ...signedBy.map((keyid) => `  signed by ${keyid}`),
    ...missing.map(
      ({ role, threshold, valid, open }) =>
        `  ${role} has ${valid.length} of ${threshold} signatures; may sign: ${open.join(', ') || 'no key'}`,
    ),
  ];
}

/** A staged change for `-o json`. */
export function waitingJson(waiting: Waiting): Readonly<Record<string, unknown>> {
  const { id, roles, tags, changes, since, signedBy, missing, state } = waiting;
  return {
    id,
    roles,
    tags,
    state,
    changes,
    since: since === undefined ? null : formatTime(since),
    signedBy,
    missing,
  };
}

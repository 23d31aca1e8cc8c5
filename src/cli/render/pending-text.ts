import type { Waiting } from '../../actions/change/pending.ts';
import { formatTime } from '../../encoding/time.ts';
import type { MissingSignatures } from '../../tuf/edit/signing.ts';

const STATES: Readonly<Record<Waiting['state'], string>> = {
  signatures: 'waits for signatures',
  online: 'has all signatures, and waits for the online key',
  outdated: 'is outdated: its author has to make it again',
};

/** @param isShort leave out new names where there are very many */
export function waitingLines(waiting: Waiting, isShort: boolean): string[] {
  const { id, roles, changes, summary, since, progress, state } = waiting;
  const when = since === undefined ? '' : `, since ${formatTime(since)}`;
  return [
    `${id}  ${roles.join(', ')}  ${STATES[state]}${when}`,
    ...(isShort ? summary : changes).map((line) => `  ${line}`),
    ...progress.map((one) => `  ${progressText(one)}`),
  ];
}

/** How far one threshold is met, and who can still sign: nothing that other roles have counts. */
export function progressText({ role, delegator, threshold, valid, open }: MissingSignatures): string {
  // A new root has to meet two thresholds: its own, and that of the root before.
  const whose = role === 'root' ? ` that ${delegator} demands` : '';
  const by = valid.length === 0 ? '' : `, by ${valid.join(', ')}`;
  const lacks = valid.length < threshold ? `; may sign: ${open.join(', ') || 'no key'}` : '';
  return `${role} has ${valid.length} of ${threshold} signatures${whose}${by}${lacks}`;
}

/** A staged change for `-o json`. */
export function waitingJson(waiting: Waiting): Readonly<Record<string, unknown>> {
  const { id, roles, tags, changes, since, signedBy, progress, missing, state } = waiting;
  return {
    id,
    roles,
    tags,
    state,
    changes,
    since: since === undefined ? null : formatTime(since),
    signedBy,
    progress,
    missing,
  };
}

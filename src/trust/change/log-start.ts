import { formatTime } from '../../encoding/time.ts';
import { BullaError } from '../../errors.ts';
import type { RepositoryFiles } from '../../tuf/edit/repository.ts';
import { parseTargets } from '../../tuf/targets.ts';
import { lifetimeIn } from '../format/lifetimes.ts';
import { type ChangeLog, LOG_KEPT_MS } from '../format/log.ts';

/** By how much a clock may be behind for changes that are dated at the beginning of such a log, in milliseconds. */
const AHEAD_MARGIN_MS = 3_600_000;
/** By how much the clocks of two people who change roles may differ, in milliseconds. */
export const SKEW_MS = 3_600_000;

/**
 * When the log of a role begins whose earlier changes must never be folded: as late as an entry that was made before
 * `now` can be dated, because clocks may be ahead.
 */
export function startAfterAll(now: Date): Date {
  return new Date(now.getTime() + LOG_KEPT_MS - AHEAD_MARGIN_MS);
}

/**
 * Refuses a log that begins too early or too late for the change that brings it (spec/trust-roles.md, "Change
 * files"). An early beginning lets everything be folded that was staged since: changes that were taken back, or
 * those of a role of the same name that was removed.
 * @param base on which the change is made: its targets was signed before the change
 * @param hadRole whether there was a role of this name, or there is: then the log begins after all of its changes;
 *   undefined where that is not known
 * @throws BullaError trust-invalid
 */
export function assertLogStart(
  role: string,
  { since }: ChangeLog,
  base: RepositoryFiles,
  now: Date,
  hadRole: boolean | undefined,
): void {
  const made = targetsMade(base);
  const earliest = hadRole === true ? startAfterAll(made) : made;
  // Without knowing the role, only what no clock explains.
  const margin = hadRole === undefined ? LOG_KEPT_MS : SKEW_MS;
  const latest = startAfterAll(now).getTime() + LOG_KEPT_MS;
  if (since.getTime() >= earliest.getTime() - margin && since.getTime() <= latest) return;
  throw new BullaError(
    'trust-invalid',
    `the log of ${JSON.stringify(role)} begins at ${formatTime(since)}, and the change was made after ${formatTime(made)}`,
    {
      hint: 'do not sign it: changes that were taken back could return. Have the change exported again',
      details: { role, reason: 'log', since: formatTime(since) },
    },
  );
}

/**
 * A time before which targets was not signed: its expiry less the longest lifetime that a root gave it, so that a
 * lifetime that was changed since can only make it earlier.
 */
export function targetsMade({ roots, roles }: RepositoryFiles): Date {
  const targets = roles.get('targets');
  if (targets === undefined) return new Date(0);
  const longest = Math.max(...roots.map(({ signed }) => lifetimeIn('targets', signed, undefined)));
  return new Date(parseTargets(targets).expires.getTime() - longest);
}

import type { ErrorCode } from '../../errors.ts';
import type { Failure } from './report.ts';
import type { Knowledge } from './step.ts';

/** What an alarm is about; spec/resigner.md says what to do at each. */
export type AlarmKind =
  /** The head went back, or a shorter root chain was served. */
  | 'rollback'
  /** An older head, or none, was in the place of what was served, which was put back. */
  | 'healed'
  /** The head is gone. */
  | 'missing-head'
  /** What is there cannot be verified. */
  | 'invalid'
  /** It expired, and must not be re-signed. */
  | 'expired'
  /** Root, targets, names or a signer's role expires soon, which only people can mend. */
  | 'expiring'
  /** Changes that exclude each other. */
  | 'conflict'
  /** The re-signer's key does not serve. */
  | 'key'
  /** State cannot be written, so nothing is signed. */
  | 'state'
  /** It could not be done for some time. */
  | 'failing'
  /** The configuration was changed and cannot be used. */
  | 'config';

/** Something that the re-signer cannot mend. */
export interface Alarm {
  readonly kind: AlarmKind;
  /** The collection, or what else it is about. */
  readonly place: string;
  readonly code: ErrorCode;
  readonly message: string;
  readonly hint?: string | undefined;
  /** For `expiring`. */
  readonly role?: string | undefined;
}

export interface AlarmPolicy {
  /** Days before an expiry that only people can put off. */
  readonly expiringDays: number;
  /** How long something may fail for passing reasons, in milliseconds. */
  readonly patienceMs: number;
}

export const DEFAULT_ALARMS: AlarmPolicy = { expiringDays: 30, patienceMs: 15 * 60_000 };

const DAY_MS = 86_400_000;
/** How long a restored head is reported, in milliseconds, so that an occasional check sees it. */
const HEALED_MS = 60 * 60_000;
/** What it signs itself. */
const OWN_ROLES: ReadonlySet<string> = new Set(['timestamp', 'snapshot']);
const KINDS: ReadonlyMap<ErrorCode, AlarmKind> = new Map([
  ['trust-rollback', 'rollback'],
  ['trust-invalid', 'invalid'],
  ['content-invalid', 'invalid'],
  ['trust-unpinned', 'invalid'],
  ['trust-expired', 'expired'],
  ['conflict', 'conflict'],
  ['untrusted-identity', 'key'],
  ['threshold-not-met', 'key'],
  ['key-invalid', 'key'],
  ['storage-error', 'state'],
]);

/** The alarms for a collection that was served. */
export function alarmsOf(
  place: string,
  { expiries, conflicts, healed }: Pick<Knowledge, 'expiries' | 'conflicts' | 'healed'>,
  policy: AlarmPolicy,
  now: Date,
): readonly Alarm[] {
  const alarms: Alarm[] = [];
  if (healed !== undefined && now.getTime() - healed.at.getTime() < HEALED_MS)
    alarms.push({
      kind: 'healed',
      place,
      code: 'trust-rollback',
      message: `the head of ${place} was put back; before that, ${healed.why}`,
      hint: 'find out who pushed or removed the tag there; if it happens again, take the right to push from them',
    });
  for (const [role, expires] of expiries) {
    const days = (expires.getTime() - now.getTime()) / DAY_MS;
    if (OWN_ROLES.has(role) || days > policy.expiringDays) continue;
    alarms.push({
      kind: 'expiring',
      place,
      role,
      code: 'trust-expired',
      message: `${role} of ${place} expires on ${expires.toISOString().slice(0, 10)}, in ${Math.max(0, Math.floor(days))} days`,
      hint: 'renew it with its key (bulla rotate, bulla sign); the re-signer does not have that key',
    });
  }
  const [first] = conflicts;
  if (first !== undefined) {
    const names = first.names.slice(0, 3).map((name) => JSON.stringify(name));
    alarms.push({
      kind: 'conflict',
      place,
      code: 'conflict',
      message: `${conflicts.length} staged changes of ${place} cannot be included automatically, one of ${names.join(', ') || first.id} (${first.reason})`,
      hint: 'their authors must sign again on the current head',
    });
  }
  return alarms;
}

/**
 * The alarms for a collection that could not be served.
 * @param failingMs how long it has been failing
 */
export function alarmOfFailure(
  place: string,
  failure: Failure,
  failingMs: number,
  policy: AlarmPolicy,
): Alarm | undefined {
  const { code, message, hint, reason } = failure;
  const kind = reason === 'missing-head' ? 'missing-head' : KINDS.get(code);
  if (kind === undefined && failingMs < policy.patienceMs) return undefined;
  return { kind: kind ?? 'failing', place, code, message, hint };
}

/** An alarm as it is told. */
export interface AlarmEvent {
  readonly state: 'firing' | 'resolved';
  readonly alarm: Alarm;
  readonly since: Date;
  /** All places with the same cause; left out where it is only {@link Alarm.place}. */
  readonly places?: readonly string[] | undefined;
}

/** An alarm that stands. */
export interface StandingAlarm {
  readonly alarm: Alarm;
  readonly since: Date;
  readonly toldAt: Date;
}

const REPEAT_MS = DAY_MS;

/** Alarms that stand, so that each is told once, again every day, and once more when it is over. */
export class AlarmBook {
  private readonly standing = new Map<string, Map<string, StandingAlarm>>();

  /** @param before what stood when the process before this one ended: it is not told again, but when it is over */
  constructor(before: Iterable<StandingAlarm> = []) {
    for (const one of before) {
      const alarms = this.standing.get(one.alarm.place) ?? new Map<string, StandingAlarm>();
      this.standing.set(one.alarm.place, alarms.set(keyOf(one.alarm), one));
    }
  }

  /** Alarms that stand now, of all places. */
  *all(): Iterable<StandingAlarm> {
    for (const alarms of this.standing.values()) yield* alarms.values();
  }

  /** Takes down what holds for a place now. @returns what is to be told */
  update(place: string, alarms: readonly Alarm[], now: Date): readonly AlarmEvent[] {
    const before = this.standing.get(place);
    if (before === undefined && alarms.length === 0) return [];
    const after = new Map<string, StandingAlarm>();
    const events: AlarmEvent[] = [];
    for (const alarm of alarms) {
      const key = keyOf(alarm);
      const known = before?.get(key);
      const isTold = known !== undefined && now.getTime() - known.toldAt.getTime() < REPEAT_MS;
      const since = known?.since ?? now;
      after.set(key, { alarm, since, toldAt: isTold ? known.toldAt : now });
      if (!isTold) events.push({ state: 'firing', alarm, since });
    }
    for (const [key, { alarm, since }] of before ?? [])
      if (!after.has(key)) events.push({ state: 'resolved', alarm, since });
    if (after.size === 0) this.standing.delete(place);
    else this.standing.set(place, after);
    return events;
  }
}

function keyOf({ kind, role }: Alarm): string {
  return `${kind} ${role ?? ''}`;
}

import type { Alarm, AlarmEvent, AlarmKind, StandingAlarm } from './alarms.ts';

/** Kinds whose cause is not in one collection: a key, a disk, a registry that is away. */
const SHARED: ReadonlySet<AlarmKind> = new Set(['key', 'state', 'failing']);
/** So many collections of one registry are told one by one; those beyond are told together. */
const SINGLES = 20;
/** So often one cause is told within an hour: one that comes and goes is told again when the hour is over. */
const MOST_PER_HOUR = 6;
const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
/** Most causes whose times of telling are remembered after they are over. */
const MOST_REMEMBERED = 1_000;

interface Cause {
  /** That of the first of its places. */
  alarm: Alarm;
  since: Date;
  readonly places: Set<string>;
  /** What was told last; undefined where nothing was. */
  said: AlarmEvent['state'] | undefined;
  /** When it was told, within the last hour. */
  told: number[];
  toldAt: number;
}

/**
 * Puts alarms with one cause together, so that people get one message for each (spec/resigner.md, "Alarms"): what
 * a registry that is away does to a thousand collections is one cause. Alarms about what is in a collection
 * stay single, because each may be another attack.
 */
export class Causes {
  private readonly causes = new Map<string, Cause>();
  /** Cause under which an alarm was filed, by kind, role and place. */
  private readonly filed = new Map<string, string>();

  /** @param before what stood, and had been told, when the process before this one ended */
  constructor(before: Iterable<StandingAlarm> = []) {
    for (const { alarm, since, toldAt } of before) {
      const cause = this.file(alarm, since);
      cause.said = 'firing';
      cause.toldAt = Math.max(cause.toldAt, toldAt.getTime());
    }
  }

  /** Takes what changed about single places. @returns what is to be told, which may be owed from before */
  take(events: readonly AlarmEvent[], now: Date): readonly AlarmEvent[] {
    for (const { state, alarm, since } of events) {
      if (state === 'firing') this.file(alarm, since);
      else this.remove(alarm);
    }
    const due: AlarmEvent[] = [];
    for (const [name, cause] of this.causes) {
      const event = eventOf(cause, now.getTime());
      if (event !== undefined) due.push(event);
      if (cause.places.size > 0 || cause.said === 'firing') continue;
      // Over, and told: it is remembered only as long as it may come again too often.
      if (cause.told.length === 0 || this.causes.size > MOST_REMEMBERED) this.causes.delete(name);
    }
    return due;
  }

  private file(alarm: Alarm, since: Date): Cause {
    const key = keyOf(alarm);
    const name = this.filed.get(key) ?? this.nameOf(alarm);
    this.filed.set(key, name);
    const found = this.causes.get(name);
    const cause = found ?? { alarm, since, places: new Set(), said: undefined, told: [], toldAt: 0 };
    if (cause.places.size === 0) [cause.alarm, cause.since] = [alarm, since];
    cause.places.add(alarm.place);
    this.causes.set(name, cause);
    return cause;
  }

  private remove(alarm: Alarm): void {
    const key = keyOf(alarm);
    this.causes.get(this.filed.get(key) ?? '')?.places.delete(alarm.place);
    this.filed.delete(key);
  }

  private nameOf(alarm: Alarm): string {
    const { kind, code, place, role = '' } = alarm;
    const registry = place.slice(0, Math.max(0, place.indexOf('/')));
    if (kind === 'key' || kind === 'state') return `${kind} ${code}`;
    if (SHARED.has(kind)) return `${kind} ${code} ${registry || place}`;
    const single = `${kind} ${role} ${place}`;
    if (registry === '' || this.causes.has(single)) return single;
    let singles = 0;
    for (const { alarm: other, places } of this.causes.values())
      if (places.size > 0 && other.kind === kind && other.place.startsWith(`${registry}/`)) singles++;
    return singles < SINGLES ? single : `${kind} of many in ${registry}`;
  }
}

function keyOf({ kind, role, place }: Alarm): string {
  return `${kind} ${role ?? ''} ${place}`;
}

function eventOf(cause: Cause, now: number): AlarmEvent | undefined {
  const state = cause.places.size > 0 ? 'firing' : 'resolved';
  cause.told = cause.told.filter((at) => now - at < HOUR_MS && at <= now);
  const isOver = state === 'resolved' && cause.said !== 'firing';
  const isRepeated = state === 'firing' && cause.said === 'firing' && now - cause.toldAt < DAY_MS;
  if (isOver || isRepeated || cause.told.length >= MOST_PER_HOUR) return undefined;
  cause.said = state;
  cause.toldAt = now;
  cause.told.push(now);
  const { alarm, since, places } = cause;
  return { state, alarm, since, ...(places.size > 1 && { places: [...places].sort() }) };
}

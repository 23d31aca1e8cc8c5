import type { AlarmEvent } from '../../actions/renew/alarms.ts';

/** Most places that one alarm names. */
const MAX_PLACES = 100;

/** JSON of an alarm, as the webhook gets it (spec/resigner.md, "Alarms"): with all places that have the same cause. */
function alarmJson({ places, ...event }: AlarmEvent): Record<string, unknown> {
  if (places === undefined) return logJson(event);
  const { message, ...rest } = logJson(event);
  const others = places.length - 1;
  return {
    ...rest,
    message: `${message}; and the same at ${others} other ${others === 1 ? 'place' : 'places'}`,
    count: places.length,
    places: places.slice(0, MAX_PLACES),
  };
}

/** JSON of an alarm about one place, as the log has it. */
export function logJson({ state, alarm, since }: AlarmEvent): Record<string, string> {
  const { kind, place, code, message, hint, role } = alarm;
  return {
    state,
    kind,
    place,
    code,
    message,
    ...(hint !== undefined && { hint }),
    ...(role !== undefined && { role }),
    since: since.toISOString(),
  };
}

/** What the webhook is posted. */
export function alarmsJson(events: readonly AlarmEvent[]): Record<string, unknown> {
  return { version: 1, alarms: events.map(alarmJson) };
}

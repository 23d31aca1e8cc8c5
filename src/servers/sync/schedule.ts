import { Cron } from 'croner';

/** The times of a cron expression of five fields, in UTC. */
export interface Schedule {
  /** The first time after `now`; undefined where there is none, as for 30 February. */
  next(now: Date): Date | undefined;
}

/** Reads a cron expression; undefined where it is invalid, or never comes true. */
export function parseSchedule(text: string): Schedule | undefined {
  try {
    const cron = new Cron(text, { mode: '5-part', timezone: 'UTC', paused: true });
    if (cron.nextRun(new Date(0)) === null) return undefined;
    return { next: (now) => cron.nextRun(now) ?? undefined };
  } catch {
    return undefined;
  }
}

export function isSchedule(text: string): boolean {
  return parseSchedule(text) !== undefined;
}

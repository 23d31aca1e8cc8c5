/** One line of a server's log, as an object; the shell writes it as JSON. It never holds a secret. */
export type LogFields = Readonly<Record<string, string | number | boolean | undefined>>;

/** Takes lines of the log. */
export type LogSink = (entry: LogFields) => void;

/** The line of something that went wrong outside of any request. */
export function problemEntry(message: string, now: Date): LogFields {
  return { time: now.toISOString(), level: 'warning', event: 'problem', message };
}

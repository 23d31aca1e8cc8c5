import { messageOf } from '../../errors.ts';
import type { RequestRecord } from './handler.ts';

/** One line of the server's log, as an object; the shell writes it as JSON. It never holds a secret. */
export type LogEntry = Readonly<Record<string, string | number | boolean | undefined>>;

/** Takes lines of the log. */
export type LogSink = (entry: LogEntry) => void;

const MAX_TEXT = 256;

/** The line that a request leaves. */
export function requestEntry(record: RequestRecord, now: Date): LogEntry {
  return {
    time: now.toISOString(),
    level: record.status >= 500 ? 'error' : 'info',
    event: 'request',
    remote: record.request.socket.remoteAddress,
    user: record.user,
    method: cut(record.method),
    path: cut(withoutUploadId(record.path)),
    route: record.route,
    status: record.status,
    received: record.received,
    sent: record.sent,
    milliseconds: Math.round(record.milliseconds * 10) / 10,
    agent: cut(record.request.headers['user-agent']),
    ...('error' in record && { error: explain(record.error) }),
  };
}

/** The line of something that went wrong outside of any request. */
export function problemEntry(message: string, now: Date): LogEntry {
  return { time: now.toISOString(), level: 'warning', event: 'problem', message };
}

/** Whoever knows the id of an upload can go on with it. */
function withoutUploadId(path: string): string {
  return path.replace(/(\/blobs\/uploads\/[^/]{8})[^/]*$/, '$1…');
}

function explain(error: unknown): string {
  const cause = error instanceof Error && error.cause !== undefined ? `: ${messageOf(error.cause)}` : '';
  return `${messageOf(error)}${cause}`;
}

function cut(text: string | undefined): string | undefined {
  return text === undefined || text.length <= MAX_TEXT ? text : `${text.slice(0, MAX_TEXT)}…`;
}

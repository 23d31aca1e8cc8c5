import { messageOf } from '../../errors.ts';
import type { LogFields } from '../log.ts';
import type { RequestRecord } from './handler.ts';

const MAX_TEXT = 256;

/** The line that a request leaves. */
export function requestEntry(record: RequestRecord, now: Date): LogFields {
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

/** Knowing the id of an upload is enough to continue it. */
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

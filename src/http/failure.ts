import { BullaError, type ErrorCode, messageOf } from '../errors.ts';
import { printable } from './redact.ts';

interface Kind {
  readonly code: ErrorCode;
  readonly hint: string;
  /** Whether a second try may find it gone. */
  readonly transient: boolean;
}

const CUT: Kind = {
  code: 'registry-unreachable',
  hint: 'the connection was cut; nothing is known about the content; try again',
  transient: true,
};
const SLOW: Kind = { code: 'timeout', hint: 'the server is slow or gone; try again later', transient: true };
const NOT_THERE: Kind = {
  code: 'registry-unreachable',
  hint: 'check the host, the port, and that the server is running',
  transient: false,
};
const NO_NAME: Kind = {
  code: 'registry-unreachable',
  hint: 'check the spelling of the host, and the name service',
  transient: false,
};
const TLS: Kind = {
  code: 'registry-unreachable',
  hint: "the server's certificate is not trusted here: give its CA with --ca-file (or --insecure, to try things out)",
  transient: false,
};
const EXPIRED: Kind = {
  code: 'registry-unreachable',
  hint: "the server's certificate, or that of its CA, has expired: have it renewed, and check the clock of this machine",
  transient: false,
};
const NOT_YET: Kind = {
  code: 'registry-unreachable',
  hint: "the server's certificate is not valid yet: check the clock of this machine, and from when the certificate is valid",
  transient: false,
};
const OTHER_NAME: Kind = {
  code: 'registry-unreachable',
  hint: 'the certificate is for other names than the one given: use one of those in the message, or have the certificate issued for this one',
  transient: false,
};
const NOT_FOR_THIS: Kind = {
  code: 'registry-unreachable',
  hint: "the server's certificate was not made for servers, or that of its CA not for issuing: have it issued again",
  transient: false,
};
const REVOKED: Kind = {
  code: 'registry-unreachable',
  hint: "the server's certificate has been revoked: do not send it anything; ask its operator",
  transient: false,
};
const WANTS_CERTIFICATE: Kind = {
  code: 'registry-unreachable',
  hint: 'the server wants a client certificate: give --cert-file and --key-file, or put client.cert and client.key into certs.d',
  transient: false,
};
const REFUSED_CERTIFICATE: Kind = {
  code: 'registry-unreachable',
  hint: 'the server does not take the client certificate: give another with --cert-file and --key-file, or ask its operator which authority must issue it',
  transient: false,
};
const SPEAKS_TLS: Kind = {
  code: 'registry-unreachable',
  hint: 'the server speaks TLS there: leave out --plain-http; for a server on this machine, give --plain-http=false',
  transient: false,
};
const NOT_TLS: Kind = {
  code: 'registry-unreachable',
  hint: 'the server does not speak TLS there: use --plain-http if it is meant to be so',
  transient: false,
};

const TOO_MUCH: Kind = {
  code: 'registry-error',
  hint: 'no honest answer has headers that long; the server, or a proxy before it, is broken or hostile',
  transient: false,
};

const KINDS: ReadonlyMap<string, Kind> = new Map([
  ['ECONNRESET', CUT],
  ['EPIPE', CUT],
  ['UND_ERR_SOCKET', CUT],
  ['UND_ERR_ABORTED', CUT],
  ['UND_ERR_REQ_CONTENT_LENGTH_MISMATCH', CUT],
  ['UND_ERR_RES_CONTENT_LENGTH_MISMATCH', CUT],
  ['EAI_AGAIN', { ...NO_NAME, transient: true }],
  ['UND_ERR_HEADERS_OVERFLOW', TOO_MUCH],
  ['ETIMEDOUT', SLOW],
  ['UND_ERR_CONNECT_TIMEOUT', SLOW],
  ['UND_ERR_HEADERS_TIMEOUT', SLOW],
  ['UND_ERR_BODY_TIMEOUT', SLOW],
  ['ENOTFOUND', NO_NAME],
  ['ECONNREFUSED', NOT_THERE],
  ['EHOSTUNREACH', NOT_THERE],
  ['ENETUNREACH', NOT_THERE],
  ['EADDRNOTAVAIL', NOT_THERE],
  ['EPROTO', NOT_TLS],
  ['ERR_SSL_WRONG_VERSION_NUMBER', NOT_TLS],
  ['ERR_SSL_PACKET_LENGTH_TOO_LONG', NOT_TLS],
  ['CERT_HAS_EXPIRED', EXPIRED],
  ['CERT_NOT_YET_VALID', NOT_YET],
  ['ERR_TLS_CERT_ALTNAME_INVALID', OTHER_NAME],
  ['HOSTNAME_MISMATCH', OTHER_NAME],
  ['INVALID_PURPOSE', NOT_FOR_THIS],
  ['INVALID_CA', NOT_FOR_THIS],
  ['PATH_LENGTH_EXCEEDED', NOT_FOR_THIS],
  ['CERT_REVOKED', REVOKED],
  // Alerts of TLS 1.3 and, in some servers' TLS 1.2, of a handshake that lacks the client's certificate.
  ['ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED', WANTS_CERTIFICATE],
  ['ERR_SSL_TLSV1_ALERT_UNKNOWN_CA', REFUSED_CERTIFICATE],
  ['ERR_SSL_SSLV3_ALERT_BAD_CERTIFICATE', REFUSED_CERTIFICATE],
  ['ERR_SSL_SSLV3_ALERT_CERTIFICATE_UNKNOWN', REFUSED_CERTIFICATE],
  ['ERR_SSL_SSLV3_ALERT_CERTIFICATE_EXPIRED', REFUSED_CERTIFICATE],
  ['ERR_SSL_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE', REFUSED_CERTIFICATE],
  // What a parser of HTTP says of a TLS alert.
  ['HPE_INVALID_CONSTANT', SPEAKS_TLS],
]);

const TLS_CODE = /CERT|UNABLE_TO|SELF_SIGNED|^ERR_TLS|^ERR_SSL/;

/** The flags of TLS are about the registry, and not about where it sends us. */
const TLS_ELSEWHERE: Kind = {
  ...TLS,
  hint: 'the registry refers to a server whose certificate is not trusted here: if this is intended, add an entry for that server to config.yaml, registries: HOST:PORT: caFile: FILE',
};

/**
 * Makes a BullaError of what a connection failed with. BullaErrors pass as they are.
 * @param where the request, for the message
 * @param isOwn whether the caller chose the server; false where another server sent us there
 */
export function networkError(error: unknown, where: string, isOwn = true): BullaError {
  if (error instanceof BullaError) return error;
  const code = errnoOf(error);
  const tls = isOwn ? TLS : TLS_ELSEWHERE;
  const kind = KINDS.get(code) ?? (TLS_CODE.test(code) ? tls : { ...CUT, hint: 'try again' });
  return new BullaError(kind.code, `${where}: ${describeFailure(error, code)}`, {
    cause: error,
    hint: kind === CUT ? `${kind.hint}${reasonOfCut(where, isOwn)}` : kind.hint,
    details: { transient: kind.transient, ...(code !== '' && { errno: code }) },
  });
}

/** Many servers end a connection on which TLS, or a client certificate, is missing, and do not say why. */
function reasonOfCut(where: string, isOwn: boolean): string {
  if (/ http:\/\//.test(where))
    return '; if the server speaks TLS, leave out --plain-http (for this machine: --plain-http=false)';
  return isOwn && / https:\/\//.test(where)
    ? '; if the server wants a client certificate, give --cert-file and --key-file'
    : '';
}

/** Whether a failure without an answer may be gone at the next try. */
export function isTransient(error: unknown): boolean {
  return error instanceof BullaError && error.details['transient'] === true;
}

/** What a caller's signal ended: its own reason where that is a BullaError. */
export function interruption(signal: AbortSignal): BullaError {
  if (signal.reason instanceof BullaError) return signal.reason;
  return new BullaError('interrupted', 'the request was called off', {
    cause: signal.reason,
    hint: 'nothing was finished; run the command again',
  });
}

function errnoOf(error: unknown): string {
  if (!(error instanceof Error)) return '';
  if (error instanceof AggregateError && error.errors.length > 0) return errnoOf(error.errors[0]);
  if ('code' in error && typeof error.code === 'string') {
    // undici wraps what the socket said.
    if (error.code === 'UND_ERR_SOCKET' && error.cause instanceof Error)
      return errnoOf(error.cause) || error.code;
    return error.code;
  }
  return '';
}

function describeFailure(error: unknown, code: string): string {
  const first = error instanceof AggregateError ? (error.errors[0] as unknown) : error;
  const message = printable(messageOf(first)) || 'the connection failed';
  return code === '' || message.includes(code) ? message : `${message} (${code})`;
}

/** Ends the waiting for what goes on for others. */
export async function orInterrupted<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return await work;
  return await new Promise<T>((resolve, reject) => {
    const onAbort = (): void => reject(interruption(signal));
    if (signal.aborted) onAbort();
    signal.addEventListener('abort', onAbort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}

import { connect, type DetailedPeerCertificate, type TLSSocket } from 'node:tls';
import { BullaError } from '../errors.ts';
import { bareHost } from './address.ts';
import { serverChecks, type TlsOptions } from './connector.ts';
import { interruption, networkError } from './failure.ts';
import { CONNECT_TIMEOUT_MS } from './pool.ts';
import { printable } from './redact.ts';

/** What a server shows in its TLS handshake. */
export interface ServerCertificate {
  /** `TLSv1.3` */
  readonly protocol: string;
  readonly subject: string;
  readonly issuer: string;
  readonly notBefore: Date;
  readonly notAfter: Date;
  /** Why it is not trusted; undefined where it is. */
  readonly problem: string | undefined;
}

/**
 * The certificate of a server, trusted or not. Nothing is sent over the connection, and no certificate of ours
 * is shown: it only serves to look.
 * @throws BullaError registry-unreachable, timeout, interrupted
 */
export function lookAtCertificate(
  url: URL,
  tls: TlsOptions,
  signal?: AbortSignal,
): Promise<ServerCertificate> {
  const where = `TLS to ${url.host}`;
  const host = bareHost(url);
  return new Promise((resolve, reject) => {
    const socket = connect({
      host,
      port: url.port === '' ? 443 : Number(url.port),
      ...(/[a-z]/i.test(host) && !host.includes(':') && { servername: host }),
      ...serverChecks({ ca: tls.ca }),
      // It is looked at, whatever is wrong with it; `authorizationError` says what.
      rejectUnauthorized: false,
    });
    const end = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
      socket.destroy();
    };
    const fail = (error: unknown): void => {
      end();
      reject(networkError(error, where));
    };
    const onAbort = (): void => {
      if (signal !== undefined) fail(interruption(signal));
    };
    const timer = setTimeout(
      () =>
        fail(
          new BullaError('timeout', `${where}: no handshake within ${CONNECT_TIMEOUT_MS / 1000} s`, {
            hint: 'the server is slow, or speaks no TLS there',
          }),
        ),
      CONNECT_TIMEOUT_MS,
    );
    signal?.addEventListener('abort', onAbort, { once: true });
    if (signal?.aborted === true) onAbort();
    socket.once('error', fail).once('secureConnect', () => {
      try {
        const seen = read(socket);
        end();
        resolve(seen);
      } catch (error) {
        fail(error);
      }
    });
  });
}

function read(socket: TLSSocket): ServerCertificate {
  const certificate = socket.getPeerCertificate() as Partial<DetailedPeerCertificate>;
  const problem = socket.authorizationError as Error | string | null | undefined;
  return {
    protocol: socket.getProtocol() ?? 'TLS',
    subject: nameOf(certificate.subject),
    issuer: nameOf(certificate.issuer),
    notBefore: new Date(certificate.valid_from ?? Number.NaN),
    notAfter: new Date(certificate.valid_to ?? Number.NaN),
    problem:
      problem === null || problem === undefined
        ? undefined
        : printable(typeof problem === 'string' ? problem : problem.message, 200),
  };
}

function nameOf(name: DetailedPeerCertificate['subject'] | undefined): string {
  const parts = new Map<string, string | string[] | undefined>(Object.entries(name ?? {}));
  return printable([parts.get('CN') ?? parts.get('O') ?? ''].flat().join(', '), 120);
}

import { connect } from 'node:tls';
import { bareHost } from './address.ts';
import { interruption } from './failure.ts';

/** A server on this machine answers a handshake sooner, or is not going to, in milliseconds. */
const PATIENCE_MS = 3_000;

/** What OpenSSL says of bytes that are not TLS, and the system of a server that hangs up or is not there. */
const NOT_TLS: ReadonlySet<string> = new Set([
  'EPROTO',
  'ERR_SSL_WRONG_VERSION_NUMBER',
  'ERR_SSL_PACKET_LENGTH_TOO_LONG',
  'ERR_SSL_HTTP_REQUEST',
  'ECONNRESET',
  'ECONNREFUSED',
  'EPIPE',
]);
const ALERT = /alert/i;

/**
 * Whether a server speaks TLS, with whatever certificate. Nothing but the handshake is sent, and no certificate of ours is
 * shown. A server that hangs up or stays silent does not.
 * @param url of https
 * @throws BullaError interrupted
 */
export function speaksTls(url: URL, signal?: AbortSignal): Promise<boolean> {
  const host = bareHost(url);
  return new Promise((resolve, reject) => {
    const socket = connect({
      host,
      port: url.port === '' ? 443 : Number(url.port),
      ...(/[a-z]/i.test(host) && !host.includes(':') && { servername: host }),
      // It is the real connection that checks the certificate: this one carries nothing.
      rejectUnauthorized: false,
    });
    const end = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
      socket.destroy();
    };
    const answer = (isTls: boolean): void => {
      end();
      resolve(isTls);
    };
    const onAbort = (): void => {
      end();
      if (signal !== undefined) reject(interruption(signal));
    };
    const timer = setTimeout(() => answer(false), PATIENCE_MS);
    signal?.addEventListener('abort', onAbort, { once: true });
    if (signal?.aborted === true) onAbort();
    socket
      .once('secureConnect', () => answer(true))
      // Only a server that speaks TLS sends an alert.
      .once('error', (error: NodeJS.ErrnoException) =>
        answer(ALERT.test(error.message) || !NOT_TLS.has(error.code ?? '')),
      )
      .once('close', () => answer(false));
  });
}

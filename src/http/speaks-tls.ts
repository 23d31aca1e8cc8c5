import { connect } from 'node:net';
import { concatBytes, utf8 } from '../encoding/bytes.ts';
import { bareHost } from './address.ts';
import { interruption } from './failure.ts';

/** A server on this machine answers a handshake sooner, or is not going to, in milliseconds. */
const PATIENCE_MS = 3_000;

/** How the system says that a server hung up, or is not there. Other failures are not a reason for plain HTTP. */
const NO_ANSWER: ReadonlySet<string> = new Set(['ECONNRESET', 'ECONNREFUSED', 'EPIPE']);

/** Types of the first record of an answer (RFC 8446 §5.1): only a server that speaks TLS sends one of them. */
const ALERT = 0x15;
const HANDSHAKE = 0x16;

/**
 * Whether a server speaks TLS, with whatever certificate. The first message of a handshake is sent and nothing else:
 * what the server says of it is enough, so `node:tls` with its list of authorities, which takes a fifth of the
 * processor time of a `verify`, is not loaded for a registry that turns out to speak plain HTTP. A server that hangs up
 * or stays silent does not speak it.
 * @param url of https
 * @throws BullaError interrupted
 */
export function speaksTls(url: URL, signal?: AbortSignal): Promise<boolean> {
  const host = bareHost(url);
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port: url.port === '' ? 443 : Number(url.port) });
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
      .once('connect', () => socket.write(clientHello(host)))
      // A record starts with its type and 3, the major version of all TLS. A first byte alone can be of another protocol.
      .on('readable', () => {
        const start = socket.read(2) as Buffer | null;
        if (start !== null) answer((start[0] === HANDSHAKE || start[0] === ALERT) && start[1] === 3);
      })
      .once('error', ({ code }: NodeJS.ErrnoException) => answer(!NO_ANSWER.has(code ?? '')))
      .once('close', () => answer(false));
  });
}

/**
 * A ClientHello (RFC 8446 §4.1.2) that servers of TLS 1.2 and 1.3 answer. It offers no key (§4.2.8): the handshake does not
 * go on, so its random bytes are constant.
 */
function clientHello(host: string): Uint8Array {
  const isName = /[a-z]/i.test(host) && !host.includes(':');
  const body = concatBytes([
    Uint8Array.of(3, 3),
    new Uint8Array(32),
    Uint8Array.of(0),
    // The three of TLS 1.3, then ECDHE with AES-GCM and ChaCha20, then RSA for old servers.
    list(2, pairs(0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0x009c, 0x002f)),
    Uint8Array.of(1, 0),
    list(
      2,
      ...(isName ? [extension(0, list(2, Uint8Array.of(0), list(2, utf8(host))))] : []),
      extension(10, list(2, pairs(0x001d, 0x0017, 0x0018, 0x0019))),
      extension(11, list(1, Uint8Array.of(0))),
      extension(13, list(2, pairs(0x0403, 0x0503, 0x0603, 0x0807, 0x0804, 0x0805, 0x0806, 0x0401, 0x0501))),
      extension(43, list(1, pairs(0x0304, 0x0303))),
      extension(51, list(2)),
    ),
  ]);
  return concatBytes([Uint8Array.of(HANDSHAKE, 3, 1), list(2, Uint8Array.of(1, 0), list(2, body))]);
}

function extension(type: number, content: Uint8Array): Uint8Array {
  return concatBytes([pairs(type), list(2, content)]);
}

/** Bytes after their length, which takes `width` bytes. */
function list(width: 1 | 2, ...parts: readonly Uint8Array[]): Uint8Array {
  const content = concatBytes(parts);
  return concatBytes([width === 1 ? Uint8Array.of(content.byteLength) : pairs(content.byteLength), content]);
}

function pairs(...values: readonly number[]): Uint8Array {
  return Uint8Array.from(values.flatMap((value) => [value >> 8, value & 0xff]));
}

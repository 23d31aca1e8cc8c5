import { createServer as createHttpServer } from 'node:http';
import { createServer, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer, type TlsOptions } from 'node:tls';
import { describe, expect, it, onTestFinished } from 'vitest';
import { speaksTls } from '../../src/http/speaks-tls.ts';
import { certificateForLoopback } from '../support/registry/tls.ts';

const OURS = certificateForLoopback();

/** Where a server listens until the test ends. */
async function listening(server: Server): Promise<URL> {
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    socket.on('error', () => undefined);
    sockets.add(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const { port } = server.address() as { port: number };
  return new URL(`https://127.0.0.1:${port}/`);
}

const saying = (bytes: string | Buffer): Server => createServer((socket) => void socket.write(bytes));

describe('a server speaks TLS', () => {
  it.each<[string, TlsOptions]>([
    ['of any version', {}],
    ['1.2 only', { maxVersion: 'TLSv1.2' }],
    ['1.3 only', { minVersion: 'TLSv1.3' }],
    ['with a certificate asked for', { requestCert: true, rejectUnauthorized: true }],
    ['with one old cipher', { maxVersion: 'TLSv1.2', ciphers: 'ECDHE-ECDSA-AES256-GCM-SHA384' }],
    ['with a curve of its own', { ecdhCurve: 'P-384' }],
    ['with ALPN', { ALPNProtocols: ['h2', 'http/1.1'] }],
    ['and has no cipher in common', { maxVersion: 'TLSv1.2', ciphers: 'ECDHE-RSA-AES128-SHA' }],
  ])('%s', async (_, options) => {
    const server = createTlsServer({ ...OURS, ...options });
    server.on('tlsClientError', () => undefined);
    const url = await listening(server);
    expect(await speaksTls(url)).toBe(true);
    url.hostname = 'localhost';
    expect(await speaksTls(url)).toBe(true);
  });

  it('and answers with an alert, byte by byte', async () => {
    const server = createServer((socket) => {
      for (const [at, byte] of [0x15, 3, 3, 0, 2, 2, 40].entries())
        setTimeout(() => socket.write(Uint8Array.of(byte)), 5 * at);
    });
    expect(await speaksTls(await listening(server))).toBe(true);
  });
});

describe('a server does not speak TLS', () => {
  it.each<[string, () => Server]>([
    ['that speaks HTTP', () => createHttpServer((_, response) => response.end('hello'))],
    ['that greets, as SSH does', () => saying('SSH-2.0-x\r\n')],
    ['that answers with a page', () => saying('HTTP/1.1 400 Bad Request\r\n\r\n')],
    ['whose first byte alone is that of an alert', () => saying(Buffer.of(0x15, 0x15, 0, 0))],
    ['that sends one byte and ends', () => createServer((socket) => void socket.end(Buffer.of(0x16)))],
    ['that hangs up', () => createServer((socket) => void socket.destroy())],
    [
      'that hangs up after the first bytes',
      () => createServer((socket) => socket.once('data', () => socket.resetAndDestroy())),
    ],
  ])('%s', async (_, make) => {
    expect(await speaksTls(await listening(make()))).toBe(false);
  });

  it('that is not there', async () => {
    const server = createServer();
    const url = await listening(server);
    await new Promise((resolve) => server.close(resolve));
    expect(await speaksTls(url)).toBe(false);
  });

  it('that stays silent, and is called off', async () => {
    const stop = new AbortController();
    const asked = speaksTls(await listening(createServer()), stop.signal);
    stop.abort();
    await expect(asked).rejects.toMatchObject({ code: 'interrupted' });
  });
});

it('shows neither a name nor a key in what it sends to an address', async () => {
  let sent = Buffer.alloc(0);
  const url = await listening(
    createServer((socket) => {
      socket.on('data', (piece: Buffer) => {
        sent = Buffer.concat([sent, piece]);
        socket.end();
      });
    }),
  );
  await speaksTls(url);
  expect(sent.subarray(0, 3)).toEqual(Buffer.of(0x16, 3, 1));
  expect(sent.readUInt16BE(3)).toBe(sent.length - 5);
  expect(sent.includes('127.0.0.1')).toBe(false);
});

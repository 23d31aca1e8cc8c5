import type { AddressInfo } from 'node:net';
import { createServer, type Server, type Socket } from 'node:net';
import { expect, it, onTestFinished } from 'vitest';
import { isBullaError } from '../../src/errors.ts';
import type { HttpRequest } from '../../src/http/exchange.ts';
import { HttpPool, type HttpPoolOptions } from '../../src/http/pool.ts';
import { codeOf } from '../support/registry/open.ts';

const SHORT: HttpPoolOptions = {
  connectTimeoutMs: 200,
  headersTimeoutMs: 400,
  bodyTimeoutMs: 300,
  progressTimeoutMs: 700,
};

/** A server that talks, or does not, as it likes; `again` writes a text every 20 ms until the other side has had enough. */
async function server(talk: (socket: Socket, again: (text: string) => void) => void): Promise<string> {
  const sockets = new Set<Socket>();
  const listening: Server = createServer((socket) => {
    sockets.add(socket);
    const timers: NodeJS.Timeout[] = [];
    socket.on('error', () => undefined);
    socket.on('close', () => timers.forEach(clearInterval));
    talk(socket, (text) => timers.push(setInterval(() => socket.write(text), 20)));
  });
  await new Promise<void>((resolve) => listening.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    listening.close();
  });
  return `127.0.0.1:${(listening.address() as AddressInfo).port}`;
}

function poolOf(options: HttpPoolOptions = {}): HttpPool {
  const pool = new HttpPool({ ...SHORT, ...options });
  onTestFinished(() => pool.close());
  return pool;
}

/** An answer and all of its body, within a bound. */
async function fetchAll(pool: HttpPool, url: string, request: Partial<HttpRequest> = {}): Promise<number> {
  const response = await pool.send({ method: 'GET', url: new URL(url), ...request });
  return (await response.body.read(1024 * 1024, 'the answer')).byteLength;
}

const EARLY_HINTS = 'HTTP/1.1 103 Early Hints\r\nlink: </a>; rel=preload\r\n\r\n';
const CHUNKED = 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n';

it.each([
  ['says nothing', () => undefined],
  ['sends 103 after 103', (_: Socket, again: (text: string) => void) => again(EARLY_HINTS)],
  [
    'sends 102 after 102',
    (_: Socket, again: (text: string) => void) => again('HTTP/1.1 102 Processing\r\n\r\n'),
  ],
  [
    'sends a status without an end',
    (socket: Socket, again: (text: string) => void) => {
      socket.write('HTTP/1.1 200 ');
      again('O');
    },
  ],
  [
    'sends headers one letter at a time',
    (socket: Socket, again: (text: string) => void) => {
      socket.write('HTTP/1.1 200 OK\r\nx: ');
      again('a');
    },
  ],
  [
    'sends header after header slowly',
    (socket: Socket, again: (text: string) => void) => {
      socket.write('HTTP/1.1 200 OK\r\n');
      again('a: b\r\n');
    },
  ],
  [
    'announces a body and sends none',
    (socket: Socket) => socket.write('HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n'),
  ],
  [
    'sends a body byte by byte',
    (socket: Socket, again: (text: string) => void) => {
      socket.write('HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n');
      again('a');
    },
  ],
  [
    'sends a chunk extension without an end',
    (socket: Socket, again: (text: string) => void) => {
      socket.write(`${CHUNKED}1;`);
      again('a=b;');
    },
  ],
  [
    'sends trailers without an end',
    (socket: Socket, again: (text: string) => void) => {
      socket.write(`${CHUNKED}1\r\na\r\n0\r\n`);
      again('a: b\r\n');
    },
  ],
] as const)('ends a request to a server that %s', async (_, talk) => {
  const host = await server(talk as (socket: Socket, again: (text: string) => void) => void);
  const code = await codeOf(fetchAll(poolOf(), `http://${host}/`));
  expect(['timeout', 'registry-unreachable']).toContain(code);
});

it('has a time for an answer as a whole, and not for what comes before it', async () => {
  const host = await server((socket) => {
    socket.write(EARLY_HINTS);
    setTimeout(() => socket.write(EARLY_HINTS), 50);
    setTimeout(() => socket.write('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok'), 100);
  });
  expect(await fetchAll(poolOf(), `http://${host}/`)).toBe(2);
});

it('says that a timeout of the wire may be gone at the next try', async () => {
  const host = await server((_, again) => again(EARLY_HINTS));
  const failure = await fetchAll(poolOf(), `http://${host}/`).catch((error: unknown) => error);
  expect(isBullaError(failure, 'timeout') && failure.details['transient']).toBe(true);
});

it('ends with a TLS handshake that is never answered', async () => {
  const host = await server(() => undefined);
  expect(await codeOf(fetchAll(poolOf(), `https://${host}/`))).toBe('timeout');
});

it.each([
  ['says nothing to CONNECT', () => undefined],
  ['answers CONNECT with 103 for ever', (_: Socket, again: (text: string) => void) => again(EARLY_HINTS)],
  [
    'opens a tunnel to nobody',
    (socket: Socket) => socket.once('data', () => socket.write('HTTP/1.1 200 OK\r\n\r\n')),
  ],
] as const)(
  'ends with a proxy that %s',
  async (_, talk) => {
    const host = await server(talk as (socket: Socket, again: (text: string) => void) => void);
    const pool = poolOf({ proxy: { https: new URL(`http://${host}`) } });
    const code = await codeOf(fetchAll(pool, 'https://registry.example.com/'));
    expect(['timeout', 'registry-unreachable']).toContain(code);
  },
  20_000,
);

it('ends with a name service that does not answer', async () => {
  const pool = poolOf({ resolve: () => undefined });
  expect(await codeOf(fetchAll(pool, 'http://registry.example.com/'))).toBe('timeout');
});

it('refuses headers without an end, and says that it is not the network', async () => {
  const host = await server((socket) => {
    socket.write('HTTP/1.1 200 OK\r\n');
    for (let line = 0; line < 2_000; line++) socket.write(`h${line}: ${'a'.repeat(100)}\r\n`);
  });
  expect(await codeOf(fetchAll(poolOf(), `http://${host}/`))).toBe('registry-error');
});

it('lets a slow reader take its time', async () => {
  const host = await server((socket) => {
    socket.write(`HTTP/1.1 200 OK\r\ncontent-length: ${4 * 1024 * 1024}\r\n\r\n`);
    socket.write(Buffer.alloc(4 * 1024 * 1024));
  });
  const { body } = await poolOf({ bodyTimeoutMs: 100, progressTimeoutMs: 150 }).send({
    method: 'GET',
    url: new URL(`http://${host}/`),
  });
  let size = 0;
  for await (const piece of body) {
    if (size === 0) await new Promise((resolve) => setTimeout(resolve, 500));
    size += piece.byteLength;
  }
  expect(size).toBe(4 * 1024 * 1024);
});

it('lets a transfer take as long as it makes progress', async () => {
  const host = await server((socket, again) => {
    socket.write(`HTTP/1.1 200 OK\r\ncontent-length: ${60 * 16_384}\r\n\r\n`);
    again('a'.repeat(16_384));
  });
  expect(await fetchAll(poolOf({ bodyTimeoutMs: 300 }), `http://${host}/`)).toBe(60 * 16_384);
});

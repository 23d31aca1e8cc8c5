import { createServer, type Server, type Socket } from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';
import { HttpPool } from '../../src/http/pool.ts';
import type { Dialect, DialectStore } from '../../src/registry/dialect.ts';
import { pushImage, tagOf } from '../support/content.ts';
import { codeOf, registryFor, repositoryOf } from '../support/registry/open.ts';
import { startRegistry } from '../support/registry/server.ts';
import { certificateForLoopback } from '../support/registry/tls.ts';

const OURS = certificateForLoopback();

class Remembered implements DialectStore {
  readonly known = new Map<string, Dialect>();
  get = async (registry: string) => this.known.get(registry);
  set = async (registry: string, dialect: Dialect) => void this.known.set(registry, dialect);
}

/** Leads each connection to one of two servers, by its first byte; or does with those of TLS what it is told. */
async function front(
  plain: string,
  tls: string | ((socket: Socket) => void),
  listening?: number,
): Promise<{ readonly host: string; readonly plain: () => number }> {
  let plains = 0;
  const sockets = new Set<Socket>();
  const lead = (socket: Socket, first: Buffer, to: string): void => {
    const other = createConnectionTo(to);
    sockets.add(other);
    other.write(first);
    socket.pipe(other).pipe(socket);
    other.on('error', () => socket.destroy());
  };
  const server: Server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => socket.destroy());
    socket.once('data', (first) => {
      if (first[0] !== 0x16) {
        plains++;
        lead(socket, first, plain);
      } else if (typeof tls === 'string') lead(socket, first, tls);
      else tls(socket);
    });
  });
  await new Promise<void>((resolve) => server.listen(listening ?? 0, '127.0.0.1', resolve));
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const { port } = server.address() as { port: number };
  return { host: `127.0.0.1:${port}`, plain: () => plains };
}

function createConnectionTo(host: string): Socket {
  const { connect } = process.getBuiltinModule('node:net');
  return connect(Number(host.split(':')[1]), '127.0.0.1');
}

async function tlsRegistry() {
  const registry = await startRegistry({ tls: OURS });
  onTestFinished(() => registry.close());
  return registry;
}

const trusting = (): HttpPool => {
  const pool = new HttpPool({ tls: { ca: OURS.cert } });
  onTestFinished(() => pool.close());
  return pool;
};

describe('a registry on this machine of which nothing says what it speaks', () => {
  it.each(['127.0.0.1', 'localhost'])('is reached by plain HTTP where it speaks no TLS: %s', async (name) => {
    const registry = await registryFor();
    const host = registry.host.replace('127.0.0.1', name);
    const dialects = new Remembered();
    await pushImage(repositoryOf({ host }, { dialects }), 'one', 'v1');
    expect(dialects.known.get(host)?.scheme).toBe('http');
    // From then on no handshake is tried.
    registry.forget();
    await repositoryOf({ host }, { dialects }).resolve(tagOf('v1'));
    expect(registry.log).toHaveLength(1);
  });

  it.each(['127.0.0.1', 'localhost'])('is reached by TLS where it speaks that: %s', async (name) => {
    const registry = await tlsRegistry();
    const host = registry.host.replace('127.0.0.1', name);
    const target = repositoryOf({ host }, { pool: trusting() });
    const image = await pushImage(target, 'one', 'v1');
    expect(await target.resolve(tagOf('v1'))).toEqual(image.descriptor);
  });

  it.each<[string, (socket: Socket) => void]>([
    ['hangs up on a handshake', (socket) => socket.destroy()],
    ['ends the connection politely', (socket) => socket.end()],
    ['resets it', (socket) => socket.resetAndDestroy()],
    ['answers in HTTP', (socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n')],
    ['answers in another protocol', (socket) => socket.end('SSH-2.0-OpenSSH_9.6\r\n')],
    ['stays silent', () => undefined],
  ])('is reached by plain HTTP where it %s', async (_, tls) => {
    const registry = await registryFor();
    await pushImage(repositoryOf(registry), 'one', 'v1');
    const both = await front(registry.host, tls);
    expect(await codeOf(repositoryOf(both).resolve(tagOf('v1')))).toBe('success');
  });

  it('is never reached by plain HTTP because of its certificate', async () => {
    const registry = await registryFor();
    await pushImage(repositoryOf(registry), 'one', 'v1');
    const both = await front(registry.host, (await tlsRegistry()).host);
    const dialects = new Remembered();
    const target = repositoryOf(both, { dialects });
    for (let n = 0; n < 2; n++)
      expect(await codeOf(target.resolve(tagOf('v1')))).toBe('registry-unreachable');
    expect(both.plain()).toBe(0);
    expect(dialects.known.get(both.host)?.scheme).toBeUndefined();
  });

  it.each([
    ['a fatal alert', Buffer.from('15030300020228', 'hex')],
    ['an alert of old TLS', Buffer.from('15030100020246', 'hex')],
  ])('speaks TLS where it answers with %s', async (_, alert) => {
    const registry = await registryFor();
    const both = await front(registry.host, (socket) => void socket.end(alert));
    expect(await codeOf(repositoryOf(both).resolve(tagOf('v1')))).toBe('registry-unreachable');
    expect(both.plain()).toBe(0);
  });

  it('is asked again where it was remembered and speaks TLS by now', async () => {
    const registry = await tlsRegistry();
    const image = await pushImage(repositoryOf(registry, { pool: trusting() }), 'one', 'v1');
    const dialects = new Remembered();
    dialects.known.set(registry.host, { scheme: 'http' });
    const target = repositoryOf(registry, { dialects, pool: trusting() });
    expect(await target.resolve(tagOf('v1'))).toEqual(image.descriptor);
    expect(dialects.known.get(registry.host)?.scheme).toBeUndefined();
  });

  it('is asked again where it says 400 to plain HTTP, as Go and nginx do', async () => {
    const teller = await registryFor();
    teller.fault({
      times: 99,
      action: { status: 400, body: 'Client sent an HTTP request to an HTTPS server.' },
    });
    const secure = await tlsRegistry();
    await pushImage(repositoryOf(secure, { pool: trusting() }), 'one', 'v1');
    const both = await front(teller.host, secure.host);
    const dialects = new Remembered();
    dialects.known.set(both.host, { scheme: 'http' });
    expect(await codeOf(repositoryOf(both, { dialects, pool: trusting() }).resolve(tagOf('v1')))).toBe(
      'success',
    );
  });

  it.each([
    [true, 'registry-unreachable'],
    [false, 'registry-unreachable'],
  ])('is what a setting says: plainHttp %s', async (plainHttp, code) => {
    const secure = await tlsRegistry();
    const both = await front('127.0.0.1:1', secure.host);
    expect(await codeOf(repositoryOf(both, { plainHttp, retry: { tries: 1 } }).resolve(tagOf('v1')))).toBe(
      code,
    );
    expect(both.plain() > 0).toBe(plainHttp);
  });
});

import { createServer, type Server } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { HttpPool } from '../../src/http/pool.ts';
import { Preconnection } from '../../src/http/preconnection.ts';
import { certificateForLoopback } from '../support/registry/tls.ts';

/** A server that counts its connections. */
async function counting(): Promise<{
  readonly url: URL;
  readonly connections: () => number;
  readonly server: Server;
}> {
  const server = createServer((_, response) => response.end('here'));
  let count = 0;
  server.on('connection', () => count++);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  return { url: new URL(`http://127.0.0.1:${port}/`), connections: () => count, server };
}

async function get(pool: HttpPool, url: URL): Promise<string> {
  const response = await pool.send({ method: 'GET', url });
  return Buffer.from(await response.body.read(100, 'answer')).toString();
}

function poolWith(preconnected: Preconnection): HttpPool {
  const pool = new HttpPool({ preconnected });
  onTestFinished(() => pool.close());
  return pool;
}

describe('a connection that was begun early', () => {
  it('is the one that the first request goes over, and is counted', async () => {
    const { url, connections } = await counting();
    const pool = poolWith(new Preconnection(url));
    expect(await get(pool, url)).toBe('here');
    expect(await get(pool, url)).toBe('here');
    expect(connections()).toBe(1);
    expect(pool.counters.connections).toBe(1);
  });

  it('is checked by TLS like any other', async () => {
    const { cert, key } = certificateForLoopback();
    let connections = 0;
    const server = createSecureServer({ cert, key }, (_, response) => response.end('here'));
    server.on('connection', () => connections++);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    onTestFinished(() => {
      server.closeAllConnections();
      server.close();
    });
    const url = new URL(`https://127.0.0.1:${(server.address() as AddressInfo).port}/`);
    const trusting = new HttpPool({ preconnected: new Preconnection(url), tls: { ca: cert } });
    onTestFinished(() => trusting.close());
    expect(await get(trusting, url)).toBe('here');
    expect(connections).toBe(1);
    await expect(get(poolWith(new Preconnection(url)), url)).rejects.toMatchObject({
      code: 'registry-unreachable',
    });
  });

  it('is not used for another server', async () => {
    const [one, two] = [await counting(), await counting()];
    const preconnected = new Preconnection(one.url);
    expect(await get(poolWith(preconnected), two.url)).toBe('here');
    expect(two.connections()).toBe(1);
    preconnected.drop();
  });

  it('is used where it was there before anything was asked', async () => {
    const { url, connections } = await counting();
    const preconnected = new Preconnection(url);
    await vi.waitFor(() => expect(connections()).toBe(1));
    // The client side hears of it a little later; by then, a request once waited until the server hung up.
    await sleep(50);
    expect(await get(poolWith(preconnected), url)).toBe('here');
    expect(connections()).toBe(1);
  });

  it('serves the second of two requests that are sent at the same time', async () => {
    const { url, connections } = await counting();
    const pool = poolWith(new Preconnection(url));
    pool.connectEarly(url);
    await vi.waitFor(() => expect(connections()).toBe(2));
    expect(await Promise.all([get(pool, url), get(pool, url)])).toEqual(['here', 'here']);
    expect(connections()).toBe(2);
  });

  it('is not begun where a proxy is between', async () => {
    const { url, connections } = await counting();
    const pool = new HttpPool({ proxy: { http: url } });
    onTestFinished(() => pool.close());
    pool.connectEarly(new URL('http://registry.example.com/'));
    expect(await get(pool, new URL('http://registry.example.com/'))).toBe('here');
    expect(connections()).toBe(1);
  });

  it('is as if it had never been where it failed', async () => {
    const { url } = await counting();
    expect(await get(poolWith(new Preconnection(new URL('http://127.0.0.1:1/'))), url)).toBe('here');
  });

  it.each([
    ['hangs up', (socket: Socket) => void socket.destroy()],
    ['ends', (socket: Socket) => void socket.end()],
    ['speaks without being spoken to', (socket: Socket) => void socket.write('HTTP/1.1 200 OK\r\n\r\n')],
  ])('is as if it had never been where the server %s', async (_, treat) => {
    const { url, server, connections } = await counting();
    server.once('connection', treat);
    const preconnected = new Preconnection(url);
    await vi.waitFor(() => expect(connections()).toBe(1));
    await vi.waitFor(() => expect(preconnected.isThere).toBe(false));
    expect(await get(poolWith(preconnected), url)).toBe('here');
    expect(connections()).toBe(2);
  });

  it('tells that nobody is there as any connection does', async () => {
    const url = new URL('http://127.0.0.1:1/');
    await expect(get(poolWith(new Preconnection(url)), url)).rejects.toMatchObject({
      code: 'registry-unreachable',
    });
  });

  it('is given up unless somebody took it', async () => {
    const { url } = await counting();
    const preconnected = new Preconnection(url);
    expect(preconnected.isThere).toBe(true);
    preconnected.drop();
    expect(preconnected.isThere).toBe(false);
    expect(preconnected.take(url.hostname, url.port)).toBeUndefined();
  });
});

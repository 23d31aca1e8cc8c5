import { createServer, type RequestListener } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { type AddressInfo, createServer as createTcpServer } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { describe, expect, it, onTestFinished } from 'vitest';
import { BullaError } from '../../src/errors.ts';
import type { HttpEvent } from '../../src/http/events.ts';
import { HttpPool, type HttpPoolOptions } from '../../src/http/pool.ts';
import { codeOf, collect } from '../support/registry/open.ts';
import { startRegistry } from '../support/registry/server.ts';
import { certificateForLoopback } from '../support/registry/tls.ts';

async function serve(listener: RequestListener): Promise<URL> {
  const server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}/x`);
}

function pool(options: HttpPoolOptions = {}): HttpPool {
  const made = new HttpPool(options);
  onTestFinished(() => made.close());
  return made;
}

async function* pieces(...texts: string[]): AsyncGenerator<Uint8Array> {
  for (const text of texts) yield Buffer.from(text);
}

describe('HttpPool', () => {
  it('streams a body up and a body down, and counts', async () => {
    const url = await serve((request, response) => request.pipe(response));
    const http = pool();
    const body = pieces('some ', 'streamed ', 'bytes');
    const response = await http.send({ method: 'PUT', url, body, contentLength: 19 });
    expect((await collect(response.body)).toString()).toBe('some streamed bytes');
    expect(http.counters).toMatchObject({ requests: 1, sentBytes: 19, receivedBytes: 19, connections: 1 });
  });

  it('uses a connection again, also after a body that nobody wanted', async () => {
    const url = await serve((_, response) => response.end('x'.repeat(1000)));
    const http = pool();
    for (let at = 0; at < 5; at++) await (await http.send({ method: 'GET', url })).body.discard();
    expect(http.counters).toMatchObject({ requests: 5, connections: 1 });
  });

  it('does not wait for the end of a body that nobody wants', async () => {
    const url = await serve((_, response) => void response.writeHead(401).write('wait'));
    const response = await pool().send({ method: 'GET', url });
    await response.body.discard();
    expect(response.status).toBe(401);
  });

  it('does not read on while nobody reads', async () => {
    let sent = 0;
    const url = await serve((_, response) => {
      const more = (): void => {
        while (sent < 100_000_000 && response.write(Buffer.alloc(65_536))) sent += 65_536;
      };
      response.on('drain', more);
      more();
    });
    const http = pool();
    const response = await http.send({ method: 'GET', url });
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(http.counters.receivedBytes).toBeLessThan(8_000_000);
    response.body.abort(new Error('enough'));
    await expect(collect(response.body)).rejects.toThrow();
  });

  it('keeps the words of a source that fails, and does not complete the request', async () => {
    let completed = false;
    const url = await serve((request, response) => {
      request.on('error', () => undefined);
      request.resume().on('end', () => {
        completed = request.complete;
        response.end();
      });
    });
    async function* failing(): AsyncGenerator<Uint8Array> {
      yield Buffer.from('some');
      throw new BullaError('content-invalid', 'the source is broken', { hint: 'x' });
    }
    const sending = pool().send({ method: 'PUT', url, body: failing(), contentLength: 100 });
    await expect(sending).rejects.toMatchObject({ code: 'content-invalid', message: 'the source is broken' });
    expect(completed).toBe(false);
  });

  it('does not send a shorter or longer body than it announced', async () => {
    const url = await serve((request, response) => request.resume().on('end', () => response.end()));
    for (const contentLength of [2, 20]) {
      await expect(
        pool().send({ method: 'PUT', url, body: pieces('1234', '5678'), contentLength }),
      ).rejects.toThrow();
    }
  });

  it('ends at once when it is called off: before, while it waits, and while it reads', async () => {
    const url = await serve((request, response) => {
      if (request.method === 'GET') response.write('begin');
    });
    const http = pool({ connections: 1 });
    expect(await codeOf(http.send({ method: 'GET', url, signal: AbortSignal.abort() }))).toBe('interrupted');
    const waiting = new AbortController();
    const work = codeOf(http.send({ method: 'PUT', url, body: Buffer.from('x'), signal: waiting.signal }));
    const queued = codeOf(http.send({ method: 'GET', url, signal: waiting.signal }));
    setTimeout(() => waiting.abort(), 20);
    expect(await work).toBe('interrupted');
    expect(await queued).toBe('interrupted');
    const reading = new AbortController();
    const response = await http.send({ method: 'GET', url, signal: reading.signal });
    setTimeout(() => reading.abort(new BullaError('timeout', 'too late', { hint: 'x' })), 20);
    expect(await codeOf(collect(response.body))).toBe('timeout');
  });

  it('names what is wrong with a connection', async () => {
    const dead = createTcpServer((socket) => socket.destroy());
    await new Promise<void>((resolve) => dead.listen(0, '127.0.0.1', resolve));
    const port = (dead.address() as AddressInfo).port;
    const http = pool();
    const get = (url: string) => http.send({ method: 'GET', url: new URL(url) });
    await expect(get(`http://127.0.0.1:${port}/`)).rejects.toMatchObject({
      code: 'registry-unreachable',
      details: { transient: true },
    });
    await new Promise((resolve) => dead.close(resolve));
    await expect(get(`http://127.0.0.1:${port}/`)).rejects.toMatchObject({
      code: 'registry-unreachable',
      details: { transient: false, errno: 'ECONNREFUSED' },
    });
  });

  it('gives up on a server that does not answer', async () => {
    const url = await serve(() => undefined);
    const http = pool({ headersTimeoutMs: 50 });
    await expect(http.send({ method: 'GET', url })).rejects.toMatchObject({ code: 'timeout' });
  });

  it('trusts the CA that it is given, and says what to do without it', async () => {
    const tls = certificateForLoopback();
    const registry = await startRegistry({ tls });
    onTestFinished(() => registry.close());
    const url = new URL(`${registry.origin}/v2/`);
    expect((await pool({ tls: { ca: tls.cert } }).send({ method: 'GET', url })).status).toBe(200);
    expect((await pool({ tls: { insecure: true } }).send({ method: 'GET', url })).status).toBe(200);
    await expect(pool().send({ method: 'GET', url })).rejects.toMatchObject({
      code: 'registry-unreachable',
      hint: expect.stringContaining('--ca-file'),
    });
  });

  it('shows its certificate to the registry, and to nobody that a registry sends it to', async () => {
    const [server, client] = [certificateForLoopback(), certificateForLoopback()];
    const shown: boolean[] = [];
    const listener = createTlsServer(
      { ...server, requestCert: true, rejectUnauthorized: false, ca: client.cert },
      (request, response) => {
        shown.push((request.socket as TLSSocket).authorized);
        response.end();
      },
    );
    await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve));
    onTestFinished(() => {
      listener.closeAllConnections();
      listener.close();
    });
    const url = new URL(`https://127.0.0.1:${(listener.address() as AddressInfo).port}/`);
    const http = pool({ tls: { ca: server.cert, cert: client.cert, key: client.key } });
    await (await http.send({ method: 'GET', url })).body.discard();
    await (await http.send({ method: 'GET', url, allow: new Set(['loopback']) })).body.discard();
    expect(shown).toEqual([true, false]);
  });

  it('says so where plain http was meant', async () => {
    const url = await serve((_, response) => response.end());
    url.protocol = 'https:';
    await expect(pool().send({ method: 'GET', url })).rejects.toMatchObject({
      code: 'registry-unreachable',
      hint: expect.stringContaining('--plain-http'),
    });
  });

  it('tells the trace what goes over the wire', async () => {
    const url = await serve((_, response) => response.end('body'));
    const events: HttpEvent[] = [];
    const http = pool({ events: (event) => events.push(event), userAgent: 'test' });
    await (await http.send({ method: 'GET', url, headers: { authorization: 'Bearer x' } })).body.read(
      10,
      'it',
    );
    expect(events.map(({ type }) => type)).toEqual(['request', 'response', 'end']);
    expect(events[0]).toMatchObject({ method: 'GET', url: url.href });
    expect(JSON.stringify(events)).not.toContain('Bearer x');
  });

  it('refuses what is not http', async () => {
    expect(await codeOf(pool().send({ method: 'GET', url: new URL('file:///etc/passwd') }))).toBe(
      'registry-error',
    );
  });
});

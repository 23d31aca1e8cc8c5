import { createServer, type IncomingMessage } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';
import { HttpPool } from '../../src/http/pool.ts';
import { proxyFor, proxyFromEnvironment } from '../../src/http/proxy.ts';
import { codeOf, registryFor } from '../support/registry/open.ts';
import { startRegistry } from '../support/registry/server.ts';
import { certificateForLoopback } from '../support/registry/tls.ts';

describe('proxyFor', () => {
  const settings = proxyFromEnvironment({
    HTTP_PROXY: 'http://p.example.com:3128',
    https_proxy: 'http://s.example.com:3129',
    HTTPS_PROXY: 'http://ignored.example.com',
    NO_PROXY: 'internal.example.com, .corp.example, *.wild.example,10.1.2.3,[fd00::1],only.example:8443',
  });
  it.each([
    ['http://r.example.com/', 'p.example.com:3128'],
    ['https://r.example.com/', 's.example.com:3129'],
    ['https://internal.example.com/', undefined],
    ['https://sub.internal.example.com/', undefined],
    ['https://notinternal.example.com/', 's.example.com:3129'],
    ['https://a.corp.example/', undefined],
    ['https://a.wild.example/', undefined],
    ['https://10.1.2.3/', undefined],
    ['https://[fd00::1]/', undefined],
    ['https://only.example:8443/', undefined],
    ['https://only.example/', 's.example.com:3129'],
    ['https://localhost:5000/', undefined],
    ['http://127.0.0.1:5000/', undefined],
    ['http://[::1]/', undefined],
  ])('sends %s through %s', (url, host) => {
    expect(proxyFor(new URL(url), settings)?.host).toBe(host);
  });

  it.each<[string, string, boolean]>([
    ['10.0.0.0/8', 'https://10.200.3.4/', true],
    ['10.0.0.0/8', 'https://11.0.0.1/', false],
    ['10.1.2.3/8', 'https://10.200.3.4/', true],
    ['192.0.2.0/25', 'https://192.0.2.127:5000/', true],
    ['192.0.2.0/25', 'https://192.0.2.128:5000/', false],
    ['0.0.0.0/0', 'https://198.51.100.1/', true],
    ['2001:db8::/32', 'https://[2001:db8:1::1]/', true],
    ['2001:db8::/32', 'https://[2001:db9::1]/', false],
    ['[2001:db8::]/32', 'https://[2001:db8::1]/', true],
    ['2001:db8:0:0:0:0:0:1', 'https://[2001:db8::1]/', true],
    ['10.0.0.0/33', 'https://10.0.0.1/', false],
    ['10.0.0.0/x', 'https://10.0.0.1/', false],
    ['10.0.0.0/8', 'https://r.example.com/', false],
    ['10.0.0.0/8', 'https://10.example.com/', false],
  ])('reads networks: %s for %s: %s', (entry, url, bypassed) => {
    const settings = proxyFromEnvironment({
      HTTPS_PROXY: 'http://p.example.com',
      NO_PROXY: `x.example,${entry}`,
    });
    expect(proxyFor(new URL(url), settings) === undefined).toBe(bypassed);
  });

  it('knows *, and no proxy at all', () => {
    const none = proxyFromEnvironment({ HTTPS_PROXY: 'http://p.example.com', NO_PROXY: '*' });
    expect(proxyFor(new URL('https://r.example.com/'), none)).toBeUndefined();
    expect(proxyFor(new URL('https://r.example.com/'), proxyFromEnvironment({}))).toBeUndefined();
  });

  it('takes a host without a scheme, but nothing that is no http proxy', () => {
    expect(proxyFromEnvironment({ HTTPS_PROXY: 'p.example.com:3128' }).https?.href).toBe(
      'http://p.example.com:3128/',
    );
    expect(() => proxyFromEnvironment({ HTTPS_PROXY: 'socks5://p.example.com' })).toThrow(
      expect.objectContaining({ code: 'config-invalid' }),
    );
  });

  it('does not take HTTP_PROXY from a CGI request (CVE-2016-5385)', () => {
    expect(
      proxyFromEnvironment({ HTTP_PROXY: 'http://evil.example', REQUEST_METHOD: 'GET' }).http,
    ).toBeUndefined();
  });
});

/** A proxy that passes everything to `upstream`, and what it was asked for. */
async function startProxy(upstream: string): Promise<{ url: URL; asked: IncomingMessage[] }> {
  const [host, port] = upstream.split(':');
  const asked: IncomingMessage[] = [];
  const server = createServer((request, response) => {
    asked.push(request);
    response.writeHead(200, { 'content-type': 'text/plain' }).end('by proxy');
  });
  server.on('connect', (request, client) => {
    asked.push(request);
    const target = connect(Number(port), host, () => {
      client.write('HTTP/1.1 200 OK\r\n\r\n');
      target.pipe(client).pipe(target);
    });
    target.on('error', () => client.destroy());
    client.on('error', () => target.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return { url: new URL(`http://me:secret@127.0.0.1:${(server.address() as AddressInfo).port}`), asked };
}

function poolFor(options: ConstructorParameters<typeof HttpPool>[0]): HttpPool {
  const pool = new HttpPool(options);
  onTestFinished(() => pool.close());
  return pool;
}

const AUTHORIZATION = `Basic ${Buffer.from('me:secret').toString('base64')}`;

describe('HttpPool through a proxy', () => {
  it('asks for http with the whole URL', async () => {
    const registry = await registryFor();
    const proxy = await startProxy(registry.host);
    const pool = poolFor({ proxy: { http: proxy.url } });
    const response = await pool.send({ method: 'GET', url: new URL('http://r.example.com/v2/?n=1') });
    expect(Buffer.from(await response.body.read(100, 'it')).toString()).toBe('by proxy');
    expect(proxy.asked[0]?.url).toBe('http://r.example.com/v2/?n=1');
    expect(proxy.asked[0]?.headers).toMatchObject({
      host: 'r.example.com',
      'proxy-authorization': AUTHORIZATION,
    });
  });

  it('asks for https with CONNECT, and checks the certificate behind it', async () => {
    const tls = certificateForLoopback();
    const registry = await startRegistry({ tls });
    onTestFinished(() => registry.close());
    const proxy = await startProxy(registry.host);
    // A name that is not loopback, so that it goes through the proxy; the certificate is for another.
    const url = new URL('https://r.example.com/v2/');
    const trusting = poolFor({ proxy: { https: proxy.url }, tls: { insecure: true } });
    expect((await trusting.send({ method: 'GET', url })).status).toBe(200);
    expect(proxy.asked[0]).toMatchObject({ method: 'CONNECT', url: 'r.example.com:443' });
    expect(proxy.asked[0]?.headers['proxy-authorization']).toBe(AUTHORIZATION);
    const careful = poolFor({ proxy: { https: proxy.url }, tls: { ca: tls.cert } });
    expect(await codeOf(careful.send({ method: 'GET', url }))).toBe('registry-unreachable');
  });

  it('checks addresses that are written out, which the proxy would reach for us', async () => {
    const proxy = await startProxy('127.0.0.1:1');
    const pool = poolFor({ proxy: { http: proxy.url } });
    const url = new URL('http://169.254.169.254/latest');
    expect(await codeOf(pool.send({ method: 'GET', url, allow: new Set(['public']) }))).toBe('forbidden');
    expect(proxy.asked).toEqual([]);
  });
});

import { generateKeyPairSync, X509Certificate } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { hashSync } from 'bcryptjs';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { RegistryServerOptions } from '../../src/api/registry-server.ts';
import { endpointHandler } from '../../src/servers/endpoints.ts';
import { Guard } from '../../src/servers/guard.ts';
import { createListener, formatAddress } from '../../src/servers/listener.ts';
import { notifyEndpoint } from '../../src/servers/resigner/notify.ts';
import { selfSignedCertificate } from '../support/self-signed.ts';
import { type Answer, artifact, Client, startTestRegistry, temporaryDirectory } from './registry/client.ts';

const SECRET = 'a-secret-of-some-length';

async function resigner(hosts: readonly string[] = []): Promise<{ client: Client; notified: string[][] }> {
  const notified: string[][] = [];
  const notify = notifyEndpoint(
    () => SECRET,
    (repositories) => notified.push([...repositories]),
  );
  const listener = createListener(
    endpointHandler({
      metrics: () => ['collections 3\n'],
      unready: () => undefined,
      guard: new Guard(hosts),
      posts: new Map([['/notify', notify]]),
      done: () => undefined,
      problem: () => undefined,
    }),
    undefined,
    { connections: 16, headerBytes: 16_384, headersMs: 5_000, idleMs: 5_000, graceMs: 500 },
  );
  const client = new Client(formatAddress(await listener.listen('127.0.0.1', 0)));
  onTestFinished(() => listener.stop());
  return { client, notified };
}

async function withPasswords(anonymousRead: boolean): Promise<Partial<RegistryServerOptions>> {
  const htpasswd = join(await temporaryDirectory(), 'htpasswd');
  await writeFile(htpasswd, `alice:${hashSync('secret', 4)}\n`);
  return { htpasswd, anonymousRead };
}

const LOGIN = { Authorization: `Basic ${Buffer.from('alice:secret').toString('base64')}` };

/** What a browser sends of a page at another origin, as `fetch` with `no-cors`, a form or an image would. */
const PAGES: [string, Record<string, string>][] = [
  ['a page of another site', { Origin: 'https://evil.example', 'Sec-Fetch-Site': 'cross-site' }],
  ['one that tells no origin', { Origin: 'null' }],
  [
    'a page of another port of this machine',
    { Origin: 'http://localhost:3000', 'Sec-Fetch-Site': 'same-site' },
  ],
  ['a page of another subdomain', { 'Sec-Fetch-Site': 'same-site', 'Sec-Fetch-Mode': 'no-cors' }],
  ['a browser that sends no Origin', { 'Sec-Fetch-Site': 'cross-site', 'Sec-Fetch-Mode': 'no-cors' }],
  ['an origin in which ours stands', { Origin: 'http://127.0.0.1.evil.example' }],
  ['an origin with a name and password', { Origin: 'http://127.0.0.1@evil.example' }],
  ['two origins', { Origin: 'http://127.0.0.1, https://evil.example' }],
  ['an extension', { Origin: 'chrome-extension://abcdef' }],
  ['a file', { Origin: 'file://' }],
  ['something that is not an origin', { Origin: '' }],
  ['a value of later browsers', { 'Sec-Fetch-Site': 'cross-partition' }],
];

/** Hosts of names that somebody else may own. */
const FOREIGN = [
  'evil.example',
  'evil.example:5000',
  '127.0.0.1.evil.example',
  'localhost.evil.example',
  'evil.example.',
  'evil',
  'xn--lcalhost-x0c',
  'user@localhost',
  'localhost, evil.example',
  '[::1].evil.example',
  '127.0.0.1:80:80',
  '0x7f.1',
  '2130706433',
  '127.0.0.1:99999',
  'registry.example.com.evil.example',
];

/** Hosts of a server that is reached as registry.example.com, too. */
const OWN = [
  'localhost',
  'LOCALHOST:5000',
  'localhost.:5000',
  'registry.localhost:5000',
  '127.0.0.1',
  '127.8.9.10:80',
  '[::1]:5000',
  '[::ffff:127.0.0.1]',
  '10.0.0.7:5000',
  '[fd00::7]',
  'registry.example.com',
  'Registry.Example.COM:443',
  'registry.example.com.',
];

const WRITES: [string, string][] = [
  ['POST', '/v2/team/app/blobs/uploads/'],
  ['POST', `/v2/team/app/blobs/uploads/?mount=sha256:${'0'.repeat(64)}`],
  ['PUT', '/v2/team/app/manifests/v1'],
  ['DELETE', '/v2/team/app/manifests/v1'],
  ['PATCH', '/v2/team/app/blobs/uploads/x'],
  ['OPTIONS', '/v2/team/app/manifests/v1'],
];
const READS = [
  '/v2/',
  '/v2/_catalog',
  '/v2/team/app/tags/list',
  '/v2/team/app/manifests/v1',
  '/metrics',
  '/healthz',
];

describe('a registry', () => {
  it.each(PAGES)('is not written to nor read by %s', async (_, headers) => {
    const { client } = await startTestRegistry();
    await client.pushArtifact('v1', 'x');
    for (const [method, path] of [...WRITES, ...READS.map((path) => ['GET', path] as const)]) {
      const answer = await client.send(method, path, {
        headers,
        body: method === 'PUT' ? artifact('y') : '',
      });
      expect([method, path, answer.status]).toEqual([method, path, 403]);
      expect(answer.headers['access-control-allow-origin']).toBeUndefined();
      expect(answer.headers['location']).toBeUndefined();
    }
    expect((await client.get('/manifests/v1')).text()).toBe(artifact('x'));
    expect((await client.send('GET', '/metrics')).text()).toContain('bulla_registry_uploads 0');
  });

  it.each(PAGES)('is not written to by %s with what the browser remembers of a login', async (_, headers) => {
    const { client } = await startTestRegistry(await withPasswords(false));
    const sent = { headers: { ...headers, ...LOGIN } };
    expect((await client.send('POST', '/v2/team/app/blobs/uploads/', sent)).status).toBe(403);
  });

  it.each(FOREIGN)('is not addressed as %s', async (host) => {
    const { client } = await startTestRegistry({ hosts: ['registry.example.com'] });
    await client.pushArtifact('v1', 'x');
    for (const [method, path] of [...WRITES, ...READS.map((path) => ['GET', path] as const)]) {
      const answer = await client.send(method, path, { headers: { Host: host } });
      expect([path, answer.status, answer.text().length < 500]).toEqual([path, 421, true]);
    }
    expect((await client.get('/manifests/v1')).text()).toBe(artifact('x'));
  });

  it.each(OWN)('is addressed as %s', async (host) => {
    const { client } = await startTestRegistry({ hosts: ['registry.example.com:8443'] });
    for (const path of ['/v2/', '/healthz', '/metrics'])
      expect((await client.send('GET', path, { headers: { Host: host } })).status).toBe(200);
    const upload = await client.send('POST', '/v2/team/app/blobs/uploads/', { headers: { Host: host } });
    expect(upload.status).toBe(202);
  });

  it('has one Host, or that of a probe from the time before it', async () => {
    const { client } = await startTestRegistry();
    for (const [lines, status] of [
      ['HTTP/1.1\r\nHost: localhost\r\nHost: evil.example', 400],
      ['HTTP/1.1\r\nHost: evil.example\r\nHost: localhost', 400],
      ['HTTP/1.1\r\nX: y', 400],
      ['HTTP/1.0', 200],
    ] as const) {
      const socket = await client.raw();
      socket.write(`GET /v2/ ${lines}\r\nConnection: close\r\n\r\n`);
      let text = '';
      for await (const chunk of socket as AsyncIterable<Buffer>) text += chunk.toString();
      expect([lines, Number(text.split(' ')[1])]).toEqual([lines, status]);
    }
  });

  it.each(['POST', 'PUT', 'DELETE', 'PATCH'])('takes no %s for a link that is followed', async (method) => {
    const { client } = await startTestRegistry();
    const headers = {
      'Sec-Fetch-Site': 'cross-site',
      'Sec-Fetch-Mode': 'navigate',
      'Sec-Fetch-Dest': 'document',
    };
    for (const path of ['/v2/team/app/blobs/uploads/', '/v2/team/app/manifests/v1'])
      expect((await client.send(method, path, { headers, body: '' })).status).toBe(403);
  });

  it.each([
    ['http://127.0.0.1/v2/', 'evil.example', 200],
    ['HTTP://LOCALHOST:5000/v2/', '127.0.0.1', 200],
    ['https://[::1]:5000/v2/?n=1', '127.0.0.1', 200],
    ['http://registry.example.com/healthz', 'registry.example.com', 200],
    ['http://evil.example/v2/', '127.0.0.1', 421],
    ['http://evil.example/v2/', 'evil.example', 421],
    ['http://evil.example/healthz', '127.0.0.1', 421],
    ['http://127.0.0.1@evil.example/v2/', '127.0.0.1', 421],
    ['http://evil.example@127.0.0.1/v2/', '127.0.0.1', 421],
    ['https://evil.example:443?x', '127.0.0.1', 421],
    ['ftp://127.0.0.1/v2/', '127.0.0.1', 404],
    ['//127.0.0.1/v2/', '127.0.0.1', 404],
  ])('is asked for %s by the host in it, not by Host: %s', async (target, host, status) => {
    const { client } = await startTestRegistry({ hosts: ['registry.example.com'] });
    expect((await client.send('GET', target, { headers: { Host: host } })).status).toBe(status);
  });

  it.each(['websocket', 'h2c'])('changes to no other protocol: %s', async (protocol) => {
    const { client } = await startTestRegistry();
    for (const [origin, status] of [
      ['Origin: http://evil.example', 403],
      ['X: y', 200],
    ] as const) {
      const socket = await client.raw();
      socket.write(
        `GET /v2/ HTTP/1.1\r\nHost: localhost\r\nUpgrade: ${protocol}\r\nConnection: Upgrade, close\r\n${origin}\r\n\r\n`,
      );
      let text = '';
      for await (const chunk of socket as AsyncIterable<Buffer>) text += chunk.toString();
      expect(Number(text.split(' ')[1])).toBe(status);
    }
  });

  it('answers its own origin, a link that is followed, and what somebody types into a browser', async () => {
    const { client } = await startTestRegistry({ hosts: ['registry.example.com'] });
    const table: Record<string, string>[] = [
      { Host: 'localhost:5000', Origin: 'http://localhost:5000', 'Sec-Fetch-Site': 'same-origin' },
      { Host: 'registry.example.com', Origin: 'https://registry.example.com' },
      { Host: 'registry.example.com:443', Origin: 'https://registry.example.com' },
      { 'Sec-Fetch-Site': 'none', 'Sec-Fetch-Mode': 'navigate', 'Sec-Fetch-Dest': 'document' },
      { 'Sec-Fetch-Site': 'cross-site', 'Sec-Fetch-Mode': 'navigate', 'Sec-Fetch-Dest': 'document' },
    ];
    for (const headers of table) expect((await client.send('GET', '/v2/', { headers })).status).toBe(200);
  });

  it('with a login takes any name from those who sign in, and from others what they may do without', async () => {
    const ask = (client: Client, path: string, headers: Record<string, string>): Promise<Answer> =>
      client.send('GET', path, { headers: { Host: 'registry.example.com', ...headers } });
    const closed = (await startTestRegistry(await withPasswords(false))).client;
    expect((await ask(closed, '/v2/', {})).status).toBe(401);
    expect((await ask(closed, '/v2/', LOGIN)).status).toBe(200);
    const open = (await startTestRegistry(await withPasswords(true))).client;
    expect((await ask(open, '/v2/_catalog', {})).status).toBe(421);
    expect((await ask(open, '/v2/_catalog', LOGIN)).status).toBe(200);
  });

  it('knows the names in its certificate', () => {
    const keys = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const der = selfSignedCertificate('registry.internal', keys);
    const guard = new Guard([], { cert: new X509Certificate(der).toString(), key: '' });
    const refusal = (host: string) => guard.foreignHost({ rawHeaders: [], headers: { host } } as never);
    expect(refusal('registry.internal:5000')).toBeUndefined();
    expect(refusal('evil.example')?.status).toBe(421);
  });

  it.each(['', 'a b', 'http://registry.example.com', 'registry.example.com/x', '*'])(
    'is not started with the name "%s"',
    (host) => {
      expect(() => new Guard([host])).toThrow(expect.objectContaining({ code: 'usage' }));
    },
  );
});

describe('a re-signer', () => {
  const paths = ['/healthz', '/readyz', '/metrics', '/nothing'];
  const event = JSON.stringify({ events: [{ action: 'push', target: { repository: 'a', tag: '_trust' } }] });
  const notify = (client: Client, headers: Record<string, string>): Promise<Answer> =>
    client.send('POST', '/notify', {
      headers: { Authorization: `Bearer ${SECRET}`, ...headers },
      body: event,
    });

  it.each(PAGES)('tells nothing to %s, and takes nothing', async (_, headers) => {
    const { client, notified } = await resigner();
    for (const path of paths) expect((await client.send('GET', path, { headers })).status).toBe(403);
    expect((await notify(client, headers)).status).toBe(403);
    expect(notified).toEqual([]);
  });

  it.each(FOREIGN)('is not addressed as %s', async (host) => {
    const { client } = await resigner(['registry.example.com']);
    for (const path of [...paths, '/notify'])
      expect((await client.send('GET', path, { headers: { Host: host } })).status).toBe(421);
  });

  it.each(OWN)('is addressed as %s', async (host) => {
    const { client } = await resigner(['registry.example.com']);
    expect((await client.send('GET', '/metrics', { headers: { Host: host } })).status).toBe(200);
  });

  it('takes notifications with the secret by whichever name the registry has for it', async () => {
    const { client, notified } = await resigner();
    expect((await notify(client, { Host: 'resigner.trust.svc:8089' })).status).toBe(202);
    expect(notified).toEqual([['a']]);
    const wrong = { Host: 'resigner.trust.svc:8089', Authorization: 'Bearer wrong' };
    expect((await notify(client, wrong)).status).toBe(421);
  });
});

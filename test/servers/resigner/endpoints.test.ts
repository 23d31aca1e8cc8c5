import { createConnection } from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';
import { type Endpoints, endpointHandler } from '../../../src/servers/endpoints.ts';
import { Guard } from '../../../src/servers/guard.ts';
import { createListener, formatAddress } from '../../../src/servers/listener.ts';
import { isAuthorized, notifyEndpoint, repositoriesIn } from '../../../src/servers/resigner/notify.ts';

const SECRET = 'a-secret-of-some-length';
const TYPE = 'application/vnd.docker.distribution.events.v1+json';

/** As docker-registry 2.8.2 sends it; host and url are what the client said. */
function event(more: { action?: string; tag?: string; repository?: unknown } = {}): unknown {
  const { action = 'push', repository = 'team/app', tag = '_trust.stage.0123456789ab' } = more;
  return {
    id: '320678d8-ca14-430f-8bb6-4ca139cd83f7',
    timestamp: '2030-01-01T00:00:00.123456789Z',
    action,
    target: {
      mediaType: 'application/vnd.oci.image.manifest.v1+json',
      size: 708,
      digest: `sha256:${'0'.repeat(64)}`,
      length: 708,
      repository,
      url: 'http://169.254.169.254/latest/meta-data',
      ...(tag !== '' && { tag }),
    },
    request: { id: 'x', addr: '10.0.0.1:1', host: 'evil.example.com', method: 'PUT', useragent: 'x' },
    actor: {},
    source: { addr: 'evil.example.com:5000', instanceID: 'x' },
  };
}

async function served(change: Partial<Endpoints> = {}, secret = SECRET) {
  const notified: string[][] = [];
  const posted = notifyEndpoint(
    () => (secret === '' ? undefined : secret),
    (repositories) => notified.push([...repositories]),
  );
  const samples: { route: string; status: number }[] = [];
  const listener = createListener(
    endpointHandler({
      metrics: () => ['bulla_resigner_', 'collections 3\n'],
      unready: () => undefined,
      guard: new Guard([]),
      posts: new Map([['/notify', posted]]),
      done: ({ route, status }) => samples.push({ route, status }),
      problem: () => undefined,
      ...change,
    }),
    undefined,
    { connections: 16, headerBytes: 16_384, headersMs: 5_000, idleMs: 5_000, graceMs: 500 },
  );
  const address = formatAddress(await listener.listen('127.0.0.1', 0));
  onTestFinished(() => listener.stop());
  const notify = (body: string | Uint8Array, headers: Record<string, string> = {}) =>
    fetch(`http://${address}/notify`, {
      method: 'POST',
      headers: { authorization: `Bearer ${SECRET}`, 'content-type': TYPE, ...headers },
      body,
    });
  return { url: `http://${address}`, address, notified, samples, notify };
}

describe('what the re-signer tells', () => {
  it('is that it lives, that it is ready, and its metrics', async () => {
    const { url } = await served();
    for (const [path, text] of [
      ['/healthz', 'ok\n'],
      ['/readyz', 'ok\n'],
      ['/metrics', 'bulla_resigner_collections 3\n'],
    ]) {
      const response = await fetch(`${url}${path}`);
      expect([response.status, await response.text()]).toEqual([200, text]);
    }
  });

  it('answers others between the pieces of metrics that are many megabytes', async () => {
    const piece = `${'x'.repeat(65_535)}\n`;
    const order: string[] = [];
    const { url, samples } = await served({
      *metrics() {
        for (let n = 0; n < 160; n++) yield piece;
        order.push('metrics');
      },
      unready: () => void order.push('ready'),
    });
    const scraped = fetch(`${url}/metrics`).then((response) => response.text());
    await fetch(`${url}/readyz`);
    expect((await scraped).length).toBe(160 * 65_536);
    expect(order).toEqual(['ready', 'metrics']);
    expect((await fetch(`${url}/metrics`, { method: 'HEAD' })).status).toBe(200);
    expect(samples.map(({ route }) => route).sort()).toEqual(['metrics', 'metrics', 'ready']);
  });

  it('is not held up by somebody who reads none of them', async () => {
    const { url, address, samples } = await served({
      *metrics() {
        for (let n = 0; n < 1_000; n++) yield 'x'.repeat(65_536);
      },
    });
    const [host, port] = address.split(':') as [string, string];
    const socket = createConnection(Number(port), host);
    socket.pause();
    socket.write(`GET /metrics HTTP/1.1\r\nHost: ${address}\r\n\r\n`);
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect((await fetch(`${url}/healthz`)).status).toBe(200);
    socket.destroy();
    await expect.poll(() => samples.map(({ route }) => route).sort()).toEqual(['health', 'metrics']);
  });

  it('is that it is not ready, while it lives', async () => {
    const { url } = await served({ unready: () => 'starting' });
    expect((await fetch(`${url}/readyz`)).status).toBe(503);
    expect((await fetch(`${url}/healthz`)).status).toBe(200);
  });

  it.each([
    { path: '/', method: 'GET', status: 404 },
    { path: '/healthz', method: 'POST', status: 405 },
    { path: '/notify', method: 'GET', status: 405 },
    { path: '/../etc/passwd', method: 'GET', status: 404 },
  ])('is $status to $method $path', async ({ path, method, status }) => {
    const { url } = await served();
    expect((await fetch(`${url}${path}`, { method })).status).toBe(status);
  });
});

describe('a notification', () => {
  it('is taken at once, and names where to look', async () => {
    const { notify, notified } = await served();
    const events = [event(), event({ tag: '_trust' }), event({ repository: 'team/other' })];
    const response = await notify(JSON.stringify({ events }));
    expect(response.status).toBe(202);
    expect(notified).toEqual([['team/app', 'team/other']]);
  });

  it.each([
    { what: 'of a pull', change: { action: 'pull' } },
    { what: 'of a blob, which has no tag', change: { tag: '' } },
    { what: 'of a tag of an image', change: { tag: 'v1' } },
    { what: 'of no repository', change: { repository: '../../etc' } },
    { what: 'of a repository that is no text', change: { repository: { a: 1 } } },
    { what: 'of another host', change: { repository: 'http://evil.example.com/app' } },
  ])('$what leads nowhere', async ({ change }) => {
    const { notify, notified } = await served();
    expect((await notify(JSON.stringify({ events: [event(change)] }))).status).toBe(202);
    expect(notified).toEqual([[]]);
  });

  it.each([
    { what: 'no secret', headers: { authorization: '' }, status: 401 },
    { what: 'another secret', headers: { authorization: 'Bearer a-secret-of-another-one' }, status: 401 },
    { what: 'the beginning of the secret', headers: { authorization: 'Bearer a-secret' }, status: 401 },
    {
      what: 'the secret as a password',
      headers: { authorization: `Basic ${Buffer.from(`x:${SECRET}`).toString('base64')}` },
      status: 401,
    },
  ])('with $what is refused', async ({ headers, status }) => {
    const { notify, notified } = await served();
    expect((await notify(JSON.stringify({ events: [event()] }), headers)).status).toBe(status);
    expect(notified).toEqual([]);
  });

  it.each([
    { what: 'that is no JSON', body: 'events' },
    { what: 'that is a list', body: '[]' },
    { what: 'that repeats a member', body: '{"events":[],"events":[]}' },
  ])('$what is refused', async ({ body }) => {
    const { notify } = await served();
    expect((await notify(body)).status).toBe(400);
  });

  it('that is too large is refused before it has been read', async () => {
    const { notify, notified } = await served();
    const status = await notify('x'.repeat(2 * 1024 * 1024)).then(
      (response) => response.status,
      () => 413,
    );
    expect(status).toBe(413);
    expect(notified).toEqual([]);
  });

  it('that never ends holds nobody up', async () => {
    const { address, url } = await served();
    const [host, port] = address.split(':') as [string, string];
    const socket = createConnection(Number(port), host);
    onTestFinished(() => void socket.destroy());
    socket.on('error', () => undefined);
    socket.write(
      `POST /notify HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${SECRET}\r\nContent-Length: 100\r\n\r\n{"ev`,
    );
    expect((await fetch(`${url}/healthz`)).status).toBe(200);
  });

  it('is not taken where no secret is configured', async () => {
    const { notify } = await served({}, '');
    expect((await notify('{"events":[]}')).status).toBe(404);
  });

  it('names a thousand events at most', () => {
    const events = Array.from({ length: 5_000 }, (_, n) => event({ repository: `team/app${n}` }));
    const body = new TextEncoder().encode(JSON.stringify({ events }).slice(0, -2));
    expect(() => repositoriesIn(body)).toThrow();
    const few = new TextEncoder().encode(JSON.stringify({ events: events.slice(0, 1_200) }));
    expect(repositoriesIn(few).size).toBe(1_000);
  });

  it('without a header is not authorized by an empty secret', () => {
    expect(isAuthorized(undefined, SECRET)).toBe(false);
    expect(isAuthorized('Bearer ', SECRET)).toBe(false);
    expect(isAuthorized(`bearer ${SECRET}`, SECRET)).toBe(true);
  });
});

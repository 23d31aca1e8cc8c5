import { generateKeyPairSync } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { get } from 'node:https';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { type LogFields, type RegistryServer, serveRegistry } from '../../../src/api/registry-server.ts';
import { listen } from '../../support/listen.ts';
import { selfSignedCertificate } from '../../support/self-signed.ts';
import { descriptorOf, digestOf, startTestRegistry, temporaryDirectory } from './client.ts';

describe('the server', () => {
  it('answers the base address, its health and HEAD', async () => {
    const { client } = await startTestRegistry();
    const base = await client.send('GET', '/v2/');
    expect([base.status, base.text()]).toEqual([200, '{}']);
    expect(base.headers['docker-distribution-api-version']).toBe('registry/2.0');
    expect((await client.send('HEAD', '/v2/')).status).toBe(200);
    expect((await client.send('GET', '/healthz')).text()).toBe('ok\n');
    expect((await client.send('GET', '/')).status).toBe(404);
  });

  it('sends no CORS headers', async () => {
    const { client } = await startTestRegistry();
    const answer = await client.send('GET', '/v2/', { headers: { Origin: 'https://evil.example' } });
    expect(Object.keys(answer.headers).filter((name) => name.startsWith('access-control'))).toEqual([]);
    expect((await client.send('OPTIONS', '/v2/')).status).toBe(405);
  });

  it('counts what it does', async () => {
    const { client } = await startTestRegistry();
    await client.pushArtifact('v1', 'x');
    await client.get('/manifests/none');
    await client.send('BREW', '/v2/').catch(() => undefined);
    const text = (await client.send('GET', '/metrics')).text();
    expect(text).toContain('bulla_registry_requests_total{method="PUT",route="manifest",status="201"} 1');
    expect(text).toContain('bulla_registry_requests_total{method="GET",route="manifest",status="404"} 1');
    expect(text).toContain('bulla_registry_repositories 1');
    expect(text).toMatch(/^process_resident_memory_bytes [0-9]+$/m);
    for (const line of text.trim().split('\n')) {
      expect(line).toMatch(/^(# (HELP|TYPE) [a-z_]+ .+|[a-z_]+(\{[^}]*\})? [0-9.e+-]+)$/);
    }
  });

  it('logs requests as objects, without what would let the reader go on with an upload', async () => {
    const log: LogFields[] = [];
    const { client } = await startTestRegistry({ log: (entry) => log.push(entry) });
    const location = await client.startUpload();
    await client.send('PATCH', `${location}?_state=secret`, {
      body: 'abc',
      headers: { 'User-Agent': 'x'.repeat(1000) },
    });
    await expect.poll(() => log.length).toBe(2);
    expect(log[1]).toMatchObject({
      event: 'request',
      method: 'PATCH',
      status: 202,
      received: 3,
      route: 'upload',
    });
    const text = JSON.stringify(log);
    expect(text).not.toContain(location.split('/').at(-1));
    expect(text).not.toContain('secret');
    expect(text).not.toContain('x'.repeat(300));
  });

  it('speaks TLS', async () => {
    const keys = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const key = keys.privateKey.export({ format: 'pem', type: 'pkcs8' }) as string;
    const der = selfSignedCertificate('localhost', keys);
    const cert = `-----BEGIN CERTIFICATE-----\n${der.toString('base64')}\n-----END CERTIFICATE-----\n`;
    const { server } = await startTestRegistry({ tls: { key, cert } });
    expect(server.url).toBe(`https://${server.address}`);
    const status = await new Promise((resolve, reject) => {
      get(
        `${server.url}/v2/`,
        { ca: cert, checkServerIdentity: () => undefined, agent: false },
        (response) => {
          response.resume();
          resolve(response.statusCode);
        },
      ).on('error', reject);
    });
    expect(status).toBe(200);
  });

  it('does not start with a key that is none', async () => {
    const dir = await temporaryDirectory();
    await expect(serveRegistry({ dir, tls: { cert: 'x', key: 'y' } })).rejects.toMatchObject({
      code: 'config-invalid',
    });
    await (await serveRegistry({ dir })).close();
  });

  it('does not start where another listens, and leaves the directory free', async () => {
    const { server } = await startTestRegistry();
    const dir = await temporaryDirectory();
    const port = Number(server.address.split(':')[1]);
    await expect(serveRegistry({ dir, port })).rejects.toMatchObject({ code: 'usage' });
    await (await serveRegistry({ dir })).close();
  });

  it('lets a running upload end when it is asked to stop, and then takes nothing', async () => {
    const { client, server, dir } = await startTestRegistry({ limits: { graceMs: 10_000 } });
    const content = 'x'.repeat(1000);
    const socket = await client.raw();
    socket.write(
      `POST /v2/team/app/blobs/uploads/?digest=${digestOf(content)} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n${content.slice(0, 500)}`,
    );
    const metrics = async (): Promise<string> => (await client.send('GET', '/metrics')).text();
    await expect.poll(metrics).toContain('bulla_registry_uploads 1');
    const closing = server.close();
    await expect
      .poll(() =>
        client.send('GET', '/v2/').then(
          () => 'answered',
          () => 'refused',
        ),
      )
      .toBe('refused');
    const answer = new Promise<string>((resolve) => socket.once('data', (data) => resolve(data.toString())));
    socket.write(content.slice(500));
    expect(await answer).toMatch(/^HTTP\/1.1 201 /);
    await closing;
    expect(
      await readFile(join(dir, 'team', 'app', 'blobs', 'sha256', digestOf(content).slice(7)), 'utf8'),
    ).toBe(content);
  });

  it('cuts off what does not end in time', async () => {
    const { client, server } = await startTestRegistry({ limits: { graceMs: 50 } });
    const socket = await client.raw();
    socket.on('error', () => undefined);
    socket.write(
      'POST /v2/team/app/blobs/uploads/?digest=' +
        digestOf('x') +
        ' HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\n',
    );
    await expect
      .poll(async () => (await client.send('GET', '/metrics')).text())
      .toContain('bulla_registry_uploads 1');
    await server.close();
  });
});

describe('notifications', () => {
  interface Event {
    readonly action: string;
    readonly target: Record<string, unknown>;
    readonly actor: unknown;
    readonly source: { addr: string };
    readonly request: Record<string, unknown>;
  }

  /** An endpoint that fails as often as it is told to. */
  async function endpoint(failures: number): Promise<{ url: string; events: Event[]; headers: unknown[] }> {
    const events: Event[] = [];
    const headers: unknown[] = [];
    let left = failures;
    const server = createServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        if (left-- > 0) {
          response.writeHead(500).end();
          return;
        }
        headers.push(request.headers);
        events.push(...(JSON.parse(Buffer.concat(chunks).toString()) as { events: Event[] }).events);
        response.end();
      });
    });
    const { host, stop } = await listen(server);
    onTestFinished(stop);
    return { url: `http://${host}/notify`, events, headers };
  }

  async function startNotifying(
    url: string,
  ): Promise<{ server: RegistryServer } & Awaited<ReturnType<typeof startTestRegistry>>> {
    return startTestRegistry({ notifications: [{ url, headers: { Authorization: 'Bearer of-the-test' } }] });
  }

  it("come in distribution's format, in order", async () => {
    const { url, events, headers } = await endpoint(0);
    const { client, server } = await startNotifying(url);
    const body = await client.pushArtifact('v1', 'x');
    await client.get('/manifests/v1');
    await client.send('POST', `/v2/other/blobs/uploads/?mount=${digestOf('{}')}&from=team/app`);
    await client.send('DELETE', '/v2/team/app/manifests/v1');
    await server.close();
    expect(events.map(({ action }) => action)).toEqual(['push', 'push', 'pull', 'mount', 'delete']);
    expect(events[0]?.target).toMatchObject({ digest: digestOf('{}'), size: 2, repository: 'team/app' });
    expect(events[0]?.target).not.toHaveProperty('tag');
    expect(events[1]?.target).toEqual({
      ...descriptorOf(body),
      length: body.length,
      repository: 'team/app',
      url: `http://${server.address}/v2/team/app/manifests/${digestOf(body)}`,
      tag: 'v1',
    });
    expect(events[1]?.request).toMatchObject({ method: 'PUT', host: server.address });
    expect(events[1]?.source.addr).toBe(server.address);
    expect(headers[0]).toMatchObject({
      'content-type': 'application/vnd.docker.distribution.events.v1+json',
      authorization: 'Bearer of-the-test',
    });
  });

  it('are tried again until they arrive', async () => {
    const { url, events } = await endpoint(2);
    const { client } = await startNotifying(url);
    await client.pushArtifact('v1', 'x');
    await expect
      .poll(() => events.map(({ action }) => action), { timeout: 15_000 })
      .toEqual(['push', 'push']);
  });

  it('hold nothing up when nobody takes them, and their queue has an end', async () => {
    const { client, server } = await startTestRegistry({
      notifications: [{ url: 'http://127.0.0.1:1/notify' }],
    });
    const body = await client.pushArtifact('v1', 'x');
    await Promise.all([...Array(1100).keys()].map(() => client.get(`/manifests/${digestOf(body)}`)));
    const text = (await client.send('GET', '/metrics')).text();
    expect(text).toContain('bulla_registry_notifications_waiting 1000');
    expect(text).toContain('bulla_registry_notifications_dropped_total 102');
    await server.close();
  });
});

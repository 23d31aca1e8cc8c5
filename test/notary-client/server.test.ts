import { describe, expect, it, onTestFinished } from 'vitest';
import { HttpPool } from '../../src/http/pool.ts';
import { listNotaryNames } from '../../src/notary/names.ts';
import { verifyNotaryRepository } from '../../src/notary/repository.ts';
import { defaultNotaryServer, notaryServer } from '../../src/notary-client/gun.ts';
import { NotaryServer, type NotaryServerOptions } from '../../src/notary-client/server.ts';
import type { Credentials } from '../../src/registry/credentials.ts';
import { forgeKey, forgeRepository, GUN, NOW, publish, target } from '../support/notary/forge.ts';
import { type NotarySimulatorOptions, startNotary } from '../support/notary/server.ts';

async function serving(options: NotarySimulatorOptions = {}) {
  const simulator = await startNotary(options);
  const repository = await forgeRepository();
  repository.delegations.set('targets/alice', { keys: [await forgeKey()], targets: { a: target('a') } });
  repository.delegations.set('targets/alice/ci', { keys: [await forgeKey()], targets: { b: target('b') } });
  simulator.repositories.set(GUN, publish(repository));
  return { simulator, repository };
}

function server(url: string, options: Partial<NotaryServerOptions> = {}): NotaryServer {
  const pool = new HttpPool();
  onTestFinished(() => pool.close());
  const retry = { baseMs: 1, maxMs: 5 };
  return new NotaryServer({ pool, server: notaryServer(url), retry, ...options });
}

const verify = (from: NotaryServer, gun = GUN) =>
  verifyNotaryRepository(from.repository(gun), { gun, now: NOW, pin: { kind: 'tofu' } });

describe('a Notary server', () => {
  it('is read with no more requests than there are files, over kept connections', async () => {
    const { simulator } = await serving();
    expect(listNotaryNames((await verify(server(simulator.url)))!).map(({ name }) => name)).toEqual([
      'a',
      'b',
      'v1',
    ]);
    expect(simulator.requests).toHaveLength(6);
    expect(simulator.state.connections).toBeLessThanOrEqual(2);
    expect(simulator.requests.some((path) => path.includes('health'))).toBe(false);
  });

  it('below a path, and without files by hash', async () => {
    const { simulator } = await serving({ prefix: '/notary', isPlain: true });
    expect(await verify(server(simulator.url))).toBeDefined();
    expect(await verify(server(`${simulator.url}/`))).toBeDefined();
  });

  it('without trust data of a repository', async () => {
    const { simulator } = await serving();
    expect(await verify(server(simulator.url), 'registry.example.com/team/other')).toBeUndefined();
  });

  it('gives a token for the whole name of the repository, once', async () => {
    const { simulator } = await serving({ auth: {} });
    expect(await verify(server(simulator.url))).toBeDefined();
    expect(new Set(simulator.scopes)).toEqual(new Set([`repository:${GUN}:pull`]));
    expect(simulator.scopes).toHaveLength(1);
  });

  it.each([
    ['the registry', 'registry.example.com'],
    ['the server', ''],
  ])('takes credentials that are stored for %s', async (_what, registry) => {
    const { simulator } = await serving({ auth: { user: 'alice', password: 'secret' } });
    const stored = registry === '' ? simulator.host : registry;
    const credentials = async (asked: string): Promise<Credentials | undefined> =>
      asked === stored ? { kind: 'basic', username: 'alice', password: 'secret' } : undefined;
    expect(await verify(server(simulator.url, { credentials }))).toBeDefined();
    await expect(verify(server(simulator.url))).rejects.toMatchObject({ code: 'unauthorized' });
  });

  it.each([429, 500, 502, 503])('status %i passes', async (status) => {
    const { simulator } = await serving({
      fault: (_path, response, count) => {
        if (count > 1) return false;
        response.writeHead(status, status === 429 ? { 'retry-after': '0' } : {}).end();
        return true;
      },
    });
    expect(await verify(server(simulator.url))).toBeDefined();
  });

  it('a body that breaks off is fetched again', async () => {
    const { simulator } = await serving({
      fault: (path, response, count) => {
        if (!path.endsWith('/timestamp.json') || count > 1) return false;
        response.writeHead(200, { 'content-length': '1000' });
        response.write('{');
        setTimeout(() => response.destroy(), 5);
        return true;
      },
    });
    expect(await verify(server(simulator.url))).toBeDefined();
  });

  it.each([
    [400, 'registry-error'],
    [403, 'forbidden'],
    [500, 'registry-error'],
    [429, 'registry-throttled'],
  ])('status %i for good is %s, never "no trust data"', async (status, code) => {
    const { simulator } = await serving({
      fault: (_path, response) => {
        response.writeHead(status).end();
        return true;
      },
    });
    await expect(verify(server(simulator.url, { retry: { tries: 2, baseMs: 1 } }))).rejects.toMatchObject({
      code,
    });
  });

  it('a body without an end is cut off', async () => {
    const { simulator } = await serving({
      fault: (path, response) => {
        if (!path.endsWith('/root.json')) return false;
        response.writeHead(200);
        const timer = setInterval(() => response.write(Buffer.alloc(256 * 1024, 0x20)), 1);
        response.on('close', () => clearInterval(timer));
        return true;
      },
    });
    await expect(verify(server(simulator.url))).rejects.toMatchObject({ code: 'content-invalid' });
  });

  it.each([['../x'], ['a/../b'], ['a//b'], ['a/_trust/b'], ['a b'], ['a?b'], ['a%2fb'], ['']])(
    'the name %j is refused',
    (gun) => {
      expect(() => server('http://127.0.0.1:1').repository(gun)).toThrow(
        expect.objectContaining({ code: 'usage' }),
      );
    },
  );
});

describe('the URL of a server', () => {
  it.each([
    ['docker.io', {}, 'https://notary.docker.io/'],
    ['registry.example.com:5000', {}, 'https://registry.example.com:5000/'],
    [
      'docker.io',
      { DOCKER_CONTENT_TRUST_SERVER: 'https://notary.example.com/x' },
      'https://notary.example.com/x',
    ],
    ['docker.io', { DOCKER_CONTENT_TRUST_SERVER: '' }, 'https://notary.docker.io/'],
  ])('of %s with %j is %s', (registry, env, url) => {
    expect(defaultNotaryServer(registry, env).href).toBe(url);
  });

  it.each([
    ['notary.example.com:4443', 'https://notary.example.com:4443/'],
    ['http://localhost:4443', 'http://localhost:4443/'],
  ])('%s is %s', (text, url) => {
    expect(notaryServer(text).href).toBe(url);
  });

  it.each(['ftp://x', 'https://user:pw@x', 'https://x?y', 'https://x#y', '::'])('%s is none', (text) => {
    expect(() => notaryServer(text)).toThrow(expect.objectContaining({ code: 'usage' }));
  });
});

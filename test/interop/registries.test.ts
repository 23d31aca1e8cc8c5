import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openRepository } from '../../src/registry/client.ts';
import { pushImage } from '../support/content.ts';
import { startDelayProxy } from '../support/delay-proxy.ts';
import { startTokenServer, type TokenServer } from '../support/token-server.ts';
import { havePeers, ok, peer, run } from './peers.ts';
import {
  HAS_REFERRERS_API,
  NEEDS,
  type Registry,
  type RegistryKind,
  startDistribution,
  startRegistry,
} from './registries.ts';

const subject = `sha256:${'0'.repeat(64)}`;

describe.each(Object.keys(NEEDS) as RegistryKind[])('%s', (kind) => {
  describe.runIf(havePeers(...NEEDS[kind]))('as a test starts it', () => {
    let registry: Registry;
    beforeAll(async () => {
      registry = await startRegistry(kind);
    });
    afterAll(() => registry?.stop());

    it('answers, and has the referrers API or not as the table says', async () => {
      expect((await fetch(`http://${registry.host}/v2/`)).status).toBe(200);
      // Of a repository that is not there, ocimem says 404.
      const target = openRepository({ registry: registry.host, repository: 'app' });
      await pushImage(target, 'one');
      await target.close();
      const referrers = await fetch(`http://${registry.host}/v2/app/referrers/${subject}`);
      await referrers.arrayBuffer();
      expect(referrers.status).toBe(HAS_REFERRERS_API[kind] ? 200 : 404);
    });
  });
});

describe.runIf(havePeers('docker-registry', 'oras'))('a registry behind a token server', () => {
  let tokens: TokenServer;
  let registry: Registry;
  const directory = mkdtempSync(join(tmpdir(), 'bulla-docker-'));
  beforeAll(async () => {
    tokens = await startTokenServer({ users: { alice: 'wonder land' }, anonymous: ['pull'] });
    registry = await startDistribution('docker-registry', { tokens });
  });
  afterAll(async () => {
    await registry?.stop();
    await tokens?.stop();
    rmSync(directory, { recursive: true, force: true });
  });

  it('takes a push from a person who is known, and refuses one from a stranger', async () => {
    writeFileSync(join(directory, 'note'), 'hello');
    const args = ['push', `${registry.host}/app:v1`, 'note:text/plain', '--plain-http'];
    expect((await run(peer('oras'), args, { cwd: directory })).status).not.toBe(0);
    const alice = ['-u', 'alice', '--password-stdin'];
    await ok(peer('oras'), [...args, ...alice], { cwd: directory, input: 'wonder land' });
    expect(await ok(peer('oras'), ['repo', 'tags', '--plain-http', `${registry.host}/app`])).toBe('v1\n');
    expect(tokens.requests.map((request) => request.user)).toContain('alice');
  });

  it('counts what goes through a far-away proxy', async () => {
    const proxy = await startDelayProxy(registry.host, 5);
    try {
      await ok(peer('oras'), ['resolve', '--plain-http', `${proxy.host}/app:v1`]);
      const seen = proxy.requests.map(({ method, status }) => `${method} ${status}`);
      expect(seen).toEqual(['HEAD 401', 'HEAD 200']);
    } finally {
      await proxy.stop();
    }
  });
});

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { isBullaError } from '../../src/errors.ts';
import { RegistryClient } from '../../src/registry/client.ts';
import { fixedCredentials } from '../../src/registry/credentials.ts';
import { registryFor } from '../support/registry/open.ts';
import { collectionIn, configFor } from '../support/resign/service.ts';
import { startTokenServer } from '../support/token-server.ts';
import { newCollection, pushHead } from '../support/trust/collection.ts';
import { BULLA, cleanEnvironment, havePeers } from './peers.ts';
import { startDistribution } from './registries.ts';
import { daysLeft, ground, publish, read, serve } from './resigner-ground.ts';

describe('a re-signer that is killed', () => {
  it('at every single request leaves a head that verifies, and the next one takes in what was staged', async () => {
    const registry = await registryFor();
    const config = await configFor([`${registry.host}/team/*`]);
    const env = { ...cleanEnvironment(), BULLA_HOME: join(config, '..', 'home') };
    const start = (place: string): { pid: ChildProcess; ended: Promise<[number | null, string | null]> } => {
      const argv = [BULLA, 'resign', '--config', config, place, '--renew'];
      const pid = spawn(process.execPath, argv, { stdio: 'ignore', env });
      return { pid, ended: once(pid, 'exit') as Promise<[number | null, string | null]> };
    };
    /** @returns whether it was killed: at its request number `at`, which the registry carries out or not */
    const isKilledAt = async (place: string, at: number, isDone: boolean): Promise<boolean> => {
      const from = registry.log.length;
      registry.fault({
        after: at - 1,
        action: isDone ? { delayMs: 100 } : { answer: (_, response) => response.socket?.destroy() },
      });
      const { pid, ended } = start(place);
      const timer = setInterval(() => registry.log.length - from >= at && pid.kill('SIGKILL'), 1);
      const [, signal] = await ended;
      clearInterval(timer);
      // What it had sent is still carried out.
      if (isDone) await new Promise((resolve) => setTimeout(resolve, 150));
      return signal === 'SIGKILL';
    };
    for (let at = 1; ; at++) {
      const place = `${registry.host}/team/app${at}`;
      const target = await collectionIn(registry, `team/app${at}`);
      await publish({ target, place }, 'v1', 0).catch((error: unknown) => {
        if (!isBullaError(error, 'staged')) throw error;
      });
      const isKilled = await isKilledAt(place, at, at % 2 === 0);
      expect((await read({ target, place })).place).toBe(place);
      const [status] = await start(place).ended;
      expect(status, `request ${at}`).toBe(0);
      const { client } = await read({ target, place });
      expect((await client.findTarget('v1')).role).toBe('names');
      if (isKilled) continue;
      expect(at).toBeGreaterThan(15);
      return;
    }
  }, 300_000);
});

describe('two re-signers that do not know of each other, and eight publishers', () => {
  it('lose nothing, and write at most two heads for each change', async () => {
    const registry = await registryFor();
    const place = `${registry.host}/team/app`;
    const target = await collectionIn(registry, 'team/app');
    for (const config of [await configFor([place]), await configFor([place])])
      await serve({ config, dir: join(config, '..') });
    const names = Array.from({ length: 8 }, (_, n) => [`v${n}.1`, `v${n}.2`]);
    const from = registry.log.length;
    await Promise.all(
      names.map(async (own) => {
        for (const name of own) await publish({ target, place }, name, 120_000);
      }),
    );
    const { client } = await read({ target, place });
    for (const name of names.flat()) expect((await client.findTarget(name)).role).toBe('names');
    const heads = registry.log
      .slice(from)
      .filter(({ method, path }) => method === 'PUT' && path.endsWith('/manifests/_trust'));
    expect(heads.length).toBeLessThanOrEqual(2 * names.flat().length);
  }, 300_000);
});

describe('the service as a process', () => {
  it('takes its key from the environment, reads all again on SIGHUP, and ends on SIGTERM', async () => {
    const on = await ground('embedded', 'state');
    const { key, ...config } = JSON.parse(readFileSync(on.config, 'utf8'));
    const pem = readFileSync(key, 'utf8');
    writeFileSync(on.config, JSON.stringify({ ...config, key: 'env://ONLINE' }));
    const { server } = await serve(on, [], { ONLINE: pem });
    await publish(on, 'v1');
    const metrics = async (): Promise<string> => (await fetch(`http://${server.host}/metrics`)).text();
    expect(await metrics()).toContain('reloads_total 0');
    // No file has changed.
    process.kill(server.pid, 'SIGHUP');
    await expect.poll(metrics, { timeout: 20_000 }).toContain('reloads_total 1');
    await publish(on, 'v2');
    expect(await daysLeft(on, ['v1', 'v2'])).toBeGreaterThan(13);
    await server.stop();
    await expect(metrics()).rejects.toThrow();
  });

  it.runIf(havePeers('docker-registry'))(
    'asks for one token for each repository, however often it looks',
    async () => {
      const user = { kind: 'basic', username: 'alice', password: 'secret of alice' } as const;
      const tokens = await startTokenServer({ users: { [user.username]: user.password } });
      onTestFinished(() => tokens.stop());
      const registry = await startDistribution('docker-registry', { tokens });
      onTestFinished(() => registry.stop());
      const repositories = ['team/one', 'team/two', 'team/three'];
      const client = new RegistryClient({ credentials: fixedCredentials(registry.host, user) });
      onTestFinished(() => client.close());
      for (const repository of repositories)
        await pushHead(
          client.repository({ registry: registry.host, repository }),
          await newCollection(`${registry.host}/${repository}`, new Date()),
        );
      const config = await configFor(repositories.map((repository) => `${registry.host}/${repository}`));
      const auth = Buffer.from(`${user.username}:${user.password}`).toString('base64');
      const logins = join(config, '..', 'auth.json');
      writeFileSync(logins, JSON.stringify({ auths: { [registry.host]: { auth } } }), { mode: 0o600 });
      const before = tokens.requests.length;
      const on = { config, dir: join(config, '..') };
      const { server, events } = await serve(on, [], { BULLA_REGISTRY_CONFIG: logins });
      const metrics = async (): Promise<string> => (await fetch(`http://${server.host}/metrics`)).text();
      const idle = async (): Promise<number> =>
        Number(/step_duration_seconds_count{outcome="idle"} (\d+)/.exec(await metrics())?.[1] ?? 0);
      await expect.poll(idle, { timeout: 30_000 }).toBeGreaterThan(30);
      expect(events().filter(({ level }) => level === 'error')).toEqual([]);
      expect(tokens.requests.length - before).toBeLessThanOrEqual(repositories.length);
    },
  );
});

import { afterEach, describe, expect, it } from 'vitest';
import { startRegistry as startFaulty } from '../support/registry/server.ts';
import { startStallProxy } from '../support/stall-proxy.ts';
import { Ground } from './crowd/ground.ts';
import { havePeers, type Outcome, ok, peer } from './peers.ts';
import { type RegistryKind, startDistribution, startRegistry } from './registries.ts';

const have = havePeers('docker-registry', 'registry3', 'olareg', 'oras');
const KINDS: readonly RegistryKind[] = ['docker-registry', 'registry3', 'olareg', 'embedded'];

describe.runIf(have)('a collection', () => {
  const ends: (() => Promise<unknown> | unknown)[] = [];
  afterEach(async () => {
    for (const end of ends.splice(0).reverse()) await end();
  });
  const started = async <T extends { stop(): Promise<void> }>(server: Promise<T>): Promise<T> => {
    const one = await server;
    ends.push(() => one.stop());
    return one;
  };
  const groundAt = async (name: string, flags: readonly string[] = []): Promise<Ground> => {
    const ground = await Ground.make(name, ['v1', 'v2', 'v3'], flags);
    ends.push(() => ground.remove());
    return ground;
  };

  /** Names are signed, verified, moved, revoked and looked at. @param flags for every command */
  async function live(ground: Ground, flags: readonly string[] = []): Promise<void> {
    const { name, digests } = ground;
    const run = (...args: string[]): Promise<Outcome> => ground.run([...args, ...flags]);
    const verified = (tag: string) => ({ status: 0, stdout: `${name}@${digests.get(tag)}\n` });
    expect(await run('sign', '--name-only', `${name}:v1`, `${name}:v2`)).toMatchObject({ status: 0 });
    expect(await run('sign', '--name-only', `${name}:v3`)).toMatchObject({ status: 0 });
    expect(await run('verify', `${name}:v1`)).toMatchObject(verified('v1'));
    expect(await run('revoke', `${name}:v2`)).toMatchObject({ status: 0 });
    expect(await run('verify', `${name}:v2`)).toMatchObject({ status: 23, stdout: '' });
    expect(await run('resign', '--renew', name)).toMatchObject({ status: 0 });
    expect(await run('verify', `${name}:v3`)).toMatchObject(verified('v3'));
    const status = await run('status', name, '--check', '-o', 'json');
    expect(JSON.parse(status.stdout), status.stderr).toMatchObject({ ok: true });
    expect((await run('ls', name)).stdout).toMatch(/v1.*v3/s);
    expect((await run('log', name)).stdout).toMatch(/v2/);
  }

  it.each(KINDS)('lives on %s, and a tag that is moved unsigned moves nothing', async (kind) => {
    const registry = await started(startRegistry(kind));
    const ground = await groundAt(`${registry.host}/team/app`);
    await live(ground);
    const { name, digests } = ground;
    await ok(peer('oras'), ['tag', '--plain-http', `${name}:v2`, 'v1']);
    expect(await ground.run(['verify', `${name}:v1`])).toMatchObject({
      stdout: `${name}@${digests.get('v1')}\n`,
      stderr: expect.stringContaining(`${digests.get('v2')}`),
    });
  });

  it.each(['docker-registry', 'registry3'] as const)(
    'lives on %s as it is installed, where nothing can be removed',
    async (kind) => {
      const registry = await started(startDistribution(kind, { deletion: false }));
      const ground = await groundAt(`${registry.host}/team/app`);
      const again = await ground.run(['init', `${registry.host}/team/other`, ...ground.keyFlags()]);
      expect(again).toMatchObject({ status: 0, stderr: expect.stringContaining('nothing can be removed') });
      await live(ground);
    },
  );

  it('lives where tags are listed slowly, whole, and in no order', async () => {
    const registry = await started(startRegistry('docker-registry'));
    const order = (tags: readonly string[]) => [...tags].sort((a, b) => (a < b ? 1 : -1));
    const proxy = await started(startStallProxy(registry.host, { listing: () => 700, order }));
    await live(await groundAt(`${proxy.host}/team/app`));
  });

  it('is refused where tags cannot be moved, and lives in another repository', async () => {
    const fixed = await startFaulty({ immutableTags: /./ });
    ends.push(() => fixed.close());
    const registry = await started(startRegistry('docker-registry'));
    const ground = await groundAt(`${fixed.host}/team/app`, ['--at', `${registry.host}/trust/app`]);
    const refused = await ground.run(['init', `${fixed.host}/team/other`, ...ground.keyFlags()]);
    expect(refused).toMatchObject({ status: 30, stdout: '', stderr: expect.stringContaining('--at') });
    await live(ground, ['--at', `${registry.host}/trust/app`]);
    expect(fixed.requests(/manifests\/_trust$/).filter((request) => request.startsWith('PUT'))).toEqual([]);
  });

  it('lives where all tags but its own are fixed', async () => {
    const fixed = await startFaulty({ immutableTags: /^(?!_trust)/ });
    ends.push(() => fixed.close());
    await live(await groundAt(`${fixed.host}/team/app`));
  });

  it('is not changed any more where tags are fixed later on, and says where to go', async () => {
    const fixed = await startFaulty();
    ends.push(() => fixed.close());
    const ground = await groundAt(`${fixed.host}/team/app`);
    const { name } = ground;
    await ground.succeed(['sign', '--name-only', `${name}:v1`]);
    fixed.behaviour.immutableTags = /./;
    expect(await ground.run(['sign', '--name-only', `${name}:v2`])).toMatchObject({
      status: 30,
      stdout: '',
      stderr: expect.stringContaining('--at'),
    });
    expect(await ground.run(['verify', `${name}:v1`])).toMatchObject({ status: 0 });
    expect(await ground.run(['verify', `${name}:v2`])).toMatchObject({ status: 23 });
  });
});

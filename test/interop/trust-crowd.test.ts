import { describe, expect, it } from 'vitest';
import { startStallProxy } from '../support/stall-proxy.ts';
import { signMember } from './crowd/commands.ts';
import { describeCrowd, NOTHING_BROKEN, runCrowd } from './crowd/crowd.ts';
import { Ground } from './crowd/ground.ts';
import { runAll } from './crowd/swarm.ts';
import { havePeers } from './peers.ts';
import { startRegistry } from './registries.ts';

describe.runIf(havePeers('docker-registry'))('a crowd of signers', () => {
  // Many runs, larger ones, and other registries: make soak.
  it('loses nothing on a registry without compare-and-swap, killed and held up as it is', async () => {
    const options = { kind: 'docker-registry', size: 9, seed: Date.now() % 1_000_000, readers: 1 } as const;
    const report = await runCrowd(options);
    process.stdout.write(describeCrowd(options, report));
    expect(report.broken).toEqual(NOTHING_BROKEN);
  });

  it('finds again what a head has buried that was sent by a process which was killed', async () => {
    const registry = await startRegistry('docker-registry');
    let kill = (): void => {};
    let release = (): void => {};
    const doom = new Promise<void>((resolve) => {
      kill = resolve;
    });
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    const isHead = (path: string): boolean => path.endsWith('/manifests/_trust');
    const proxy = await startStallProxy(registry.host, {
      put: (path) => (isHead(path) ? held : 0),
      onRequest: (_, method, path) => {
        if (method === 'PUT' && isHead(path)) kill();
      },
    });
    const ground = await Ground.make(`${registry.host}/team/app`, ['stalled', 'done', 'later']);
    try {
      const sign = async (tag: string): Promise<void> => {
        const [ended] = await runAll([signMember(ground, tag, ground.environment(false))], 100_000);
        expect(ended).toMatchObject({ status: 0 });
      };
      const stalled = signMember(ground, 'stalled', ground.environment(false), { host: proxy.host });
      const [killed] = await runAll([{ ...stalled, doom }], 100_000);
      expect(killed?.status).toBeUndefined();
      await sign('done');
      // What was announced is folded, whoever made it.
      expect([...(await ground.signedNames()).keys()]).toEqual(['done', 'stalled']);
      release();
      await proxy.quiet();
      expect([...(await ground.signedNames()).keys()]).toEqual(['stalled']);
      await sign('later');
      expect([...(await ground.signedNames()).keys()]).toEqual(['done', 'later', 'stalled']);
    } finally {
      release();
      await proxy.stop();
      await registry.stop();
      ground.remove();
    }
  });
});

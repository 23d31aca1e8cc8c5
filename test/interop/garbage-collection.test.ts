import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { bulla, havePeers, ok, peer, type RunOptions } from './peers.ts';
import { startDistribution } from './registries.ts';

const LAYOUT = new URL('../../testdata/demo-image/layout', import.meta.url).pathname;
const home = mkdtempSync(join(tmpdir(), 'bulla-collecting-'));
afterAll(() => rmSync(home, { recursive: true, force: true }));

/** What docs/registries.md says of garbage collection. */
describe.each([
  ['docker-registry', [], true],
  ['docker-registry', ['--delete-untagged'], false],
  ['registry3', [], true],
  ['registry3', ['--delete-untagged'], true],
] as const)('garbage-collect of %s with %j', (kind, flags, survives) => {
  it.runIf(havePeers(kind))(`leaves signatures and platforms: ${survives}`, async () => {
    const registry = await startDistribution(kind);
    const options: RunOptions = { env: { BULLA_HOME: home, DOCKER_CONFIG: home, BULLA_PASSPHRASE: 'pass' } };
    const command = async (...args: string[]): Promise<string> => {
      const { status, stdout, stderr } = await bulla(args, options);
      expect(status, stderr).toBe(0);
      return stdout;
    };
    try {
      const image = `${registry.host}/team/app:v1`;
      await bulla(['key', 'generate', 'release'], options);
      await command('push', LAYOUT, image);
      await command('init', `${registry.host}/team/app`);
      await command('sign', image);
      expect(await command('tree', image)).not.toContain('not here');
      const config = join(registry.directory, 'config.json');
      await ok(peer(kind), ['garbage-collect', ...flags, config]);
      expect((await command('tree', image)).includes('not here')).toBe(!survives);
      expect((await bulla(['verify', image, '--key', 'release'], options)).status).toBe(survives ? 0 : 12);
      // The collection itself has a tag.
      expect(await command('ls', `${registry.host}/team/app`)).toContain('v1');
      expect((await bulla(['status', `${registry.host}/team/app`], options)).status).toBe(0);
    } finally {
      await registry.stop();
    }
  });
});

import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Digest } from '../../src/oci/digest.ts';
import type { Target } from '../../src/oci/target.ts';
import { openRepository } from '../../src/registry/client.ts';
import { pushImage } from '../support/content.ts';
import { type NotaryRig, PASSPHRASES, startNotaryRig } from './notary-rig.ts';
import { bulla, havePeers, type Outcome } from './peers.ts';
import { type Registry, startRegistry } from './registries.ts';

describe.runIf(havePeers('notary', 'notary-server', 'notary-signer', 'docker-registry'))(
  'an import from a Notary server',
  () => {
    let rig: NotaryRig;
    let registry: Registry;
    beforeAll(async () => {
      [rig, registry] = await Promise.all([startNotaryRig(), startRegistry('docker-registry')]);
      // The registry speaks no TLS, so that the authority is the Notary server's alone.
      const config = `registries:\n  ${new URL(rig.url).host}:\n    caFile: ${rig.caFile}\n`;
      for (const home of ['home', 'keys']) {
        await mkdir(join(rig.directory, home));
        await writeFile(join(rig.directory, home, 'config.yaml'), config);
      }
    });
    afterAll(() => Promise.all([rig.stop(), registry.stop()]));

    const run = (args: readonly string[], home = 'home'): Promise<Outcome> =>
      bulla(args, {
        cwd: rig.directory,
        env: {
          HOME: rig.directory,
          BULLA_HOME: join(rig.directory, home),
          BULLA_PASSPHRASE: 'of bulla',
          DOCKER_CONTENT_TRUST_ROOT_PASSPHRASE: PASSPHRASES['NOTARY_ROOT_PASSPHRASE'] ?? '',
          DOCKER_CONTENT_TRUST_REPOSITORY_PASSPHRASE: PASSPHRASES['NOTARY_TARGETS_PASSPHRASE'] ?? '',
        },
      });

    async function pushed(images: Target, tag: string): Promise<{ digest: Digest; size: number }> {
      const { descriptor } = await pushImage(images, tag, tag as never);
      return descriptor;
    }

    it('carries names, signers and the root key over, after rotations, and keeps the rest as evidence', async () => {
      const gun = `${registry.host}/demo/app`;
      const images = openRepository({ registry: registry.host, repository: 'demo/app' }, {});
      const [v1, v2] = [await pushed(images, 'v1'), await pushed(images, 'v2')];
      const add = (tag: string, { digest, size }: { digest: string; size: number }, ...flags: string[]) =>
        rig.notary('addhash', gun, tag, `${size}`, '--sha256', digest.slice(7), ...flags, '-p');
      await rig.notary('init', gun, '-p');
      await rig.notary('key', 'rotate', gun, 'snapshot', '-r');
      await add('v1', v1);
      const alice = await rig.certificate('alice');
      for (const role of ['targets/alice', 'targets/releases'])
        await rig.notary('delegation', 'add', gun, role, alice, '--all-paths', '-p');
      await rig.notary('key', 'import', join(rig.directory, 'alice.key'), '--role', 'alice');
      await add('v2', v2, '--roles', 'targets/releases', '--roles', 'targets/alice');
      await rig.notary('key', 'rotate', gun, 'root');
      await rig.notary('key', 'rotate', gun, 'targets');

      const argv = ['import', 'notary', gun, '--server', rig.url, '--tofu'];
      const imported = await run([...argv, '-o', 'json']);
      expect(imported.status, imported.stdout + imported.stderr).toBe(0);
      expect(JSON.parse(imported.stdout)).toMatchObject({
        names: [
          { tag: 'v1', digest: v1.digest, signers: [] },
          { tag: 'v2', digest: v2.digest, signers: ['alice'] },
        ],
        signers: [{ name: 'alice', signed: false }],
        notCarried: [],
      });
      for (const [tag, { digest }] of [['v1', v1] as const, ['v2', v2] as const])
        expect(await run(['verify', `${gun}:${tag}`])).toMatchObject({
          status: 0,
          stdout: `${gun}@${digest}\n`,
        });
      expect(await run([...argv, '--check'])).toMatchObject({ status: 0 });

      const v3 = await pushed(images, 'v3');
      await add('v3', v3);
      expect(await run([...argv, '--check'])).toMatchObject({ status: 23 });
      expect(await run([...argv, '--update'])).toMatchObject({ status: 0 });
      expect(await run(['verify', `${gun}:v3`])).toMatchObject({
        status: 0,
        stdout: `${gun}@${v3.digest}\n`,
      });
      expect(await run([...argv, '--check'])).toMatchObject({ status: 0 });
    });

    it('goes on with the keys that the Notary client keeps', async () => {
      const gun = `${registry.host}/demo/keys`;
      const images = openRepository({ registry: registry.host, repository: 'demo/keys' }, {});
      const { digest, size } = await pushed(images, 'v1');
      await rig.notary('init', gun, '-p');
      await rig.notary('addhash', gun, 'v1', `${size}`, '--sha256', digest.slice(7), '-p');
      const argv = ['import', 'notary', gun, '--server', rig.url, '--tofu'];
      const imported = await run(
        [...argv, '--keys', join(rig.directory, 'trust', 'private'), '-o', 'json'],
        'keys',
      );
      expect(imported.status, imported.stdout + imported.stderr).toBe(0);
      expect(JSON.parse(imported.stdout)).toMatchObject({
        dockerKeys: [
          { name: 'root', role: 'root' },
          { name: 'publisher', role: 'targets', gun },
        ],
      });
      expect(await run(['verify', `${gun}:v1`], 'keys')).toMatchObject({ status: 0 });
    });
  },
);

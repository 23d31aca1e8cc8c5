import { type ChildProcess, spawn } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startServer } from '../support/process.ts';
import { pem, selfSignedCertificate } from '../support/self-signed.ts';
import { BULLA, cleanEnvironment, havePeers, type Outcome, ok, peer, run } from './peers.ts';
import { type Registry, startDistribution } from './registries.ts';

const LAYOUT = new URL('../../testdata/demo-image/layout', import.meta.url).pathname;

describe.runIf(havePeers('containerd', 'ctr', 'docker-registry'))(
  'containerd, which asks before each pull',
  () => {
    let directory: string;
    let registry: Registry;
    let containerd: ChildProcess;
    let env: Record<string, string>;

    beforeAll(async () => {
      directory = mkdtempSync(join(tmpdir(), 'bulla-node-'));
      registry = await startDistribution('docker-registry');
      const home = join(directory, 'bulla');
      env = { HOME: directory, BULLA_HOME: home, BULLA_PASSPHRASE: 'of a test', BULLA_PLAIN_HTTP: '1' };
      const rules = [
        `{ scope: ${registry.host}/*, signatures: [{ keys: [release.pub] }] }`,
        `{ scope: ${registry.host}/named/*, trust: { signers: { all: [names] } } }`,
        `{ scope: ${registry.host}/audited/*, mode: audit, signatures: [{ keys: [release.pub] }] }`,
      ];
      writeFileSync(join(directory, 'policy.yaml'), `version: 1\nrules: [${rules.join(', ')}]\n`);
      await work('key', 'generate', 'release');
      await work('key', 'export', 'release', '--public', '--out', 'release.pub');
      await work('gate', 'containerd', '--install', 'hooks', '--policy', 'policy.yaml', '--home', home);
      await startContainerd();
    }, 60_000);
    afterAll(async () => {
      const gone = new Promise((resolve) => containerd.once('exit', resolve));
      containerd.kill();
      await gone;
      await registry.stop();
      rmSync(directory, { recursive: true, force: true });
    });

    const work = (...args: string[]): Promise<string> =>
      ok(process.execPath, [BULLA, ...args], { cwd: directory, env });
    const socket = (): string => join(directory, 'c.sock');

    async function startContainerd(): Promise<void> {
      const config = [
        ...['version = 3', `root = "${directory}/root"`, `state = "${directory}/state"`],
        ...['[grpc]', `  address = "${socket()}"`],
        ...['[plugins."io.containerd.image-verifier.v1.bindir"]', `  bin_dir = "${directory}/hooks"`],
        ...['  max_verifiers = 1', '  per_verifier_timeout = "10s"'],
      ];
      writeFileSync(join(directory, 'config.toml'), `${config.join('\n')}\n`);
      mkdirSync(join(directory, 'root'));
      const args = ['-c', join(directory, 'config.toml')];
      containerd = spawn(peer('containerd'), args, { stdio: 'ignore', env: cleanEnvironment() });
      while (!existsSync(socket())) {
        if (containerd.exitCode !== null)
          throw new Error(`containerd ended with ${containerd.exitCode}; it runs as root only`);
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    }

    const pull = (image: string): Promise<Outcome> =>
      run(peer('ctr'), ['-a', socket(), 'images', 'pull', '--local=false', '--plain-http', image], { env });
    const push = async (path: string): Promise<string> => {
      const image = `${registry.host}/${path}:v1`;
      await work('push', `oci:${LAYOUT}`, image);
      return image;
    };

    it('pulls what is signed, and nothing else, and says why', async () => {
      const image = await push('signed');
      const denied = await pull(image);
      expect(denied.status).not.toBe(0);
      expect(denied.stderr).toMatch(/blocked pull.*has no signature.*\[unsigned\]/s);
      await work('sign', image, '--key', 'release');
      expect(await pull(image)).toMatchObject({ status: 0 });
    });

    it('pulls a tag only for the digest that is signed for it', async () => {
      const image = await push('named/app');
      await work('init', image.replace(/:v1$/, ''), '--publisher-key', 'release');
      expect((await pull(image)).stderr).toContain('[name-not-signed]');
      await work('sign', image, '--key', 'release', '--name-only');
      expect(await pull(image)).toMatchObject({ status: 0 });
      // The tag is moved to an image that nobody signed for it.
      await ok(peer('ctr'), ['-a', socket(), 'images', 'rm', image], { env });
      await work('copy', `${await push('other')}`, image, '--platform', 'linux/amd64', '--no-referrers');
      const moved = await pull(image);
      expect(moved.status).not.toBe(0);
      expect(moved.stderr).toMatch(/\[(digest-mismatch|name-not-signed)\]/);
    });

    it('pulls what is only audited', async () => {
      expect(await pull(await push('audited/app'))).toMatchObject({ status: 0 });
    });

    it('pulls nothing where the registry cannot be asked, or no rule is about it', async () => {
      const image = await push('signed-too');
      writeFileSync(join(directory, 'policy.yaml'), 'version: 1\nrules: []\n');
      expect((await pull(image)).stderr).toContain('[policy-denied]');
      writeFileSync(join(directory, 'policy.yaml'), 'not a policy');
      expect((await pull(image)).stderr).toContain('[policy-invalid]');
    });

    it('is answered by a gate that runs on the node, and decides by itself once that has ended', async () => {
      const [signed, unsigned, later] = [
        await push('by-gate'),
        await push('by-gate-not'),
        await push('by-itself'),
      ];
      for (const image of [signed, later]) await work('sign', image, '--key', 'release');
      const keys = generateKeyPairSync('ec', { namedCurve: 'P-256' });
      writeFileSync(
        join(directory, 'tls.crt'),
        pem('CERTIFICATE', selfSignedCertificate('gate', keys, { loopbackServer: true })),
      );
      writeFileSync(join(directory, 'tls.key'), keys.privateKey.export({ format: 'pem', type: 'pkcs8' }));
      const socketFlags = ['--socket', join(directory, 'gate.sock')];
      const at = (name: string): string => join(directory, name);
      const rule = `{ scope: ${registry.host}/*, signatures: [{ keys: [release.pub] }] }`;
      writeFileSync(at('gate.yaml'), `version: 1\nrules: [${rule}]\n`);
      const gate = await startServer({
        file: process.execPath,
        args: () => [
          ...[
            BULLA,
            'serve',
            'gate',
            '--policy',
            at('gate.yaml'),
            '--tls-cert',
            at('tls.crt'),
            '--tls-key',
            at('tls.key'),
          ],
          ...['--listen', '127.0.0.1:0', '--plain-listen', '127.0.0.1:0', ...socketFlags],
        ],
        env: { ...cleanEnvironment(), ...env },
        announces: /the gate on https:\/\/127\.0\.0\.1:([0-9]+)/,
      });
      await work(
        'gate',
        'containerd',
        '--install',
        'hooks',
        '--policy',
        'gate.yaml',
        '--home',
        at('bulla'),
        ...socketFlags,
      );
      expect(await pull(signed)).toMatchObject({ status: 0 });
      const denied = await pull(unsigned);
      expect(denied.status).not.toBe(0);
      expect(denied.stderr).toMatch(/blocked pull.*\[unsigned\]/s);
      expect(gate.log().match(/"event":"pull"/g)).toHaveLength(2);
      await gate.stop();
      expect(await pull(later)).toMatchObject({ status: 0 });
      expect((await pull(unsigned)).status).not.toBe(0);
    });
  },
);

import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { hashSync } from 'bcryptjs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Server, startServer } from '../support/process.ts';
import { attach, DEMO_LAYOUT, digestOf, pushDemoImage, SBOM_TYPE } from './artifacts.ts';
import { BULLA, cleanEnvironment, havePeers, ok, peer, run } from './peers.ts';
import { type Registry, startRegistry } from './registries.ts';
import { Signers } from './signers.ts';

/** Other people's clients against the embedded registry, each with a directory of its own. */
describe('the embedded registry', () => {
  let registry: Registry;
  const directory = mkdtempSync(join(tmpdir(), 'bulla-clients-'));
  // No client finds the settings of whoever runs the tests.
  const env = {
    HOME: directory,
    XDG_CONFIG_HOME: directory,
    XDG_RUNTIME_DIR: directory,
    DOCKER_CONFIG: directory,
  };
  beforeAll(async () => {
    // podman wants the file to be there.
    writeFileSync(join(directory, 'config.json'), '{}');
    registry = await startRegistry('embedded');
  });
  afterAll(async () => {
    await registry?.stop();
    rmSync(directory, { recursive: true, force: true });
  });
  const at = (repository: string): string => `${registry.host}/${repository}`;
  const layoutOf = (repository: string): string => join(registry.directory, 'data', repository);

  /** Digest of the demo image, as its own index.json says. */
  function demoDigest(): string {
    const index = JSON.parse(readFileSync(join(DEMO_LAYOUT, 'index.json'), 'utf8')) as {
      manifests: { digest: string; annotations?: Record<string, string> }[];
    };
    const entry = index.manifests.find(
      ({ annotations }) => annotations?.['org.opencontainers.image.ref.name'] === 'v1',
    );
    return entry?.digest ?? '';
  }

  describe.runIf(havePeers('skopeo'))('with skopeo', () => {
    const insecure = ['--insecure-policy'];
    const plain = ['--src-tls-verify=false', '--dest-tls-verify=false'];

    it('is copied to and from, all platforms', async () => {
      const reference = `docker://${at('skopeo')}:v1`;
      await ok(peer('skopeo'), [...insecure, 'copy', '--all', ...plain, `oci:${DEMO_LAYOUT}:v1`, reference], {
        env,
      });
      const back = join(directory, 'skopeo');
      await ok(peer('skopeo'), [...insecure, 'copy', '--all', ...plain, reference, `oci:${back}:v1`], {
        env,
      });
      const index = JSON.parse(readFileSync(join(back, 'index.json'), 'utf8')) as {
        manifests: { digest: string }[];
      };
      expect(index.manifests.map(({ digest }) => digest)).toEqual([demoDigest()]);
    });

    it('is copied from one repository to another, mounted', async () => {
      const [from, to] = [`docker://${at('skopeo')}:v1`, `docker://${at('skopeo-copy')}:v1`];
      await ok(peer('skopeo'), [...insecure, 'copy', '--all', ...plain, from, to], { env });
      const inspected = await ok(peer('skopeo'), ['inspect', '--raw', '--tls-verify=false', to], { env });
      expect(JSON.parse(inspected)).toHaveProperty('manifests');
    });

    it('lists tags, and deletes', async () => {
      const reference = `docker://${at('skopeo-copy')}`;
      const listed = await ok(peer('skopeo'), ['list-tags', '--tls-verify=false', reference], { env });
      expect(JSON.parse(listed)).toMatchObject({ Tags: ['v1'] });
      await ok(peer('skopeo'), ['delete', '--tls-verify=false', `${reference}:v1`], { env });
      expect(
        (await run(peer('skopeo'), ['inspect', '--raw', '--tls-verify=false', `${reference}:v1`], { env }))
          .status,
      ).not.toBe(0);
    });

    it('is read as a directory while it serves', async () => {
      const inspect = ['inspect', '--raw', `oci:${layoutOf('skopeo')}:v1`];
      await expect
        .poll(async () => (await run(peer('skopeo'), inspect, { env })).status, { timeout: 10_000 })
        .toBe(0);
      const back = join(directory, 'from-directory');
      const copy = ['copy', '--all', `oci:${layoutOf('skopeo')}:v1`, `oci:${back}:v1`];
      await ok(peer('skopeo'), [...insecure, ...copy], { env });
    });

    it("takes docker's own manifests", async () => {
      const reference = `docker://${at('skopeo-docker')}:v1`;
      const format = ['--format', 'v2s2', '--override-os', 'linux', '--override-arch', 'amd64'];
      const args = format.slice(2);
      await ok(
        peer('skopeo'),
        [...insecure, ...args, 'copy', ...format.slice(0, 2), ...plain, `oci:${DEMO_LAYOUT}:v1`, reference],
        { env },
      );
      const inspected = await ok(peer('skopeo'), ['inspect', '--raw', '--tls-verify=false', reference], {
        env,
      });
      expect(JSON.parse(inspected)).toMatchObject({
        mediaType: 'application/vnd.docker.distribution.manifest.v2+json',
      });
    });
  });

  describe.runIf(havePeers('crane'))('with crane', () => {
    it('is pushed to, validated, pulled from, copied, listed and deleted from', async () => {
      const crane = (...args: string[]): Promise<string> =>
        ok(peer('crane'), [...args, '--insecure'], { env });
      await crane('push', DEMO_LAYOUT, `${at('crane')}:v1`, '--index');
      const digest = (await crane('digest', `${at('crane')}:v1`)).trim();
      expect(digest).toMatch(/^sha256:/);
      await crane('validate', '--remote', `${at('crane')}:v1`);
      await crane('copy', `${at('crane')}:v1`, `${at('crane-copy')}:v2`);
      expect((await crane('digest', `${at('crane-copy')}:v2`)).trim()).toBe(digest);
      await crane('pull', '--format=oci', `${at('crane-copy')}:v2`, join(directory, 'crane'));
      await crane('tag', `${at('crane-copy')}:v2`, 'v3');
      expect((await crane('ls', at('crane-copy'))).trim().split('\n')).toEqual(['v2', 'v3']);
      expect(await crane('catalog', registry.host)).toContain('crane-copy\n');
      await crane('delete', `${at('crane-copy')}:v3`);
      expect((await crane('ls', at('crane-copy'))).trim()).toBe('v2');
    });
  });

  describe.runIf(havePeers('regctl', 'oras'))('with regctl', () => {
    it('is copied to with all referrers, listed, and loses a tag without the manifest', async () => {
      const signers = await Signers.create();
      try {
        const digest = await pushDemoImage(`${at('regctl')}:v1`, signers);
        await attach(`${at('regctl')}:v1`, SBOM_TYPE, signers);
        await ok(peer('regctl'), ['registry', 'set', '--tls', 'disabled', registry.host], { env });
        const [from, to] = [`${at('regctl')}:v1`, `${at('regctl-copy')}:v1`];
        await ok(peer('regctl'), ['image', 'copy', '--referrers', '--digest-tags', from, to], { env });
        expect((await ok(peer('regctl'), ['image', 'digest', to], { env })).trim()).toBe(digest);
        const list = await ok(peer('regctl'), ['artifact', 'list', to, '--format', '{{json .Descriptors}}'], {
          env,
        });
        expect(JSON.parse(list)).toMatchObject([{ artifactType: SBOM_TYPE }]);
        await ok(peer('regctl'), ['tag', 'delete', to], { env });
        expect((await run(peer('regctl'), ['image', 'digest', to], { env })).status).not.toBe(0);
        const byDigest = `${at('regctl-copy')}@${digest}`;
        expect((await ok(peer('regctl'), ['image', 'digest', byDigest], { env })).trim()).toBe(digest);
      } finally {
        signers.remove();
      }
    });
  });

  describe.runIf(havePeers('oras'))('with oras', () => {
    const oras = (...args: string[]): Promise<string> => ok(peer('oras'), args, { cwd: directory, env });

    it('is pushed to and pulled from', async () => {
      writeFileSync(join(directory, 'note.txt'), 'a note');
      await oras(
        'push',
        '--plain-http',
        '--artifact-type',
        SBOM_TYPE,
        `${at('oras')}:v1`,
        'note.txt:text/plain',
      );
      mkdirSync(join(directory, 'pulled'));
      await oras('pull', '--plain-http', '-o', 'pulled', `${at('oras')}:v1`);
      expect(readFileSync(join(directory, 'pulled', 'note.txt'), 'utf8')).toBe('a note');
    });

    it('is attached to, discovered, and copied with all that refers to it, thrice at once', async () => {
      writeFileSync(join(directory, 'sbom.txt'), 'an sbom');
      for (let i = 0; i < 20; i++) {
        const annotation = ['--annotation', `number=${i}`];
        await oras(
          'attach',
          '--plain-http',
          '--artifact-type',
          SBOM_TYPE,
          ...annotation,
          `${at('oras')}:v1`,
          'sbom.txt:text/plain',
        );
      }
      const discover = async (repository: string): Promise<unknown[]> => {
        const found = await oras('discover', '--plain-http', '--format', 'json', `${at(repository)}:v1`);
        return (JSON.parse(found) as { referrers: unknown[] }).referrers;
      };
      expect(await discover('oras')).toHaveLength(20);
      await Promise.all(
        [1, 2, 3].map((i) =>
          oras(
            'cp',
            '-r',
            '--from-plain-http',
            '--to-plain-http',
            `${at('oras')}:v1`,
            `${at(`oras-copy${i}`)}:v1`,
          ),
        ),
      );
      for (const i of [1, 2, 3]) expect(await discover(`oras-copy${i}`)).toHaveLength(20);
    });

    it('is read as a directory', async () => {
      const tags = (): Promise<string> => oras('repo', 'tags', '--oci-layout', layoutOf('oras'));
      await expect.poll(tags, { timeout: 10_000 }).toBe('v1\n');
      const find = async (): Promise<unknown[]> => {
        const found = await oras('discover', '--oci-layout', '--format', 'json', `${layoutOf('oras')}:v1`);
        return (JSON.parse(found) as { referrers: unknown[] }).referrers;
      };
      await expect.poll(find, { timeout: 10_000 }).toHaveLength(20);
    });

    it('loses a manifest', async () => {
      const digest = await digestOf(`${at('oras-copy1')}:v1`);
      await oras('manifest', 'delete', '--plain-http', '-f', `${at('oras-copy1')}@${digest}`);
      expect(
        (await run(peer('oras'), ['resolve', '--plain-http', `${at('oras-copy1')}:v1`], { env })).status,
      ).not.toBe(0);
    });
  });

  describe.runIf(havePeers('notation', 'cosign', 'oras'))('with notation and cosign', () => {
    it('is signed in and verified from, by the referrers API and by fallback tags', async () => {
      const signers = await Signers.create();
      try {
        const digest = await pushDemoImage(`${at('signed')}:v1`, signers);
        const reference = `${at('signed')}@${digest}`;
        expect((await signers.notationVerify(reference)).status).not.toBe(0);
        expect((await signers.cosignVerify(reference)).status).not.toBe(0);
        await signers.notationSign(reference, true);
        await signers.notationSign(reference, false);
        await signers.cosignSign(reference);
        await signers.cosignSign(reference, true);
        expect(await signers.notationVerify(reference)).toMatchObject({ status: 0 });
        expect(await signers.cosignVerify(reference)).toMatchObject({ status: 0 });
        expect(await signers.cosignVerify(reference, true)).toMatchObject({ status: 0 });
      } finally {
        signers.remove();
      }
    });
  });

  describe.runIf(havePeers('podman', 'oras'))('with podman', () => {
    it('is pulled from', async () => {
      const signers = await Signers.create();
      try {
        await pushDemoImage(`${at('podman')}:v1`, signers);
        const storage = ['--root', join(directory, 'podman'), '--runroot', join(directory, 'podman-run')];
        const args = [
          ...storage,
          '--storage-driver',
          'vfs',
          'pull',
          '--tls-verify=false',
          `${at('podman')}:v1`,
        ];
        const printed = await ok(peer('podman'), args, { env });
        expect(printed.trim()).toMatch(/^[0-9a-f]{64}$/);
      } finally {
        signers.remove();
      }
    });
  });
});

describe.runIf(havePeers('skopeo', 'crane', 'oras', 'regctl'))(
  'the embedded registry behind passwords',
  () => {
    const directory = mkdtempSync(join(tmpdir(), 'bulla-logins-'));
    const password = 'correct horse';
    let server: Server;
    beforeAll(async () => {
      const htpasswd = join(directory, 'htpasswd');
      writeFileSync(htpasswd, `alice:${hashSync(password, 5)}\n`);
      const data = ['--dir', join(directory, 'data'), '--htpasswd', htpasswd, '--anonymous-read'];
      server = await startServer({
        file: process.execPath,
        args: () => [BULLA, 'serve', 'registry', ...data, '--addr', '127.0.0.1:0', '--no-access-log'],
        env: cleanEnvironment(),
        announces: /127\.0\.0\.1:(\d+)/,
      });
    });
    afterAll(async () => {
      await server?.stop();
      rmSync(directory, { recursive: true, force: true });
    });

    it('takes pushes of who signed in, of nobody else, and lets everybody pull', async () => {
      const home = (name: string): Record<string, string> => {
        const path = join(directory, name);
        mkdirSync(path, { recursive: true });
        return { HOME: path, XDG_RUNTIME_DIR: path, XDG_CONFIG_HOME: path, DOCKER_CONFIG: path };
      };
      const [alice, stranger] = [home('alice'), home('stranger')];
      const reference = `${server.host}/team/app:v1`;
      const push = [
        '--insecure-policy',
        'copy',
        '--all',
        '--dest-tls-verify=false',
        `oci:${DEMO_LAYOUT}:v1`,
        `docker://${reference}`,
      ];
      expect((await run(peer('skopeo'), push, { env: stranger })).status).not.toBe(0);
      const login = ['login', '--tls-verify=false', '-u', 'alice', '--password-stdin', server.host];
      expect((await run(peer('skopeo'), login, { env: alice, input: 'wrong' })).status).not.toBe(0);
      await ok(peer('skopeo'), login, { env: alice, input: password });
      await ok(peer('skopeo'), push, { env: alice });
      const inspect = ['inspect', '--raw', '--tls-verify=false', `docker://${reference}`];
      await ok(peer('skopeo'), inspect, { env: stranger });
      await ok(peer('crane'), ['digest', '--insecure', reference], { env: stranger });
      await ok(peer('oras'), ['resolve', '--plain-http', reference], { env: stranger });
      expect(
        (await run(peer('crane'), ['tag', '--insecure', reference, 'v2'], { env: stranger })).status,
      ).not.toBe(0);
      const craneLogin = ['auth', 'login', server.host, '-u', 'alice', '--password-stdin'];
      await ok(peer('crane'), craneLogin, { env: alice, input: password });
      await ok(peer('crane'), ['tag', '--insecure', reference, 'v2'], { env: alice });
    });
  },
);

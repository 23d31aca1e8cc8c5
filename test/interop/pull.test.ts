import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { pushLadenImage } from './artifacts.ts';
import { bulla, havePeers, type Outcome, ok, peer } from './peers.ts';
import { type Registry, startRegistry } from './registries.ts';
import { Signers } from './signers.ts';

const have = havePeers('docker-registry', 'oras', 'notation', 'cosign', 'skopeo', 'podman');

describe.runIf(have)('bulla pull', () => {
  let signers: Signers;
  let registry: Registry;
  let digest: string;
  const pull = (...args: string[]): Promise<Outcome> => bulla(['pull', '-q', ...args], { env: signers.env });
  const podman = (...args: string[]): Promise<string> => {
    const storage = join(signers.directory, 'podman');
    const where = ['--root', storage, '--runroot', join(signers.directory, 'run')];
    return ok(peer('podman'), [...where, '--storage-driver=vfs', '--events-backend=none', ...args], {
      env: { ...signers.env, TMPDIR: signers.directory },
    });
  };

  beforeAll(async () => {
    signers = await Signers.create();
    registry = await startRegistry('docker-registry');
    digest = await pushLadenImage(registry, 'app', signers);
  });
  afterAll(async () => {
    await registry?.stop();
    signers?.remove();
  });

  it('verifies first: with the key of somebody else nothing is written', async () => {
    const archive = join(signers.directory, 'refused.tar');
    const stranger = await Signers.create();
    try {
      const outcome = await pull(
        `${registry.host}/app:v1`,
        `oci-archive:${archive}`,
        '--key',
        stranger.cosignPublicKey,
      );
      expect(outcome.status).toBe(12);
      expect(outcome.stderr).toContain('signature-mismatch');
      await expect(ok('ls', [archive])).rejects.toThrow('No such file');
    } finally {
      stranger.remove();
    }
  });

  it('without any flag that says whom to believe it refuses', async () => {
    const outcome = await pull(`${registry.host}/app:v1`, `oci-archive:${join(signers.directory, 'x.tar')}`);
    expect(outcome.status).toBe(25);
    expect(outcome.stderr).toContain('--no-verify');
  });

  it('brings an archive that podman loads, and whose program runs', async () => {
    const archive = join(signers.directory, 'app.tar');
    const outcome = await pull(
      ...[`${registry.host}/app:v1`, `oci-archive:${archive}:v1`],
      ...['--key', signers.cosignPublicKey],
    );
    expect(outcome, outcome.stderr).toMatchObject({ status: 0 });
    const [, id = ''] =
      /sha256:([0-9a-f]+)|Loaded image: (\S+)/.exec(await podman('load', '-q', '-i', archive)) ?? [];
    const loaded = id === '' ? (await podman('images', '-q')).trim() : id;
    const root = (await podman('image', 'mount', loaded)).trim();
    expect(await ok(join(root, 'hello'), [])).toContain('Hello from linux/');
  });

  it('brings an archive that skopeo reads as an OCI archive and as one of docker save', async () => {
    const archive = join(signers.directory, 'both.tar');
    const outcome = await pull(
      ...[`${registry.host}/app:v1`, `oci-archive:${archive}:v1`],
      ...['--ca', signers.notationCertificate],
    );
    expect(outcome, outcome.stderr).toMatchObject({ status: 0 });
    const inspect = ['inspect', '--raw'];
    const raw = await ok(peer('skopeo'), [...inspect, `oci-archive:${archive}:v1`]);
    const { manifests } = JSON.parse(raw) as { manifests: readonly unknown[] };
    expect(manifests).toHaveLength(2);
    const asDocker = JSON.parse(await ok(peer('skopeo'), ['inspect', `docker-archive:${archive}`]));
    expect(asDocker).toMatchObject({ Os: 'linux' });
  });

  it('keeps the signatures: what it brought verifies offline', async () => {
    const layout = `oci:${join(signers.directory, 'kept')}:v1`;
    const key = ['--key', signers.cosignPublicKey];
    expect(await pull(`${registry.host}/app:v1`, layout, ...key)).toMatchObject({ status: 0 });
    const verified = await bulla(['verify', '--offline', layout, ...key], { env: signers.env });
    expect(verified, verified.stderr).toMatchObject({ status: 0 });
    expect(verified.stdout).toContain(digest);
  });
});

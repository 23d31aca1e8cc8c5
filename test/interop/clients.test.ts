import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  attach,
  cargoOf,
  DEMO_LAYOUT,
  digestOf,
  pushDemoImage,
  pushLadenImage,
  REVIEW_TYPE,
  referrersOf,
  SBOM_TYPE,
} from './artifacts.ts';
import { havePeers, ok, peer, run } from './peers.ts';
import { type Registry, startRegistry } from './registries.ts';
import { Signers } from './signers.ts';

const have = havePeers('skopeo', 'crane', 'regctl', 'oras', 'notation', 'cosign', 'podman');

describe.runIf(have)('the embedded registry, as the clients of others use it', () => {
  let signers: Signers;
  let registry: Registry;
  let digest: string;
  const image = (name: string): string => `${registry.host}/${name}:v1`;
  const regctl = (...args: string[]): Promise<string> =>
    ok(peer('regctl'), ['--host', `reg=${registry.host},tls=disabled`, ...args], { env: signers.env });

  beforeAll(async () => {
    signers = await Signers.create();
    registry = await startRegistry('embedded');
    digest = await pushDemoImage(image('demo'), signers);
  });
  afterAll(async () => {
    await registry?.stop();
    signers?.remove();
  });

  it('skopeo pushes, copies, inspects, lists and deletes', async () => {
    const quiet = ['--all', '--preserve-digests', '--quiet'];
    const plain = ['--src-tls-verify=false', '--dest-tls-verify=false'];
    const to = `docker://${image('skopeo')}`;
    await ok(peer('skopeo'), ['copy', ...quiet, ...plain, `oci:${DEMO_LAYOUT}:v1`, to]);
    await ok(peer('skopeo'), ['copy', ...quiet, ...plain, to, `docker://${registry.host}/skopeo-2:v1`]);
    expect(await digestOf(image('skopeo-2'))).toBe(digest);
    const tags = JSON.parse(
      await ok(peer('skopeo'), ['list-tags', '--tls-verify=false', `docker://${registry.host}/skopeo`]),
    );
    expect(tags).toMatchObject({ Tags: ['v1'] });
    await ok(peer('skopeo'), ['delete', '--tls-verify=false', `docker://${image('skopeo-2')}`]);
    expect((await run(peer('oras'), ['resolve', '--plain-http', image('skopeo-2')])).status).not.toBe(0);
  });

  it('skopeo reads the directory of a repository as an OCI layout', async () => {
    const layout = join(registry.directory, 'data', 'demo');
    const raw = await ok(peer('skopeo'), ['inspect', '--raw', `oci:${layout}:v1`]);
    expect(JSON.parse(raw)).toHaveProperty('manifests');
  });

  it('crane copies, tags, lists, validates and pulls', async () => {
    await ok(peer('crane'), ['copy', image('demo'), image('crane')]);
    await ok(peer('crane'), ['tag', image('crane'), 'v2']);
    expect((await ok(peer('crane'), ['ls', `${registry.host}/crane`])).trim().split('\n')).toEqual([
      'v1',
      'v2',
    ]);
    expect((await ok(peer('crane'), ['digest', image('crane')])).trim()).toBe(digest);
    await ok(peer('crane'), ['validate', '--remote', image('crane')]);
    expect(await ok(peer('crane'), ['catalog', registry.host])).toContain('crane');
    await ok(peer('crane'), ['pull', image('crane'), join(signers.directory, 'crane.tar')]);
  });

  it('regctl copies with referrers, lists them, and deletes a tag', async () => {
    await pushLadenImage(registry, 'laden', signers);
    await regctl('image', 'copy', '--referrers', '--digest-tags', image('laden'), image('regctl'));
    expect(await cargoOf(registry.host, 'regctl', digest)).toEqual(
      await cargoOf(registry.host, 'laden', digest),
    );
    expect(await regctl('artifact', 'list', image('regctl'))).toContain(SBOM_TYPE);
    await regctl('tag', 'delete', image('regctl'));
    expect((await run(peer('oras'), ['resolve', '--plain-http', image('regctl')])).status).not.toBe(0);
  });

  it('oras attaches, discovers, copies with referrers, and pulls', async () => {
    await pushDemoImage(image('oras'), signers);
    const sbom = await attach(image('oras'), SBOM_TYPE, signers);
    const review = await attach(`${registry.host}/oras@${sbom}`, REVIEW_TYPE, signers);
    expect(await referrersOf(image('oras'))).toEqual([`${SBOM_TYPE} ${sbom}`]);
    const plain = ['--from-plain-http', '--to-plain-http'];
    await ok(peer('oras'), ['cp', '-r', ...plain, image('oras'), image('oras-2')]);
    expect(await referrersOf(`${registry.host}/oras-2@${sbom}`)).toEqual([`${REVIEW_TYPE} ${review}`]);
    const directory = mkdtempSync(join(tmpdir(), 'bulla-oras-'));
    try {
      await ok(peer('oras'), ['pull', '--plain-http', `${registry.host}/oras-2@${sbom}`], { cwd: directory });
    } finally {
      rmSync(directory, { recursive: true });
    }
    await ok(peer('oras'), ['manifest', 'delete', '--plain-http', '-f', `${registry.host}/oras-2@${sbom}`]);
    expect(await referrersOf(image('oras-2'))).toEqual([]);
  });

  it('notation and cosign sign and verify', async () => {
    await pushDemoImage(image('signed'), signers);
    expect((await signers.notationVerify(image('signed'))).status).not.toBe(0);
    expect((await signers.cosignVerify(image('signed'))).status).not.toBe(0);
    await signers.notationSign(image('signed'), true);
    await signers.cosignSign(image('signed'));
    await signers.cosignSign(image('signed'), true);
    expect(await signers.notationVerify(image('signed'))).toMatchObject({ status: 0 });
    expect(await signers.cosignVerify(image('signed'))).toMatchObject({ status: 0 });
    expect(await signers.cosignVerify(image('signed'), true)).toMatchObject({ status: 0 });
  });

  it('keeps its referrers list where notation writes the fallback tag as well', async () => {
    await pushDemoImage(image('both'), signers);
    const sbom = await attach(image('both'), SBOM_TYPE, signers);
    await signers.notationSign(image('both'), false);
    const listed = await fetch(`http://${registry.host}/v2/both/referrers/${digest}`);
    const { manifests } = (await listed.json()) as { manifests: readonly { digest: string }[] };
    expect(manifests.map((entry) => entry.digest)).toContain(sbom);
    expect(manifests).toHaveLength(2);
  });

  it('podman pulls an image for this platform and for another', async () => {
    const storage = [
      '--root',
      join(signers.directory, 'podman'),
      '--runroot',
      join(signers.directory, 'run'),
    ];
    const podman = (...args: string[]): Promise<string> =>
      ok(peer('podman'), [...storage, '--storage-driver=vfs', '--events-backend=none', ...args], {
        env: { ...signers.env, TMPDIR: signers.directory },
      });
    for (const arch of ['amd64', 'arm64']) {
      await podman('pull', '-q', '--tls-verify=false', '--arch', arch, image('demo'));
      const [info] = JSON.parse(await podman('image', 'inspect', image('demo')));
      expect(info).toMatchObject({ Architecture: arch, Os: 'linux' });
    }
  });
});

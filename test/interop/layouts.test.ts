import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type CopyOptions, type CopyResult, copy } from '../../src/actions/copy/copy.ts';
import { openLayout } from '../../src/layout/open.ts';
import type { LayoutStore } from '../../src/layout/store.ts';
import type { Descriptor } from '../../src/oci/descriptor.ts';
import { hexOf } from '../../src/oci/digest.ts';
import { parseManifest } from '../../src/oci/manifest.ts';
import { cosignTags } from '../../src/oci/reference.ts';
import type { Target } from '../../src/oci/target.ts';
import { openRepository } from '../../src/registry/client.ts';
import { pushImage, pushReferrer, tagOf } from '../support/content.ts';
import { havePeers, ok, peer, run } from './peers.ts';
import { type Registry, type RegistryKind, startRegistry } from './registries.ts';

const DEMO = new URL('../../testdata/demo-image/layout', import.meta.url).pathname;
const NAME = 'registry.example.com/team/hello';
const V1 = tagOf('v1');

const directory = mkdtempSync(join(tmpdir(), 'bulla-layouts-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));
const at = (name: string): string => join(directory, name);

/** Opens, works, closes: what is in an archive appears when it is closed. */
async function using<T>(opening: Promise<Target>, work: (target: Target) => Promise<T>): Promise<T> {
  const target = await opening;
  try {
    const result = await work(target);
    await target.close();
    return result;
  } catch (error) {
    await (target.abandon ?? target.close).call(target);
    throw error;
  }
}

function layout(name: string, create = false): Promise<LayoutStore> {
  return openLayout({ kind: 'layout', path: at(name) }, { create });
}

function archive(name: string, create = false): Promise<LayoutStore> {
  return openLayout({ kind: 'archive', path: at(name) }, { create, imageName: NAME });
}

function transfer(
  from: Promise<Target>,
  to: Promise<Target>,
  more: Partial<CopyOptions> = {},
): Promise<CopyResult> {
  return using(from, (source) =>
    using(to, (destination) => copy({ source, reference: V1, destination, tag: V1, ...more })),
  );
}

interface Made {
  readonly root: Descriptor;
  readonly signature: Descriptor;
  readonly nested: Descriptor;
  readonly onPlatform: Descriptor;
}

/** The demo image with a signature, one on that, one on a platform, and a tag of cosign's. */
async function made(opening: Promise<Target>): Promise<Made> {
  return await using(opening, async (target) => {
    const demo = await openLayout({ kind: 'layout', path: DEMO });
    await copy({ source: demo, reference: V1, destination: target, tag: V1 });
    const content = await target.fetchManifest(V1);
    const manifest = parseManifest(content);
    const [platform] = manifest.kind === 'index' ? manifest.manifests : [];
    const signature = await pushReferrer(target, content.descriptor, 'signature');
    const nested = await pushReferrer(target, signature.descriptor, 'countersignature');
    const onPlatform = await pushReferrer(target, platform as Descriptor, 'on a platform');
    await pushImage(target, 'an old signature', cosignTags(content.descriptor.digest)[0]);
    return {
      root: content.descriptor,
      signature: signature.descriptor,
      nested: nested.descriptor,
      onPlatform: onPlatform.descriptor,
    };
  });
}

async function expectSame(opening: Promise<Target>, { root, signature, nested }: Made): Promise<void> {
  await using(opening, async (target) => {
    expect(await target.resolve(V1)).toMatchObject(root);
    expect(await target.listReferrers(root.digest)).toMatchObject([{ digest: signature.digest }]);
    expect(await target.listReferrers(signature.digest)).toMatchObject([{ digest: nested.digest }]);
  });
}

describe.runIf(havePeers('oras', 'regctl', 'skopeo'))('a layout that we wrote', () => {
  let image: Made;
  beforeAll(async () => {
    image = await made(layout('ours', true));
  });

  it('shows oras what refers to the image, and to that', async () => {
    const tree = await ok(peer('oras'), ['discover', '--oci-layout', `${at('ours')}:v1`]);
    expect(tree).toContain(image.signature.digest);
    expect(tree).toContain(image.nested.digest);
  });

  it('shows regctl the same', async () => {
    const tree = await ok(peer('regctl'), ['artifact', 'tree', `ocidir://${at('ours')}:v1`]);
    expect(tree).toContain(image.signature.digest);
    expect(tree).toContain(image.nested.digest);
  });

  it('is copied whole by oras, and read back', async () => {
    const to = ['--to-oci-layout', `${at('by-oras')}:v1`];
    await ok(peer('oras'), ['cp', '-r', '--from-oci-layout', `${at('ours')}:v1`, ...to]);
    await expectSame(layout('by-oras'), image);
  });

  it('is copied whole by regctl, and read back', async () => {
    const [from, to] = [`ocidir://${at('ours')}:v1`, `ocidir://${at('by-regctl')}:v1`];
    await ok(peer('regctl'), ['image', 'copy', '--referrers', from, to]);
    await expectSame(layout('by-regctl'), image);
  });

  it('takes a signature after others have written to it', async () => {
    const added = await using(layout('by-regctl'), (target) => pushReferrer(target, image.root, 'ours'));
    const tree = await ok(peer('regctl'), ['artifact', 'tree', `ocidir://${at('by-regctl')}:v1`]);
    expect(tree).toContain(added.descriptor.digest);
    expect(tree).toContain(image.signature.digest);
  });

  it('is read by skopeo', async () => {
    const raw = await ok(peer('skopeo'), ['inspect', '--raw', `oci:${at('ours')}:v1`]);
    await using(layout('ours'), async (target) => {
      expect(raw).toBe(new TextDecoder().decode((await target.fetchManifest(V1)).bytes));
    });
  });
});

describe.runIf(havePeers('podman', 'skopeo'))('an archive that we wrote', () => {
  let image: Made;
  let config: string;
  beforeAll(async () => {
    image = await made(archive('ours.tar', true));
    config = await using(archive('ours.tar'), async (target) => {
      const index = parseManifest(await target.fetchManifest(V1));
      const entries = index.kind === 'index' ? index.manifests : [];
      const amd64 = entries.find(({ platform }) => platform?.architecture === 'amd64') as Descriptor;
      const manifest = parseManifest(await target.fetchManifest(amd64.digest));
      return manifest.kind === 'manifest' ? hexOf(manifest.config.digest) : '';
    });
  });

  function podman(...args: string[]): Promise<string> {
    const storage = ['--root', at('root'), '--runroot', at('run'), '--storage-driver', 'vfs'];
    return ok(peer('podman'), [...storage, ...args]);
  }

  it.runIf(process.arch === 'x64')('is loaded by podman under its name', async () => {
    expect(await podman('load', '-i', at('ours.tar'))).toContain(`Loaded image: ${NAME}:v1`);
    expect((await podman('images', '--no-trunc', '--format', '{{.Id}}', NAME)).trim()).toBe(config);
  });

  it.runIf(process.arch === 'x64')('comes back from podman, saved in either format', async () => {
    for (const format of ['docker-archive', 'oci-archive']) {
      await podman('save', '--format', format, '-o', at(`${format}.tar`), `${NAME}:v1`);
      const saved = await archive(`${format}.tar`);
      const { digest } = await saved.onlyImage();
      await saved.close();
      await transfer(archive(`${format}.tar`), layout(format, true), { reference: digest });
      expect(await ok(peer('skopeo'), ['inspect', '--config', `oci:${at(format)}:v1`])).toContain('"amd64"');
    }
  });

  it('is read by skopeo as a layout and as an image of docker', async () => {
    expect(await ok(peer('skopeo'), ['inspect', `oci-archive:${at('ours.tar')}:v1`])).toContain(
      image.root.digest,
    );
    await ok(peer('skopeo'), ['inspect', `docker-archive:${at('ours.tar')}`]);
  });

  it('is as good as one that skopeo wrote', async () => {
    const to = `oci-archive:${at('skopeo.tar')}:v1`;
    await ok(peer('skopeo'), ['copy', '--all', `oci:${DEMO}:v1`, to]);
    await using(archive('skopeo.tar'), async (target) => {
      expect((await target.resolve(V1)).digest).toBe(image.root.digest);
    });
    await using(archive('skopeo.tar'), (target) => pushReferrer(target, image.root, 'added'));
    expect(await ok(peer('skopeo'), ['inspect', to])).toContain(image.root.digest);
  });
});

describe.each<RegistryKind>(['docker-registry', 'olareg'])('copy by way of %s', (kind) => {
  describe.runIf(havePeers(kind as 'olareg', 'oras', 'crane'))('with its real peers', () => {
    let registry: Registry;
    beforeAll(async () => {
      registry = await startRegistry(kind);
    });
    afterAll(() => registry?.stop());
    const repository = (name: string): Promise<Target> =>
      Promise.resolve(openRepository({ registry: registry.host, repository: name }));

    it('goes layout, registry, registry, archive and back, with everything', async () => {
      const image = await made(layout(`start-${kind}`, true));
      const steps: readonly (() => [Promise<Target>, Promise<Target>])[] = [
        () => [layout(`start-${kind}`), repository('team/one')],
        () => [repository('team/one'), repository('team/two')],
        () => [repository('team/two'), archive(`${kind}.tar`, true)],
        () => [archive(`${kind}.tar`), layout(`end-${kind}`, true)],
      ];
      for (const open of steps) {
        const result = await transfer(...open());
        expect(result).toMatchObject({ referrers: 4, warnings: [], tagMoved: true });
      }
      await expectSame(repository('team/two'), image);
      await expectSame(layout(`end-${kind}`), image);
      const platform = await using(layout(`end-${kind}`), (target) =>
        target.resolve(image.onPlatform.digest),
      );
      expect(platform.digest).toBe(image.onPlatform.digest);
      await using(repository('team/two'), async (target) => {
        const [tag] = cosignTags(image.root.digest);
        expect((await target.resolve(tagOf(tag as string))).size).toBeGreaterThan(0);
      });
    });

    it('mounts between repositories, and sends nothing the second time', async () => {
      const first = await transfer(repository('team/one'), repository('team/three'));
      expect(first.pushed.content + first.mounted.content).toBeGreaterThan(0);
      expect(first.mounted.content).toBeGreaterThan(0);
      const second = await transfer(repository('team/one'), repository('team/three'));
      expect(second).toMatchObject({ pushed: { content: 0 }, mounted: { content: 0 }, tagMoved: false });
    });

    it('leaves what crane validates and oras finds', async () => {
      const reference = `${registry.host}/team/two:v1`;
      await ok(peer('crane'), ['validate', '--insecure', '--remote', reference]);
      const tree = await run(peer('oras'), ['discover', '--plain-http', reference]);
      expect(tree.stdout).toContain('application/vnd.example.signature');
    });
  });
});

import { describe, expect, it, onTestFinished } from 'vitest';
import type { ManifestContent } from '../../src/oci/manifest.ts';
import { MEDIA_TYPES } from '../../src/oci/media-types.ts';
import { parseReference, type RegistryReference } from '../../src/oci/reference.ts';
import type { Target } from '../../src/oci/target.ts';
import { openRepository } from '../../src/registry/client.ts';
import { serveRegistry } from '../../src/servers/registry/server.ts';
import { bulla, temporaryDirectory } from '../support/cli.ts';
import { pushImage, pushIndex, pushReferrer, SIGNATURE_TYPE, tagOf } from '../support/content.ts';

async function repository(): Promise<{ readonly name: string; readonly target: Target }> {
  const server = await serveRegistry({ dir: await temporaryDirectory() });
  onTestFinished(() => server.close());
  const name = `${server.address}/team/app`;
  const target = openRepository(parseReference(name) as RegistryReference);
  onTestFinished(() => target.close());
  return { name, target };
}

describe('bulla ls', () => {
  it('lists the tags that people gave, in order', async () => {
    const { name, target } = await repository();
    const image = await pushImage(target, 'one', 'v2');
    for (const tag of ['v10', `sha256-${'a'.repeat(64)}`, '_trust', '_trust.next.0123456789ab']) {
      await target.pushManifest(image, { tag: tagOf(tag) });
    }
    expect((await bulla(['ls', name])).stdout).toBe('v10\nv2\n');
    expect((await bulla(['ls', name, '--all'])).stdout.split('\n')).toHaveLength(6);
    const long = await bulla(['ls', '-l', name, '-o', 'json']);
    expect(long.json()).toMatchObject({
      ok: true,
      repository: name,
      tags: [{ tag: 'v10', digest: image.descriptor.digest }, { tag: 'v2' }],
    });
  });

  it('tells a repository that is not there from one that cannot be asked', async () => {
    const { name } = await repository();
    expect(await bulla(['ls', `${name}/none`])).toMatchObject({ code: 11, stdout: '' });
    expect(await bulla(['ls', '127.0.0.1:1/app', '--timeout', '20s'])).toMatchObject({ code: 3, stdout: '' });
    expect(await bulla(['ls', name, '--offline'])).toMatchObject({ code: 3, stdout: '' });
  });
});

describe('bulla tree', () => {
  it('draws platforms, referrers, and referrers of referrers', async () => {
    const { name, target } = await repository();
    const { index, images } = await pushIndex(target, 'app', 'v1');
    const [one, two] = images as [ManifestContent, ManifestContent];
    const signature = await pushReferrer(target, index.descriptor, 'signature');
    const nested = await pushReferrer(target, signature.descriptor, 'nested');
    const platform = await pushReferrer(target, two.descriptor, 'platform');
    const { stdout, code } = await bulla(['tree', `${name}:v1`]);
    expect(code).toBe(0);
    expect(stdout).toBe(
      [
        `${name}@${index.descriptor.digest}`,
        `├── linux/amd64  ${one.descriptor.digest}`,
        `├── linux/arm64  ${two.descriptor.digest}`,
        `│   └── ${SIGNATURE_TYPE}`,
        `│       └── ${platform.descriptor.digest}`,
        `└── ${SIGNATURE_TYPE}`,
        `    └── ${signature.descriptor.digest}`,
        `        └── ${SIGNATURE_TYPE}`,
        `            └── ${nested.descriptor.digest}`,
        '',
      ].join('\n'),
    );
    const json = (await bulla(['tree', `${name}:v1`, '-o', 'json'])).json();
    expect(json).toMatchObject({
      ok: true,
      referrers: [{ artifactType: SIGNATURE_TYPE, referrers: [{ digest: nested.descriptor.digest }] }],
    });
  });

  it('wants an image, not a repository', async () => {
    const { name } = await repository();
    expect(await bulla(['tree', name])).toMatchObject({ code: 2, stdout: '' });
    expect(await bulla(['tree', `${name}:none`])).toMatchObject({ code: 11, stdout: '' });
  });
});

describe('bulla inspect', () => {
  it('shows what an image is made of', async () => {
    const { name, target } = await repository();
    const image = await pushImage(target, 'one', 'v1');
    const { stdout } = await bulla(['inspect', `${name}:v1`]);
    expect(stdout).toContain(image.descriptor.digest);
    expect(stdout).toMatch(/platform +linux\/amd64/);
    expect(stdout).toMatch(/layer +sha256:[0-9a-f]{64} /);
    expect((await bulla(['inspect', `${name}:v1`, '-o', 'json'])).json()).toMatchObject({
      mediaType: MEDIA_TYPES.ociManifest,
      config: { platform: { os: 'linux', architecture: 'amd64' } },
    });
  });
});

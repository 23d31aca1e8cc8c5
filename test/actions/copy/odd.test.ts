import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { copy } from '../../../src/actions/copy/copy.ts';
import { utf8 } from '../../../src/encoding/bytes.ts';
import { openLayout } from '../../../src/layout/open.ts';
import { type Descriptor, describe as describeBytes } from '../../../src/oci/descriptor.ts';
import { type ManifestContent, parseCarried, parseManifest } from '../../../src/oci/manifest.ts';
import { MEDIA_TYPES } from '../../../src/oci/media-types.ts';
import { MemoryStore } from '../../../src/oci/memory.ts';
import type { Target } from '../../../src/oci/target.ts';
import { openRepository } from '../../../src/registry/client.ts';
import { startTestRegistry, temporaryDirectory } from '../../servers/registry/client.ts';
import { pushIndex, tagOf } from '../../support/content.ts';
import { codeOf, registryFor, repositoryOf } from '../../support/registry/open.ts';
import type { FaultyRegistry } from '../../support/registry/server.ts';

const EMPTY = describeBytes(MEDIA_TYPES.empty, utf8('{}'));
const LAYER = describeBytes('application/vnd.oci.image.layer.v1.tar', utf8('x'));
const M = { schemaVersion: 2, mediaType: MEDIA_TYPES.ociManifest, config: EMPTY, layers: [LAYER] };
const { layers: _, ...WITHOUT_LAYERS } = M;
const BUNDLE = 'application/vnd.dev.sigstore.bundle+json;version=0.2';

/** As tools write them; true where a signature could be on it as well: what it says can be read. */
const ODD: [string, object, isReadable: boolean][] = [
  [
    'a parameter in the type of a layer',
    { ...M, layers: [{ ...LAYER, mediaType: 'text/plain; charset=utf-8' }] },
    true,
  ],
  [
    'a parameter in types of an artifact',
    { ...M, artifactType: BUNDLE, layers: [{ ...LAYER, mediaType: BUNDLE }] },
    true,
  ],
  [
    'a parameter in the type of its config',
    { ...M, config: { ...EMPTY, mediaType: 'application/json; v=1' } },
    true,
  ],
  [
    'types that are empty',
    { ...M, config: { ...EMPTY, mediaType: '' }, layers: [{ ...LAYER, mediaType: '' }] },
    true,
  ],
  ['a type without a slash', { ...M, layers: [{ ...LAYER, mediaType: 'layer' }] }, true],
  ['no layers', WITHOUT_LAYERS, true],
  ['layers that are null', { ...M, layers: null }, true],
  ['an empty list of layers', { ...M, layers: [] }, true],
  ['annotations that are null', { ...M, annotations: null }, true],
  ['a subject that is null', { ...M, subject: null, artifactType: '' }, true],
  ['an artifact type that is null', { ...M, artifactType: null }, true],
  [
    'members of a layer that are null',
    {
      ...M,
      layers: [{ ...LAYER, urls: null, annotations: null, data: null, platform: null, artifactType: null }],
    },
    true,
  ],
  ['a type of its own that is empty', { ...M, mediaType: '' }, true],
  ['a type of its own that is null', { ...M, mediaType: null }, true],
  ['members that nobody knows', { ...M, x: { y: [null] }, layers: [{ ...LAYER, z: 1 }] }, true],
  ['annotations that are numbers', { ...M, annotations: { build: 42, x: null } }, false],
  ['annotations that are a list', { ...M, annotations: [] }, false],
  ['annotations of a layer that are numbers', { ...M, layers: [{ ...LAYER, annotations: { n: 1 } }] }, false],
  ['an artifact type that is a number', { ...M, artifactType: 7 }, false],
  ['urls that are a text', { ...M, layers: [{ ...LAYER, urls: 'https://x' }] }, false],
];

const content = (json: object, mediaType: string = MEDIA_TYPES.ociManifest): ManifestContent => {
  const bytes = utf8(JSON.stringify(json));
  return { descriptor: describeBytes(mediaType, bytes), bytes };
};

function store(registry: FaultyRegistry, { descriptor, bytes }: ManifestContent, tag?: string): void {
  const repository = registry.repository('team/app');
  for (const text of ['{}', 'x'])
    repository.blobs.set(describeBytes('', utf8(text)).digest, Buffer.from(text));
  repository.manifests.set(descriptor.digest, { bytes: Buffer.from(bytes), mediaType: descriptor.mediaType });
  if (tag !== undefined) repository.setTag(tag, descriptor.digest);
}

describe('a manifest as it lies in registries', () => {
  it.each(ODD)('is carried byte for byte, with %s', async (_, json) => {
    const registry = await registryFor();
    const odd = content(json);
    store(registry, odd, 'v1');
    const destination = repositoryOf(registry, { access: 'write' }, 'team/copy');
    const result = await copy({
      source: repositoryOf(registry),
      reference: tagOf('v1'),
      destination,
      tag: tagOf('v1'),
    });
    expect([result.root.digest, result.left]).toEqual([odd.descriptor.digest, []]);
    expect(registry.repository('team/copy').manifests.get(odd.descriptor.digest)?.bytes).toEqual(
      Buffer.from(odd.bytes),
    );
  });

  it.each(ODD)('is taken by our registry, with %s', async (_, json) => {
    const { client } = await startTestRegistry();
    await client.pushBlob('{}');
    await client.pushBlob('x');
    const text = JSON.stringify(json);
    expect((await client.put('v1', text)).status).toBe(201);
    expect((await client.get('/manifests/v1')).text()).toBe(text);
  });

  it.each(ODD)('refers to an image and is carried with it, with %s', async (_, json) => {
    const registry = await registryFor();
    const image = content(M);
    store(registry, image, 'v1');
    const odd = content({ ...json, subject: image.descriptor });
    store(registry, odd);
    registry.repository('team/app').list(image.descriptor.digest, odd.descriptor.digest);
    const destination = repositoryOf(registry, { access: 'write' }, 'team/copy');
    const result = await copy({
      source: repositoryOf(registry),
      reference: tagOf('v1'),
      destination,
      tag: tagOf('v1'),
    });
    expect([result.referrers, result.warnings]).toEqual([1, []]);
    const [entry] = await destination.listReferrers(image.descriptor.digest);
    expect(entry?.digest).toBe(odd.descriptor.digest);
  });

  it.each(ODD)('is read where what it says can be believed, with %s', (_, json, isReadable) => {
    const odd = content(json);
    const carried = parseCarried(odd);
    if (isReadable) expect(parseManifest(odd)).toEqual(carried);
    else expect(() => parseManifest(odd)).toThrow(expect.objectContaining({ code: 'content-invalid' }));
  });

  it.each<[string, unknown, unknown]>([
    ['null', null, undefined],
    ['nothing', {}, undefined],
    ['an architecture alone', { architecture: 'wasm' }, undefined],
    ['a number', { os: 'linux', architecture: 7 }, undefined],
    [
      'members that are null',
      { os: 'linux', architecture: 'arm64', variant: null, 'os.features': null },
      { os: 'linux', architecture: 'arm64' },
    ],
    ['features that are a text', { os: 'linux', architecture: 'amd64', 'os.features': 'x' }, undefined],
  ])('may be an index with a platform that is %s', async (_, platform, read) => {
    const child = content(M);
    const index = content(
      { schemaVersion: 2, mediaType: MEDIA_TYPES.ociIndex, manifests: [{ ...child.descriptor, platform }] },
      MEDIA_TYPES.ociIndex,
    );
    const manifest = parseManifest(index);
    expect(manifest.kind === 'index' && manifest.manifests[0]?.platform).toEqual(read);
    const registry = await registryFor();
    store(registry, child);
    store(registry, index, 'v1');
    const destination = repositoryOf(registry, { access: 'write' }, 'team/copy');
    await copy({ source: repositoryOf(registry), reference: tagOf('v1'), destination, tag: tagOf('v1') });
    expect(registry.repository('team/copy').manifests.has(child.descriptor.digest)).toBe(true);
  });

  it('may be an index of null', () => {
    const index = content({ schemaVersion: 2, manifests: null }, MEDIA_TYPES.ociIndex);
    expect(parseManifest(index)).toMatchObject({ kind: 'index', manifests: [] });
  });

  it.each<[string, object]>([
    ['both manifests and layers', { ...M, manifests: [] }],
    ['manifests that are null beside layers', { ...M, manifests: null }],
    ['another type of its own', { ...M, mediaType: MEDIA_TYPES.ociIndex }],
    ['a subject without a digest', { ...M, subject: { mediaType: 'x', size: 1 } }],
    ['a subject that is a text', { ...M, subject: EMPTY.digest }],
    ['a layer without a size', { ...M, layers: [{ mediaType: LAYER.mediaType, digest: LAYER.digest }] }],
    ['a digest that leads elsewhere', { ...M, layers: [{ ...LAYER, digest: 'sha256:../../x' }] }],
    ['a layer that is null', { ...M, layers: [null] }],
    ['a type with a line break', { ...M, layers: [{ ...LAYER, mediaType: 'text/plain\n\u001b[2J' }] }],
    ['a type of 300 characters', { ...M, layers: [{ ...LAYER, mediaType: `text/${'x'.repeat(300)}` }] }],
    ['another version', { ...M, schemaVersion: 1 }],
    ['no config', { schemaVersion: 2, layers: [] }],
  ])('is refused with %s', (_, json) => {
    for (const parse of [parseManifest, parseCarried])
      expect(() => parse(content(json))).toThrow(expect.objectContaining({ code: 'content-invalid' }));
  });
});

describe('an artifact manifest from before OCI 1.1', () => {
  const [OCI, ORAS] = [
    'application/vnd.oci.artifact.manifest.v1+json',
    'application/vnd.cncf.oras.artifact.manifest.v1+json',
  ] as const;
  const BLOB = describeBytes('application/spdx+json', utf8('a list of parts'));
  const MEMBERS: [string, string, object][] = [
    ['of the OCI, with a blob', OCI, { artifactType: 'application/spdx+json', blobs: [BLOB] }],
    ['of ORAS, with two blobs', ORAS, { artifactType: 'application/spdx+json', blobs: [BLOB, LAYER] }],
    ['of the OCI, with annotations alone', OCI, { artifactType: 'x/y', annotations: { a: 'b' } }],
    ['of ORAS, with blobs that are null', ORAS, { artifactType: 'x/y', blobs: null }],
    ['of the OCI, without a type of artifact', OCI, { blobs: [BLOB] }],
    ['of ORAS, with annotations that are numbers', ORAS, { blobs: [BLOB], annotations: { a: 1 } }],
    ['of the OCI, with a version', OCI, { schemaVersion: 3, blobs: [BLOB] }],
  ];
  const made = (type: string, json: object): ManifestContent => content({ mediaType: type, ...json }, type);

  async function withArtifact(type: string, json: object) {
    const registry = await registryFor();
    const image = content(M);
    store(registry, image, 'v1');
    registry.repository('team/app').blobs.set(BLOB.digest, Buffer.from('a list of parts'));
    const artifact = made(type, { ...json, subject: image.descriptor });
    store(registry, artifact);
    registry.repository('team/app').list(image.descriptor.digest, artifact.descriptor.digest);
    return { registry, image, artifact };
  }
  const bring = (registry: FaultyRegistry, destination: Target) =>
    copy({ source: repositoryOf(registry), reference: tagOf('v1'), destination, tag: tagOf('v1') });

  const PLACES: [string, () => Promise<Target>][] = [
    ['a registry', async () => repositoryOf(await registryFor(), { access: 'write' })],
    [
      'a registry without the referrers API',
      async () => repositoryOf(await registryFor({ referrersApi: false }), { access: 'write' }),
    ],
    [
      'our registry',
      async () => {
        const { server } = await startTestRegistry();
        const target = openRepository({ registry: server.address, repository: 'team/app' });
        onTestFinished(() => target.close());
        return target;
      },
    ],
    [
      'a layout',
      async () =>
        openLayout({ kind: 'layout', path: join(await temporaryDirectory(), 'layout') }, { create: true }),
    ],
    ['memory', async () => new MemoryStore('memory')],
  ];
  it.each(
    PLACES.flatMap(([place, open]) => MEMBERS.map(([name, ...rest]) => [name, place, open, rest] as const)),
  )('%s is carried with its image to %s, byte for byte', async (_, __, open, [type, json]) => {
    const { registry, image, artifact } = await withArtifact(type, json);
    const destination = await open();
    const result = await bring(registry, destination);
    expect([result.referrers, result.warnings]).toEqual([1, []]);
    const { digest } = artifact.descriptor;
    const there = await destination.fetchManifest(digest);
    expect([there.descriptor.mediaType, Buffer.from(there.bytes)]).toEqual([
      type,
      Buffer.from(artifact.bytes),
    ]);
    expect((await destination.listReferrers(image.descriptor.digest)).map((one) => one.digest)).toEqual([
      digest,
    ]);
    for (const blob of (json as { blobs?: Descriptor[] | null }).blobs ?? [])
      expect(await destination.hasBlob(blob)).toBe(true);
  });

  it.each(MEMBERS)('%s is carried by its own name', async (_, type, json) => {
    const registry = await registryFor();
    registry.repository('team/app').blobs.set(BLOB.digest, Buffer.from('a list of parts'));
    const artifact = made(type, json);
    store(registry, artifact, 'v1');
    const destination = repositoryOf(registry, { access: 'write' }, 'team/copy');
    expect((await bring(registry, destination)).root.digest).toBe(artifact.descriptor.digest);
    expect((await destination.resolve(tagOf('v1'))).digest).toBe(artifact.descriptor.digest);
  });

  it.each([
    [400, 'MANIFEST_INVALID'],
    [415, 'UNSUPPORTED'],
    [422, 'MANIFEST_INVALID'],
    [406, ''],
    [400, 'UNKNOWN'],
    [405, 'UNSUPPORTED'],
  ])('is left behind, and told, where the registry answers %i %s', async (status, code) => {
    const { registry, artifact } = await withArtifact(OCI, { artifactType: 'x/y', blobs: [BLOB] });
    const destination = repositoryOf(registry, { access: 'write' }, 'team/copy');
    registry.fault({
      method: 'PUT',
      path: new RegExp(`team/copy/manifests/${artifact.descriptor.digest}`),
      times: 99,
      action: { status, body: JSON.stringify({ errors: [{ code }] }) },
    });
    const result = await bring(registry, destination);
    expect(result.left).toEqual([expect.stringContaining(artifact.descriptor.digest)]);
    expect(await codeOf(destination.resolve(tagOf('v1')))).toBe('success');
  });

  it('ends the copy where the registry fails for another reason', async () => {
    const { registry, artifact } = await withArtifact(OCI, { artifactType: 'x/y', blobs: [BLOB] });
    const destination = repositoryOf(registry, { access: 'write' }, 'team/copy');
    const path = new RegExp(`team/copy/manifests/${artifact.descriptor.digest}`);
    registry.fault({ method: 'PUT', path, times: 99, action: { status: 403 } });
    expect(await codeOf(bring(registry, destination))).toBe('forbidden');
  });

  it.each<[string, object]>([
    ['layers', { blobs: [], layers: [] }],
    ['a config', { blobs: [], config: EMPTY }],
    ['manifests', { blobs: [], manifests: [] }],
    ['another type of its own', { mediaType: ORAS, blobs: [] }],
    ['blobs that are a text', { blobs: 'none' }],
    ['a blob without a digest', { blobs: [{ mediaType: 'x/y', size: 1 }] }],
    ['a subject that is a text', { blobs: [], subject: EMPTY.digest }],
  ])('is refused with %s', (_, json) => {
    expect(() => parseCarried(made(OCI, json))).toThrow(expect.objectContaining({ code: 'content-invalid' }));
  });

  it.each(MEMBERS)('%s is read for nothing else', (_, type, json) => {
    expect(() => parseManifest(made(type, json))).toThrow(
      expect.objectContaining({ code: 'content-invalid' }),
    );
  });
});

describe('what a copy leaves behind is told', () => {
  const cases: [string, (image: Descriptor) => ManifestContent][] = [
    [
      'an artifact of a type that is not known',
      (image) =>
        content(
          { mediaType: 'application/vnd.example.manifest.v1+json', blobs: [], subject: image },
          'application/vnd.example.manifest.v1+json',
        ),
    ],
    ['a manifest that cannot be read', (image) => content({ ...M, layers: 'none', subject: image })],
    ['an index and manifest in one', (image) => content({ ...M, manifests: [], subject: image })],
  ];
  it.each(cases)('of %s', async (_, make) => {
    const registry = await registryFor();
    const image = content(M);
    store(registry, image, 'v1');
    const left = make(image.descriptor);
    store(registry, left);
    registry.repository('team/app').list(image.descriptor.digest, left.descriptor.digest);
    const destination = repositoryOf(registry, { access: 'write' }, 'team/copy');
    const result = await copy({
      source: repositoryOf(registry),
      reference: tagOf('v1'),
      destination,
      tag: tagOf('v1'),
    });
    expect(result.left).toHaveLength(1);
    expect(await codeOf(destination.resolve(tagOf('v1')))).toBe('success');
  });
});

describe('an index that lacks images', () => {
  it('is refused with the digest and the platform, and names the platforms that are there', async () => {
    const registry = await registryFor();
    const { images } = await pushIndex(repositoryOf(registry), 'multi', 'v1');
    const source = repositoryOf(registry);
    const [, arm64] = images as [ManifestContent, ManifestContent];
    registry.repository('team/app').manifests.delete(arm64.descriptor.digest);
    const destination = repositoryOf(registry, { access: 'write' }, 'team/copy');
    const work = copy({ source, reference: tagOf('v1'), destination, tag: tagOf('v1') });
    await expect(work).rejects.toMatchObject({
      code: 'content-invalid',
      message: expect.stringContaining(`${arm64.descriptor.digest} for linux/arm64`),
      hint: expect.stringContaining('--platform linux/amd64'),
      details: { missing: arm64.descriptor.digest },
    });
  });
});

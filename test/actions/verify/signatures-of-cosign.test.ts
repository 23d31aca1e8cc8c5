import { createSign, generateKeyPairSync } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type Descriptor, describe as describeBytes } from '../../../src/oci/descriptor.ts';
import { type ManifestContent, parseManifest } from '../../../src/oci/manifest.ts';
import { MEDIA_TYPES } from '../../../src/oci/media-types.ts';
import { fallbackTag } from '../../../src/oci/reference.ts';
import { bulla, temporaryDirectory } from '../../support/cli.ts';
import { blobOf, pushImage } from '../../support/content.ts';
import { registryFor, repositoryOf } from '../../support/registry/open.ts';
import type { FaultyRegistry } from '../../support/registry/server.ts';

const CONFIG = 'application/vnd.dev.cosign.artifact.sig.v1+json';
const SIMPLE = 'application/vnd.dev.cosign.simplesigning.v1+json';
const keys = generateKeyPairSync('ec', { namedCurve: 'P-256' });

const text = (value: object): Buffer => Buffer.from(JSON.stringify(value));

function payloadOf(digest: string): Buffer {
  return text({
    critical: {
      identity: { 'docker-reference': 'registry.example.com/team/app' },
      image: { 'docker-manifest-digest': digest },
      type: 'cosign container image signature',
    },
    optional: null,
  });
}

interface Signed {
  readonly manifest: Buffer;
  readonly blobs: readonly Buffer[];
}

/** A manifest as cosign writes it with the image as its subject. */
function signatureOf(
  image: Descriptor,
  more: object = {},
  layers = 1,
  signed = image.digest as string,
): Signed {
  const payloads = [...Array(layers).keys()].map((n) =>
    Buffer.concat([payloadOf(signed), Buffer.alloc(n, ' ')]),
  );
  return {
    blobs: [Buffer.from('{}'), ...payloads],
    manifest: text({
      schemaVersion: 2,
      mediaType: MEDIA_TYPES.ociManifest,
      config: describeBytes(CONFIG, Buffer.from('{}')),
      layers: payloads.map((payload) => ({
        ...describeBytes(SIMPLE, payload),
        annotations: {
          'dev.cosignproject.cosign/signature': createSign('sha256')
            .update(payload)
            .sign(keys.privateKey)
            .toString('base64'),
        },
      })),
      subject: image,
      ...more,
    }),
  };
}

function store(registry: FaultyRegistry, { manifest, blobs }: Signed, subject: string): string {
  const repository = registry.repository('team/app');
  for (const blob of blobs) repository.blobs.set(describeBytes('', blob).digest, blob);
  const { digest } = describeBytes('', manifest);
  repository.manifests.set(digest, { bytes: manifest, mediaType: MEDIA_TYPES.ociManifest });
  repository.list(subject, digest);
  return digest;
}

async function signed(
  options: { referrersApi?: boolean } = {},
): Promise<{ registry: FaultyRegistry; image: ManifestContent; name: string; cwd: string }> {
  const registry = await registryFor(options);
  const image = await pushImage(repositoryOf(registry), 'app', 'v1');
  const cwd = await temporaryDirectory();
  await writeFile(join(cwd, 'cosign.pub'), keys.publicKey.export({ format: 'pem', type: 'spki' }));
  return { registry, image, name: `${registry.host}/team/app:v1`, cwd };
}

describe('a signature that cosign wrote with the image as its subject', () => {
  it.each<[string, object, number]>([
    ['without an artifact type', {}, 1],
    ['with an artifact type', { artifactType: CONFIG }, 1],
    ['with another artifact type', { artifactType: SIMPLE }, 1],
    ['with several layers', {}, 3],
    ['with annotations that are null', { annotations: null }, 1],
  ])('verifies: %s', async (_, more, layers) => {
    const { registry, image, name, cwd } = await signed();
    store(registry, signatureOf(image.descriptor, more, layers), image.descriptor.digest);
    const verified = await bulla(['verify', name, '--key', 'cosign.pub'], { cwd });
    expect(verified, verified.stderr).toMatchObject({ code: 0 });
    const listed = await bulla(['signature', 'ls', name], { cwd });
    expect(listed.stdout.trim().split('\n').length).toBeGreaterThanOrEqual(layers);
  });

  it('verifies where the list at the fallback tag has lost its type', async () => {
    const { registry, image, name, cwd } = await signed({ referrersApi: false });
    const { manifest, blobs } = signatureOf(image.descriptor);
    store(registry, { manifest, blobs }, image.descriptor.digest);
    const index = text({
      schemaVersion: 2,
      mediaType: MEDIA_TYPES.ociIndex,
      manifests: [describeBytes(MEDIA_TYPES.ociManifest, manifest)],
    });
    const { digest } = describeBytes('', index);
    const repository = registry.repository('team/app');
    repository.manifests.set(digest, { bytes: index, mediaType: MEDIA_TYPES.ociIndex });
    repository.setTag(fallbackTag(image.descriptor.digest), digest);
    expect(await bulla(['verify', name, '--key', 'cosign.pub'], { cwd })).toMatchObject({ code: 0 });
  });

  it('does not count for another image, nor under another subject', async () => {
    const { registry, image, name, cwd } = await signed();
    const other = await pushImage(repositoryOf(registry), 'other', 'v2');
    store(registry, signatureOf(image.descriptor, {}, 1, other.descriptor.digest), image.descriptor.digest);
    store(registry, signatureOf(other.descriptor), image.descriptor.digest);
    expect((await bulla(['verify', name, '--key', 'cosign.pub'], { cwd })).code).not.toBe(0);
  });

  it('can be removed', async () => {
    const { registry, image, name, cwd } = await signed();
    const digest = store(registry, signatureOf(image.descriptor), image.descriptor.digest);
    const removed = await bulla(['signature', 'rm', name, digest], { cwd });
    expect(removed, removed.stderr).toMatchObject({ code: 0 });
    expect((await bulla(['verify', name, '--key', 'cosign.pub'], { cwd })).code).toBe(10);
  });
});

describe('a signature of a version that is not read', () => {
  it.each([
    'application/vnd.dev.sigstore.bundle+json;version=0.4',
    'application/vnd.dev.sigstore.bundle+json; version=0.1',
    'application/vnd.dev.sigstore.bundle.v0.2+json',
    'application/vnd.dev.sigstore.bundle.v0.4+json',
    'application/vnd.dev.cosign.artifact.sig.v2+json',
    'application/vnd.cncf.notary.v2.signature',
  ])('is named, not overlooked: %s', async (artifactType) => {
    const { registry, image, name, cwd } = await signed();
    const layer = blobOf('a signature', artifactType);
    const manifest = text({
      schemaVersion: 2,
      mediaType: MEDIA_TYPES.ociManifest,
      artifactType,
      config: describeBytes(MEDIA_TYPES.empty, Buffer.from('{}')),
      layers: [layer.descriptor],
      subject: image.descriptor,
    });
    store(
      registry,
      { manifest, blobs: [Buffer.from('{}'), Buffer.from(layer.bytes)] },
      image.descriptor.digest,
    );
    const verified = await bulla(['verify', name, '--key', 'cosign.pub'], { cwd });
    expect(verified.code).toBe(10);
    expect(verified.stderr).toContain('unsupported-signature');
  });
});

describe('a signature that is listed and gone', () => {
  it.each(['its manifest', 'its payload'])('is called so, and nobody is accused: %s', async (what) => {
    const { registry, image, name, cwd } = await signed();
    const written = signatureOf(image.descriptor);
    const digest = store(registry, written, image.descriptor.digest);
    const repository = registry.repository('team/app');
    if (what === 'its payload') repository.blobs.delete(describeBytes('', written.blobs[1] as Buffer).digest);
    else registry.fault({ path: new RegExp(digest), times: 1_000, action: { status: 404 } });
    const verified = await bulla(['verify', name, '--key', 'cosign.pub'], { cwd });
    expect(verified.code).not.toBe(0);
    expect(verified.stderr).toContain('listed and gone');
    expect(verified.stderr).not.toContain('deceive');
  });
});

describe('what cosign save wrote', () => {
  it.each(['dev.cosignproject.cosign/image', 'dev.cosignproject.cosign/imageIndex'])(
    'verifies, and is pushed with its signature: %s',
    async (kind) => {
      const { registry, image, cwd } = await signed();
      const parts = parseManifest(image);
      const { manifest, blobs } = signatureOf(image.descriptor, { subject: undefined });
      const dir = join(cwd, 'saved');
      await mkdir(join(dir, 'blobs', 'sha256'), { recursive: true });
      const stored = registry.repository('team/app').blobs;
      const own = parts.kind === 'manifest' ? [parts.config, ...parts.layers] : [];
      const files = [
        image.bytes,
        manifest,
        ...blobs,
        ...own.map(({ digest }) => stored.get(digest) as Buffer),
      ];
      for (const bytes of files)
        await writeFile(join(dir, 'blobs', 'sha256', describeBytes('', bytes).digest.slice(7)), bytes);
      const manifests = [
        { ...image.descriptor, annotations: { kind } },
        {
          ...describeBytes(MEDIA_TYPES.ociManifest, manifest),
          annotations: { kind: 'dev.cosignproject.cosign/sigs' },
        },
      ];
      await writeFile(join(dir, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests }));
      await writeFile(join(dir, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
      const verified = await bulla(['verify', 'oci:saved', '--key', 'cosign.pub'], { cwd });
      expect(verified, verified.stderr).toMatchObject({ code: 0 });
      const to = `${registry.host}/from/save:v1`;
      const pushed = await bulla(['push', 'oci:saved', to], { cwd });
      expect(pushed, pushed.stderr).toMatchObject({ code: 0 });
      expect(await bulla(['verify', to, '--key', 'cosign.pub'], { cwd })).toMatchObject({ code: 0 });
    },
  );
});

import { generateKeyPairSync } from 'node:crypto';
import { describe, expect, it, onTestFinished } from 'vitest';
import { listSignatures, removeSignatures } from '../../../src/actions/inspect/signatures.ts';
import { type SignImageOptions, signImage } from '../../../src/actions/sign/signature.ts';
import { createSigner } from '../../../src/crypto/signer.ts';
import { BullaError } from '../../../src/errors.ts';
import { buildIndex } from '../../../src/oci/manifest.ts';
import { MemoryStore } from '../../../src/oci/memory.ts';
import type { Target } from '../../../src/oci/target.ts';
import { openRepository } from '../../../src/registry/client.ts';
import { SIGNATURE_TYPES } from '../../../src/signatures/formats.ts';
import { pushImage, pushIndex, pushReferrer, tagOf } from '../../support/content.ts';
import { attach, forgeBundle, statement } from '../../support/forge.ts';
import { recording } from '../../support/recording-target.ts';
import { startRegistry } from '../../support/registry/server.ts';

const now = new Date('2026-12-01T00:00:00Z');
const key = createSigner(generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey);
const tag = tagOf('v1');
const name = 'app:v1';

function sign(target: Target, options: Partial<SignImageOptions> = {}) {
  return signImage(target, { tag }, { name, signer: key, now, agent: 'bulla/test', ...options });
}

describe('signing', () => {
  it('resolves the tag once, and writes the manifest last', async () => {
    const store = new MemoryStore();
    const image = await pushImage(store, 'app', 'v1');
    const { target, calls } = recording(store);
    const { signatures } = await sign(target);
    expect(calls).toEqual([
      'fetchManifest v1',
      expect.stringMatching(/^pushBlob /),
      expect.stringMatching(/^pushBlob /),
      `pushManifest ${signatures[0]?.signature}`,
    ]);
    expect(signatures[0]?.image.digest).toBe(image.descriptor.digest);
  });

  it('signs what the tag was, though it moves meanwhile', async () => {
    const store = new MemoryStore();
    const before = await pushImage(store, 'before', 'v1');
    const { target } = recording(store, async (method) => {
      if (method === 'pushBlob') await pushImage(store, 'after', 'v1');
    });
    expect((await sign(target)).image.digest).toBe(before.descriptor.digest);
    const after = await listSignatures(store, { tag }, { name });
    expect(after.signatures).toEqual([]);
  });

  it('makes the same signature of the same image at the same time', async () => {
    const store = new MemoryStore();
    await pushImage(store, 'app', 'v1');
    const [first, second] = [await sign(store), await sign(store)];
    expect(second.signatures).toEqual(first.signatures);
    expect((await listSignatures(store, { tag }, { name })).signatures).toHaveLength(1);
  });

  it('is no success where the signature is not listed', async () => {
    const store = new MemoryStore();
    await pushImage(store, 'app', 'v1');
    const { target } = recording(store, (method) => {
      if (method === 'pushManifest') throw new BullaError('registry-error', 'stored and not listed');
    });
    await expect(sign(target)).rejects.toMatchObject({ code: 'registry-error' });
  });

  it("with -r signs each platform's image once, no attestations, and the index last", async () => {
    const store = new MemoryStore();
    const { images } = await pushIndex(store, 'multi');
    const attestation = await pushImage(store, 'attestation');
    const [amd64, arm64] = images.map(({ descriptor }) => descriptor);
    const index = buildIndex({
      manifests: [
        { ...amd64!, platform: { os: 'linux', architecture: 'amd64' } },
        { ...arm64!, platform: { os: 'linux', architecture: 'arm64', variant: 'v8' } },
        { ...arm64!, platform: { os: 'linux', architecture: 'arm64' } },
        { ...attestation.descriptor, platform: { os: 'unknown', architecture: 'unknown' } },
      ],
    });
    await store.pushManifest(index, { tag });
    const { signatures } = await sign(store, { recursive: true });
    expect(signatures.map(({ image }) => image.digest)).toEqual([
      amd64!.digest,
      arm64!.digest,
      index.descriptor.digest,
    ]);
  });

  it.each([true, false])('by many at once loses none (referrers API: %s)', async (referrersApi) => {
    const registry = await startRegistry({ referrersApi });
    onTestFinished(() => registry.close());
    const open = () =>
      openRepository({ registry: registry.host, repository: 'app' }, { retry: { baseMs: 5, maxMs: 20 } });
    await pushImage(open(), 'app', 'v1');
    const signers = Array.from({ length: 6 }, () => createSigner(generateKeyPairSync('ed25519').privateKey));
    await Promise.all(signers.map((signer) => sign(open(), { signer })));
    const { signatures } = await listSignatures(open(), { tag }, { name });
    expect(new Set(signatures.map(({ signer }) => signer)).size).toBe(6);
  });
});

describe('removing', () => {
  async function scene() {
    const store = new MemoryStore();
    const image = await pushImage(store, 'app', 'v1');
    const other = await pushImage(store, 'other', 'v2');
    const list = store.listReferrers.bind(store);
    return { store, image, other, list };
  }

  it('leaves alone what only a hostile list says is a signature of the image', async () => {
    const { store, image, other, list } = await scene();
    const payload = JSON.stringify(statement(other.descriptor));
    const elsewhere = await attach(store, other.descriptor, {
      envelope: await forgeBundle({ payload, signer: key }),
    });
    store.listReferrers = async (digest, options) => [
      ...(await list(digest, options)),
      { ...elsewhere.descriptor, artifactType: SIGNATURE_TYPES.bundle },
      { ...other.descriptor, artifactType: SIGNATURE_TYPES.notation },
    ];
    await sign(store);
    expect(await removeSignatures(store, { tag }, undefined, { name })).toHaveLength(1);
    await expect(
      removeSignatures(store, { tag }, [elsewhere.descriptor.digest], { name }),
    ).rejects.toMatchObject({ code: 'not-found' });
    expect((await store.fetchManifest(other.descriptor.digest)).bytes).toEqual(other.bytes);
    expect((await store.fetchManifest(elsewhere.descriptor.digest)).bytes).toEqual(elsewhere.bytes);
    expect((await store.fetchManifest(image.descriptor.digest)).bytes).toEqual(image.bytes);
  });

  it('leaves other artifacts of the image', async () => {
    const { store, image } = await scene();
    const sbom = await pushReferrer(store, image.descriptor, 'sbom', 'application/spdx+json');
    await sign(store);
    await removeSignatures(store, { tag }, undefined, { name });
    expect((await store.listReferrers(image.descriptor.digest)).map(({ digest }) => digest)).toEqual([
      sbom.descriptor.digest,
    ]);
  });

  it('removes what claims the image and signs another', async () => {
    const { store, image, other } = await scene();
    const payload = JSON.stringify(statement(other.descriptor));
    const planted = await attach(store, image.descriptor, {
      envelope: await forgeBundle({ payload, signer: key }),
    });
    const { signatures } = await listSignatures(store, { tag }, { name });
    expect(signatures).toMatchObject([{ problem: { code: 'digest-mismatch' } }]);
    expect(await removeSignatures(store, { tag }, undefined, { name })).toEqual([planted.descriptor.digest]);
  });

  it('removes unreadable signatures', async () => {
    const { store, image } = await scene();
    const junk = await attach(store, image.descriptor, { envelope: '{' });
    const { signatures } = await listSignatures(store, { tag }, { name });
    expect(signatures).toMatchObject([{ kind: null, problem: { code: 'content-invalid' } }]);
    expect(await removeSignatures(store, { tag }, [junk.descriptor.digest], { name })).toHaveLength(1);
  });
});

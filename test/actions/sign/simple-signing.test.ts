import { generateKeyPairSync } from 'node:crypto';
import { beforeEach, describe, expect, it } from 'vitest';
import { signForPodman } from '../../../src/actions/sign/simple-signing.ts';
import { verifyImage } from '../../../src/actions/verify/image.ts';
import { createSigner } from '../../../src/crypto/signer.ts';
import { utf8 } from '../../../src/encoding/bytes.ts';
import { describe as descriptorOf } from '../../../src/oci/descriptor.ts';
import { type ImageManifest, type ManifestContent, parseManifest } from '../../../src/oci/manifest.ts';
import { MemoryStore } from '../../../src/oci/memory.ts';
import { cosignTags, type Tag } from '../../../src/oci/reference.ts';
import { requirements } from '../../../src/policy/requirements.ts';
import { MAX_LEGACY_SIGNATURES } from '../../../src/signatures/formats.ts';
import { signSimply, withSignatures } from '../../../src/signatures/simple-signing.ts';
import { pushImage, tagOf } from '../../support/content.ts';

const now = new Date('2026-12-01T00:00:00Z');
const keyOf = () => createSigner(generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey);
const signer = keyOf();
const repository = 'registry.example.com/team/app';

let store: MemoryStore;
let content: ManifestContent;
let tag: Tag;
beforeEach(async () => {
  store = new MemoryStore();
  content = await pushImage(store, 'app', 'v1');
  tag = cosignTags(content.descriptor.digest)[0] as Tag;
});

const sign = (by = signer, tags: readonly (string | undefined)[] = ['v1']) =>
  signForPodman(
    store,
    tags.map((name) => ({ tag: name === undefined ? undefined : tagOf(name), content })),
    { signer: by, repository },
  );
const layers = async () => (parseManifest(await store.fetchManifest(tag)) as ImageManifest).layers;
const references = async () =>
  await Promise.all(
    (await layers()).map(async (layer) => {
      const { critical } = JSON.parse(String(Buffer.from(await store.fetchBlob(layer, 1_000_000))));
      return critical.identity['docker-reference'];
    }),
  );

describe('signatures for podman', () => {
  it('are at the .sig tag, by the tag that was signed, and count here too', async () => {
    expect(await sign()).toEqual([{ image: content.descriptor.digest, tag, already: false }]);
    expect(await references()).toEqual([`${repository}:v1`]);
    const required = requirements({ keys: [signer.publicKey], now });
    const { evidence } = await verifyImage(store, { tag: tagOf('v1') }, { name: 'app', required });
    expect(evidence).toMatchObject([{ kind: 'cosign-legacy' }]);
  });

  it('are made once, for each tag and each key', async () => {
    await sign();
    expect(await sign()).toMatchObject([{ already: true }]);
    await sign(signer, ['v1', 'v2']);
    await sign(keyOf(), ['v1']);
    await sign(signer, [undefined]);
    expect(await references()).toEqual(
      ['v1', 'v2', 'v1', ''].map((name) => `${repository}${name && ':'}${name}`),
    );
  });

  it.each(['ed25519', 'rsa'] as const)('by an %s key', async (type) => {
    const { privateKey } =
      type === 'rsa' ? generateKeyPairSync(type, { modulusLength: 2048 }) : generateKeyPairSync(type);
    const signing = sign(createSigner(privateKey));
    if (type === 'rsa') await expect(signing).rejects.toMatchObject({ code: 'key-invalid' });
    else expect(await signing).toMatchObject([{ already: false }]);
  });

  it('survive another writer who replaces the tag at the same time', async () => {
    const theirs = await signSimply(content.descriptor.digest, 'other', new Map(), keyOf());
    const { manifest, blobs } = withSignatures(undefined, [theirs], 'x');
    const push = store.pushManifest.bind(store);
    let races = 2;
    store.pushManifest = async (pushed, options) => {
      await push(pushed, options);
      if (options?.tag === tag && races-- > 0) {
        for (const { descriptor, bytes } of blobs) {
          await store.pushBlob(descriptor, async () =>
            (async function* () {
              yield bytes;
            })(),
          );
        }
        await push(manifest, { tag });
      }
    };
    expect(await sign()).toMatchObject([{ already: false }]);
    expect(await references()).toEqual(['other', `${repository}:v1`]);
    races = 99;
    await expect(sign(keyOf())).rejects.toMatchObject({ code: 'conflict' });
  });

  it('leave alone what is not a signature', async () => {
    await store.pushManifest(content, { tag });
    await expect(sign()).rejects.toMatchObject({ code: 'conflict' });
    expect((await store.resolve(tag)).digest).toBe(content.descriptor.digest);
  });

  it('are never more than are read', async () => {
    const one = {
      layer: descriptorOf('application/vnd.dev.cosign.simplesigning.v1+json', utf8('x')),
      bytes: utf8('x'),
    };
    const full = Array.from({ length: MAX_LEGACY_SIGNATURES }, () => one);
    expect(() => withSignatures(undefined, [...full, one], 'x')).toThrow(
      expect.objectContaining({ code: 'conflict' }),
    );
    expect(withSignatures(undefined, full, 'x').manifest.bytes.byteLength).toBeGreaterThan(1000);
  });
});

import { generateKeyPairSync } from 'node:crypto';
import { beforeEach, describe, expect, it } from 'vitest';
import { listSignatures, removeSignatures } from '../../../src/actions/inspect/signatures.ts';
import { type SignImageOptions, signImage } from '../../../src/actions/sign/signature.ts';
import { verifyImage } from '../../../src/actions/verify/image.ts';
import { parseIdentity } from '../../../src/crypto/identity.ts';
import { createSigner } from '../../../src/crypto/signer.ts';
import type { Digest } from '../../../src/oci/digest.ts';
import { buildIndex, type ManifestContent } from '../../../src/oci/manifest.ts';
import { MemoryStore } from '../../../src/oci/memory.ts';
import { parsePlatform } from '../../../src/oci/platform.ts';
import { type Requirements, requirements } from '../../../src/policy/requirements.ts';
import { pushBytes, pushImage, pushIndex, tagOf } from '../../support/content.ts';
import { issueChain } from '../../support/issue.ts';

const now = new Date('2026-12-01T00:00:00Z');
const bare = createSigner(generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey);
const ed25519 = createSigner(generateKeyPairSync('ed25519').privateKey);
const acme = issueChain();
const tag = tagOf('v1');

let store: MemoryStore;
let image: ManifestContent;
beforeEach(async () => {
  store = new MemoryStore('registry.example.com/app');
  image = await pushImage(store, 'app', 'v1');
});

function sign(options: Partial<SignImageOptions> = {}) {
  return signImage(store, { tag }, { name: 'app:v1', signer: bare, now, agent: 'bulla/test', ...options });
}
function verify(parts: Partial<Requirements>, extra: object = {}) {
  return verifyImage(store, { tag }, { name: 'app:v1', required: requirements({ now, ...parts }), ...extra });
}
const certified = { signer: acme.leaf.signer, chain: acme.chain };
const byAcme = { roots: [acme.root.certificate] };

describe('sign, then verify', () => {
  it.each([
    ['P-256 bundle', { signer: bare }, { keys: [bare.publicKey] }, 'sigstore-bundle'],
    ['Ed25519 bundle', { signer: ed25519 }, { keys: [ed25519.publicKey] }, 'sigstore-bundle'],
    ['Notation JWS', certified, byAcme, 'notation-jws'],
    ['Notation COSE', { ...certified, envelope: 'cose' as const }, byAcme, 'notation-cose'],
    ['Notation JWS by its key', certified, { keys: [acme.leaf.signer.publicKey] }, 'notation-jws'],
  ])('%s', async (_, how, required, kind) => {
    const annotations = new Map([['build', '17']]);
    const signed = await sign({ ...how, annotations });
    expect(signed.image.digest).toBe(image.descriptor.digest);
    const verified = await verify({ ...required, annotations });
    expect(verified.image).toEqual(image.descriptor);
    expect(verified.evidence.map((e) => [e.kind, e.manifest])).toEqual([
      [kind, signed.signatures[0]?.signature],
    ]);
    await expect(verify({ ...required, annotations: new Map([['build', '18']]) })).rejects.toMatchObject({
      code: 'signature-mismatch',
    });
  });

  it('by an identity', async () => {
    await sign(certified);
    const identities = [parseIdentity('x509.subject: C=DE, O=Acme, CN=release')];
    expect((await verify({ ...byAcme, identities })).evidence).toHaveLength(1);
    const others = [parseIdentity('x509.subject: C=DE, O=Acme, CN=other')];
    await expect(verify({ ...byAcme, identities: others })).rejects.toMatchObject({
      code: 'untrusted-identity',
    });
  });

  it('lists and removes signatures', async () => {
    await sign();
    await sign({ ...certified, annotations: new Map([['a', 'b']]) });
    const { signatures } = await listSignatures(store, { tag }, { name: 'app:v1' });
    expect(signatures.map(({ kind, problem }) => [kind, problem]).sort()).toEqual([
      ['notation-jws', null],
      ['sigstore-bundle', null],
    ]);
    const removed = await removeSignatures(store, { tag }, undefined, { name: 'app:v1' });
    expect(removed).toHaveLength(2);
    await expect(verify(byAcme)).rejects.toMatchObject({ code: 'unsigned' });
  });

  it('an unsigned index hides nothing behind a type that is not known', async () => {
    const { images } = await pushIndex(store, 'multi', 'v1');
    const keys = [bare.publicKey];
    await sign({ recursive: true });
    const [good] = images as [ManifestContent];
    const evil = await pushImage(store, 'evil');
    await pushBytes(store, evil);
    const platform = { os: 'linux', architecture: 'amd64' };
    // podman takes the first entry for its platform, whatever type the index says that it has.
    const hostile = buildIndex({
      manifests: [
        { ...evil.descriptor, mediaType: 'application/vnd.example+json', platform },
        { ...good.descriptor, platform },
      ],
    });
    await store.pushManifest(hostile, { tag });
    await expect(verify({ keys }, { eachPlatform: true })).rejects.toMatchObject({ code: 'unsigned' });
  });

  it('an index speaks for its platforms, and its platforms for it only where asked', async () => {
    const { index, images } = await pushIndex(store, 'multi', 'v1');
    const keys = [bare.publicKey];
    const { signatures } = await sign({ recursive: true });
    expect(signatures.map((s) => s.platform)).toEqual(['linux/amd64', 'linux/arm64', undefined]);
    const own = await verify({ keys }, { platform: parsePlatform('linux/arm64') });
    expect([own.image.digest, own.signed]).toEqual([images[1]?.descriptor.digest, 'index']);
    await store.deleteManifest(signatures[2]!.signature);
    await expect(verify({ keys })).rejects.toMatchObject({ code: 'unsigned' });
    const each = await verify({ keys }, { eachPlatform: true });
    expect([each.image.digest, each.signed]).toEqual([index.descriptor.digest, 'platforms']);
    await store.deleteManifest(signatures[0]!.signature);
    await expect(verify({ keys }, { eachPlatform: true })).rejects.toMatchObject({ code: 'unsigned' });
    expect((await verify({ keys }, { platform: parsePlatform('linux/arm64') })).signed).toBe('image');
    await expect(verify({ keys }, { platform: parsePlatform('linux/amd64') })).rejects.toMatchObject({
      code: 'unsigned',
    });
  });

  it.each<[string, number, object]>([
    ['of the platform that is asked for', 1, { platform: parsePlatform('linux/arm64') }],
    ['of a signed index', 2, { platform: parsePlatform('linux/amd64') }],
    ['of each platform', 1, { eachPlatform: true }],
  ])('names an image that is listed and not there: %s', async (_, signed, options) => {
    const { images } = await pushIndex(store, 'multi', 'v1');
    const { signatures } = await sign({ recursive: true });
    if (signed === 1) await store.deleteManifest(signatures[2]!.signature);
    const at = 'platform' in options && signed === 2 ? 0 : 1;
    const { digest } = images[at]!.descriptor;
    await store.deleteManifest(digest);
    await expect(verify({ keys: [bare.publicKey] }, options)).rejects.toMatchObject({
      code: 'image-missing',
      message: expect.stringContaining(`not there: linux/${['amd64', 'arm64'][at]} (${digest})`),
      details: { missing: [digest] },
    });
  });

  it('says where only platforms are signed, and stays unsigned', async () => {
    const { images } = await pushIndex(store, 'multi', 'v1');
    const keys = [bare.publicKey];
    const { signatures } = await sign({ recursive: true });
    const [amd64, arm64, own] = signatures.map(({ signature }) => signature);
    await store.deleteManifest(own as Digest);
    const failed = () => verify({ keys }).catch((error) => error);
    expect(await failed()).toMatchObject({
      code: 'unsigned',
      hint: expect.stringMatching(/linux\/amd64, linux\/arm64.*--platform linux\/amd64.*--each-platform/),
      details: { signedPlatforms: ['linux/amd64', 'linux/arm64'] },
    });
    expect((await verify({ keys: [ed25519.publicKey] }).catch((error) => error)).details).not.toHaveProperty(
      'signedPlatforms',
    );
    await store.deleteManifest(amd64 as Digest);
    expect((await failed()).details).toMatchObject({ signedPlatforms: ['linux/arm64'] });
    const listReferrers = store.listReferrers.bind(store);
    store.listReferrers = (subject, options) =>
      subject === images[1]?.descriptor.digest
        ? Promise.reject(new Error('cut'))
        : listReferrers(subject, options);
    await store.deleteManifest(arm64 as Digest);
    expect(await failed()).toMatchObject({ code: 'unsigned', hint: expect.stringContaining('bulla sign') });
  });
});

import { generateKeyPairSync } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { signImage } from '../../../src/actions/sign/signature.ts';
import { type ImageName, verifyImage } from '../../../src/actions/verify/image.ts';
import { MAX_EXAMINED } from '../../../src/actions/verify/signature-search.ts';
import { ecdsaToDer } from '../../../src/crypto/signature.ts';
import { createSigner } from '../../../src/crypto/signer.ts';
import { base64, utf8 } from '../../../src/encoding/bytes.ts';
import { type Descriptor, describe as describeBytes } from '../../../src/oci/descriptor.ts';
import { type ManifestContent, parseManifest } from '../../../src/oci/manifest.ts';
import { MemoryStore } from '../../../src/oci/memory.ts';
import { parsePlatform } from '../../../src/oci/platform.ts';
import { fallbackTag } from '../../../src/oci/reference.ts';
import { buildReferrersIndex, referrerDescriptor } from '../../../src/oci/referrers.ts';
import type { Source } from '../../../src/oci/target.ts';
import { requirements } from '../../../src/policy/requirements.ts';
import { openRepository } from '../../../src/registry/client.ts';
import type { Dialect } from '../../../src/registry/dialect.ts';
import { SIGNATURE_ANNOTATIONS, SIGNATURE_TYPES } from '../../../src/signatures/formats.ts';
import { preAuthEncoding } from '../../../src/sigstore/dsse.ts';
import {
  blobOf,
  imageOf,
  pushBytes,
  pushImage,
  pushIndex,
  pushReferrer,
  tagOf,
} from '../../support/content.ts';
import { attach, forgeBundle, statement } from '../../support/forge.ts';
import { issueChain } from '../../support/issue.ts';
import { recording } from '../../support/recording-target.ts';
import { type FaultyRegistry, startRegistry } from '../../support/registry/server.ts';
import { SigstoreInstance } from '../../support/sigstore/instance.ts';

const now = new Date('2026-12-01T00:00:00Z');
const key = createSigner(generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey);
const stranger = createSigner(generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey);
const acme = issueChain();
const tag = tagOf('v1');

function verify(source: Source, keys = [key.publicKey], reference: ImageName = { tag }) {
  return verifyImage(source, reference, { name: 'app:v1', required: requirements({ now, keys }) });
}

let registry: FaultyRegistry;
let image: ManifestContent;
afterEach(() => registry.close());

/** A repository as a process sees it that just began, and remembers `dialect` from earlier ones. */
function repository(dialect: Dialect = {}) {
  return openRepository(
    { registry: registry.host, repository: 'app' },
    { retry: { baseMs: 1, maxMs: 2 }, dialects: { get: async () => dialect, set: async () => {} } },
  );
}

async function start(referrersApi: boolean) {
  registry = await startRegistry({ referrersApi });
  image = await pushImage(repository(), 'app', 'v1');
}

async function signWith(how: 'bundle' | 'notation') {
  const chain = how === 'notation' ? { signer: acme.leaf.signer, chain: acme.chain } : { signer: key };
  const options = { name: 'app:v1', now, agent: 'bulla/test', ...chain };
  return (await signImage(repository(), { tag }, options)).signatures[0]!.signature;
}

describe.each(['bundle', 'notation'] as const)('a cold verification of a %s signature of ours', (how) => {
  const keys = [how === 'bundle' ? key.publicKey : acme.leaf.signer.publicKey];

  it.each([
    ['with the referrers API', true, { referrers: 'api' } as const, 3],
    ['with the referrers API, not known yet', true, {}, 4],
    ['with the fallback index', false, { referrers: 'fallback' } as const, 3],
    ['with the fallback index, not known yet', false, {}, 4],
  ])('%s takes by tag at most so many requests', async (_, api, dialect, requests) => {
    await start(api);
    await signWith(how);
    registry.forget();
    expect((await verify(repository(dialect), keys)).image.digest).toBe(image.descriptor.digest);
    expect(registry.requests()).toHaveLength(requests);
  });

  it('takes two round trips by digest', async () => {
    await start(true);
    await signWith(how);
    const { target, calls } = recording(repository({ referrers: 'api' }));
    await verify(target, keys, { digest: image.descriptor.digest });
    expect(calls.map((call) => call.split(' ')[0])).toEqual([
      'fetchManifest',
      'listReferrers',
      'fetchManifest',
    ]);
  });
});

describe('where a signature is looked for', () => {
  it('in the fallback index as well, where the API lists none that counts', async () => {
    await start(true);
    const target = repository();
    const signature = await signWith('bundle');
    const content = await target.fetchManifest(signature);
    const entry = referrerDescriptor(content, parseManifest(content));
    await target.pushManifest(buildReferrersIndex([entry]), { tag: fallbackTag(image.descriptor.digest) });
    registry.fault({
      path: /referrers/,
      times: 9,
      action: {
        status: 200,
        body: buildReferrersIndex([]).bytes,
        headers: { 'content-type': 'application/vnd.oci.image.index.v1+json' },
      },
    });
    expect((await verify(repository({ referrers: 'api' }))).evidence).toHaveLength(1);
  });

  it("at cosign's .sig tag, where nothing else counts", async () => {
    await start(true);
    await pushLegacy(image.descriptor, image.descriptor);
    const { evidence } = await verify(repository());
    expect(evidence.map(({ kind }) => kind)).toEqual(['cosign-legacy']);
  });

  it('a .sig tag with the signature of another image does not count', async () => {
    await start(true);
    const other = await pushImage(repository(), 'other');
    await pushLegacy(image.descriptor, other.descriptor);
    await expect(verify(repository())).rejects.toMatchObject({ code: 'digest-mismatch' });
  });

  it('a .sig tag with a keyless signature is named and not counted', async () => {
    await start(true);
    const making = {
      owner: { kind: 'email', subject: 'alice@example.com', issuer: 'https://example.com' },
    } as const;
    const { blob, annotations } = new SigstoreInstance().legacy(
      'hashedrekord',
      legacyPayload(image.descriptor),
      making,
    );
    await pushLegacyLayer(image.descriptor, blob, annotations);
    await expect(verify(repository())).rejects.toMatchObject({ code: 'unsupported-signature' });
  });

  it("at cosign's .att tag, for the type that it attests", async () => {
    await start(true);
    const type = 'https://slsa.dev/provenance/v1';
    const subject = [{ digest: { sha256: image.descriptor.digest.slice(7) } }];
    const _type = 'https://in-toto.io/Statement/v0.1';
    const payload = utf8(JSON.stringify({ _type, subject, predicateType: type, predicate: { a: 1 } }));
    const signed = preAuthEncoding('application/vnd.in-toto+json', payload);
    const signatures = [{ sig: base64(ecdsaToDer(await key.sign(signed))) }];
    const envelope = { payloadType: 'application/vnd.in-toto+json', payload: base64(payload), signatures };
    await pushLegacyLayer(image.descriptor, utf8(JSON.stringify(envelope)), {}, [
      'att',
      SIGNATURE_TYPES.envelope,
    ]);
    const required = requirements({ keys: [key.publicKey], purposes: [type], now });
    const { evidence } = await verifyImage(repository(), { tag }, { name: 'app:v1', required });
    expect(evidence).toMatchObject([{ kind: 'cosign-legacy', purpose: type, predicate: { a: 1 } }]);
    // Without the type it is not even asked for.
    await expect(verify(repository())).rejects.toMatchObject({ code: 'unsigned' });
  });

  it.each([
    [403, 'forbidden'],
    [401, 'unauthorized'],
    [418, 'registry-error'],
  ] as const)(
    'an .att tag that is answered with %d does not mean that there is none',
    async (status, code) => {
      await start(true);
      registry.fault({ path: /\.att$/, times: 99, action: { status, body: utf8(''), headers: {} } });
      const required = requirements({
        keys: [key.publicKey],
        purposes: ['https://example.com/scan/v1'],
        now,
      });
      await expect(verifyImage(repository(), { tag }, { name: 'app:v1', required })).rejects.toMatchObject({
        code,
      });
    },
  );

  it('in a list whose entries lost their types', async () => {
    const store = new MemoryStore();
    registry = await startRegistry();
    await pushImage(store, 'app', 'v1');
    await signImage(store, { tag }, { name: 'app', signer: key, now, agent: 'x' });
    const list = store.listReferrers.bind(store);
    store.listReferrers = async (digest, options) =>
      (await list(digest, options)).map(({ mediaType, digest, size }) => ({ mediaType, digest, size }));
    expect((await verify(store)).evidence).toHaveLength(1);
  });
});

async function pushLegacy(at: Descriptor, signed: Descriptor) {
  const payload = legacyPayload(signed);
  const signature = base64(ecdsaToDer(await key.sign(payload)));
  await pushLegacyLayer(at, payload, { [SIGNATURE_ANNOTATIONS.legacySignature]: signature });
}

const legacyPayload = (signed: Descriptor): Uint8Array =>
  utf8(
    JSON.stringify({
      critical: {
        identity: { 'docker-reference': 'app' },
        image: { 'docker-manifest-digest': signed.digest },
        type: 'cosign container image signature',
      },
      optional: { a: 'b' },
    }),
  );

async function pushLegacyLayer(
  at: Descriptor,
  bytes: Uint8Array,
  annotations: Readonly<Record<string, string>>,
  [kind, type] = ['sig', SIGNATURE_TYPES.simpleSigning as string],
) {
  const layer = describeBytes(type, bytes);
  const config = blobOf('{}', 'application/vnd.oci.image.config.v1+json');
  const target = repository();
  await pushBytes(target, config);
  await pushBytes(target, { descriptor: layer, bytes });
  const manifest = imageOf(config.descriptor, [{ ...layer, annotations }]);
  await target.pushManifest(manifest, { tag: tagOf(`${fallbackTag(at.digest)}.${kind}`) });
}

describe('what keeps signatures from being read is never "unsigned"', () => {
  beforeEach(async () => {
    await start(true);
  });

  it.each([
    ['a throttled list', /referrers/, 429, 'registry-throttled'],
    ['a broken list', /referrers/, 500, 'registry-error'],
    ['a list that is forbidden', /referrers/, 403, 'forbidden'],
    ['a list that wants a login', /referrers/, 401, 'unauthorized'],
    ['a fallback tag that is broken', /manifests\/sha256-[0-9a-f]{64}$/, 500, 'registry-error'],
    ['a .sig tag that is throttled', /\.sig$/, 429, 'registry-throttled'],
  ])('%s', async (_, path, status, code) => {
    registry.fault({ path, times: 99, action: { status } });
    await expect(verify(repository({ referrers: 'api' }))).rejects.toMatchObject({ code });
  });

  it('a signature that cannot be fetched, until another one counts', async () => {
    const signature = await signWith('bundle');
    registry.fault({ path: new RegExp(signature), times: 99, action: { status: 503 } });
    await expect(verify(repository())).rejects.toMatchObject({ code: 'registry-error' });
    await signImage(repository(), { tag }, { name: 'app', signer: stranger, now, agent: 'x' });
    expect((await verify(repository(), [key.publicKey, stranger.publicKey])).evidence).toHaveLength(1);
  });

  it('an envelope that cannot be fetched', async () => {
    const envelope = await forgeBundle({ payload: JSON.stringify(statement(image.descriptor)), signer: key });
    await attach(repository(), image.descriptor, { envelope });
    registry.fault({ method: 'GET', path: /blobs/, times: 99, action: { status: 503 } });
    await expect(verify(repository())).rejects.toMatchObject({ code: 'registry-error' });
  });
});

describe('floods', () => {
  const junk = MAX_EXAMINED + 50;

  async function flooded(artifactType: string) {
    registry = await startRegistry();
    const store = new MemoryStore();
    image = await pushImage(store, 'app', 'v1');
    for (let i = 0; i < junk; i++) await pushReferrer(store, image.descriptor, `junk ${i}`, artifactType);
    return store;
  }

  it('are cut at a number, and say so', async () => {
    const { target, of } = recording(await flooded(SIGNATURE_TYPES.bundle));
    await expect(verify(target)).rejects.toMatchObject({
      code: 'signature-mismatch',
      message: expect.stringContaining(`50 more were listed and not looked at`),
      details: { unexamined: 50 },
    });
    // The image, and cosign's .sig tag.
    expect(of('fetchManifest')).toHaveLength(MAX_EXAMINED + 2);
  });

  it('do not hide a signature that says it is what is asked for', async () => {
    const store = await flooded(SIGNATURE_TYPES.notation);
    await signImage(store, { tag }, { name: 'app', signer: key, now, agent: 'x' });
    const { target, of } = recording(store);
    expect((await verify(target)).evidence).toHaveLength(1);
    expect(of('fetchManifest')).toHaveLength(2);
  });

  it('of other artifacts cost nothing', async () => {
    const { target, of } = recording(await flooded('application/spdx+json'));
    await expect(verify(target)).rejects.toMatchObject({ code: 'unsigned' });
    expect(of('fetchManifest')).toHaveLength(2);
  });
});

describe('names', () => {
  it('a tag and a digest must agree', async () => {
    await start(true);
    await signWith('bundle');
    const other = await pushImage(repository(), 'other');
    expect(
      (await verify(repository(), undefined, { tag, digest: image.descriptor.digest })).evidence,
    ).toHaveLength(1);
    await expect(
      verify(repository(), undefined, { tag, digest: other.descriptor.digest }),
    ).rejects.toMatchObject({
      code: 'digest-mismatch',
    });
  });

  it('a tag or digest that is not there is not unsigned', async () => {
    await start(true);
    const ghost = describeBytes('text/plain', utf8('ghost')).digest;
    await expect(verify(repository(), undefined, { tag: tagOf('v9') })).rejects.toMatchObject({
      code: 'not-found',
    });
    await expect(verify(repository(), undefined, { digest: ghost })).rejects.toMatchObject({
      code: 'not-found',
    });
    await expect(verify(repository(), undefined, {})).rejects.toMatchObject({ code: 'usage' });
  });

  it('a manifest that is served changed is refused', async () => {
    await start(true);
    await signWith('bundle');
    registry.fault({ path: /manifests\/sha256:/, times: 9, action: { corrupt: true } });
    await expect(verify(repository(), undefined, { digest: image.descriptor.digest })).rejects.toMatchObject({
      code: 'content-invalid',
    });
  });

  it('an image that is served as something else than it says is refused', async () => {
    await start(true);
    await signWith('bundle');
    const type = { 'content-type': 'application/vnd.oci.image.index.v1+json' };
    registry.fault({ path: /manifests\/v1/, times: 9, action: { addHeaders: type } });
    await expect(verify(repository())).rejects.toMatchObject({ code: 'content-invalid' });
  });

  it('ends when it is told to', async () => {
    await start(true);
    await signWith('bundle');
    const controller = new AbortController();
    const { target } = recording(repository(), (method) => {
      if (method === 'listReferrers') controller.abort();
    });
    const required = requirements({ now, keys: [stranger.publicKey] });
    const options = { name: 'app:v1', required, signal: controller.signal };
    await expect(verifyImage(target, { tag }, options)).rejects.toMatchObject({ code: 'interrupted' });
  });

  it('a platform that an index does not have is not found', async () => {
    registry = await startRegistry();
    const store = new MemoryStore();
    await pushIndex(store, 'multi', 'v1');
    await signImage(store, { tag }, { name: 'app', signer: key, now, agent: 'x' });
    const required = requirements({ now, keys: [key.publicKey] });
    const at = async (platform: string) =>
      verifyImage(store, { tag }, { name: 'app:v1', required, platform: parsePlatform(platform) });
    await expect(at('linux/s390x')).rejects.toMatchObject({
      code: 'not-found',
      hint: expect.stringContaining('linux/amd64'),
    });
    await expect(at('linux')).rejects.toMatchObject({ code: 'usage' });
  });
});

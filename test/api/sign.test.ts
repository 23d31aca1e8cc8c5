import { beforeEach, describe, expect, it } from 'vitest';
import { createSigner, keyOf, sign, verify } from '../../src/api/index.ts';
import { generatePrivateKey, privateKeyPem } from '../../src/crypto/private-key.ts';
import { publicKeyOf } from '../../src/crypto/public-key.ts';
import { utf8 } from '../../src/encoding/bytes.ts';
import { Keystore } from '../../src/keystore/store.ts';
import type { ManifestContent } from '../../src/oci/manifest.ts';
import type { Target } from '../../src/oci/target.ts';
import { HEAD_TAG, TRUST_TYPES } from '../../src/trust/format/vocabulary.ts';
import { bulla, temporaryDirectory } from '../support/cli.ts';
import { pushImage, tagOf } from '../support/content.ts';
import { RemoteKeys } from '../support/keystore/remote.ts';
import { storePlainKeys } from '../support/plain-keys.ts';
import { registryFor, repositoryOf } from '../support/registry/open.ts';

let home: string;
let repository: string;
let target: Target;
let image: ManifestContent;
/** As the user whose files are below `home`. */
let user: {
  directories: Record<'config' | 'cache' | 'state', string>;
  passphrase: string;
  registry: { plainHttp: true };
};
beforeEach(async () => {
  home = await temporaryDirectory();
  await storePlainKeys(home, 'publisher', 'root', 'online');
  const registry = await registryFor();
  repository = `${registry.host}/team/app`;
  target = repositoryOf(registry);
  image = await pushImage(target, 'app', 'v1');
  const directories = { config: home, cache: `${home}/cache`, state: `${home}/state` };
  user = { directories, passphrase: 'x', registry: { plainHttp: true } };
});

async function init(): Promise<void> {
  const made = await bulla(['init', repository], { env: { BULLA_HOME: home, BULLA_PASSPHRASE: 'x' } });
  expect(made, made.stderr).toMatchObject({ code: 0 });
}

describe('sign, from a program', () => {
  it('signs several images and their names in one change, as the command does', async () => {
    await init();
    await target.pushManifest(image, { tag: tagOf('v1.0') });
    const other = await pushImage(target, 'other', 'v2');
    const texts = ['v1', 'v2', 'v1.0'].map((tag) => `${repository}:${tag}`);
    const signed = await sign(texts, user);
    const { digest } = image.descriptor;
    expect(signed.references).toEqual(
      [digest, other.descriptor.digest, digest].map((at) => `${repository}@${at}`),
    );
    expect(signed.signatures.map((one) => one.image.digest)).toEqual([digest, other.descriptor.digest]);
    expect(signed.named).toMatchObject({
      place: repository,
      role: 'names',
      head: (await target.resolve(HEAD_TAG)).digest,
      changes: [expect.any(String)],
      missingProofs: [],
    });
    expect([...signed.named!.names.keys()]).toEqual(['v1', 'v2', 'v1.0']);
    expect(signed.named!.proofs).toHaveLength(2);
    expect(await target.listReferrers(digest, { artifactType: TRUST_TYPES.proof })).toHaveLength(1);
    expect((await verify(texts[1]!, user)).runnable).toBe(signed.references[1]);
  });

  it('takes a signer of the program, and signs the image alone where there is no collection', async () => {
    const key = createSigner(generatePrivateKey('P-256'));
    const signed = await sign(`${repository}:v1`, { ...user, key, annotations: { build: '17' } });
    expect(signed).toMatchObject({ named: undefined, lacksCollection: true, signer: { keyId: key.keyId } });
    const verified = await verify(`${repository}:v1`, {
      ...user,
      keys: [key.publicKey],
      annotations: { build: '17' },
    });
    expect(verified.evidence).toHaveLength(1);
    await expect(sign(`${repository}:v1`, { ...user, key, name: 'only' })).rejects.toMatchObject({
      code: 'not-found',
    });
  });

  it('signs roles with keys that are kept elsewhere', async () => {
    await init();
    const key = generatePrivateKey('P-256');
    const service = new RemoteKeys({ release: key });
    const keys = { ...user, backEnds: service.backEnds };
    const held = await keyOf('test-kms://release', keys);
    expect(held.keyId).toBe(publicKeyOf(key).fingerprint);
    const added = await bulla(['signer', 'add', repository, 'release', '--key', 'env://RELEASE'], {
      env: { BULLA_HOME: home, RELEASE: privateKeyPem(key) },
    });
    expect(added, added.stderr).toMatchObject({ code: 0 });
    service.requests.length = 0;
    const tags = Array.from({ length: 20 }, (_, at) => tagOf(`r${at}`));
    for (const tag of tags) await target.pushManifest(image, { tag });
    const signed = await sign(
      tags.map((tag) => `${repository}:${tag}`),
      { ...keys, key: 'test-kms://release', role: 'release', name: 'only', proof: false },
    );
    expect(signed.named).toMatchObject({ role: 'release', proofs: [] });
    // One role, one file: the service is asked once for all names.
    expect(service.requests).toEqual([1]);
  });

  it('says that names are staged where another machine publishes them', async () => {
    await init();
    const { rm } = await import('node:fs/promises');
    await rm(`${home}/keys/online.key`);
    await expect(sign(`${repository}:v1`, { ...user, wait: 0 })).rejects.toMatchObject({
      code: 'staged',
      details: { tag: expect.stringMatching(/^_trust\.stage\./) },
    });
  });

  it.each([
    ['a wrong passphrase', { key: 'sealed', passphrase: 'wrong' }, 'key-invalid'],
    ['a key that is not there', { key: 'nobody' }, 'not-found'],
    ['a chain that is none', { chain: 'PEM' }, 'certificate-invalid'],
    ['an expiry that is over', { expires: new Date(0) }, 'usage'],
    ['a role that is not there', { role: 'alice' }, 'usage'],
  ])('signs nothing with %s', async (_, options, code) => {
    await init();
    if ('passphrase' in options)
      await new Keystore(`${home}/keys`).put('sealed', generatePrivateKey('P-256'), utf8('right'));
    await expect(sign(`${repository}:v1`, { ...user, ...options })).rejects.toMatchObject({ code });
    expect(await target.listReferrers(image.descriptor.digest)).toEqual([]);
  });

  it.each([
    ['images of two repositories', (at: string) => [`${at}:v1`, `${at}/other:v1`], 'usage'],
    ['a tag of the collection', (at: string) => [`${at}:_trust`], 'usage'],
    ['a repository', (at: string) => [at], 'usage'],
    ['no reference', () => [], 'usage'],
    ['an image that is not there', (at: string) => [`${at}:v1`, `${at}:v9`], 'not-found'],
  ])('refuses %s', async (_, texts, code) => {
    await expect(sign(texts(repository), user)).rejects.toMatchObject({ code });
    expect(await target.listReferrers(image.descriptor.digest)).toEqual([]);
  });
});

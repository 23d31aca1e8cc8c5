import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { signImage } from '../../src/actions/sign/signature.ts';
import {
  type Config,
  createSigner,
  publicKeyPem,
  readPolicy,
  type VerifyOptions,
  verify,
  verifyByPolicy,
  verifyManyByPolicy,
} from '../../src/api/index.ts';
import { utf8 } from '../../src/encoding/bytes.ts';
import { DirectoryFiles } from '../../src/layout/directory.ts';
import { LayoutStore } from '../../src/layout/store.ts';
import type { ManifestContent } from '../../src/oci/manifest.ts';
import { KeptAnswers } from '../../src/revocation-client/answers.ts';
import { certifiedChain, DURING } from '../support/certificates.ts';
import { bulla, temporaryDirectory } from '../support/cli.ts';
import { pushImage, tagOf } from '../support/content.ts';
import { attach, statement } from '../support/forge.ts';
import { SigstoreInstance } from '../support/sigstore/instance.ts';
import { poolKey } from '../support/tuf/keys.ts';

// Advisories of the last three years against tools that verify images, each as the attack that it describes. Those about
// bundles are in test/sigstore/advisories.test.ts, those about credentials in test/registry/advisories.test.ts.

const signer = createSigner(poolKey(8).privateKey);
let cwd: string;
let name: string;
let user: Config;
beforeEach(async () => {
  cwd = await temporaryDirectory();
  name = `oci:${join(cwd, 'img')}`;
  const home = join(cwd, 'home');
  user = {
    now: DURING,
    directories: { config: home, cache: join(home, 'cache'), state: join(home, 'state') },
  };
});

async function inStore<T>(use: (store: LayoutStore) => Promise<T>): Promise<T> {
  const store = new LayoutStore(await DirectoryFiles.open(join(cwd, 'img'), { create: true }));
  try {
    return await use(store);
  } finally {
    await store.close();
  }
}

const push = (text: string, tag: string): Promise<ManifestContent> =>
  inStore((store) => pushImage(store, text, tag));

async function put(path: string, text: string): Promise<string> {
  await mkdir(dirname(join(cwd, path)), { recursive: true });
  await writeFile(join(cwd, path), text);
  return join(cwd, path);
}

describe('Kyverno', () => {
  it('CVE-2026-122321: what was verified once under a tag says nothing after the tag was moved', async () => {
    const signed = await push('signed', 'v1');
    await inStore((store) =>
      signImage(store, { tag: tagOf('v1') }, { name, signer, now: DURING, agent: 'bulla/test' }),
    );
    await put('key.pub', publicKeyPem(signer.publicKey));
    const rules = [{ scope: '*', signatures: [{ keys: ['key.pub'] }] }];
    const policy = await readPolicy(await put('policy.json', JSON.stringify({ version: 1, rules })), user);
    const warm = await verifyByPolicy(`${name}:v1`, policy, user);
    expect(warm.runnable).toBe(`${name}@${signed.descriptor.digest}`);
    await push('malicious', 'v1');
    await expect(verifyByPolicy(`${name}:v1`, policy, user)).rejects.toMatchObject({ code: 'unsigned' });
    expect(await verifyManyByPolicy([`${name}:v1`], policy, user)).toMatchObject([{ ok: false }]);
    // What was verified is still what may be run.
    const pinned = await verifyByPolicy(warm.runnable, policy, user);
    expect(pinned.runnable).toBe(warm.runnable);
  });
});

describe('notation', () => {
  const policy = (level: string): string =>
    JSON.stringify({
      version: '1.0',
      trustPolicies: [
        {
          name: 'p',
          registryScopes: ['*'],
          signatureVerification: { level },
          trustStores: ['ca:acme'],
          trustedIdentities: ['*'],
        },
      ],
    });

  it('CVE-2024-23332: an expired signature counts under a relaxed policy alone, and never silently', async () => {
    const { leaf, root, chain } = await certifiedChain();
    await push('old', 'v1');
    const expiry = new Date(DURING.getTime() + 1000);
    await inStore((store) =>
      signImage(
        store,
        { tag: tagOf('v1') },
        { name, signer: leaf.signer, chain, expiry, now: DURING, agent: 'bulla/test' },
      ),
    );
    await put('truststore/x509/ca/acme/root.pem', root.certificate.x509.toString());
    const later = new Date(DURING.getTime() + 3_600_000);
    const under = async (level: string) => {
      await put('trustpolicy.json', policy(level));
      const line = ['verify', 'oci:img:v1', '--trust-policy', 'trustpolicy.json'];
      return await bulla(line, { cwd, now: later, env: { BULLA_HOME: join(cwd, 'home') } });
    };
    expect(await under('strict')).toMatchObject({ code: 13, stdout: '' });
    expect(await under('permissive')).toMatchObject({
      code: 0,
      stderr: expect.stringContaining('only logged'),
    });
    const keys = await bulla(['verify', 'oci:img:v1', '--ca', 'truststore/x509/ca/acme/root.pem'], {
      ...{ cwd, now: later },
      env: { BULLA_HOME: join(cwd, 'home') },
    });
    expect(keys).toMatchObject({ code: 13, stdout: '' });
  });

  it('CVE-2024-51491: an answer that cannot be kept denies no signature', async () => {
    const kept = new KeptAnswers(join(await put('file', 'not a directory'), 'revocation'));
    await expect(kept.keep(['a'], utf8('an answer'))).resolves.toBeUndefined();
    expect(kept.read(['a'], 100)).toBeUndefined();
  });
});

describe('sigstore-js', () => {
  const issuer = 'https://accounts.example.com';
  const good = { keyless: [{ identity: 'alice@example.com', issuer }] };

  it.each<[string, VerifyOptions]>([
    ['an identity', { keyless: [{ identity: 'bob@example.com', issuer }] }],
    ['an issuer', { keyless: [{ identity: 'alice@example.com', issuer: 'https://evil.example' }] }],
    ['an issuer by expression', { keyless: [{ identity: 'alice@example.com', issuerRegexp: 'accounts' }] }],
    ['a purpose', { ...good, purposes: ['https://example.com/scan/v1'] }],
    ['an annotation', { ...good, annotations: { build: '17' } }],
    ['a threshold', { ...good, keys: [signer.publicKey], threshold: 2 }],
    ['a signer of the name', { ...good, signers: ['names'] }],
    ['a trusted root', { ...good, trustedRoot: new SigstoreInstance().trustedRoot() }],
  ])('GHSA-52v5-jr5w-gjxr: a demand that is given is never dropped: %s', async (_, demand) => {
    const instance = new SigstoreInstance();
    const image = await push('app', 'v1');
    const envelope = instance.sign(utf8(JSON.stringify(statement(image.descriptor))), {});
    await inStore((store) => attach(store, image.descriptor, { envelope }));
    const options = { ...user, trustedRoot: instance.trustedRoot(), now: new Date('2026-12-01T00:00:00Z') };
    expect((await verify(`${name}:v1`, { ...options, ...good })).evidence).toHaveLength(1);
    await expect(verify(`${name}:v1`, { ...options, ...demand })).rejects.toHaveProperty('code');
  });
});

import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import {
  attest,
  type Config,
  createSigner,
  explainPolicy,
  type LoadedPolicy,
  parsePublicKeyPem,
  publicKeyPem,
  readPolicy,
  sign,
  testPolicy,
  verify,
  verifyByPolicy,
  verifyManyByPolicy,
} from '../../src/api/index.ts';
import { DirectoryFiles } from '../../src/layout/directory.ts';
import { LayoutStore } from '../../src/layout/store.ts';
import type { ManifestContent } from '../../src/oci/manifest.ts';
import { temporaryDirectory } from '../support/cli.ts';
import { pushImage } from '../support/content.ts';
import { SigstoreInstance } from '../support/sigstore/instance.ts';
import { SigstoreServer, token } from '../support/sigstore/server.ts';
import { poolKey } from '../support/tuf/keys.ts';

const now = new Date('2026-12-01T00:00:00Z');
const issuer = 'https://accounts.example.com';
const signer = createSigner(poolKey(8).privateKey);

let cwd: string;
let image: ManifestContent;
let user: Config;
let name: string;
beforeEach(async () => {
  cwd = await temporaryDirectory();
  const home = join(cwd, 'home');
  user = { now, directories: { config: home, cache: join(home, 'cache'), state: join(home, 'state') } };
  const store = new LayoutStore(await DirectoryFiles.open(join(cwd, 'img'), { create: true }));
  image = await pushImage(store, 'app', 'v1');
  await pushImage(store, 'other', 'v2');
  await store.close();
  name = `oci:${join(cwd, 'img')}`;
});

async function policyOf(rule: object): Promise<LoadedPolicy> {
  await writeFile(join(cwd, 'key.pub'), publicKeyPem(signer.publicKey));
  const file = join(cwd, 'policy.json');
  await writeFile(file, JSON.stringify({ version: 1, rules: [{ scope: '*', ...rule }] }));
  return await readPolicy(file, user);
}

describe('a policy in the library', () => {
  const demand = { signatures: [{ keys: ['key.pub'] }] };

  it('decides, explains and is tested as by the command', async () => {
    await sign(`${name}:v1`, { ...user, key: signer, name: false });
    const policy = await policyOf(demand);
    const answer = await verifyByPolicy(`${name}:v1`, policy, user);
    expect(answer).toMatchObject({ runnable: `${name}@${image.descriptor.digest}`, rule: { scope: '*' } });
    expect(answer.verified?.evidence).toHaveLength(1);
    await expect(verifyByPolicy(`${name}:v2`, policy, user)).rejects.toMatchObject({ code: 'unsigned' });
    expect(await explainPolicy(`${name}:v1`, policy, user)).toMatchObject({ accepted: true, answer: {} });
    expect(await explainPolicy(`${name}:v2`, policy, user)).toMatchObject({
      accepted: false,
      error: { code: 'unsigned' },
      rule: { scope: '*' },
    });
    const expectations = [
      { reference: `${name}:v1`, outcome: 'verified' },
      { reference: `${name}:v2`, outcome: 'verified' },
      { reference: `${name}:v3`, outcome: 'not-found' },
    ];
    const found = (await testPolicy(policy, expectations, user)).map((result) => result.found);
    expect(found).toEqual(['verified', 'unsigned', 'not-found']);
    const outcomes = await verifyManyByPolicy([`${name}:v1`, `${name}:v2`], policy, user);
    expect(outcomes).toMatchObject([{ ok: true }, { ok: false, error: { code: 'unsigned' } }]);
  });

  it('says that nothing was verified where it only allows or audits', async () => {
    const allowed = await verifyByPolicy(`${name}:v2`, await policyOf({ allow: 'a test' }), user);
    expect(allowed.verified).toBeUndefined();
    const audited = await verifyByPolicy(`${name}:v2`, await policyOf({ ...demand, mode: 'audit' }), user);
    expect(audited).toMatchObject({ refusal: { code: 'unsigned' } });
    expect(audited.verified).toBeUndefined();
  });

  it('has no rule for what none is about, and lists its mistakes', async () => {
    const policy = await policyOf({ ...demand, scope: 'registry.example.com/*' });
    expect(await explainPolicy(`${name}:v1`, policy, user)).toMatchObject({
      accepted: false,
      rule: undefined,
      error: { code: 'policy-denied' },
    });
    await expect(policyOf({ signature: [] })).rejects.toMatchObject({
      code: 'policy-invalid',
      details: { mistakes: [{ line: 1, column: expect.any(Number) }] },
    });
  });
});

describe('attest of the library', () => {
  it('says something that a policy can demand', async () => {
    const type = 'https://example.com/review/v1';
    const attested = await attest(`${name}:v1`, {
      ...user,
      key: signer,
      type,
      predicate: { approved: true },
    });
    expect(attested).toMatchObject({
      predicateType: type,
      references: [`${name}@${image.descriptor.digest}`],
    });
    const demanding = (equals: boolean) =>
      policyOf({ attestations: [{ type, keys: ['key.pub'], conditions: [{ path: 'approved', equals }] }] });
    expect(await verifyByPolicy(`${name}:v1`, await demanding(true), user)).toHaveProperty('verified');
    await expect(verifyByPolicy(`${name}:v1`, await demanding(false), user)).rejects.toMatchObject({
      code: 'signature-mismatch',
    });
    // An attestation does not release an image.
    const keys = [parsePublicKeyPem(publicKeyPem(signer.publicKey), 'a key')];
    await expect(verify(`${name}:v1`, { ...user, keys })).rejects.toMatchObject({
      code: 'signature-mismatch',
    });
  });

  it.each([
    ['a predicate that its type does not allow', { type: 'cyclonedx', predicate: { bomFormat: 'SPDX' } }],
    ['a type that is not one', { type: 'no type', predicate: {} }],
    ['a whole statement', { type: 'vsa', predicate: '{"_type":"a","predicateType":"b"}' }],
    ['a list', { type: 'https://e.example/x', predicate: '[]' }],
  ])('refuses %s before anything is signed', async (_, options) => {
    const error = await attest(`${name}:v1`, { ...user, key: signer, ...options }).catch(
      (thrown: unknown) => thrown,
    );
    expect(['usage', 'content-invalid']).toContain((error as { code: string }).code);
  });
});

describe('keyless signing of the library', () => {
  it('signs for an identity, and verifies it', async () => {
    const server = await SigstoreServer.start(now);
    try {
      const trustedRoot = server.instance.trustedRoot();
      const sigstore = { trustedRoot, signingConfig: server.signingConfig() };
      const keyless = { token: async () => token({ sub: 'alice' }) };
      const signed = await sign(`${name}:v1`, { ...user, keyless, sigstore, name: false });
      expect(signed.signatures[0]?.identity?.subject).toBe('alice@example.com');
      const alice = [{ identity: 'alice@example.com', issuer }];
      const verified = await verify(`${name}:v1`, { ...user, keyless: alice, trustedRoot });
      expect(verified.evidence[0]?.identity).toBe('alice@example.com');
      const bob = [{ identity: 'bob@example.com', issuer }];
      await expect(verify(`${name}:v1`, { ...user, keyless: bob, trustedRoot })).rejects.toMatchObject({
        code: 'untrusted-identity',
      });
      await expect(verify(`${name}:v1`, { ...user, keyless: alice })).rejects.toMatchObject({
        code: 'signature-mismatch',
      });
      await expect(verify(`${name}:v1`, { ...user, keyless: [] })).rejects.toMatchObject({
        code: 'trust-unpinned',
      });
      const logged = { ...user, key: signer, tlog: true as const, sigstore, name: false as const };
      expect((await sign(`${name}:v2`, logged)).signatures).toHaveLength(1);
    } finally {
      await server.stop();
    }
  });

  it.each([
    ['a key', { key: signer, keyless: true as const }],
    ['tlog', { keyless: true as const, tlog: true as const }],
    ['nothing to send', { sigstore: { trustedRoot: '{}' } }],
    [
      'no services',
      { keyless: { token: 'x' }, sigstore: { trustedRoot: new SigstoreInstance().trustedRoot() } },
    ],
  ])('refuses %s', async (_, options) => {
    await expect(sign(`${name}:v1`, { ...user, name: false, ...options })).rejects.toMatchObject({
      code: 'usage',
    });
  });
});

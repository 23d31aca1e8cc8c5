import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { signImage } from '../../src/actions/sign/signature.ts';
import type { Certificate } from '../../src/crypto/certificate.ts';
import { DirectoryFiles } from '../../src/layout/directory.ts';
import { LayoutStore } from '../../src/layout/store.ts';
import { type Certified, certifiedChain, certify, DURING } from '../support/certificates.ts';
import { bulla, type CliResult, temporaryDirectory } from '../support/cli.ts';
import { pushImage, tagOf } from '../support/content.ts';

const LATER = new Date('2028-01-01T00:00:00Z');
const HOUR_LATER = new Date(DURING.getTime() + 3_600_000);

let cwd: string;
let digest: string;
let leaf: Certified;
let root: Certified;
let stranger: Certified;
let chain: readonly Certificate[];

beforeAll(async () => {
  ({ leaf, root, chain } = await certifiedChain());
  stranger = await certify('C=DE, ST=Berlin, O=Other, CN=Root', { authority: {} });
});

beforeEach(async () => {
  cwd = await temporaryDirectory();
  const store = new LayoutStore(await DirectoryFiles.open(join(cwd, 'img'), { create: true }));
  ({ digest } = (await pushImage(store, 'app', 'v1')).descriptor);
  await pushImage(store, 'bare', 'unsigned');
  await signImage(
    store,
    { tag: tagOf('v1') },
    {
      ...{ name: 'app', signer: leaf.signer, chain, now: DURING, agent: 'bulla/test' },
      expiry: new Date(DURING.getTime() + 60_000),
    },
  );
  await store.close();
  await put('truststore/x509/ca/acme/root.pem', root.certificate.x509.toString());
  await put('truststore/x509/ca/other/root.pem', stranger.certificate.x509.toString());
});

async function put(path: string, text: string): Promise<void> {
  await mkdir(dirname(join(cwd, path)), { recursive: true });
  await writeFile(join(cwd, path), text);
}

interface Wish {
  readonly verification?: object;
  readonly stores?: readonly string[];
  readonly identities?: readonly string[];
  readonly scopes?: readonly string[];
  readonly now?: Date;
  readonly tag?: string;
  readonly flags?: readonly string[];
}

async function verify(wish: Wish): Promise<CliResult> {
  const policy = {
    version: '1.0',
    trustPolicies: [
      {
        name: 'acme',
        registryScopes: wish.scopes ?? ['*'],
        signatureVerification: wish.verification ?? { level: 'strict' },
        trustStores: wish.stores ?? ['ca:acme'],
        trustedIdentities: wish.identities ?? ['x509.subject: C=DE, ST=Berlin, O=Acme'],
      },
    ],
  };
  await put('trustpolicy.json', JSON.stringify(policy));
  const { tag = 'v1', now = DURING, flags = [] } = wish;
  return await bulla(['verify', `oci:img:${tag}`, '--trust-policy', 'trustpolicy.json', ...flags], {
    ...{ cwd, now },
    env: { BULLA_HOME: join(cwd, 'home') },
  });
}

describe('bulla verify --trust-policy', () => {
  it.each<[string, Wish, number]>([
    ['the authority and the subject', {}, 0],
    ['every subject of the authority', { identities: ['*'] }, 0],
    ['another subject', { identities: ['x509.subject: C=DE, ST=Berlin, O=Other'] }, 12],
    ['another authority', { stores: ['ca:other'] }, 13],
    ['either of two authorities', { stores: ['ca:other', 'ca:acme'] }, 0],
    ['a trust store that is not there', { stores: ['ca:gone'] }, 12],
    ['a trust store beside one that is not there', { stores: ['ca:acme', 'ca:gone'] }, 12],
    ['a trust store that is elsewhere', { stores: ['ca:../../x509/ca/acme'] }, 12],
    ['a trust store of another type', { stores: ['signingAuthority:acme'] }, 12],
    ['no scope that matches', { scopes: ['registry.example.com/app'] }, 12],
    ['an image without signature', { tag: 'unsigned' }, 10],
    ['an image without signature, audited', { tag: 'unsigned', verification: { level: 'audit' } }, 0],
    ['an image without signature, skipped', { tag: 'unsigned', verification: { level: 'skip' } }, 0],
    ['a level that is not known', { verification: { level: 'lax' } }, 12],
    ['no level', { verification: {} }, 12],
    ['integrity overridden', { verification: { level: 'strict', override: { integrity: 'log' } } }, 12],
    ['authenticity skipped', { verification: { level: 'strict', override: { authenticity: 'skip' } } }, 12],
    [
      'a check that is not known',
      { verification: { level: 'permissive', override: { expirry: 'enforce' } } },
      12,
    ],
    [
      'an action that is not known',
      { verification: { level: 'permissive', override: { expiry: 'enforced' } } },
      12,
    ],
    ['skip overridden', { verification: { level: 'skip', override: { expiry: 'enforce' } } }, 12],
    ['an expired signature', { now: HOUR_LATER }, 13],
    ['an expired signature, permissively', { now: HOUR_LATER, verification: { level: 'permissive' } }, 0],
    [
      'an expired signature, permissively but for that',
      { now: HOUR_LATER, verification: { level: 'permissive', override: { expiry: 'enforce' } } },
      13,
    ],
    [
      'an expired signature, strictly but for that',
      { now: HOUR_LATER, verification: { level: 'strict', override: { expiry: 'log' } } },
      0,
    ],
    [
      'expired certificates, strictly but for the signature',
      { now: LATER, verification: { level: 'strict', override: { expiry: 'skip' } } },
      13,
    ],
    ['expired certificates, permissively', { now: LATER, verification: { level: 'permissive' } }, 0],
    [
      'expired certificates of another authority, permissively',
      { now: LATER, verification: { level: 'permissive' }, stores: ['ca:other'] },
      13,
    ],
    [
      'another subject, permissively',
      { verification: { level: 'permissive' }, identities: ['x509.subject: C=DE, ST=Berlin, O=Other'] },
      12,
    ],
  ])('%s', async (_, wish, code) => {
    const { stdout, stderr, code: found } = await verify(wish);
    expect(found, stderr).toBe(code);
    if (code !== 0) expect(stdout).toBe('');
    else if (wish.tag === undefined) expect(stdout).toBe(`oci:img@${digest}\n`);
  });

  it('says what a policy only logs', async () => {
    const permissive = { verification: { level: 'permissive' } };
    expect((await verify({ ...permissive, now: LATER })).stderr).toMatch(/warning: only logged.*valid from/);
    expect((await verify({ ...permissive, now: HOUR_LATER })).stderr).toMatch(
      /warning: only logged.*expired/,
    );
    expect((await verify(permissive)).stderr).not.toContain('only logged');
  });

  it('reads trust stores from elsewhere, and works for several images', async () => {
    await put('elsewhere/ca/acme/root.pem', stranger.certificate.x509.toString());
    expect(await verify({ flags: ['--trust-store', 'elsewhere'] })).toMatchObject({ code: 13 });
    const several = await verify({ flags: ['oci:img:unsigned', '-o', 'json'] });
    expect(several.code).toBe(10);
    expect(several.stdout.trim().split('\n')).toHaveLength(3);
  });

  it.each([
    ['another policy', ['--policy', 'p.yaml'], 2],
    ['a key', ['--key', 'k.pub'], 2],
    ['an authority', ['--ca', 'ca.pem'], 2],
  ])('takes no %s beside it', async (_, flags, code) => {
    expect(await verify({ flags })).toMatchObject({ code, stdout: '' });
  });

  it.each([
    ['not JSON', 'version: "1.0"\ntrustPolicies: []\n'],
    ['of another version', '{"version":"2.0","trustPolicies":[]}'],
    ['a policy of ours', '{"version":1,"rules":[{"scope":"*","allow":"x"}]}'],
    ['ambiguous', '{"version":"1.0","trustPolicies":[],"trustPolicies":[]}'],
  ])('refuses a file that is %s', async (_, text) => {
    await put('other.json', text);
    const env = { BULLA_HOME: join(cwd, 'home') };
    const { code, stdout } = await bulla(['verify', 'oci:img:v1', '--trust-policy', 'other.json'], {
      cwd,
      env,
    });
    expect([2, 40]).toContain(code);
    expect(stdout).toBe('');
  });

  it('needs a trust policy for a trust store', async () => {
    expect(await bulla(['verify', 'oci:img:v1', '--trust-store', 'x'], { cwd })).toMatchObject({ code: 2 });
  });
});

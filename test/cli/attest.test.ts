import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { publicKeyOf, publicKeyPem } from '../../src/crypto/public-key.ts';
import { DirectoryFiles } from '../../src/layout/directory.ts';
import { LayoutStore } from '../../src/layout/store.ts';
import { MAX_PREDICATE_BYTES } from '../../src/signatures/predicates.ts';
import { bulla as run, temporaryDirectory } from '../support/cli.ts';
import { pushImage } from '../support/content.ts';
import { SigstoreServer, token } from '../support/sigstore/server.ts';

const now = new Date('2026-12-01T00:00:00Z');
const issuer = 'https://accounts.example.com';
const provenance = {
  buildDefinition: { buildType: 'https://example.com/make', externalParameters: { ref: 'main' } },
  runDetails: {
    builder: { id: 'https://ci.example.com/runner' },
    metadata: { finishedOn: '2026-11-30T00:00:00Z' },
  },
};
const vsa = {
  verifier: { id: 'https://example.com/verifier' },
  timeVerified: '2026-11-30T00:00:00Z',
  resourceUri: 'registry.example.com/app',
  verificationResult: 'PASSED',
  verifiedLevels: ['SLSA_BUILD_LEVEL_3', 'FEDRAMP_HIGH'],
};

let server: SigstoreServer;
let cwd: string;
const keys = generateKeyPairSync('ec', { namedCurve: 'P-256' });
beforeAll(async () => {
  server = await SigstoreServer.start(now);
});
afterAll(async () => {
  await server.stop();
});
beforeEach(async () => {
  cwd = await temporaryDirectory();
  const store = new LayoutStore(await DirectoryFiles.open(join(cwd, 'img'), { create: true }));
  await pushImage(store, 'app', 'v1');
  await store.close();
  await writeKey('key', keys);
  await writePredicate(provenance);
});

async function writeKey(
  name: string,
  { privateKey, publicKey }: { privateKey: KeyObject; publicKey: KeyObject },
) {
  await writeFile(join(cwd, `${name}.pem`), privateKey.export({ type: 'pkcs8', format: 'pem' }), {
    mode: 0o600,
  });
  await writeFile(join(cwd, `${name}.pub`), publicKeyPem(publicKeyOf(publicKey)));
}

const writePredicate = (predicate: unknown): Promise<void> =>
  writeFile(
    join(cwd, 'p.json'),
    typeof predicate === 'string' ? predicate : JSON.stringify(predicate, null, 2),
  );
const bulla = (line: string) => run(line.split(' '), { cwd, now, env: { BULLA_HOME: join(cwd, 'home') } });
const attest = (type: string, more = '--key key.pem') =>
  bulla(`attest oci:img:v1 --type ${type} --predicate p.json ${more}`);

describe('bulla attest', () => {
  it.each<[string, unknown, string]>([
    ['slsaprovenance1', provenance, 'SLSA provenance v1'],
    ['slsaprovenance02', { builder: { id: 'x' }, buildType: 'y' }, 'SLSA provenance v0.2'],
    ['spdxjson', { spdxVersion: 'SPDX-2.3', name: 'app' }, 'SPDX SBOM'],
    ['spdxjson', { '@graph': [] }, 'SPDX SBOM'],
    ['cyclonedx', { bomFormat: 'CycloneDX', specVersion: '1.6' }, 'CycloneDX SBOM'],
    [
      'vuln',
      {
        scanner: { uri: 'x' },
        metadata: { scanStartedOn: '2026-11-30T00:00:00Z', scanFinishedOn: '2026-11-30T00:00:01Z' },
      },
      'vulnerability scan',
    ],
    ['vsa', vsa, 'verification summary (VSA)'],
    ['https://example.com/review/v1', { anything: 1.5e3 }, 'https://example.com/review/v1'],
  ])(
    '%s: what is signed is shown, found by its type, and named in the tree',
    async (type, predicate, label) => {
      await writePredicate(predicate);
      const made = await attest(type);
      expect(made).toMatchObject({ code: 0 });
      expect(made.stderr).toContain(`attesting ${label}: p.json`);
      expect(await bulla(`verify oci:img:v1 --key key.pub --type ${type}`)).toMatchObject({ code: 0 });
      // Nothing that is attested releases an image.
      expect(await bulla('verify oci:img:v1 --key key.pub')).toMatchObject({ code: 12, stdout: '' });
      expect(await bulla('verify oci:img:v1 --key key.pub --type https://example.com/other')).toMatchObject({
        code: 12,
      });
      const tree = await bulla('tree oci:img:v1');
      expect(tree.stdout).toContain(`  ${label}\n`);
      const [, digest] = /(sha256:[0-9a-f]{64}) {2}\S/.exec(tree.stdout) ?? [];
      expect((await bulla(`inspect oci:img@${digest}`)).stdout).toContain(label);
    },
  );

  it.each<[string, string, unknown, number]>([
    ['a type that is not known', 'slsaprovenance9', provenance, 2],
    ['provenance without a builder', 'slsaprovenance1', { ...provenance, runDetails: {} }, 40],
    ['provenance of another version', 'slsaprovenance02', provenance, 40],
    ['an SBOM of the other kind', 'cyclonedx', { spdxVersion: 'SPDX-2.3' }, 40],
    ['an SBOM without a version', 'spdxjson', { name: 'x' }, 40],
    ['a scan without a scanner', 'vuln', { metadata: {} }, 40],
    ['a summary with another result', 'vsa', { ...vsa, verificationResult: 'MAYBE' }, 40],
    ['a summary with a date that is not one', 'vsa', { ...vsa, timeVerified: 'today' }, 40],
    [
      'a whole statement',
      'slsaprovenance1',
      { _type: 'https://in-toto.io/Statement/v1', predicateType: 'x', predicate: provenance },
      2,
    ],
    ['a list', 'https://example.com/x', [], 40],
    ['two values', 'https://example.com/x', '{} {}', 40],
    ['a member that stands twice', 'https://example.com/x', '{"a":1,"a":2}', 40],
    [
      'a member that restricts signatures',
      'https://example.com/x',
      { 'vnd.bulla.expires': '2020-01-01T00:00:00Z' },
      40,
    ],
    ['too much', 'https://example.com/x', { a: 'x'.repeat(MAX_PREDICATE_BYTES) }, 40],
    ['nothing', 'https://example.com/x', '', 40],
  ])('%s is not signed', async (_, type, predicate, code) => {
    await writePredicate(predicate);
    expect(await attest(type)).toMatchObject({ code, stdout: '' });
    expect((await bulla('signature ls oci:img:v1 -o json')).json()).toMatchObject({ signatures: [] });
  });

  it('signs the largest predicate that it takes, with its very bytes', async () => {
    const text = `{"n":1.50,"a":"${'x'.repeat(MAX_PREDICATE_BYTES - 20)}"}`;
    await writePredicate(text);
    expect(await attest('https://example.com/x')).toMatchObject({ code: 0 });
    expect(await bulla('verify oci:img:v1 --key key.pub --type https://example.com/x')).toMatchObject({
      code: 0,
    });
  });

  it.each(['ed25519', 'P-256'] as const)('signs with a %s key', async (curve) => {
    const made =
      curve === 'ed25519' ? generateKeyPairSync(curve) : generateKeyPairSync('ec', { namedCurve: curve });
    await writeKey('other', made);
    expect(await attest('slsaprovenance1', '--key other.pem')).toMatchObject({ code: 0 });
    expect(await bulla('verify oci:img:v1 --key other.pub --type slsaprovenance1')).toMatchObject({
      code: 0,
    });
  });

  it.each(['P-384', 'rsa'] as const)(
    'does not sign with a %s key, which stock cosign would not verify',
    async (type) => {
      const made =
        type === 'rsa'
          ? generateKeyPairSync(type, { modulusLength: 2048 })
          : generateKeyPairSync('ec', { namedCurve: type });
      await writeKey('other', made);
      const refused = await attest('slsaprovenance1', '--key other.pem');
      expect(refused).toMatchObject({ code: 2, stdout: '' });
      expect(refused.stderr).toContain('--keyless');
    },
  );

  it('signs keyless', async () => {
    await writeFile(join(cwd, 'root.json'), server.instance.trustedRoot());
    await writeFile(join(cwd, 'signing.json'), server.signingConfig());
    await writeFile(join(cwd, 'token'), token());
    const services = '--signing-config signing.json --trusted-root root.json';
    expect(await attest('vsa', `--keyless --identity-token token ${services}`)).toMatchObject({ code: 40 });
    await writePredicate(vsa);
    expect(await attest('vsa', `--keyless --identity-token token ${services}`)).toMatchObject({ code: 0 });
    const identity = `--trusted-root root.json --certificate-identity alice@example.com --certificate-oidc-issuer ${issuer}`;
    expect(await bulla(`verify oci:img:v1 --type vsa ${identity}`)).toMatchObject({ code: 0 });
    expect(await bulla(`verify oci:img:v1 ${identity}`)).toMatchObject({ code: 12 });
  });
});

describe('a policy on attestations', () => {
  const under = async (...attestations: unknown[]) => {
    const rules = [{ scope: '*', attestations }];
    await writeFile(join(cwd, 'policy.json'), JSON.stringify({ version: 1, rules }));
    return await bulla('verify oci:img:v1 --policy policy.json');
  };
  const on = (...conditions: unknown[]) => ({
    type: 'vsa',
    keys: ['key.pub'],
    ...(conditions.length > 0 && { conditions }),
  });

  it.each<[string, unknown[], number]>([
    ['nothing more', [], 0],
    ['a value', [{ path: 'verificationResult', equals: 'PASSED' }], 0],
    ['another value', [{ path: 'verificationResult', equals: 'FAILED' }], 12],
    ['a condition that is not one', [{ path: 'a..b', exists: true }], 2],
    ['a member that is not known', [{ path: 'a', equal: 1 }], 2],
  ])('with %s', async (_, conditions, code) => {
    await writePredicate(vsa);
    await attest('vsa');
    expect(await under(on(...conditions))).toMatchObject({ code });
  });

  it.each<[string, unknown]>([
    ['a type that is not known', { ...on(), type: 'slsa' }],
    ['no signers', { type: 'vsa' }],
    ['purposes', { ...on(), purposes: ['https://example.com/x'] }],
  ])('refuses %s', async (_, attestation) => {
    expect(await under(attestation)).toMatchObject({ code: 2, stdout: '' });
  });

  it('demands each of several, by their own signers, beside a signature', async () => {
    await attest('slsaprovenance1');
    const both = [on(), { type: 'slsaprovenance1', keys: ['key.pub'] }];
    expect(await under(...both)).toMatchObject({ code: 12 });
    await writePredicate(vsa);
    await attest('vsa');
    expect(await under(...both)).toMatchObject({ code: 0 });
    await writeKey('other', generateKeyPairSync('ed25519'));
    expect(await under(on(), { type: 'slsaprovenance1', keys: ['other.pub'] })).toMatchObject({ code: 12 });
    const rule = { scope: '*', attestations: both, signatures: [{ keys: ['key.pub'] }] };
    await writeFile(join(cwd, 'policy.json'), JSON.stringify({ version: 1, rules: [rule] }));
    expect(await bulla('verify oci:img:v1 --policy policy.json')).toMatchObject({ code: 12 });
    await bulla('sign oci:img:v1 --key key.pem');
    expect(await bulla('verify oci:img:v1 --policy policy.json')).toMatchObject({ code: 0 });
  });

  it('is explained', async () => {
    await attest('slsaprovenance1');
    const condition = { path: 'runDetails.builder.id', equals: 'https://evil.example.com' };
    const rules = [
      { scope: '*', attestations: [{ type: 'slsaprovenance1', keys: ['key.pub'], conditions: [condition] }] },
    ];
    await writeFile(join(cwd, 'policy.json'), JSON.stringify({ version: 1, rules }));
    const explained = await bulla('policy explain oci:img:v1 --policy policy.json');
    expect(explained.code).toBe(12);
    expect(explained.stderr).toContain('runDetails.builder.id equals "https://evil.example.com"');
    expect(explained.stderr).toContain('runDetails.builder.id is "https://ci.example.com/runner"');
  });
});

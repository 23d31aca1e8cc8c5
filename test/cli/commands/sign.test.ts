import { generateKeyPairSync } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { publicKeyPem } from '../../../src/crypto/public-key.ts';
import { DirectoryFiles } from '../../../src/layout/directory.ts';
import { LayoutStore } from '../../../src/layout/store.ts';
import type { ManifestContent } from '../../../src/oci/manifest.ts';
import { type CliOptions, bulla as run, temporaryDirectory } from '../../support/cli.ts';
import { pushImage } from '../../support/content.ts';
import { issue, issueChain } from '../../support/issue.ts';

const now = new Date('2026-12-01T00:00:00Z');
const acme = issueChain();
const scan = 'https://example.com/scan/v1';

let cwd: string;
let image: ManifestContent;
let env: Record<string, string>;
beforeEach(async () => {
  cwd = await temporaryDirectory();
  env = { BULLA_HOME: join(cwd, 'home'), BULLA_PASSPHRASE: 'x' };
  const store = new LayoutStore(await DirectoryFiles.open(join(cwd, 'img'), { create: true }));
  image = await pushImage(store, 'app', 'v1');
  await store.close();
  const pem = acme.leaf.privateKey.export({ type: 'pkcs8', format: 'pem' });
  await writeFile(join(cwd, 'acme.key'), pem, { mode: 0o600 });
  const bare = generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' });
  await writeFile(join(cwd, 'bare.key'), bare, { mode: 0o600 });
  await writeFile(join(cwd, 'acme.crt'), acme.chain.map(({ x509 }) => x509.toString()).join(''));
  await writeFile(join(cwd, 'ca.crt'), acme.root.certificate.x509.toString());
});

const bulla = (line: string, options: CliOptions = {}) => run(line.split(' '), { cwd, env, now, ...options });
const answer = () => `oci:img@${image.descriptor.digest}\n`;

describe('bulla sign and bulla verify', () => {
  it('take the default key', async () => {
    expect(await bulla('verify oci:img:v1')).toMatchObject({ code: 25, stdout: '' });
    await bulla('key generate');
    expect(await bulla('verify oci:img:v1')).toMatchObject({ code: 10, stdout: '' });
    const signed = await bulla('sign oci:img:v1');
    expect(signed).toMatchObject({ code: 0, stdout: answer() });
    expect(signed.stderr).toContain(`signed ${image.descriptor.digest} with key`);
    const verified = await bulla('verify oci:img:v1');
    expect(verified).toMatchObject({ code: 0, stdout: answer() });
    expect(verified.stderr).toContain('the tag v1 itself was not verified');
  });

  it('say on stdout only what is to be run, in JSON all of it', async () => {
    await bulla('sign oci:img:v1 --key acme.key --cert-chain acme.crt -a build=17 --expires 90d');
    expect((await bulla('verify oci:img:v1 --ca ca.crt -a build=17')).stdout).toBe(answer());
    const shown = await bulla('verify oci:img:v1 --ca ca.crt -o json');
    expect(shown.json()).toEqual({
      ok: true,
      reference: answer().trim(),
      ...image.descriptor,
      tag: 'v1',
      signed: 'image',
      name: null,
      signatures: [
        {
          signature: expect.stringMatching(/^sha256:/),
          kind: 'notation-jws',
          key: acme.leaf.signer.keyId,
          subject: 'C=DE, ST=Berlin, O=Acme, CN=release',
          identity: '*',
          purpose: 'https://sigstore.dev/cosign/sign/v1',
          annotations: { build: '17' },
          signingTime: '2026-12-01T00:00:00Z',
          expires: '2027-03-01T00:00:00Z',
        },
      ],
      notCounted: [],
    });
    const late = await bulla('verify oci:img:v1 --ca ca.crt -o json', {
      now: new Date('2027-03-01T00:00:00Z'),
    });
    expect(late).toMatchObject({ code: 13 });
    expect(late.json()).toMatchObject({ ok: false, code: 'certificate-expired', details: { counted: 0 } });
  });

  it.each([
    ['the authority', '--ca ca.crt', 0],
    [
      'the authority and the identity',
      '--ca ca.crt --certificate-identity x509.subject:C=DE,O=Acme,CN=release',
      0,
    ],
    ['another identity', '--ca ca.crt --certificate-identity x509.subject:C=DE,O=Acme,CN=dev', 12],
    ['an identity without an authority', '--key a.pub --certificate-identity x509.subject:CN=release', 2],
    ['another authority', '--ca other.crt', 13],
    ["the certificate's key", '--key acme.pub', 0],
    ['another key', '--key a.pub', 12],
    ['another annotation', '--ca ca.crt -a build=18', 12],
    ['a purpose', `--ca ca.crt --purpose ${scan}`, 12],
    ['two signers of an authority that counts as one', '--ca ca.crt --threshold 2', 2],
    ['two signers of one key', '--key acme.pub --threshold 2', 2],
    ['the same key in two files', '--key acme.pub --key twice.pub --threshold 2', 2],
    ['no number of signers', '--ca ca.crt --threshold 0', 2],
    ['a key that is not there', '--key none.pub', 11],
    ['a private key', '--key acme.key', 2],
    ['a key at an address', '--key env://KEY', 2],
    ['a certificate that is a key', '--ca acme.pub', 13],
  ])('verify a Notation signature against %s', async (_, flags, code) => {
    await writeFile(join(cwd, 'acme.pub'), publicKeyPem(acme.leaf.signer.publicKey));
    await writeFile(join(cwd, 'twice.pub'), publicKeyPem(acme.leaf.signer.publicKey).repeat(2));
    await writeFile(join(cwd, 'a.pub'), publicKeyPem(acme.root.signer.publicKey));
    await writeFile(join(cwd, 'other.crt'), issueChain().root.certificate.x509.toString());
    await bulla('sign oci:img:v1 --key acme.key --cert-chain acme.crt -a build=17');
    const result = await bulla(`verify oci:img:v1 ${flags}`);
    expect({ code: result.code, stderr: result.stderr }).toEqual({ code, stderr: expect.any(String) });
    expect(result.stdout).toBe(code === 0 ? answer() : '');
  });

  it('warn loudly where an authority is trusted and no signer is named', async () => {
    await writeFile(join(cwd, 'leaf.crt'), acme.leaf.certificate.x509.toString());
    await writeFile(join(cwd, 'acme.pub'), publicKeyPem(acme.leaf.signer.publicKey));
    await bulla('sign oci:img:v1 --key acme.key --cert-chain acme.crt');
    const identity = 'x509.subject:CN=release';
    for (const [flags, warned, accepted] of [
      ['--ca ca.crt', true, '*'],
      ['--ca ca.crt --key acme.pub', true, null],
      [`--ca ca.crt --certificate-identity ${identity}`, false, identity],
      ['--ca ca.crt --certificate-identity *', false, '*'],
      ['--ca leaf.crt', false, '*'],
      ['--key acme.pub', false, null],
    ] as const) {
      const { code, stderr, ...result } = await bulla(`verify oci:img:v1 ${flags} -o json`);
      const { signatures } = result.json() as { signatures: readonly { identity: string | null }[] };
      const found = {
        code,
        warned: stderr.includes('no signer is given'),
        identity: signatures[0]?.identity,
      };
      expect({ flags, ...found }).toEqual({ flags, code: 0, warned, identity: accepted });
    }
  });

  it('name the key where a public key file is looked for that nobody wrote', async () => {
    await bulla('key generate release');
    const missing = await bulla('verify oci:img:v1 --key release.pub');
    expect(missing.code).toBe(11);
    expect(missing.stderr).toContain('bulla key export release --public --out release.pub');
    const exported = await bulla('key export release --public --out release.pub');
    expect(exported, exported.stderr).toMatchObject({ code: 0 });
    const signed = await bulla('sign oci:img:v1 --key release.pub');
    expect(signed).toMatchObject({ code: 2, stderr: expect.stringContaining('public key') });
    expect(signed.stderr).not.toContain('chmod');
  });

  it('name a key alike, whoever names it', async () => {
    await bulla('key generate one');
    await bulla('key generate two');
    const { fingerprint } = (await bulla('key show one -o json')).json() as { fingerprint: string };
    await bulla('sign oci:img:v1 --key one');
    const name = `key ${fingerprint.slice(0, 12)}`;
    expect((await bulla('verify oci:img:v1 --key two')).stderr).toContain(`it says it is from ${name})`);
    expect((await bulla('signature ls oci:img:v1')).stdout).toMatch(new RegExp(`says it is by +${name}\n`));
  });

  it('keep purposes apart', async () => {
    await bulla('key generate');
    await bulla(`sign oci:img:v1 --purpose ${scan}`);
    expect((await bulla('verify oci:img:v1')).code).toBe(12);
    expect((await bulla(`verify oci:img:v1 --purpose ${scan}`)).stdout).toBe(answer());
  });

  it('demand as many signers as they are told', async () => {
    await bulla('key generate one');
    await bulla('key generate two');
    await bulla('sign oci:img:v1 --key one');
    expect((await bulla('verify oci:img:v1 --key one --key two --threshold 2')).code).toBe(12);
    await bulla('sign oci:img:v1 --key two');
    expect((await bulla('verify oci:img:v1 --key one --key two --threshold 2')).stdout).toBe(answer());
  });

  it.each([
    ['a purpose and certificates', `--key acme.key --cert-chain acme.crt --purpose ${scan}`],
    ['a purpose that is no URI', '--key bare.key --purpose scanned'],
    ['an envelope without certificates', '--key bare.key --signature-format cose'],
    ['certificates for a bundle', '--key acme.key --cert-chain acme.crt --signature-format bundle'],
    ['an unknown format', '--key bare.key --signature-format pgp'],
    ['an expiry that is over', '--key bare.key --expires 2026-11-30T00:00:00Z'],
    ['an expiry that is no time', '--key bare.key --expires tomorrow'],
    ['an annotation without a value', '--key bare.key -a build'],
    ['an annotation twice', '--key bare.key -a b=1 -a b=2'],
    ['an annotation that is ours', '--key bare.key -a vnd.bulla.expires=never'],
    ['no key', ''],
    ['certificates of another key', '--key acme.key --cert-chain ca.crt'],
  ])('sign refuses %s, and writes nothing', async (_, flags) => {
    const result = await bulla(`sign oci:img:v1 ${flags}`.trim());
    expect(result).toMatchObject({ code: 2, stdout: '' });
    expect(result.stderr).toContain('hint: ');
    expect((await bulla('signature ls oci:img:v1 -o json')).json()).toMatchObject({ signatures: [] });
  });

  it('sign refuses certificates that notation would refuse', async () => {
    const old = issueChain({ notAfter: new Date('2026-11-01T00:00:00Z') });
    const lone = issue({ subject: { CN: 'lone' }, usages: [0, 2] });
    for (const [made, code] of [
      [[old.leaf, old.root], 13],
      [[lone], 13],
    ] as const) {
      const pem = made[0].privateKey.export({ type: 'pkcs8', format: 'pem' });
      await writeFile(join(cwd, 'bad.key'), pem, { mode: 0o600 });
      await writeFile(
        join(cwd, 'bad.crt'),
        made.map(({ certificate }) => certificate.x509.toString()).join(''),
      );
      expect(await bulla('sign oci:img:v1 --key bad.key --cert-chain bad.crt')).toMatchObject({ code });
    }
  });
});

describe('bulla signature', () => {
  it('lists signatures and removes them', async () => {
    await bulla('key generate');
    await bulla('sign oci:img:v1 -a build=17');
    await bulla('sign oci:img:v1 --key acme.key --cert-chain acme.crt --signature-format cose');
    const listed = await bulla('signature ls oci:img:v1');
    expect(listed.stdout).toMatch(/Sigstore bundle/);
    expect(listed.stdout).toMatch(/annotation +build=17/);
    expect(listed.stdout).toMatch(/says it is by +C=DE, ST=Berlin, O=Acme, CN=release/);
    const { signatures } = (await bulla('signature ls oci:img:v1 -o json')).json() as {
      signatures: { signature: string; kind: string }[];
    };
    const cose = signatures.find(({ kind }) => kind === 'notation-cose')!.signature;
    expect(await bulla(`signature rm oci:img:v1 ${cose}`)).toMatchObject({ code: 0, stdout: '' });
    expect((await bulla('verify oci:img:v1 --ca ca.crt')).code).toBe(12);
    expect((await bulla('verify oci:img:v1')).code).toBe(0);
    expect((await bulla('signature rm oci:img:v1 --all')).code).toBe(0);
    expect((await bulla('verify oci:img:v1')).code).toBe(10);
  });

  it.each([
    ['nothing', '', 2],
    ['digests and --all', `sha256:${'0'.repeat(64)} --all`, 2],
    ['what is no digest', 'v1', 2],
    ['what is no signature of the image', `sha256:${'0'.repeat(64)}`, 11],
  ])('does not remove %s', async (_, what, code) => {
    expect((await bulla(`signature rm oci:img:v1 ${what}`.trim())).code).toBe(code);
  });
});

import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import type { ManifestContent } from '../../../src/oci/manifest.ts';
import type { Target } from '../../../src/oci/target.ts';
import { HEAD_TAG, TRUST_TYPES } from '../../../src/trust/format/vocabulary.ts';
import { findName } from '../../../src/trust/read/names.ts';
import { WorkingCopy } from '../../../src/trust/read/working-copy.ts';
import { type CliOptions, type CliResult, bulla as run, temporaryDirectory } from '../../support/cli.ts';
import { pushImage, tagOf } from '../../support/content.ts';
import { storePlainKeys } from '../../support/plain-keys.ts';
import { registryFor, repositoryOf } from '../../support/registry/open.ts';
import { readAny } from '../../support/trust/changing.ts';

const now = new Date('2030-01-01T00:00:00Z');

let home: string;
let env: Record<string, string>;
let repository: string;
let target: Target;
let image: ManifestContent;
beforeEach(async () => {
  home = await temporaryDirectory();
  env = { BULLA_HOME: home, BULLA_PASSPHRASE: 'x' };
  await storePlainKeys(home, 'publisher', 'root', 'online');
  const registry = await registryFor();
  repository = `${registry.host}/team/app`;
  target = repositoryOf(registry);
  image = await pushImage(target, 'app', 'v1');
});
const bulla = (line: string, options: CliOptions = {}): Promise<CliResult> =>
  run(line.replaceAll('REPO', repository).split(' '), { cwd: home, env, now, ...options });

async function init(): Promise<void> {
  const made = await bulla('init REPO');
  expect(made, made.stderr).toMatchObject({ code: 0 });
}

async function signedDigest(name: string): Promise<string> {
  return (await findName(await readAny(target, { now }), tagOf(name))).digest;
}

describe('bulla sign in a repository with a collection', () => {
  it('signs the image, then its name, and attaches a proof', async () => {
    await init();
    const signed = await bulla('sign REPO:v1 -o json');
    expect(signed, signed.stderr).toMatchObject({ code: 0 });
    const { digest } = image.descriptor;
    expect(signed.json()).toMatchObject({
      reference: `${repository}@${digest}`,
      tag: 'v1',
      signatures: [{ kind: 'sigstore-bundle', image: digest }],
      collection: {
        name: repository,
        role: 'names',
        head: (await target.resolve(HEAD_TAG)).digest,
        version: expect.stringMatching(/^\d+\.[0-9a-f]{7}$/),
        names: [{ tag: 'v1', digest }],
        proofs: [expect.stringMatching(/^sha256:/)],
      },
    });
    expect(await signedDigest('v1')).toBe(digest);
    expect(await target.listReferrers(digest, { artifactType: TRUST_TYPES.proof })).toHaveLength(1);
    expect(await bulla('verify REPO:v1 --key publisher')).toMatchObject({ code: 0 });
  });

  it('signs several names in one change, given as arguments, in a file, or on stdin', async () => {
    await init();
    await target.pushManifest(image, { tag: tagOf('v1.2') });
    const other = await pushImage(target, 'other', 'v2');
    const lines = `# releases\n${repository}:v1.2\n\n${repository}:v2\r\n`;
    const signed = await bulla('sign REPO:v1 --from - -o json --no-proof', { stdin: lines });
    expect(signed, signed.stderr).toMatchObject({ code: 0 });
    const json = signed.json() as {
      signatures: unknown[];
      images: unknown[];
      collection: { changes: unknown[] };
    };
    expect([json.signatures, json.images, json.collection.changes].map((list) => list.length)).toEqual([
      2, 3, 1,
    ]);
    for (const [name, { descriptor }] of Object.entries({ v1: image, 'v1.2': image, v2: other }))
      expect(await signedDigest(name)).toBe(descriptor.digest);
    expect(await target.listReferrers(image.descriptor.digest, { artifactType: TRUST_TYPES.proof })).toEqual(
      [],
    );
  });

  it('signs nothing where tag and digest do not agree', async () => {
    await init();
    const other = await pushImage(target, 'other', 'v2');
    const moved = await bulla(`sign REPO:v1@${other.descriptor.digest}`);
    expect(moved).toMatchObject({ code: 24, stdout: '' });
  });

  it('signs the image alone, or the name alone', async () => {
    await init();
    const head = await target.resolve(HEAD_TAG);
    expect(await bulla('sign REPO:v1 --no-name')).toMatchObject({ code: 0 });
    expect(await target.resolve(HEAD_TAG)).toEqual(head);
    const signatures = await target.listReferrers(image.descriptor.digest);
    expect(await bulla('sign REPO:v1 --name-only --no-proof')).toMatchObject({ code: 0 });
    expect(await target.listReferrers(image.descriptor.digest)).toEqual(signatures);
    expect(await signedDigest('v1')).toBe(image.descriptor.digest);
    const digest = await bulla(`sign REPO@${image.descriptor.digest}`);
    expect(digest).toMatchObject({ code: 0 });
  });

  it('keeps the collection of a repository in another one', async () => {
    const { digest } = image.descriptor;
    const trust = repository.replace('team/app', 'team/trust');
    expect(await bulla(`init REPO --at ${trust}`)).toMatchObject({ code: 0 });
    const signed = await bulla(`sign REPO:v1 --at ${trust} -o json`);
    expect(signed.json(), signed.stderr).toMatchObject({
      collection: { place: trust, name: repository, names: [{ tag: 'v1', digest }] },
    });
    expect(await target.listTags()).toEqual(['v1']);
    expect(await target.listReferrers(digest, { artifactType: TRUST_TYPES.proof })).toHaveLength(1);
  });

  it('signs with keys that were found by what the collection lists, whatever the default is', async () => {
    await init();
    await storePlainKeys(home, 'release');
    const signed = await bulla('sign REPO:v1 --key release -o json');
    expect(signed.json(), signed.stderr).toMatchObject({ ok: true, collection: { role: 'names' } });
    expect(await bulla('verify REPO:v1 --key release')).toMatchObject({ code: 0 });
  });
});

describe('bulla sign without what it needs', () => {
  it('signs the image and says that the name is not signed, where there is no collection', async () => {
    const signed = await bulla('sign REPO:v1');
    expect(signed).toMatchObject({ code: 0, stdout: `${repository}@${image.descriptor.digest}\n` });
    expect(signed.stderr).toContain(`the tag v1 is not signed`);
    expect(signed.stderr).toContain(`bulla init ${repository}`);
    expect((await bulla('sign REPO:v1 --no-name')).stderr).not.toContain('not signed');
    expect(await bulla('sign REPO:v1 --name-only')).toMatchObject({ code: 11, stdout: '' });
  });

  it('signs nothing where no key here may sign the name', async () => {
    await init();
    await rm(join(home, 'keys'), { recursive: true });
    await storePlainKeys(home, 'other');
    const signed = await bulla('sign REPO:v1');
    expect(signed).toMatchObject({ code: 12, stdout: '' });
    expect(signed.stderr).toMatch(/no key here may sign names for "names".*\[untrusted-identity\]/);
    expect(signed.stderr).toContain('--no-name');
    expect(await target.listReferrers(image.descriptor.digest)).toEqual([]);
    expect(await bulla('sign REPO:v1 --no-name')).toMatchObject({ code: 0 });
  });

  it('signs nothing where nothing says whom to believe about the collection', async () => {
    await init();
    const elsewhere = await temporaryDirectory();
    await storePlainKeys(elsewhere, 'release');
    const signed = await bulla('sign REPO:v1', { env: { ...env, BULLA_HOME: elsewhere } });
    expect(signed).toMatchObject({ code: 25, stdout: '' });
    expect(await target.listReferrers(image.descriptor.digest)).toEqual([]);
  });

  it('stages where the online key is elsewhere, and says so', async () => {
    await init();
    await rm(join(home, 'keys/online.key'));
    const signed = await bulla('sign REPO:v1 --wait 0s');
    expect(signed, signed.stderr).toMatchObject({ code: 31, stdout: '' });
    expect(await target.listTags()).toContainEqual(expect.stringMatching(/^_trust\.stage\.[0-9a-f]{16}$/));
  });

  it.each([
    ['a tag of the collection', 'sign REPO:_trust', /part of the trust collection/],
    ['references of two repositories', 'sign REPO:v1 REPO/other:v1', /one change is of one repository/],
    ['no reference', 'sign', /no reference was given/],
    ['--no-name with --name-only', 'sign REPO:v1 --no-name --name-only', /--no-name is given along/],
    ['--name-only without a tag', 'sign REPO@DIGEST --name-only', /has no tag/],
    ['a role that is not there', 'sign REPO:v1 --signer alice', /has no role "alice"/],
  ])('refuses %s', async (_, line, message) => {
    if (line.includes('--signer')) await init();
    const signed = await bulla(line.replace('DIGEST', image.descriptor.digest));
    expect(signed).toMatchObject({ code: 2, stdout: '' });
    expect(signed.stderr).toMatch(message);
    expect(await target.listReferrers(image.descriptor.digest)).toEqual([]);
  });
});

describe('bulla revoke', () => {
  it('takes names out, and logs those that were not there', async () => {
    await init();
    await target.pushManifest(image, { tag: tagOf('v1.2') });
    await bulla('sign REPO:v1 REPO:v1.2');
    const revoked = await bulla('revoke REPO:v1 REPO:v9 -o json');
    expect(revoked, revoked.stderr).toMatchObject({ code: 0 });
    expect(revoked.json()).toMatchObject({
      names: [
        { tag: 'v1', wasNamed: true },
        { tag: 'v9', wasNamed: false },
      ],
      collection: { role: 'names', head: (await target.resolve(HEAD_TAG)).digest },
    });
    expect(revoked.stderr).toContain('did not name v9');
    expect(await signedDigest('v1.2')).toBe(image.descriptor.digest);
    await expect(signedDigest('v1')).rejects.toMatchObject({ code: 'name-not-signed' });
    const log = await (await WorkingCopy.open(await readAny(target, { now }))).log('names');
    expect(log.entries.at(-1)?.unset).toEqual(new Set(['v1', 'v9']));
    expect(await bulla('sign REPO:v1')).toMatchObject({ code: 0 });
    expect(await signedDigest('v1')).toBe(image.descriptor.digest);
  });

  it.each([
    ['a digest', 'revoke REPO@DIGEST', 2],
    ['a repository', 'revoke REPO', 2],
    ['where there is no collection', 'revoke REPO:v1', 11],
  ])('refuses %s', async (_, line, code) => {
    const revoked = await bulla(line.replace('DIGEST', image.descriptor.digest));
    expect(revoked).toMatchObject({ code, stdout: '' });
  });
});

describe('bulla pull of a signed name', () => {
  it('brings what is signed, whatever the tag points to, and what verifies it there', async () => {
    await init();
    await bulla('sign REPO:v1');
    const { digest } = image.descriptor;
    await pushImage(target, 'moved', 'v1');
    const pulled = await bulla('pull REPO:v1 oci:here');
    expect(pulled, pulled.stderr).toMatchObject({ code: 0, stdout: `oci:here@${digest}\n` });
    expect(pulled.stderr).toContain("the registry's tag v1 points to");
    const verified = await bulla('verify oci:here:v1 --collection REPO --offline');
    expect(verified, verified.stderr).toMatchObject({ code: 0, stdout: `oci:here@${digest}\n` });
    await bulla('copy oci:here oci-archive:there.tar:v1');
    const archived = await bulla('verify oci-archive:there.tar:v1 --collection REPO --offline');
    expect(archived, archived.stderr).toMatchObject({ code: 0 });
    expect(await bulla('pull REPO:v1 oci:strict --drift reject')).toMatchObject({ code: 24, stdout: '' });
  });

  it('brings nothing that is not named any more', async () => {
    await init();
    await bulla('sign REPO:v1');
    await bulla('revoke REPO:v1');
    expect(await bulla('pull REPO:v1 oci:here')).toMatchObject({ code: 23, stdout: '' });
    expect(await bulla('pull REPO:v1 oci:here --no-verify --signer names')).toMatchObject({ code: 2 });
  });
});

describe('names in places where less can be had', () => {
  it('are signed in a layout and in an archive, which carry them elsewhere', async () => {
    const name = 'registry.example.com/team/app';
    await bulla('copy REPO:v1 oci:here');
    await bulla(`init oci:here --collection ${name}`);
    await bulla('copy oci:here:v1 oci-archive:there.tar:v1');
    const signed = await bulla(`sign oci-archive:there.tar:v1 --collection ${name} --tofu -o json`);
    expect(signed.json(), signed.stderr).toMatchObject({ ok: true, collection: { name } });
    const verified = await bulla(`verify oci-archive:there.tar:v1 --collection ${name}`);
    expect(verified, verified.stderr).toMatchObject({ code: 0 });
    const back = await bulla('copy oci-archive:there.tar:v1 oci:here:v1 -o json');
    expect(back.json()).toMatchObject({ collection: { outcome: 'forwarded' } });
    const home = await bulla(`verify oci:here:v1 --collection ${name}`);
    expect(home, home.stderr).toMatchObject({ code: 0 });
  });

  it('are kept in another repository where tags cannot be moved, and who signs is told so', async () => {
    const registry = await registryFor({ immutableTags: /^_trust/ });
    const other = `${registry.host}/team/app`;
    await pushImage(repositoryOf(registry), 'app', 'v1');
    const refused = await bulla(`init ${other}`);
    expect(refused).toMatchObject({ code: 30, stdout: '' });
    expect(refused.stderr).toContain('--at OTHER/REPO');
    expect(await bulla(`init ${other} --at ${repository}`)).toMatchObject({ code: 0 });
    const signed = await bulla(`sign ${other}:v1 --at ${repository} -o json`);
    expect(signed.json(), signed.stderr).toMatchObject({ collection: { name: other, place: repository } });
    expect(await bulla(`verify ${other}:v1 --at ${repository}`)).toMatchObject({ code: 0 });
  });
});

import { readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import type { ManifestContent } from '../../../src/oci/manifest.ts';
import type { Target } from '../../../src/oci/target.ts';
import { pushImage, tagOf } from '../../support/content.ts';
import { registryFor, repositoryOf } from '../../support/registry/open.ts';
import type { FaultyRegistry } from '../../support/registry/server.ts';
import { People, type Person } from '../../support/trust/people.ts';

const now = new Date('2030-01-01T00:00:00Z');
const people = new People();

let registry: FaultyRegistry;
let repository: string;
let target: Target;
let image: ManifestContent;
let admin: Person;
beforeEach(async () => {
  registry = await registryFor();
  repository = `${registry.host}/team/app`;
  target = repositoryOf(registry);
  image = await pushImage(target, 'app', 'v1');
  admin = await people.person(now, 'root', 'publisher', 'online');
});

const keyid = (name: 'root' | 'publisher' | 'online' | 'alice' | 'bob') => people.keyids.get(name) as string;
const hex = (content: ManifestContent): string => content.descriptor.digest.slice('sha256:'.length);

/** Runs `bulla docker-trust …`, with REPO for the repository; it must succeed. */
async function ok(person: Person, line: string, options: { stdin?: string } = {}): Promise<string> {
  const result = await person.run(`docker-trust ${line}`.replaceAll('REPO', repository), options);
  expect(result, `${line}: ${result.stderr}`).toMatchObject({ code: 0 });
  return result.stdout;
}

/** As {@link ok}, for what must fail. */
async function fails(person: Person, line: string, code: number, options: { stdin?: string } = {}) {
  const result = await person.run(`docker-trust ${line}`.replaceAll('REPO', repository), options);
  expect(result, `${line}: ${result.stdout}${result.stderr}`).toMatchObject({ code });
  return result;
}

interface Inspected {
  readonly Name: string;
  readonly SignedTags: readonly { SignedTag: string; Digest: string; Signers: readonly string[] }[];
  readonly Signers: readonly { Name: string; Keys: readonly { ID: string }[] }[];
  readonly AdministrativeKeys: readonly { Name: string; Keys: readonly { ID: string }[] }[];
}

async function inspect(person: Person = admin, image = 'REPO'): Promise<Inspected> {
  return (JSON.parse(await ok(person, `inspect ${image}`)) as [Inspected])[0];
}

const tags = ({ SignedTags }: Inspected) =>
  SignedTags.map(({ SignedTag, Signers }) => `${SignedTag}: ${Signers.join(', ')}`);

/** Somebody who has pinned the root key. */
async function pinned(...keys: ('publisher' | 'online' | 'alice' | 'bob')[]): Promise<Person> {
  const person = await people.person(now, ...keys);
  const done = await person.run(`pin ${repository} --root-key-id ${keyid('root')}`);
  expect(done, done.stderr).toMatchObject({ code: 0 });
  return person;
}

describe('docker-trust signer add', () => {
  it('initialises the repository, and admits a signer whose private key is elsewhere', async () => {
    expect(await ok(admin, 'signer add --key alice.pub alice REPO')).toBe(
      [
        `Adding signer "alice" to ${repository}...`,
        `Initializing signed repository for ${repository}...`,
        `Successfully initialized "${repository}"`,
        `Successfully added signer: alice to ${repository}`,
        '',
        '',
      ].join('\n'),
    );
    const alice = await pinned('alice', 'online');
    expect(await ok(alice, 'sign REPO:v1')).toBe(
      `Signing and pushing trust metadata for ${repository}:v1\nSuccessfully signed ${repository}:v1\n`,
    );
    expect(await inspect()).toEqual({
      Name: repository,
      SignedTags: [{ SignedTag: 'v1', Digest: hex(image), Signers: ['alice'] }],
      Signers: [{ Name: 'alice', Keys: [{ ID: keyid('alice') }] }],
      AdministrativeKeys: [
        { Name: 'Root', Keys: [{ ID: keyid('root') }] },
        { Name: 'Repository', Keys: [{ ID: keyid('publisher') }] },
      ],
    });
    // What docker pull did: any signer's word counts, without naming one.
    expect(await alice.run(`verify ${repository}:v1`)).toMatchObject({ code: 0 });
    expect(await alice.run(`verify ${repository}:v1 --signer names --signer alice`)).toMatchObject({
      code: 0,
    });
  });

  it('admits several signers one after the other, none of whose keys are there', async () => {
    await ok(admin, 'signer add --key alice.pub alice REPO');
    await ok(admin, 'signer add --key bob.pub bob REPO');
    const [alice, bob] = [await pinned('alice', 'online'), await pinned('bob', 'online')];
    await ok(alice, 'sign REPO:v1');
    expect(await ok(bob, 'sign REPO:v1')).toContain(
      `Existing signatures for tag v1 digest ${hex(image)} from:\nalice\n`,
    );
    expect(tags(await inspect())).toEqual(['v1: alice, bob']);
    const table = await ok(admin, 'inspect --pretty REPO');
    expect(table).toBe(
      [
        '',
        `Signatures for ${repository}`,
        '',
        `SIGNED TAG   ${'DIGEST'.padEnd(67)}SIGNERS`,
        `v1           ${hex(image)}   alice, bob`,
        '',
        `List of signers and their keys for ${repository}`,
        '',
        'SIGNER    KEYS',
        `alice     ${keyid('alice').slice(0, 12)}`,
        `bob       ${keyid('bob').slice(0, 12)}`,
        '',
        `Administrative keys for ${repository}`,
        '',
        `  Repository Key:\t${keyid('publisher')}`,
        `  Root Key:\t${keyid('root')}`,
        '',
      ].join('\n'),
    );
  });

  it('leaves no key in a role but those that were given, once the signer has signed', async () => {
    const listed = async (): Promise<Record<string, number>> => {
      const shown = (await admin.run(`signer ls ${repository} -o json`)).json();
      const { signers } = shown as { signers: { role: string; keys: unknown[] }[] };
      return Object.fromEntries(signers.map(({ role, keys }) => [role, keys.length]));
    };
    await ok(admin, 'signer add --key alice.pub alice REPO');
    expect(await listed()).toEqual({ names: 2, alice: 2 });
    await ok(await pinned('alice', 'online'), 'sign REPO:v1');
    await ok(admin, 'signer add --key bob.pub bob REPO');
    expect(await listed()).toEqual({ names: 3, alice: 1, bob: 2 });
    expect(tags(await inspect())).toEqual(['v1: alice']);
  });

  it('needs no further key where the signer’s own is at hand', async () => {
    const both = await people.person(now, 'root', 'publisher', 'online', 'alice');
    await ok(both, 'signer add --key alice.pub alice REPO');
    const shown = (await both.run(`signer ls ${repository} -o json`)).json();
    expect(shown['signers']).toMatchObject([{}, { role: 'alice', keys: [{ keyid: keyid('alice') }] }]);
    expect((shown['signers'] as { keys: unknown[] }[])[1]?.keys).toHaveLength(1);
  });

  it('gives a signer who is there a further key, and does nothing where it has it', async () => {
    await ok(admin, 'signer add --key alice.pub alice REPO');
    await ok(admin, 'signer add --key bob.pub alice REPO');
    const { Signers } = await inspect();
    expect(Signers).toMatchObject([{ Name: 'alice', Keys: [{ ID: keyid('alice') }, { ID: keyid('bob') }] }]);
    const head = await target.resolve(tagOf('_trust'));
    await ok(admin, 'signer add --key bob.pub --key alice.pub alice REPO');
    expect(await target.resolve(tagOf('_trust'))).toEqual(head);
    await ok(await pinned('bob', 'online'), 'sign REPO:v1');
    expect(tags(await inspect())).toEqual(['v1: alice']);
  });

  it('goes on with the next repository where one fails, and says which', async () => {
    const result = await fails(admin, `signer add --key alice.pub alice 127.0.0.1:1/gone REPO`, 3);
    expect(result.stdout).toContain(`Successfully added signer: alice to ${repository}`);
    expect(result.stderr).toContain('failed to add signer to: 127.0.0.1:1/gone [registry-unreachable]');
    expect((await inspect()).Signers).toHaveLength(1);
  });

  it.each([
    ['signer add --key alice.pub Alice REPO', 2, 'must start with lowercase alphanumeric'],
    ['signer add --key alice.pub -- -alice REPO', 2, 'must start with'],
    ['signer add --key alice.pub releases REPO', 2, 'releases is a reserved keyword'],
    ['signer add --key alice.pub names REPO', 2, 'reserved keyword'],
    ['signer add --key alice.pub targets REPO', 2, 'reserved keyword'],
    ['signer add alice REPO', 2, 'path to a public key must be provided using the `--key` flag'],
    ['signer add --key nobody.pub alice REPO', 11, 'unable to read public key from file'],
    ['signer add --key bulla/keys/root.key alice REPO', 2, 'could not parse public key from file'],
    ['signer add --key alice.pub alice', 2, 'repository'],
  ])('refuses %s', async (line, code, words) => {
    const result = await fails(admin, line, code);
    expect(result.stderr).toContain(words);
    await expect(target.resolve(tagOf('_trust'))).rejects.toThrow();
  });

  it('is for who has the root key', async () => {
    await ok(admin, 'signer add --key alice.pub alice REPO');
    const result = await fails(await pinned('publisher', 'online'), 'signer add --key bob.pub bob REPO', 12);
    expect(result.stderr).toContain('[threshold-not-met]');
    expect((await inspect()).Signers).toHaveLength(1);
  });

  it('takes the key out of a certificate, as docker does, and not of one that has expired', async () => {
    const made = await admin.run(
      'key cert publisher --self-signed --subject C=DE,ST=B,O=A,CN=p --days 30 --out p.pem',
    );
    expect(made, made.stderr).toMatchObject({ code: 0 });
    await ok(admin, 'signer add --key p.pem pat REPO');
    expect((await inspect()).Signers).toEqual([{ Name: 'pat', Keys: [{ ID: keyid('publisher') }] }]);
    const later = new Date('2030-03-01T00:00:00Z');
    const line = `docker-trust signer add --key p.pem other ${repository}`;
    expect(await admin.run(line, { now: later })).toMatchObject({ code: 13 });
  });

  it('trusts nobody by itself: a repository that was never seen must be pinned', async () => {
    await ok(admin, 'signer add --key alice.pub alice REPO');
    const stranger = await people.person(now, 'alice', 'online');
    await fails(stranger, 'sign REPO:v1', 25);
    await ok(stranger, `sign --tofu REPO:v1`);
  });
});

describe('docker-trust sign', () => {
  it('initialises a repository that has no collection, and signs for the repository itself', async () => {
    expect(await ok(admin, 'sign REPO:v1')).toBe(
      [
        `Finished initializing signed repository for ${repository}:v1`,
        `Signing and pushing trust metadata for ${repository}:v1`,
        `Successfully signed ${repository}:v1`,
        '',
      ].join('\n'),
    );
    expect(tags(await inspect())).toEqual(['v1: Repo Admin']);
    expect(await ok(admin, 'inspect --pretty REPO:v1')).toContain('(Repo Admin)');
  });

  it('signs in every role that there is a key for', async () => {
    const all = await people.person(now, 'root', 'publisher', 'online', 'alice', 'bob');
    await ok(all, 'signer add --key alice.pub alice REPO');
    await ok(all, 'signer add --key bob.pub bob REPO');
    await ok(all, 'sign REPO:v1');
    expect(tags(await inspect(all))).toEqual(['v1: alice, bob']);
  });

  it('signs what the registry has, also with --local, and says what was signed before', async () => {
    await ok(admin, 'sign REPO:v1');
    const moved = await pushImage(target, 'another', 'v1');
    expect(await ok(admin, 'sign --local REPO:v1')).toContain(`digest ${hex(image)} from:`);
    expect((await inspect()).SignedTags).toMatchObject([{ Digest: hex(moved) }]);
  });

  it('sorts tags naturally', async () => {
    for (const name of ['v10', 'v9', '1.0', 'latest']) await target.pushManifest(image, { tag: tagOf(name) });
    for (const name of ['v10', 'v9', 'v1', 'latest', '1.0']) await ok(admin, `sign REPO:${name}`);
    expect((await inspect()).SignedTags.map(({ SignedTag }) => SignedTag)).toEqual([
      ...['1.0', 'latest', 'v1', 'v9', 'v10'],
    ]);
  });

  it.each([
    ['sign REPO', 2, 'no tag specified for'],
    [`sign REPO@sha256:${'0'.repeat(64)}`, 2, 'cannot use a digest reference for IMAGE:TAG'],
    [`sign REPO:v1@sha256:${'0'.repeat(64)}`, 2, 'cannot use a digest reference for IMAGE:TAG'],
    ['sign REPO:_trust', 2, 'part of the trust collection'],
    ['sign REPO:nothing', 11, 'not-found'],
    ['sign', 2, ''],
    ['sign REPO:v1 REPO:v1', 2, ''],
    ['sign REPO:v1!', 2, 'not a tag'],
  ])('refuses %s, and makes nothing', async (line, code, words) => {
    expect((await fails(admin, line, code)).stderr).toContain(words);
    await expect(target.resolve(tagOf('_trust'))).rejects.toThrow();
  });

  it('says so where no key here may sign', async () => {
    await ok(admin, 'signer add --key alice.pub alice REPO');
    const result = await fails(await pinned('bob', 'online'), 'sign REPO:v1', 12);
    expect(result.stderr).toContain(
      `failed to sign ${repository}:v1: no valid signing keys for delegation roles [untrusted-identity]`,
    );
    expect(tags(await inspect())).toEqual([]);
  });

  it('signs in a signer’s role alone where the repository does not let it release, and says so', async () => {
    const both = await people.person(now, 'root', 'publisher', 'online', 'alice');
    await both.run(`init ${repository}`);
    await both.run(`signer add ${repository} alice --key alice.pub`);
    const alice = await pinned('alice', 'online');
    const result = await alice.run(`docker-trust sign ${repository}:v1`);
    expect(result).toMatchObject({ code: 0, stderr: expect.stringContaining('v1 is not released') });
    expect(tags(await inspect(alice))).toEqual([]);
    await ok(both, 'sign REPO:v1');
    expect(tags(await inspect(alice))).toEqual(['v1: alice']);
  });
});

describe('docker-trust signer remove', () => {
  let alice: Person;
  let bob: Person;
  beforeEach(async () => {
    await ok(admin, 'signer add --key alice.pub alice REPO');
    await ok(admin, 'signer add --key bob.pub bob REPO');
    [alice, bob] = [await pinned('alice', 'online'), await pinned('bob', 'online')];
  });

  it('ends the trust in the signer, and in what nobody else has signed', async () => {
    await target.pushManifest(image, { tag: tagOf('v2') });
    await ok(alice, 'sign REPO:v1');
    await ok(alice, 'sign REPO:v2');
    await ok(bob, 'sign REPO:v2');
    expect(await ok(admin, 'signer remove -f alice REPO')).toBe(
      `Removing signer "alice" from ${repository}...\nSuccessfully removed alice from ${repository}\n\n`,
    );
    const left = await inspect();
    expect(tags(left)).toEqual(['v2: bob']);
    expect(left.Signers).toEqual([{ Name: 'bob', Keys: [{ ID: keyid('bob') }] }]);
    expect(await bob.run(`verify ${repository}:v1`)).toMatchObject({ code: 23 });
    expect(await bob.run(`verify ${repository}:v1 --any-signer`)).toMatchObject({ code: 23 });
    expect(await bob.run(`verify ${repository}:v2`)).toMatchObject({ code: 0 });
    // The key itself is good for nothing any more.
    await fails(alice, 'sign REPO:v1', 12);
    const names = (await admin.run(`signer ls ${repository} -o json`)).json();
    expect(JSON.stringify(names)).not.toContain(keyid('alice'));
  });

  it('keeps what the repository key has signed as well', async () => {
    await ok(admin, 'sign REPO:v1');
    await ok(alice, 'sign REPO:v1');
    await ok(admin, 'signer remove alice REPO');
    expect(tags(await inspect())).toEqual(['v1: Repo Admin']);
  });

  it('does not ask where nothing goes with the signer', async () => {
    await ok(bob, 'sign REPO:v1');
    await ok(admin, 'signer remove alice REPO');
    expect(tags(await inspect())).toEqual(['v1: bob']);
  });

  it('asks in docker’s words before a tag goes, and takes only a y', async () => {
    await ok(alice, 'sign REPO:v1');
    const question = `The signer "alice" signed the last released version of ${repository}. Removing this signer will make ${repository} unpullable. Are you sure you want to continue? [y/N] `;
    for (const [stdin, code] of [
      ['', 2],
      ['n\n', 130],
      ['\n', 130],
      ['yes please\n', 130],
    ] as const) {
      const result = await fails(admin, 'signer remove alice REPO', code, { stdin });
      expect(result.stdout).toContain(question);
      expect((await inspect()).Signers).toHaveLength(2);
    }
    await ok(admin, 'signer remove alice REPO', { stdin: 'Y' });
    expect((await inspect()).Signers).toHaveLength(1);
    expect(tags(await inspect())).toEqual([]);
  });

  it('removes the last signer, and the repository key goes on', async () => {
    await ok(alice, 'sign REPO:v1');
    await ok(admin, 'signer remove -f alice REPO');
    await ok(admin, 'signer remove -f bob REPO');
    expect((await inspect()).Signers).toEqual([]);
    await ok(admin, 'sign REPO:v1');
    expect(tags(await inspect())).toEqual(['v1: Repo Admin']);
    // Somebody who comes back begins anew.
    await ok(admin, 'signer add --key alice.pub alice REPO');
    expect(tags(await inspect())).toEqual(['v1: Repo Admin']);
  });

  it('takes nothing away where the key of targets is elsewhere', async () => {
    await ok(alice, 'sign REPO:v1');
    const publisher = await pinned('publisher', 'online');
    await fails(publisher, 'signer remove -f alice REPO', 12);
    expect(tags(await inspect())).toEqual(['v1: alice']);
    expect((await inspect()).Signers).toHaveLength(2);
  });

  it('waits for the online key where that is elsewhere, with the tags and with the role', async () => {
    await ok(alice, 'sign REPO:v1');
    const owner = await people.person(now, 'root', 'publisher');
    await owner.run(`pin ${repository} --root-key-id ${keyid('root')}`);
    const first = await fails(owner, 'signer remove -f alice REPO --wait 0s', 31);
    expect(first.stderr).toContain('[staged]');
    const resigner = await pinned('online');
    const pass = async () => expect(await resigner.run(`resign ${repository}`)).toMatchObject({ code: 0 });
    await pass();
    expect(tags(await inspect())).toEqual([]);
    expect((await inspect()).Signers).toHaveLength(2);
    await fails(owner, 'signer remove -f alice REPO --wait 0s', 31);
    await pass();
    expect((await inspect()).Signers).toEqual([{ Name: 'bob', Keys: [{ ID: keyid('bob') }] }]);
    // So do new signers, and what they sign.
    await fails(owner, 'signer add --key alice.pub alice REPO --wait 0s', 31);
    await pass();
    const remote = await pinned('alice');
    await fails(remote, 'sign REPO:v1 --wait 0s', 31);
    await pass();
    expect(tags(await inspect())).toEqual(['v1: alice']);
  });

  it.each([
    ['signer remove -f carol REPO', 2, 'no signer carol for repository'],
    ['signer remove -f names REPO', 2, 'no signer names for repository'],
    ['signer remove -f releases REPO', 2, 'releases is a reserved keyword and cannot be removed'],
    ['signer remove -f alice REPO/other', 11, 'error retrieving signers for'],
  ])('refuses %s', async (line, code, words) => {
    expect((await fails(admin, line, code)).stderr).toContain(words);
    expect((await inspect()).Signers).toHaveLength(2);
  });

  it('goes on with the next repository where one fails', async () => {
    const result = await fails(admin, 'signer remove -f alice REPO/other REPO', 11);
    expect(result.stderr).toContain(`error removing signer from: ${repository}/other [not-found]`);
    expect((await inspect()).Signers).toHaveLength(1);
  });
});

describe('docker-trust revoke', () => {
  it('takes a tag out of every role that there is a key for', async () => {
    const all = await people.person(now, 'root', 'publisher', 'online', 'alice');
    await ok(all, 'signer add --key alice.pub alice REPO');
    await ok(all, 'sign REPO:v1');
    expect(await ok(all, 'revoke REPO:v1')).toBe(`Successfully deleted signature for ${repository}:v1\n`);
    expect(tags(await inspect(all))).toEqual([]);
    expect(await all.run(`verify ${repository}:v1 --any-signer`)).toMatchObject({ code: 23 });
  });

  it('warns where a signer still names it', async () => {
    await ok(admin, 'signer add --key alice.pub alice REPO');
    await ok(await pinned('alice', 'online'), 'sign REPO:v1');
    const revoked = await admin.run(`docker-trust revoke ${repository}:v1`);
    expect(revoked).toMatchObject({ code: 0, stderr: expect.stringContaining('alice still names') });
    expect(tags(await inspect())).toEqual([]);
    expect(await admin.run(`verify ${repository}:v1`)).toMatchObject({ code: 23 });
  });

  it('takes all of them out after a yes', async () => {
    for (const name of ['v2', 'v3']) await target.pushManifest(image, { tag: tagOf(name) });
    for (const name of ['v1', 'v2', 'v3']) await ok(admin, `sign REPO:${name}`);
    const question = `Confirm you would like to delete all signature data for ${repository}? [y/N] `;
    expect(await fails(admin, 'revoke REPO', 130, { stdin: 'n\n' })).toMatchObject({
      stdout: question,
      stderr: expect.stringContaining('trust revoke has been cancelled'),
    });
    expect((await fails(admin, 'revoke REPO', 2)).stdout).toBe(`${question}\n`);
    expect((await inspect()).SignedTags).toHaveLength(3);
    expect(await ok(admin, 'revoke REPO', { stdin: 'y\n' })).toBe(
      `${question}Successfully deleted signature for ${repository}\n`,
    );
    expect((await inspect()).SignedTags).toEqual([]);
    expect((await fails(admin, 'revoke -y REPO', 23)).stderr).toContain('no signed tags to remove');
  });

  it.each([
    ['revoke REPO:v9', 23, 'could not remove signature for', 'No valid trust data for v9'],
    [`revoke -y REPO@sha256:${'0'.repeat(64)}`, 2, 'cannot use a digest reference for IMAGE:TAG', ''],
    ['revoke -y REPO/other', 11, 'could not remove signature for', 'does not have trust data'],
  ])('refuses %s', async (line, code, words, more) => {
    await ok(admin, 'sign REPO:v1');
    const { stderr } = await fails(admin, line, code);
    expect(stderr).toContain(words);
    expect(stderr).toContain(more);
    expect(tags(await inspect())).toEqual(['v1: Repo Admin']);
  });

  it('is for who may sign for the repository', async () => {
    await ok(admin, 'sign REPO:v1');
    await fails(await pinned('bob', 'online'), 'revoke REPO:v1', 12);
    expect(tags(await inspect())).toEqual(['v1: Repo Admin']);
  });
});

describe('docker-trust inspect', () => {
  it('prints an empty list, and fails, where there is no collection', async () => {
    const result = await fails(admin, 'inspect REPO', 11);
    expect(result).toMatchObject({
      stdout: '[]\n',
      stderr: expect.stringContaining(`no signatures or cannot access ${repository}`),
    });
    expect(await fails(admin, 'inspect --pretty REPO', 11)).toMatchObject({ stdout: '' });
  });

  it('prints what it finds of several, and fails where one has none', async () => {
    await ok(admin, 'sign REPO:v1');
    const result = await fails(admin, 'inspect REPO REPO/other REPO:v1', 11);
    expect(JSON.parse(result.stdout)).toMatchObject([
      { Name: repository },
      { Name: `${repository}:v1`, SignedTags: [{ SignedTag: 'v1' }] },
    ]);
    const tables = await ok(admin, 'inspect --pretty REPO REPO:v9');
    expect(tables).toContain(`Root Key:\t${keyid('root')}\n\n\n\nNo signatures for ${repository}:v9\n\n\n`);
  });

  it('shows of a digest the whole repository, as docker does, and of an unsigned tag none', async () => {
    await ok(admin, 'sign REPO:v1');
    const digest = `REPO@${image.descriptor.digest}`;
    expect(tags(await inspect(admin, digest))).toEqual(['v1: Repo Admin']);
    expect(tags(await inspect(admin, 'REPO:v9'))).toEqual([]);
  });

  it('never takes a registry that does not answer for one without signatures', async () => {
    const result = await fails(admin, 'inspect 127.0.0.1:1/team/app', 3);
    expect(result.stderr).toContain('[registry-unreachable]');
  });

  it('gives the same to programs that ask for JSON as everywhere', async () => {
    await ok(admin, 'sign REPO:v1');
    const result = await admin.run(`docker-trust inspect ${repository} -o json`);
    expect(result.json()).toMatchObject({ ok: true, repositories: [{ Name: repository }] });
  });
});

describe('docker-trust in a large collection', () => {
  it('admits, signs, shows, revokes and removes where names lie in bins', async () => {
    const tags = Array.from({ length: 1500 }, (_, at) => tagOf(`build-${at}`));
    for (const tag of tags) await target.pushManifest(image, { tag });
    expect(await admin.run(`init ${repository}`)).toMatchObject({ code: 0 });
    const list = tags.map((tag) => `${repository}:${tag}`).join('\n');
    const signed = await admin.run(`sign --name-only --no-proof --from - ${repository}:v1`, { stdin: list });
    expect(signed, signed.stderr).toMatchObject({ code: 0 });
    expect((await admin.run(`inspect ${repository}`)).stdout).toMatch(/bins +\d+ in/);
    await ok(admin, 'signer add --key alice.pub alice REPO');
    const alice = await pinned('alice', 'online');
    await target.pushManifest(image, { tag: tagOf('v2') });
    await ok(alice, 'sign REPO:v1');
    await ok(alice, 'sign REPO:v2');
    const shown = await inspect();
    expect(shown.SignedTags).toHaveLength(1502);
    expect(shown.SignedTags.slice(-3)).toMatchObject([
      { SignedTag: 'build-1499', Signers: ['Repo Admin'] },
      { SignedTag: 'v1', Signers: ['alice'] },
      { SignedTag: 'v2', Signers: ['alice'] },
    ]);
    await ok(alice, 'revoke REPO:build-7');
    await ok(admin, 'signer remove -f alice REPO');
    const left = (await inspect()).SignedTags;
    expect(left).toHaveLength(1500);
    // The repository key signed v1 before alice did; nobody but alice signed v2.
    expect(left.at(-1)).toMatchObject({ SignedTag: 'v1', Signers: ['Repo Admin'] });
    expect(await alice.run(`verify ${repository}:v2`)).toMatchObject({ code: 23 });
    expect(await alice.run(`verify ${repository}:build-1499`)).toMatchObject({ code: 0 });
    await fails(alice, 'sign REPO:v2', 12);
  }, 120_000);
});

describe('docker-trust key', () => {
  it('generates a key: the private one in the key store, the public one in a file', async () => {
    const printed = await ok(admin, 'key generate carol');
    const path = join(admin.home, 'carol.pub');
    expect(printed).toBe(
      `Generating key for carol...\nSuccessfully generated and loaded private key. Corresponding public key available: ${path}\n`,
    );
    const exported = await admin.run('key export carol --public');
    expect(await readFile(path, 'utf8')).toBe(exported.stdout);
    const key = join(admin.home, 'bulla/keys/carol.key');
    expect((await stat(key)).mode & 0o777).toBe(0o600);
    expect(await readFile(key, 'utf8')).toContain('ENCRYPTED');
    await fails(admin, 'key generate carol', 30);
    expect((await fails(admin, 'key generate carol --dir bulla', 30)).stderr).toContain(
      'another key named carol',
    );
  });

  it.each([
    ['key generate Carol', 2, 'key name "Carol" must start with lowercase alphanumeric characters'],
    ['key generate -- -carol', 2, 'must start with'],
    ['key generate carol.x', 2, 'must start with'],
    ['key generate ../carol', 2, 'must start with'],
    [`key generate ${'c'.repeat(65)}`, 2, 'must start with'],
    ['key generate root', 2, 'a key of whole repositories'],
    ['key generate carol --dir nowhere', 11, 'public key path does not exist'],
    ['key generate alice', 30, 'public key file already exists'],
    ['key load nowhere.key', 11, 'refusing to load key from nowhere.key'],
    ['key load alice.pub --any-key-mode', 2, "to add a signer's public key use docker trust signer add"],
    ['key load bulla/keys/root.key --name Root', 2, 'key name "Root" must start with'],
  ])('refuses %s', async (line, code, words) => {
    expect((await fails(admin, line, code)).stderr).toContain(words);
  });

  it('loads a plain key, once however often it is loaded, and not over another', async () => {
    const { readFile: read } = await import('node:fs/promises');
    const bob = await people.person(now, 'bob');
    await writeFile(join(admin.home, 'b.key'), await read(join(bob.home, 'bulla/keys/bob.key')), {
      mode: 0o600,
    });
    expect(await ok(admin, 'key load b.key')).toBe(
      'Loading key from "b.key"...\nSuccessfully imported key from b.key\n',
    );
    await ok(admin, 'key load b.key');
    await ok(admin, 'key load b.key --name bob');
    expect((await fails(admin, 'key load bulla/keys/root.key', 30)).stderr).toContain('--name signer-2');
    const shown = (await admin.run('key show bob -o json')).json();
    expect(shown).toMatchObject({ keyid: keyid('bob') });
  });

  it('refuses a key file that others can read', async () => {
    await writeFile(join(admin.home, 'open.key'), await readFile(join(admin.home, 'bulla/keys/root.key')), {
      mode: 0o644,
    });
    expect((await fails(admin, 'key load open.key', 2)).stderr).toContain(
      'refusing to load key from open.key',
    );
    await ok(admin, 'key load --any-key-mode --name mine open.key');
  });
});

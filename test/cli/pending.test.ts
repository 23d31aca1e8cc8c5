import { beforeEach, describe, expect, it } from 'vitest';
import { pushImage } from '../support/content.ts';
import { registryFor, repositoryOf } from '../support/registry/open.ts';
import type { FaultyRegistry } from '../support/registry/server.ts';
import { readAny } from '../support/trust/changing.ts';
import { People, type Person } from '../support/trust/people.ts';

const now = new Date('2030-01-01T00:00:00Z');
const people = new People();

let registry: FaultyRegistry;
let repository: string;
let pin: string;
let all: Person;
beforeEach(async () => {
  registry = await registryFor();
  repository = `${registry.host}/team/app`;
  pin = `--root-key-id ${people.keyids.get('root')}`;
  all = await people.person(now, 'root', 'publisher', 'online', 'alice');
  expect(await all.run(`init ${repository}`)).toMatchObject({ code: 0 });
  await pushImage(repositoryOf(registry), 'app', 'v1');
});

interface Pending {
  readonly id: string;
  readonly state: string;
  readonly roles: readonly string[];
  readonly signedBy: readonly string[];
  readonly changes: readonly string[];
  readonly missing: readonly { role: string; open: readonly string[] }[];
}

async function pending(person: Person): Promise<readonly Pending[]> {
  const listed = await person.run(`pending ${repository} -o json`);
  expect(listed.code).toBe(0);
  return (listed.json() as { pending: readonly Pending[] }).pending;
}

describe('names that two have to sign', () => {
  it('wait for the second signature, and are published with it', async () => {
    const two = await all.run(`rotate ${repository} names --key alice --keep --threshold 2`);
    expect(two).toMatchObject({ code: 0 });
    const publisher = await people.person(now, 'publisher');
    const staged = await publisher.run(`sign ${repository}:v1 --name-only --wait 0s ${pin}`);
    expect(staged).toMatchObject({ code: 31, stdout: '' });
    const [waiting] = await pending(all);
    expect(waiting).toMatchObject({
      state: 'signatures',
      roles: ['names'],
      signedBy: [people.keyids.get('publisher')],
      missing: [{ role: 'names', open: [people.keyids.get('alice')] }],
    });
    expect(waiting?.changes.join('\n')).toMatch(/v1 is sha256:/);
    const id = waiting?.id ?? '';
    // Whoever has signed can't do so twice, and strangers can't at all.
    expect(await publisher.run(`approve ${repository} ${id} --yes ${pin}`)).toMatchObject({ code: 12 });
    const bob = await people.person(now, 'bob');
    expect(await bob.run(`approve ${repository} ${id} --yes ${pin}`)).toMatchObject({ code: 12 });
    const alice = await people.person(now, 'alice');
    expect(await alice.run(`approve ${repository} ${id} ${pin}`)).toMatchObject({ code: 2 });
    expect(await alice.run(`approve ${repository} 0000 --yes ${pin}`)).toMatchObject({ code: 11 });
    const shown = await alice.run(`approve ${repository} ${id} --dry-run ${pin}`);
    expect(shown).toMatchObject({ code: 0, stderr: expect.stringContaining('v1 is sha256:') });
    expect(await alice.run(`approve ${repository} ${id} --yes --wait 0s ${pin}`)).toMatchObject({ code: 31 });
    expect(await pending(all)).toMatchObject([{ id, state: 'online' }]);
    const online = await people.person(now, 'online');
    expect(await online.run(`approve ${repository} ${id} ${pin}`)).toMatchObject({ code: 0 });
    const { client } = await readAny(repositoryOf(registry), { now, place: repository });
    expect((await client.findTarget('v1')).role).toBe('names');
    expect(await pending(all)).toEqual([]);
    expect(await alice.run(`approve ${repository} ${id} --yes ${pin}`)).toMatchObject({ code: 11 });
  });

  it('are outdated once the head has moved on', async () => {
    await all.run(`rotate ${repository} names --key alice --keep --threshold 2`);
    const [first, second] = [await people.person(now, 'publisher'), await people.person(now, 'publisher')];
    await pushImage(repositoryOf(registry), 'app', 'v2');
    expect(await first.run(`sign ${repository}:v1 --name-only --wait 0s ${pin}`)).toMatchObject({ code: 31 });
    expect(await second.run(`sign ${repository}:v2 --name-only --wait 0s ${pin}`)).toMatchObject({
      code: 31,
    });
    const [one, other] = await pending(all);
    expect(await all.run(`approve ${repository} ${one?.id} --yes`)).toMatchObject({ code: 0 });
    expect(await pending(all)).toMatchObject([{ id: other?.id, state: 'outdated' }]);
    expect(await all.run(`approve ${repository} ${other?.id} --yes`)).toMatchObject({ code: 30 });
  });
});

describe('a staged change', () => {
  it('is shown with what each role lacks, and taken back by its signer or after confirmation', async () => {
    const line = `signer add ${repository} bob --key bob.pub --stage -o json`;
    const { id } = ((await all.run(line)).json() as { details: { id: string } }).details;
    const shown = await all.run(`pending ${repository}`);
    expect(shown.stdout).toMatch(/, since 2030-01-01T/);
    expect(shown.stdout).toContain(`targets has 1 of 1 signatures, by ${people.keyids.get('root')}`);
    expect(shown.stdout).toContain(`bob has 0 of 1 signatures; may sign: ${people.keyids.get('bob')}`);
    const stranger = await people.person(now, 'alice');
    const short = await stranger.run(`withdraw ${repository} ${id.slice(0, 12)} --yes ${pin}`);
    expect(short).toMatchObject({ code: 2, stderr: expect.stringContaining(id) });
    expect(await stranger.run(`withdraw ${repository} ${id} ${pin}`)).toMatchObject({ code: 2 });
    expect(await pending(all)).toHaveLength(1);
    expect(await all.run(`withdraw ${repository} ${id.slice(0, 12)}`)).toMatchObject({ code: 0 });
    expect(await pending(all)).toEqual([]);
    expect(await all.run(`withdraw ${repository} ${id}`)).toMatchObject({ code: 11 });
    await all.run(line);
    const [again] = await pending(all);
    const done = await stranger.run(`withdraw ${repository} ${again?.id} --yes -o json ${pin}`);
    expect(done.json()).toMatchObject({ own: false, removed: [expect.any(String)], overwritten: [] });
    expect(await pending(all)).toEqual([]);
  });
});

describe('changes of keys without the online key', () => {
  it('are staged, and taken over where it is', async () => {
    const admin = await people.person(now, 'root', 'alice');
    const line = `signer add ${repository} alice --key alice --wait 0s ${pin}`;
    expect(await admin.run(line)).toMatchObject({ code: 31 });
    const [waiting] = await pending(all);
    expect(waiting).toMatchObject({ state: 'online', roles: ['targets', 'alice'] });
    const waited = await admin.run(`approve ${repository} ${waiting?.id} --wait 9s --timeout 2s ${pin}`);
    expect(waited).toMatchObject({ code: 3, stderr: expect.stringContaining('waiting for a re-signer') });
    const misspelt = await admin.run(`approve ${repository} --yes`);
    expect(misspelt).toMatchObject({ code: 11, stderr: expect.stringContaining('bulla pending') });
    const online = await people.person(now, 'online');
    expect(await online.run(`approve ${repository} ${waiting?.id} ${pin}`)).toMatchObject({ code: 0 });
    expect((await all.run(`signer ls ${repository}`)).stdout).toContain('alice  1 of 1');
    expect(await pending(all)).toEqual([]);
  });

  it('wait for the consent of a signer whose private key is elsewhere', async () => {
    const staged = await all.run(`signer add ${repository} bob --key bob.pub -o json`);
    expect(staged.code).toBe(31);
    const { id } = (staged.json() as { details: { id: string } }).details;
    const bob = await people.person(now, 'bob');
    expect(await bob.run(`approve ${repository} ${id} --yes --wait 0s ${pin}`)).toMatchObject({ code: 31 });
    expect((await all.run(`resign ${repository}`)).stdout).toContain(
      `${repository}: published a staged change, until `,
    );
    expect((await all.run(`signer ls ${repository}`)).stdout).toContain('bob  1 of 1  *  0 names  until ');
  });

  it('gather their signatures beside the head, too', async () => {
    const operator = await people.person(now, 'online');
    const line = `signer add ${repository} alice --key alice.pub --stage ${pin} -o json`;
    const staged = await operator.run(line);
    expect(staged.code).toBe(31);
    const { id } = (staged.json() as { details: { id: string } }).details;
    expect(await pending(all)).toMatchObject([{ id, state: 'signatures', signedBy: [] }]);
    const [root, alice] = [await people.person(now, 'root'), await people.person(now, 'alice')];
    expect(await root.run(`approve ${repository} ${id} --yes ${pin}`)).toMatchObject({ code: 0 });
    expect(await pending(all)).toMatchObject([{ id, signedBy: [people.keyids.get('root')] }]);
    expect(await alice.run(`approve ${repository} ${id} --yes --wait 0s ${pin}`)).toMatchObject({ code: 31 });
    expect(await operator.run(`approve ${repository} ${id} ${pin}`)).toMatchObject({ code: 0 });
    expect((await all.run(`signer ls ${repository}`)).stdout).toContain('alice  1 of 1');
  });

  it('finish a root that was staged, rather than make a second one of its version', async () => {
    const admin = await people.person(now, 'root', 'bob');
    expect(await admin.run(`rotate ${repository} root --key bob --wait 0s ${pin}`)).toMatchObject({
      code: 31,
    });
    // Afterwards it takes the key of that root, which is not in hand.
    expect(await all.run(`rotate ${repository} root --renew`)).toMatchObject({ code: 12 });
    expect(await pending(all)).toEqual([]);
    const { client } = await readAny(repositoryOf(registry), { now, place: repository });
    expect(client.trusted.root.content).toMatchObject({ version: 2 });
    expect(client.trusted.root.content.roles.get('root')?.keyids).toEqual([people.keyids.get('bob')]);
  });
});

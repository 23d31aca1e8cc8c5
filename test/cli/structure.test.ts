import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { registryFor } from '../support/registry/open.ts';
import { People, type Person } from '../support/trust/people.ts';

const now = new Date('2030-01-01T00:00:00Z');
const people = new People();

let repository: string;
let admin: Person;
beforeEach(async () => {
  const registry = await registryFor();
  repository = `${registry.host}/team/app`;
  admin = await people.person(now, 'root', 'publisher', 'online');
  expect(await admin.run(`init ${repository}`)).toMatchObject({ code: 0 });
});

interface Signer {
  readonly role: string;
  readonly threshold: number;
  readonly keys: readonly { keyid: string; name: string | null }[];
  readonly paths: readonly string[];
  readonly expires: string;
}

async function signers(): Promise<readonly Signer[]> {
  const listed = await admin.run(`signer ls ${repository} -o json`);
  expect(listed.code).toBe(0);
  return (listed.json() as { signers: readonly Signer[] }).signers;
}

const keyid = (name: Parameters<typeof people.keyids.get>[0]) => people.keyids.get(name) as string;

describe('bulla signer', () => {
  it('adds, lists and removes a signer whose key is at hand', async () => {
    const both = await people.person(now, 'root', 'online', 'alice');
    const added = await both.run(
      `signer add ${repository} alice --key alice --path v* --expires 30d --root-key-id ${keyid('root')} -o json`,
    );
    expect(added).toMatchObject({ code: 0 });
    expect(added.json()).toMatchObject({
      published: expect.stringMatching(/^sha256:/),
      missing: [],
    });
    expect(await signers()).toMatchObject([
      { role: 'names', keys: [{ name: 'publisher' }] },
      {
        role: 'alice',
        threshold: 1,
        keys: [{ keyid: keyid('alice'), name: null }],
        paths: ['v*'],
        expires: '2030-01-31T00:00:00Z',
      },
    ]);
    expect(await admin.run(`signer add ${repository} alice --key alice.pub`)).toMatchObject({ code: 2 });
    expect(await admin.run(`signer rm ${repository} alice`)).toMatchObject({ code: 0 });
    expect(await signers()).toHaveLength(1);
    expect(await admin.run(`signer rm ${repository} names`)).toMatchObject({ code: 2 });
    expect(await admin.run(`signer rm ${repository} alice`)).toMatchObject({ code: 2 });
  });

  it('adds a signer in steps: the root key and the signer’s are on machines of their own', async () => {
    const operator = await people.person(now, 'online', 'publisher');
    const [root, alice] = [await people.person(now, 'root'), await people.person(now, 'alice')];
    const pin = `--root-key-id ${keyid('root')}`;
    const exported = await operator.run(
      `signer add ${repository} alice --key alice.pub --export-unsigned change.json ${pin}`,
    );
    expect(exported).toMatchObject({ code: 0, stdout: 'change.json\n' });
    expect(exported.stderr).toContain('alice is new, asked after names, trusted with "*"');
    expect(await signers()).toHaveLength(1);
    expect(await operator.run(`signer add ${repository} --import-signed change.json ${pin}`)).toMatchObject({
      code: 12,
    });
    for (const person of [root, alice]) {
      await operator.bring('change.json', person);
      expect(await person.run('approve change.json --offline')).toMatchObject({ code: 2 });
      const shown = await person.run('approve change.json --offline --dry-run');
      expect(shown).toMatchObject({
        code: 0,
        stderr: expect.stringContaining(`alice gets the key ${keyid('alice')}`),
      });
      const approved = await person.run('approve change.json --offline --yes');
      expect(approved).toMatchObject({ code: 0 });
      // Shown once, before the yes.
      expect(approved.stderr.match(/alice gets the key/g)).toHaveLength(1);
      expect(await person.run('approve change.json --offline --yes')).toMatchObject({ code: 12 });
    }
    await root.bring('change.json', operator, 'root.json');
    await alice.bring('change.json', operator, 'alice.json');
    const line = `signer add ${repository} --import-signed root.json alice.json ${pin}`;
    expect(await operator.run(`signer add ${repository} --import-signed root.json ${pin}`)).toMatchObject({
      code: 12,
    });
    expect(await operator.run(line)).toMatchObject({ code: 0 });
    expect((await signers()).map(({ role }) => role)).toEqual(['names', 'alice']);
    // A second time nothing happens, so that a kill in between is no reason for doubt.
    expect(await operator.run(line)).toMatchObject({
      code: 0,
      stderr: expect.stringContaining('published before'),
    });
  });

  it('asks before it signs, on a terminal', async () => {
    const root = await people.person(now, 'root');
    await admin.run(`signer add ${repository} alice --key alice.pub --export-unsigned change.json`);
    await admin.bring('change.json', root);
    const before = await readFile(join(root.home, 'change.json'), 'utf8');
    expect(await root.run('approve change.json', { typed: true, stdin: 'n\n' })).toMatchObject({ code: 130 });
    expect(await readFile(join(root.home, 'change.json'), 'utf8')).toBe(before);
    expect(await root.run('approve change.json --key root', { typed: true, stdin: 'y\n' })).toMatchObject({
      code: 0,
    });
    expect(await readFile(join(root.home, 'change.json'), 'utf8')).not.toBe(before);
  });

  it.each([
    [
      'signer add REPO alice',
      'signer add REPO --key alice.pub',
      'signer add REPO alice --key alice.pub --threshold 2',
      'signer add --key alice.pub -- REPO -00',
      'signer add REPO alice --key alice.pub --expires soon',
    ],
  ])('refuses what cannot be', async (...lines) => {
    for (const line of lines)
      expect(await admin.run(line.replace('REPO', repository)), line).toMatchObject({ code: 2, stdout: '' });
    expect(await signers()).toHaveLength(1);
  });

  it('says which keys lack, and changes nothing', async () => {
    const publisher = await people.person(now, 'publisher', 'online');
    const refused = await publisher.run(
      `signer add ${repository} alice --key alice.pub --root-key-id ${keyid('root')} -o json`,
    );
    expect(refused.code).toBe(12);
    expect(refused.json()).toMatchObject({ code: 'threshold-not-met' });
    expect(await signers()).toHaveLength(1);
  });
});

describe('bulla rotate', () => {
  const rolesOf = async () => {
    const tree = await admin.run(`inspect ${repository} -o json`);
    return tree;
  };

  it('replaces the publisher’s key, and names stay', async () => {
    const rotated = await admin.run(
      `rotate ${repository} names --key alice.pub --export-unsigned change.json`,
    );
    expect(rotated).toMatchObject({ code: 0 });
    const holder = await people.person(now, 'root', 'online', 'alice');
    const line = `rotate ${repository} names --key alice --root-key-id ${keyid('root')}`;
    expect(await holder.run(line)).toMatchObject({ code: 0 });
    expect(await signers()).toMatchObject([{ role: 'names', keys: [{ keyid: keyid('alice') }] }]);
    // What was exported before is for a state that is gone.
    await admin.run('approve change.json --yes');
    expect(await admin.run(`rotate ${repository} --import-signed change.json`)).toMatchObject({ code: 30 });
  });

  it('adds keys with a threshold, and drops one', async () => {
    expect(await admin.run(`rotate ${repository} names --key alice.pub --keep --threshold 1`)).toMatchObject({
      code: 0,
    });
    expect((await signers())[0]?.keys.map((key) => key.keyid)).toEqual([keyid('publisher'), keyid('alice')]);
    expect(await admin.run(`rotate ${repository} names --drop ${keyid('alice').slice(0, 12)}`)).toMatchObject(
      { code: 0 },
    );
    expect((await signers())[0]?.keys.map((key) => key.keyid)).toEqual([keyid('publisher')]);
    expect(await admin.run(`rotate ${repository} names --drop ${keyid('alice')}`)).toMatchObject({ code: 2 });
    expect(await admin.run(`rotate ${repository} names`)).toMatchObject({ code: 2 });
    expect(await admin.run(`rotate ${repository} nobody --renew`)).toMatchObject({ code: 2 });
  });

  it('rotates root in steps, signed by the old key and the new', async () => {
    const operator = await people.person(now, 'online', 'publisher');
    const pin = `--root-key-id ${keyid('root')}`;
    const [old, next] = [await people.person(now, 'root'), await people.person(now, 'bob')];
    expect(
      await operator.run(`rotate ${repository} root --key bob.pub --export-unsigned root.json ${pin}`),
    ).toMatchObject({ code: 0 });
    for (const [person, file] of [
      [old, 'old.json'],
      [next, 'new.json'],
    ] as const) {
      await operator.bring('root.json', person);
      expect(await person.run(`approve root.json --yes --out ${file}`)).toMatchObject({ code: 0 });
      await person.bring(file, operator);
    }
    expect(await operator.run(`rotate ${repository} --import-signed old.json ${pin}`)).toMatchObject({
      code: 12,
    });
    expect(await operator.run(`rotate ${repository} --import-signed old.json new.json ${pin}`)).toMatchObject(
      { code: 0 },
    );
    // Who knew the collection before follows; the old root key is worth nothing any more.
    expect(await admin.run(`signer ls ${repository}`)).toMatchObject({ code: 0 });
    expect(await admin.run(`signer rm ${repository} names`)).toMatchObject({ code: 2 });
    expect(await admin.run(`rotate ${repository} names --renew`)).toMatchObject({ code: 0 });
    expect(await admin.run(`rotate ${repository} targets --renew`)).toMatchObject({ code: 12 });
  });

  it('renews root after it has expired, and replaces the online key', async () => {
    expect(await admin.run(`rotate ${repository} root --renew --expires 2y`)).toMatchObject({ code: 0 });
    const holder = await people.person(now, 'root', 'bob');
    const line = `rotate ${repository} online --key bob --root-key-id ${keyid('root')}`;
    expect(await holder.run(line)).toMatchObject({ code: 0 });
    const late = await people.person(new Date('2033-01-01T00:00:00Z'), 'root', 'bob', 'publisher');
    const head = (await late.run(`inspect ${repository} -o json --root-key-id ${keyid('root')}`)).stdout;
    expect(head).toContain('2032-01-01T00:00:00Z');
    expect(await rolesOf()).toMatchObject({ code: 0 });
  });

  it('begins versions anew only where an online key goes', async () => {
    expect(await admin.run(`rotate ${repository} online --key bob.pub --keep --restart`)).toMatchObject({
      code: 2,
    });
    const holder = await people.person(now, 'root', 'bob');
    expect(
      await holder.run(`rotate ${repository} online --key bob --restart --root-key-id ${keyid('root')}`),
    ).toMatchObject({ code: 0 });
    expect(await admin.run(`signer ls ${repository}`)).toMatchObject({ code: 0 });
  });
});

describe('bulla approve FILE', () => {
  it.each([
    ['no change', 'garbage', 40],
    ['a change of another kind', '{"format":"x"}', 40],
  ])('refuses %s', async (_, text, code) => {
    await writeFile(join(admin.home, 'f.json'), text);
    expect(await admin.run('approve f.json --yes')).toMatchObject({ code, stdout: '' });
  });

  it('refuses a change of another collection where one was seen', async () => {
    const other = await people.person(now, 'root', 'publisher', 'online');
    const registry = await registryFor();
    await other.run(`init ${registry.host}/team/app --collection ${repository} --expires root=2y`);
    await other.run(
      `signer add ${registry.host}/team/app alice --key alice.pub --collection ${repository} --export-unsigned change.json`,
    );
    await other.bring('change.json', admin);
    expect(await admin.run('approve change.json --yes')).toMatchObject({ code: 22, stdout: '' });
  });
});

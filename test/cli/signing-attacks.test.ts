import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import type { JsonObject } from '../../src/encoding/json.ts';
import type { Tag } from '../../src/oci/reference.ts';
import type { Target } from '../../src/oci/target.ts';
import { pushImage } from '../support/content.ts';
import { registryFor, repositoryOf } from '../support/registry/open.ts';
import { altered, publishUnchecked, pushStage, readStage } from '../support/trust/altered.ts';
import { fileOf } from '../support/trust/heads.ts';
import { type KeyName, People, type Person } from '../support/trust/people.ts';

const now = new Date('2030-01-01T00:00:00Z');
const people = new People();
const EVIL = `sha256:${'e'.repeat(64)}`;
/** What would make a signature of a role one of cosign, for any image. */
const CRITICAL = {
  identity: { 'docker-reference': '' },
  image: { 'docker-manifest-digest': EVIL },
  type: 'cosign container image signature',
};

let repository: string;
let target: Target;
let pin: string;
let all: Person;
beforeEach(async () => {
  const registry = await registryFor();
  repository = `${registry.host}/team/app`;
  target = repositoryOf(registry);
  pin = `--root-key-id ${people.keyids.get('root')}`;
  all = await people.person(now, 'root', 'publisher', 'online', 'alice');
  expect(await all.run(`init ${repository}`)).toMatchObject({ code: 0 });
  await pushImage(target, 'app', 'v1');
});

const at = (signed: JsonObject, ...path: readonly string[]): JsonObject =>
  path.reduce((object, name) => object[name] as JsonObject, signed);

/** Members that nobody knows, at every level of what a change of roles holds. */
const STRANGE: readonly (readonly [string, string, (signed: JsonObject) => void])[] = [
  ['a member of cosign in a signer', 'alice', (signed) => Object.assign(signed, { critical: CRITICAL })],
  ['the same in other letters', 'alice', (signed) => Object.assign(signed, { CRITICAL, optional: null })],
  ['a member without a name', 'alice', (signed) => Object.assign(signed, { '': 0 })],
  ['a member of another type of TUF', 'alice', (signed) => Object.assign(signed, { meta: {} })],
  ['a member of the binding', 'alice', (signed) => Object.assign(at(signed, 'bulla'), { note: 'x' })],
  [
    'a member of the binding of another role',
    'alice',
    (signed) => Object.assign(at(signed, 'bulla'), { after: 1 }),
  ],
  ['a member of the log', 'alice', (signed) => Object.assign(at(signed, 'bulla', 'log'), { sha512: 'a' })],
  [
    'a name with an application of its own',
    'alice',
    (signed) =>
      Object.assign(at(signed, 'targets'), {
        v9: { length: 1, hashes: { sha256: 'a'.repeat(64) }, custom: { critical: CRITICAL } },
      }),
  ],
  ['empty delegations that are null', 'alice', (signed) => Object.assign(signed, { delegations: null })],
  [
    'delegations of a signer',
    'alice',
    (signed) => Object.assign(signed, { delegations: { keys: {}, roles: [] } }),
  ],
  ['a member of targets', 'targets', (signed) => Object.assign(signed, { critical: CRITICAL })],
  ['a member of the delegations', 'targets', (signed) => Object.assign(at(signed, 'delegations'), { x: 1 })],
  [
    'a member of a delegation',
    'targets',
    (signed) => Object.assign(at(signed, 'delegations', 'roles', '1'), { x: 1 }),
  ],
  [
    'the lifetime of a top-level role',
    'targets',
    (signed) => Object.assign(at(signed, 'bulla'), { lifetimes: { root: 9 } }),
  ],
  [
    'a lifetime that is none',
    'targets',
    (signed) => Object.assign(at(signed, 'bulla'), { lifetimes: { alice: 'long' } }),
  ],
  [
    'a member of a key',
    'targets',
    (signed) => {
      for (const key of Object.values(at(signed, 'delegations', 'keys')))
        Object.assign(key as JsonObject, { x: 1 });
    },
  ],
  [
    'a signer before names',
    'targets',
    (signed) => {
      (at(signed, 'delegations')['roles'] as JsonObject[]).reverse();
    },
  ],
  [
    'a terminating signer',
    'targets',
    (signed) => Object.assign(at(signed, 'delegations', 'roles', '1'), { terminating: true }),
  ],
  [
    'names that end the search',
    'targets',
    (signed) => Object.assign(at(signed, 'delegations', 'roles', '0'), { terminating: true }),
  ],
  [
    'names with fewer names',
    'targets',
    (signed) => Object.assign(at(signed, 'delegations', 'roles', '0'), { paths: ['v*'] }),
  ],
  [
    'a signer that is trusted with hashes',
    'targets',
    (signed) => {
      const role = at(signed, 'delegations', 'roles', '1');
      delete role['paths'];
      role['path_hash_prefixes'] = ['a'];
    },
  ],
];

/** Adds a signer beside the head, without a signature, and gives its files to whoever may push. */
async function stagedSigner(): Promise<{ readonly tag: Tag; readonly id: string }> {
  const operator = await people.person(now, 'online');
  const staged = await operator.run(`signer add ${repository} alice --key alice.pub --stage ${pin} -o json`);
  expect(staged.code).toBe(31);
  return (staged.json() as { details: { tag: Tag; id: string } }).details;
}

interface Listed {
  readonly pending: readonly { readonly id: string }[];
  readonly refused: readonly { readonly tag: string; readonly code: string; readonly message: string }[];
}

async function pending(person: Person): Promise<Listed> {
  const listed = await person.run(`pending ${repository} -o json`);
  expect(listed.code).toBe(0);
  return listed.json() as unknown as Listed;
}

async function poison(
  names: readonly KeyName[],
  make: Parameters<typeof publishUnchecked>[3],
): Promise<void> {
  await publishUnchecked(
    target,
    names.map((name) => people.signer(name)),
    now,
    make,
  );
}

describe('a change of roles that says more than bulla knows', () => {
  it('is not offered for a signature beside the head, nor in a file', async () => {
    const { tag, id } = await stagedSigner();
    const honest = await readStage(target, tag);
    const exported = await all.run(
      `signer add ${repository} alice --key alice.pub --export-unsigned change.json`,
    );
    expect(exported).toMatchObject({ code: 0 });
    const change = JSON.parse(await readFile(join(all.home, 'change.json'), 'utf8')) as {
      files: { name: string; content: string }[];
    };
    for (const [what, role, make] of STRANGE) {
      const { name, bytes } = fileOf(honest.files, role);
      const evil = await pushStage(target, {
        ...honest,
        files: new Map(honest.files).set(name, altered(bytes, make)),
      });
      const files = change.files.map((file) =>
        file.name === role
          ? {
              ...file,
              content: Buffer.from(altered(Buffer.from(file.content, 'base64'), make)).toString('base64'),
            }
          : file,
      );
      await writeFile(join(all.home, 'evil.json'), JSON.stringify({ ...change, files }));
      const approved = await all.run('approve evil.json --yes');
      expect(approved, what).toMatchObject({ code: 22, stdout: '' });
      const imported = await all.run(`signer add ${repository} alice --import-signed evil.json`);
      expect(imported, what).toMatchObject({ code: 22 });
      const { pending: offered, refused } = await pending(all);
      expect(
        offered.map((one) => one.id),
        what,
      ).toEqual([id]);
      expect(
        refused.find((one) => one.tag === evil),
        what,
      ).toMatchObject({ code: 'trust-invalid' });
      await target.deleteManifest?.((await target.fetchManifest(evil)).descriptor.digest);
    }
    // What is honest goes its way.
    expect(await all.run(`approve ${repository} ${id} --yes`)).toMatchObject({ code: 0 });
  }, 120_000);
});

describe('a head that says more than bulla knows', () => {
  it.each<[string, readonly KeyName[], string, Parameters<typeof publishUnchecked>[3]]>([
    [
      'at the top',
      ['publisher', 'online'],
      'names',
      (edit) => edit.edit.extend('names', { critical: CRITICAL }),
    ],
    [
      'in the binding',
      ['publisher', 'online'],
      'names',
      (edit) => edit.bind('names', { ...(edit.edit.look('names').json['bulla'] as JsonObject), note: 1 }),
    ],
    [
      'about a name',
      ['publisher', 'online'],
      'names',
      (edit) => {
        const entry = { length: 1, hashes: { sha256: 'a'.repeat(64) }, custom: { build: 7 } };
        edit.edit.targets('names').putEntry('v0', entry);
      },
    ],
    [
      'in targets',
      ['root', 'publisher', 'online'],
      'targets',
      (edit) => edit.edit.extend('targets', { 'x-note': [1] }),
    ],
  ])(
    '%s verifies, is not signed anew, and is repaired by a key of its role',
    async (what, keys, role, make) => {
      await all.run(`sign ${repository}:v1 --name-only`);
      await poison(keys, make);
      expect(await all.run(`verify ${repository}:v1`)).toMatchObject({ code: 0 });
      // A change of names makes the binding anew, without what was in it.
      const attempt =
        what === 'in the binding'
          ? `rotate ${repository} names --renew`
          : role === 'names'
            ? `sign ${repository}:v1 --again --name-only`
            : `signer add ${repository} alice --key alice`;
      const refused = await all.run(`${attempt} -o json`);
      expect(refused.json(), refused.stderr).toMatchObject({
        code: 'trust-invalid',
        details: { reason: 'unknown-member', role },
      });
      const told = await all.run(`status ${repository}`);
      expect(told.stdout).toContain(`bulla rotate ${repository} ${role} --renew --drop-unknown`);
      const repaired = await all.run(`rotate ${repository} ${role} --renew --drop-unknown`);
      expect(repaired, repaired.stderr).toMatchObject({ code: 0 });
      expect(await all.run(attempt)).toMatchObject({ code: 0 });
      expect((await all.run(`status ${repository}`)).stdout).not.toContain('--drop-unknown');
    },
    60_000,
  );

  it.each(['snapshot', 'timestamp'] as const)('in its %s is made anew without it', async (role) => {
    await poison(['online'], (edit) => edit.edit.extend(role, { critical: CRITICAL }));
    expect(await all.run(`sign ${repository}:v1 --name-only`)).toMatchObject({ code: 0 });
    const { files } = await readStage(target, '_trust' as Tag);
    const { bytes } = fileOf(files, role);
    expect(JSON.parse(Buffer.from(bytes).toString('utf8'))).not.toHaveProperty('signed.critical');
  });
});

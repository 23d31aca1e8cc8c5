import { describe, expect, it } from 'vitest';
import { utf8 } from '../../../src/encoding/bytes.ts';
import { type JsonObject, parseJsonObject } from '../../../src/encoding/json.ts';
import { setTargetIn, spreadOverBins } from '../../../src/tuf/edit/bins.ts';
import { RepositoryEdit } from '../../../src/tuf/edit/edit.ts';
import { collisionFreeVersions } from '../../../src/tuf/edit/policy.ts';
import {
  delegationsIn,
  EMPTY_REPOSITORY,
  listedRoles,
  publishedVersion,
  type RepositoryFiles,
  readRepositoryFiles,
  writeRepositoryFiles,
} from '../../../src/tuf/edit/repository.ts';
import { tufKeyOf } from '../../../src/tuf/keys.ts';
import {
  anyOf,
  daysLater,
  digestOf,
  freshClient,
  NOW,
  ONLINE,
  PUBLISHER,
  ROOT,
  signersOf,
  simpleRepository,
  simpleSigners,
  targetOf,
} from '../../support/tuf/editing.ts';
import { makeKey, poolKey } from '../../support/tuf/keys.ts';

const code = (name: string) => expect.objectContaining({ code: name });
const json = (text: string): JsonObject => parseJsonObject(utf8(text), { what: 'test' });
const versions = (repository: RepositoryFiles, ...roles: string[]) =>
  roles.map((role) => publishedVersion(repository, role));
const sha256 = (text: string) => targetOf(text).hashes['sha256'];

describe('a repository that is edited', () => {
  it('begins with a chain that a fresh client follows', async () => {
    const repository = await simpleRepository();
    expect([...writeRepositoryFiles(repository).keys()].sort()).toEqual([
      '1.names.json',
      '1.root.json',
      '1.snapshot.json',
      '1.targets.json',
      'timestamp.json',
    ]);
    expect(await digestOf(repository, 'v1')).toBe(sha256('one'));
  });

  it('is the same bytes for the same edit', async () => {
    const files = async () => Object.fromEntries(writeRepositoryFiles(await simpleRepository()));
    expect(await files()).toEqual(await files());
  });

  it('is read back from its files, with and without versions in their names', async () => {
    for (const consistent of [true, false]) {
      const repository = await simpleRepository({ v1: 'one' }, {}, consistent);
      const files = writeRepositoryFiles(repository);
      expect(files.has('names.json')).toBe(!consistent);
      const again = readRepositoryFiles(files);
      expect(writeRepositoryFiles(again)).toEqual(files);
      // A file of root is never that of a role called 1.root.
      expect([...again.roles.keys()].sort()).toEqual(['names', 'targets']);
      const edit = new RepositoryEdit(again, { now: NOW });
      edit.root().setKeys('timestamp', anyOf(1, poolKey(ROOT)));
      const next = await edit.prepare().publish(simpleSigners());
      expect(versions(next, 'root', 'timestamp', 'snapshot', 'targets', 'names')).toEqual([2, 2, 1, 1, 1]);
      expect(readRepositoryFiles(writeRepositoryFiles(next)).roots).toHaveLength(2);
    }
  });

  it('touches nothing but what an edit changes, and what lists it', async () => {
    const base = await simpleRepository();
    const edit = new RepositoryEdit(base, { now: NOW });
    edit.targets('names').setTarget('v2', targetOf('two'));
    edit.targets('names').removeTarget('v1');
    const next = await edit.prepare().publish(simpleSigners());
    expect(versions(next, 'root', 'targets', 'names', 'snapshot', 'timestamp')).toEqual([1, 1, 2, 2, 2]);
    expect(next.roles.get('targets')).toBe(base.roles.get('targets'));
    expect([await digestOf(next, 'v1'), await digestOf(next, 'v2')]).toEqual([undefined, sha256('two')]);
  });

  it('can have its timestamp renewed alone', async () => {
    const base = await simpleRepository();
    const edit = new RepositoryEdit(base, { now: daysLater(10) });
    edit.renew('timestamp');
    const next = await edit.prepare().publish(signersOf(poolKey(ONLINE)));
    expect(versions(next, 'names', 'snapshot', 'timestamp')).toEqual([1, 1, 2]);
    expect(next.snapshot).toBe(base.snapshot);
    expect(next.timestamp?.signed['expires']).toBe('2030-01-25T00:00:00Z');
  });

  it('carries unknown fields and extra members on', async () => {
    const first = new RepositoryEdit(await simpleRepository(), { now: NOW });
    first.extend('root', { bulla: json('{"collection":"registry.example.com/team/app"}') });
    first.extend('names', { bulla: json('{"role":"names"}'), 'x-later': [1, null] });
    first
      .targets('names')
      .putEntry('v9', json(`{"length":1,"hashes":{"sha256":"${'a'.repeat(64)}"},"y":{}}`));
    first.extend('snapshot', { bulla: json('{"shards":[]}') });
    const base = await first.prepare().publish(simpleSigners());
    const edit = new RepositoryEdit(base, { now: NOW });
    edit.renew('root');
    edit.targets('names').setTarget('v2', targetOf('two'));
    const next = await edit.prepare().publish(simpleSigners());
    expect(next.roots.at(-1)?.signed['bulla']).toEqual(
      json('{"collection":"registry.example.com/team/app"}'),
    );
    const names = next.roles.get('names')?.signed;
    expect([names?.['bulla'], names?.['x-later']]).toEqual([json('{"role":"names"}'), [1, null]]);
    expect(names?.['targets']).toMatchObject({ v9: { y: {} } });
    expect(next.snapshot?.signed['bulla']).toEqual(json('{"shards":[]}'));
  });

  it('keeps listing every role that ever was', async () => {
    const first = new RepositoryEdit(await simpleRepository(), { now: NOW });
    first.targets('targets').delegate({ ...anyOf(1, poolKey(5)), name: 'alice', paths: ['a-*'] });
    const base = await first.prepare().publish([...simpleSigners(), ...signersOf(poolKey(5))]);
    const edit = new RepositoryEdit(base, { now: NOW });
    edit.targets('targets').removeDelegation('alice');
    const next = await edit.prepare().publish(simpleSigners());
    expect([...listedRoles(next).keys()].sort()).toEqual(['alice.json', 'names.json', 'targets.json']);
    const { keys } = delegationsIn(next.roles.get('targets')!)!;
    expect([...keys.keys()]).toEqual([poolKey(PUBLISHER).key.keyid]);
  });

  it('lists length and hash of every role where the policy says so', async () => {
    const repository = await simpleRepository({ v1: 'one' }, { hashesInSnapshot: true });
    const listed = listedRoles(repository).get('names.json');
    expect(listed?.length).toBe(repository.roles.get('names')?.bytes.byteLength);
    expect(listed?.hashes?.size).toBe(1);
  });

  it('has names and role names that belong to Object, or look like numbers', async () => {
    const names = ['__proto__', 'constructor', 'toString', '10', '9'];
    const edit = new RepositoryEdit(await simpleRepository({}), { now: NOW });
    for (const name of names) {
      edit.targets('names').setTarget(name, targetOf(name));
      edit.targets('names').delegate({ ...anyOf(1, poolKey(PUBLISHER)), name, paths: [`${name}x`] });
      edit.targets(name).setTarget(`${name}x`, targetOf(`${name}x`));
    }
    const next = await edit.prepare().publish(simpleSigners());
    for (const name of names) expect(await digestOf(next, `${name}x`)).toBe(sha256(`${name}x`));
    for (const name of names) expect(await digestOf(next, name)).toBe(sha256(name));
  });

  it('counts versions without collisions where the policy says so', async () => {
    const policy = { versions: collisionFreeVersions(() => 0x3f2a1) };
    const repository = await simpleRepository({}, policy);
    expect(versions(repository, 'root', 'names')).toEqual([1, 2 ** 26 + 0x3f2a1]);
    const edit = new RepositoryEdit(repository, {
      now: NOW,
      policy,
      tops: new Map([['names', 5 * 2 ** 26]]),
    });
    edit.renew('names');
    const next = await edit.prepare().publish(simpleSigners());
    expect(versions(next, 'names', 'snapshot')).toEqual([6 * 2 ** 26 + 0x3f2a1, 2 * 2 ** 26 + 0x3f2a1]);
  });
});

describe('keys that change', () => {
  const [newRoot, newPublisher, newOnline] = [10, 11, 12];
  const rotations: [string, (edit: RepositoryEdit) => void, number[], string[]][] = [
    ['root', (edit) => edit.root().setKeys('root', anyOf(1, poolKey(newRoot))), [newRoot], ['root']],
    [
      'targets',
      (edit) => edit.root().setKeys('targets', anyOf(1, poolKey(newRoot))),
      [newRoot],
      ['root', 'targets', 'snapshot', 'timestamp'],
    ],
    [
      'snapshot',
      (edit) => edit.root().setKeys('snapshot', anyOf(1, poolKey(newOnline))),
      [newOnline],
      ['root', 'snapshot', 'timestamp'],
    ],
    [
      'timestamp',
      (edit) => edit.root().setKeys('timestamp', anyOf(1, poolKey(newOnline))),
      [newOnline],
      ['root', 'timestamp'],
    ],
    [
      'names',
      (edit) => edit.targets('targets').setDelegationKeys('names', anyOf(1, poolKey(newPublisher))),
      [newPublisher],
      ['targets', 'names', 'snapshot', 'timestamp'],
    ],
  ];

  it.each(rotations)(
    'of %s: exactly the files concerned are signed anew',
    async (_role, change, keys, made) => {
      const base = await simpleRepository();
      const edit = new RepositoryEdit(base, { now: NOW });
      change(edit);
      const next = await edit.prepare().publish([...simpleSigners(), ...signersOf(...keys.map(poolKey))]);
      const roles = ['root', 'targets', 'names', 'snapshot', 'timestamp'];
      expect(roles.filter((role) => publishedVersion(next, role) === 2)).toEqual(made);
      expect(await digestOf(next, 'v1')).toBe(sha256('one'));
    },
  );

  it.each(rotations)(
    'of %s: without the old keys, or without the new, nothing comes out',
    async (role, change, keys) => {
      const base = await simpleRepository();
      const edit = new RepositoryEdit(base, { now: NOW });
      change(edit);
      await expect(edit.prepare().publish(simpleSigners())).rejects.toThrow(code('threshold-not-met'));
      if (role !== 'root') return;
      const prepared = new RepositoryEdit(base, { now: NOW });
      change(prepared);
      const missing = await prepared.prepare().sign(signersOf(...keys.map(poolKey)));
      expect(missing).toEqual([
        { role: 'root', delegator: 'root 1', threshold: 1, valid: [], open: [poolKey(ROOT).key.keyid] },
      ]);
    },
  );

  it('that only join a role leave its file as it is', async () => {
    const base = await simpleRepository();
    const edit = new RepositoryEdit(base, { now: NOW });
    edit.targets('targets').setDelegationKeys('names', anyOf(1, poolKey(PUBLISHER), poolKey(20)));
    const next = await edit.prepare().publish(simpleSigners());
    expect(next.roles.get('names')).toBe(base.roles.get('names'));
  });

  it('let versions that a thief pushed up begin again', async () => {
    const base = await simpleRepository();
    const theft = new RepositoryEdit(base, { now: NOW, policy: { versions: () => Number.MAX_SAFE_INTEGER } });
    theft.renew('snapshot');
    const stolen = await theft.prepare().publish(simpleSigners());
    const stuck = new RepositoryEdit(stolen, { now: NOW });
    stuck.renew('names');
    await expect(stuck.prepare().publish(simpleSigners())).rejects.toThrow(code('usage'));
    const restart = new Set(['snapshot', 'timestamp']);
    const cure = new RepositoryEdit(stolen, { now: NOW, restart });
    for (const role of ['snapshot', 'timestamp'] as const) cure.root().setKeys(role, anyOf(1, poolKey(21)));
    const next = await cure.prepare().publish([...simpleSigners(), ...signersOf(poolKey(21))]);
    expect(versions(next, 'snapshot', 'timestamp')).toEqual([1, 1]);
    const denied = new RepositoryEdit(stolen, { now: NOW, restart });
    denied.renew('snapshot');
    await expect(denied.prepare().publish(simpleSigners())).rejects.toThrow(code('trust-rollback'));
  });

  it('of a role that was revoked and comes back do not bring its old names back', async () => {
    const first = new RepositoryEdit(await simpleRepository(), { now: NOW });
    const alice = { ...anyOf(1, poolKey(5)), name: 'alice', paths: ['a-*'] };
    first.targets('targets').delegate(alice);
    first.targets('alice').setTarget('a-1', targetOf('bad'));
    const signers = [...simpleSigners(), ...signersOf(poolKey(5))];
    const second = new RepositoryEdit(await first.prepare().publish(signers), { now: NOW });
    second.targets('targets').removeDelegation('alice');
    const third = new RepositoryEdit(await second.prepare().publish(signers), { now: NOW });
    third.targets('targets').delegate(alice);
    const next = await third.prepare().publish(signers);
    expect([publishedVersion(next, 'alice'), await digestOf(next, 'a-1')]).toEqual([2, undefined]);
  });
});

describe('edits that are refused', () => {
  const alice = () => ({ ...anyOf(1, poolKey(5)), name: 'alice', paths: ['*'] });
  const p521 = () => tufKeyOf(poolKey(0).key.verifier!.publicKey, 'ES384');
  const table: [string, (edit: RepositoryEdit) => unknown, string][] = [
    ['a second first root', (edit) => edit.createRoot({} as never), 'usage'],
    ['a role called timestamp that names targets', (edit) => edit.targets('timestamp'), 'usage'],
    [
      'a delegation to root',
      (edit) => edit.targets('targets').delegate({ ...alice(), name: 'root' }),
      'usage',
    ],
    [
      'a delegation to a role whose file would stand where a root belongs',
      (edit) => edit.targets('targets').delegate({ ...alice(), name: '17.root' }),
      'usage',
    ],
    ['a delegation to nobody', (edit) => edit.targets('targets').delegate({ ...alice(), name: '' }), 'usage'],
    [
      'a delegation twice',
      (edit) => edit.targets('targets').delegate({ ...alice(), name: 'names' }),
      'usage',
    ],
    [
      'paths and prefixes',
      (edit) => edit.targets('names').delegate({ ...alice(), pathHashPrefixes: ['0'] }),
      'usage',
    ],
    ['a place before nobody', (edit) => edit.targets('names').delegate({ ...alice(), before: 'x' }), 'usage'],
    ['an end of no delegation', (edit) => edit.targets('names').removeDelegation('alice'), 'usage'],
    ['a threshold of 0', (edit) => edit.targets('names').delegate({ ...alice(), threshold: 0 }), 'usage'],
    [
      'a threshold above the keys',
      (edit) => edit.targets('names').delegate({ ...alice(), threshold: 2 }),
      'usage',
    ],
    ['one key twice', (edit) => edit.root().setKeys('root', anyOf(2, poolKey(5), poolKey(5))), 'usage'],
    ['a key of another algorithm', p521, 'key-invalid'],
    ['a target outside', (edit) => edit.targets('names').setTarget('../x', targetOf('x')), 'content-invalid'],
    ['an absolute target', (edit) => edit.targets('names').setTarget('/x', targetOf('x')), 'content-invalid'],
    ['an extra member called version', (edit) => edit.extend('names', { version: 7 }), 'usage'],
    ['an extra member called targets', (edit) => edit.extend('targets', { targets: {} }), 'usage'],
    ['a change of what is adopted', (edit) => adoptNames(edit, 2).targets('names'), 'usage'],
    ['an old file', (edit) => adoptNames(edit, 1), 'trust-rollback'],
    ['a root that is not the next', (edit) => adoptRoot(edit, 3), 'trust-invalid'],
    [
      'succinct bins beside delegations',
      (edit) => edit.targets('targets').setBins({ bitLength: 4, namePrefix: 'b' }, anyOf(1, poolKey(5))),
      'usage',
    ],
    [
      'a delegation beside succinct bins',
      (edit) => {
        spreadOverBins(edit, 'names', { bitLength: 1, namePrefix: 'b' }, anyOf(1, poolKey(5)));
        edit.targets('names').delegate(alice());
      },
      'usage',
    ],
    [
      'too many bins',
      (edit) => spreadOverBins(edit, 'names', { bitLength: 17, namePrefix: 'b' }, anyOf(1, poolKey(5))),
      'usage',
    ],
    ['a role that nobody delegates to', (edit) => edit.targets('stranger') && edit.prepare(), 'usage'],
    [
      'a target without a hash',
      (edit) => {
        edit.targets('names').setTarget('x', { length: 1, hashes: {} });
        edit.prepare();
      },
      'content-invalid',
    ],
    [
      'a target with a hash in capitals',
      (edit) => {
        edit.targets('names').setTarget('x', { length: 1, hashes: { sha256: 'A'.repeat(64) } });
        edit.prepare();
      },
      'content-invalid',
    ],
    [
      'a change after it is prepared',
      (edit) => {
        edit.prepare();
        edit.targets('names').setTarget('x', targetOf('x'));
        edit.renew('names');
      },
      'usage',
    ],
  ];

  const body = (type: string, version: number, more: string) =>
    utf8(
      `{"signatures":[],"signed":{"_type":"${type}","expires":"2040-01-01T00:00:00Z","spec_version":"1.0.34","version":${version}${more}}}`,
    );
  const adoptNames = (edit: RepositoryEdit, version: number) => {
    edit.adopt('names', body('targets', version, ',"targets":{}'));
    return edit;
  };
  const adoptRoot = (edit: RepositoryEdit, version: number) => {
    const keys = '{"keyids":[],"threshold":1}';
    const roles = `{"root":${keys},"targets":${keys},"snapshot":${keys},"timestamp":${keys}}`;
    edit.adopt('root', body('root', version, `,"keys":{},"roles":${roles}`));
  };

  it.each(table)('%s', async (_name, change, expected) => {
    const edit = new RepositoryEdit(await simpleRepository(), { now: NOW });
    expect(() => change(edit)).toThrow(code(expected));
  });

  it('a first edit without a root', () => {
    expect(() => new RepositoryEdit(EMPTY_REPOSITORY, { now: NOW }).root()).toThrow(code('usage'));
  });

  it('a change of a role whose file is not in hand', async () => {
    const base = await simpleRepository();
    const roles = new Map(base.roles);
    roles.delete('names');
    const edit = new RepositoryEdit({ ...base, roles }, { now: NOW });
    expect(() => edit.targets('names')).toThrow(code('usage'));
    edit.targets('targets').setDelegationKeys('names', anyOf(1, poolKey(5)));
    expect(() => edit.prepare()).toThrow(code('usage'));
  });

  it('but other roles can be changed without it', async () => {
    const base = await simpleRepository();
    const roles = new Map(base.roles);
    roles.delete('names');
    const edit = new RepositoryEdit({ ...base, roles }, { now: NOW });
    edit.targets('targets').setTarget('x', targetOf('x'));
    const next = await edit.prepare().publish(simpleSigners());
    expect(listedRoles(next).get('names.json')?.version).toBe(1);
  });

  it('a result that clients would refuse: an expired role above the one that changed', async () => {
    const base = await simpleRepository();
    const edit = new RepositoryEdit(base, { now: daysLater(366) });
    edit.targets('names').setTarget('v2', targetOf('two'));
    await expect(edit.prepare().publish(simpleSigners())).rejects.toThrow(code('trust-expired'));
  });

  it('a result that clients would refuse: files larger than their limit', async () => {
    const edit = new RepositoryEdit(await simpleRepository(), { now: NOW });
    edit.extend('names', { padding: 'x'.repeat(5_000_000) });
    await expect(edit.prepare().publish(simpleSigners())).rejects.toThrow(code('content-invalid'));
  });

  it('a base whose files clients would refuse', async () => {
    const base = await simpleRepository();
    const other = await simpleRepository({ v1: 'other' });
    const mixed = { ...base, roles: new Map([...base.roles, ['targets', other.roles.get('names')!]]) };
    const edit = new RepositoryEdit(mixed, { now: NOW });
    edit.renew('timestamp');
    await expect(edit.prepare().publish(simpleSigners())).rejects.toThrow(code('trust-invalid'));
  });
});

describe('a root file alone', () => {
  it('can be made first, so that the other files can name its hash', async () => {
    const root = anyOf(1, poolKey(ROOT));
    const first = new RepositoryEdit(EMPTY_REPOSITORY, { now: NOW });
    first.createRoot({ root, targets: root, snapshot: root, timestamp: root });
    const signers = signersOf(poolKey(ROOT));
    const base = await first.prepare().publish(signers);
    expect([...writeRepositoryFiles(base).keys()]).toEqual(['1.root.json']);
    const edit = new RepositoryEdit(base, { now: NOW });
    edit.extend('targets', { bulla: json('{"role":"targets"}') });
    const client = await freshClient(await edit.prepare().publish(signers));
    expect(client.trusted.snapshot.content.meta.size).toBe(1);
  });

  it('can be expired on arrival for nobody', async () => {
    const root = anyOf(1, poolKey(ROOT));
    const edit = new RepositoryEdit(EMPTY_REPOSITORY, { now: NOW, policy: { lifetime: () => 0 } });
    edit.createRoot({ root, targets: root, snapshot: root, timestamp: root });
    await expect(edit.prepare().publish(signersOf(poolKey(ROOT)))).rejects.toThrow(code('trust-expired'));
  });

  it.each(['ES256', 'ES384', 'Ed25519', 'PS256', 'RS256'] as const)('can have keys for %s', async (id) => {
    const key = makeKey(id);
    const root = anyOf(1, key);
    const edit = new RepositoryEdit(EMPTY_REPOSITORY, { now: NOW });
    edit.createRoot({ root, targets: root, snapshot: root, timestamp: root });
    setTargetIn(edit, 'targets', 'v1', targetOf('one'));
    expect(await digestOf(await edit.prepare().publish(signersOf(key)), 'v1')).toBe(sha256('one'));
  });
});

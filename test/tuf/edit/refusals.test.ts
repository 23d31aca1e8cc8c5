import { describe, expect, it } from 'vitest';
import type { JsonValue } from '../../../src/encoding/json.ts';
import { BullaError } from '../../../src/errors.ts';
import { refresh } from '../../../src/tuf/client.ts';
import { hashPrefixesOf, spreadOverBins, spreadOverHashBins } from '../../../src/tuf/edit/bins.ts';
import { checkRepository } from '../../../src/tuf/edit/check.ts';
import { RepositoryEdit } from '../../../src/tuf/edit/edit.ts';
import { assertExtraMembers } from '../../../src/tuf/edit/extra-members.ts';
import { assertKeyChoice } from '../../../src/tuf/edit/key-list.ts';
import { extraMembers } from '../../../src/tuf/edit/known-members.ts';
import { collisionFreeVersions, defaultLifetime, formatVersion } from '../../../src/tuf/edit/policy.ts';
import {
  type RepositoryFiles,
  readRepositoryFiles,
  writeRepositoryFiles,
} from '../../../src/tuf/edit/repository.ts';
import { PendingFile } from '../../../src/tuf/edit/signing.ts';
import { TargetsContent } from '../../../src/tuf/edit/targets-content.ts';
import { TufKey } from '../../../src/tuf/keys.ts';
import { MemoryFetcher, MemoryStateStore } from '../../../src/tuf/memory.ts';
import { composeMetadataFile } from '../../../src/tuf/metadata-file.ts';
import { malleated } from '../../support/trust/malleate.ts';
import {
  anyOf,
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
import { poolKey, signatureOf } from '../../support/tuf/keys.ts';
import { content, object } from '../../support/tuf/repository.ts';

const code = (name: string, details: object = {}) =>
  expect.objectContaining({ code: name, details: expect.objectContaining(details) });

describe('versions', () => {
  it.each([-1, 8, 9, 0.5, Number.NaN, Number.POSITIVE_INFINITY])('are not made of %d of 8', (random) => {
    expect(() => collisionFreeVersions(() => random, 3)(0, 'names')).toThrow(code('internal'));
  });

  it.each([
    [0, 0, 8],
    [0, 7, 15],
    [7, 0, 8],
    [8, 0, 16],
    [15, 7, 23],
  ])('after %i with %i are of the next epoch: %i', (top, random, version) => {
    expect(collisionFreeVersions(() => random, 3)(top, 'names')).toBe(version);
  });

  it.each([
    [1, '1'],
    [2 ** 26 - 1, '67108863'],
    [2 ** 26, '1.0000000'],
    [17 * 2 ** 26 + 0x3f2a1c, '17.03f2a1c'],
  ])('%i is written %s', (version, text) => {
    expect(formatVersion(version)).toBe(text);
  });

  it.each([1, 0, -1, 1.5, Number.NaN, 2 ** 53])('after 1 are refused: %d', async (version) => {
    const base = await simpleRepository();
    const edit = new RepositoryEdit(base, { now: NOW, policy: { versions: () => version } });
    edit.targets('names').setTarget('v2', targetOf('two'));
    expect(() => edit.prepare()).toThrow(code('usage', { role: 'names' }));
  });
});

describe('a lifetime', () => {
  it.each([
    ['timestamp', 14],
    ['snapshot', 14],
    ['root', 365],
    ['targets', 365],
    ['names', 365],
  ])('of %s is %i days, where nothing else is said', (role, days) => {
    expect(defaultLifetime(role)).toBe(days * 86_400_000);
  });
});

describe('extra members', () => {
  it.each([
    '_type',
    'consistent_snapshot',
    'delegations',
    'expires',
    'keys',
    'meta',
    'roles',
    'spec_version',
    'targets',
    'version',
  ])('cannot be called %s', (name) => {
    const members = { 'x-ours': 1, [name]: 1 };
    expect(() => assertExtraMembers('names', members)).toThrow(code('usage', { member: name }));
  });

  it('may have any other name', () => {
    expect(() => assertExtraMembers('names', { bulla: 1, Version: 1, constructor: 1 })).not.toThrow();
  });

  const key = object({ keytype: 'a', scheme: 'b', keyval: object({ public: 'c' }) });
  const role = object({ keyids: ['k'], threshold: 1 });
  it.each<[string, string, { readonly [member: string]: JsonValue }, string[]]>([
    ['nothing', 'root', { keys: object({ k: key }), roles: object({ root: role }) }, []],
    [
      'key ids that are not all text',
      'root',
      { roles: object({ root: object({ keyids: ['k', 1] }) }) },
      ['keyids'],
    ],
    ['key ids that are text', 'root', { roles: object({ root: object({ keyids: 'k' }) }) }, ['keyids']],
    ['another role', 'root', { roles: object({ mirrors: role }) }, ['mirrors']],
    ['a scheme that is a number', 'root', { keys: object({ k: object({ scheme: 1 }) }) }, ['scheme']],
    [
      'a private part',
      'root',
      { keys: object({ k: object({ keyval: object({ private: 'p' }) }) }) },
      ['private'],
    ],
    ['keys that are a list', 'root', { keys: [key] }, ['keys']],
    ['what only targets hold', 'root', { targets: object({}) }, ['targets']],
    ['what only root holds', 'targets', { roles: object({}) }, ['roles']],
    ['a custom member of a target', 'a/b', { targets: object({ v1: object({ custom: 1 }) }) }, ['custom']],
    [
      'delegations that are not objects',
      'targets',
      { delegations: object({ roles: [role, 'x'] }) },
      ['roles'],
    ],
    ['delegations that are an object', 'targets', { delegations: object({ roles: object({}) }) }, ['roles']],
    [
      'a delegation with more',
      'targets',
      { delegations: object({ roles: [role, object({ x: 1 })] }) },
      ['x'],
    ],
    ['another file beside the snapshot', 'timestamp', { meta: object({ 'root.json': 1 }) }, ['root.json']],
    ['another hash', 'snapshot', { meta: object({ a: object({ hashes: object({ md5: '' }) }) }) }, ['md5']],
    ['a name that all objects have', 'snapshot', { constructor: 1 }, ['constructor']],
  ])('are found: %s', (_, name, members, expected) => {
    const found = extraMembers(name, content(name, members));
    expect(found.map(({ path }) => path.at(-1))).toEqual(expected);
  });
});

describe('a choice of keys', () => {
  const odd = new TufKey('id', object({ keytype: 'x', scheme: 'y', keyval: object({ public: 'z' }) }));
  const alias = new TufKey('alias', poolKey(0).key.json);
  const two = [poolKey(0).key, poolKey(1).key];

  it.each<[string, TufKey[], number, string]>([
    ['a key that cannot be used', [poolKey(0).key, odd], 1, 'key-invalid'],
    ['a key that cannot be used, under its own id', [new TufKey(odd.computedId, odd.json)], 1, 'key-invalid'],
    ['a key under another id', [alias], 1, 'key-invalid'],
    ['one key twice', [poolKey(0).key, poolKey(0).key], 1, 'usage'],
    ['a threshold of 0', two, 0, 'usage'],
    ['a threshold of 3 of 2', two, 3, 'usage'],
    ['a threshold of one and a half', two, 1.5, 'usage'],
    ['no keys', [], 1, 'usage'],
    ['no keys and no threshold', [], 0, 'usage'],
  ])('is refused with %s', (_, keys, threshold, name) => {
    expect(() => assertKeyChoice('names', { keys, threshold })).toThrow(code(name, { role: 'names' }));
  });

  it.each([1, 2])('of two is taken with a threshold of %i', (threshold) => {
    expect(() => assertKeyChoice('names', { keys: two, threshold })).not.toThrow();
  });
});

describe('bins', () => {
  const choice = anyOf(1, poolKey(PUBLISHER));

  it.each([0, -1, 17, 1.5, Number.NaN])('are not made of %d bits', async (bitLength) => {
    const edit = new RepositoryEdit(await simpleRepository(), { now: NOW });
    const layout = { bitLength, namePrefix: 'bin' };
    expect(() => spreadOverBins(edit, 'names', layout, choice)).toThrow(code('usage'));
    expect(() => spreadOverHashBins(edit, 'names', layout, choice)).toThrow(code('usage'));
  });

  it.each([0, 33, 1.5, Number.NaN])('are not delegated to with %d bits', (bitLength) => {
    expect(() => TargetsContent.create().setBins({ bitLength, namePrefix: 'bin' }, choice)).toThrow(
      code('usage'),
    );
  });

  it.each([1, 32])('are delegated to with %i bits, and then nothing else is', (bitLength) => {
    const targets = TargetsContent.create();
    targets.setBins({ bitLength, namePrefix: 'bin' }, choice);
    expect(targets.delegations('names')?.succinct?.bitLength).toBe(bitLength);
    expect(() => targets.delegate({ ...choice, name: 'a', paths: ['*'] })).toThrow(code('usage'));
  });

  it('have the fewest prefixes that hold their bits', () => {
    expect([0, 1].map((index) => hashPrefixesOf(1, index))).toEqual([
      ['0', '1', '2', '3', '4', '5', '6', '7'],
      ['8', '9', 'a', 'b', 'c', 'd', 'e', 'f'],
    ]);
    expect(hashPrefixesOf(4, 15)).toEqual(['f']);
    expect(hashPrefixesOf(5, 31)).toEqual(['f8', 'f9', 'fa', 'fb', 'fc', 'fd', 'fe', 'ff']);
  });
});

describe('an edit', () => {
  const rootBytes = (base: RepositoryFiles) => base.roots[0]?.bytes as Uint8Array;

  it.each<[string, (edit: RepositoryEdit, base: RepositoryFiles) => unknown]>([
    ['root', (edit) => edit.root()],
    ['a first root', (edit) => edit.createRoot({} as never)],
    ['targets', (edit) => edit.targets('names')],
    ['new targets', (edit) => edit.replaceTargets('names')],
    ['a discard', (edit) => edit.discard('names')],
    ['a restart', (edit) => edit.restart('names')],
    ['a renewal of root', (edit) => edit.renew('root')],
    ['a renewal of the timestamp', (edit) => edit.renew('timestamp')],
    ['a renewal of names', (edit) => edit.renew('names')],
    ['an extension', (edit) => edit.extend('snapshot', { x: 1 })],
    ['an adoption', (edit, base) => edit.adopt('root', rootBytes(base))],
  ])('that is prepared takes no change: %s', async (_, change) => {
    const base = await simpleRepository();
    const edit = new RepositoryEdit(base, { now: NOW });
    edit.prepare();
    expect(() => change(edit, base)).toThrow(code('usage'));
  });

  it('loses nothing of a role whose file it does not have', async () => {
    const base = await simpleRepository();
    const roles = new Map([...base.roles].filter(([role]) => role !== 'names'));
    const edit = new RepositoryEdit({ ...base, roles }, { now: NOW });
    expect(() => edit.look('names')).toThrow(code('usage', { role: 'names' }));
    expect(() => edit.targets('names')).toThrow(code('usage', { role: 'names' }));
    expect(edit.look('unheard-of').paths).toEqual([]);
    expect(edit.targets('unheard-of').paths).toEqual([]);
  });

  it('adopts nothing over its own change', async () => {
    const base = await simpleRepository();
    const next = new RepositoryEdit(base, { now: NOW });
    next.root().setKeys('timestamp', anyOf(1, poolKey(6)));
    next.targets('names').setTarget('v2', targetOf('two'));
    const made = await next.prepare().publish([...simpleSigners(), ...signersOf(poolKey(6))]);
    const files: readonly [string, Uint8Array][] = [
      ['root', made.roots[1]?.bytes as Uint8Array],
      ['names', made.roles.get('names')?.bytes as Uint8Array],
    ];
    for (const [role, bytes] of files) {
      const edit = new RepositoryEdit(base, { now: NOW });
      edit.adopt(role, bytes);
      const changing = new RepositoryEdit(base, { now: NOW });
      if (role === 'root') changing.root();
      else changing.targets(role);
      expect(() => changing.adopt(role, bytes)).toThrow(code('usage', { role }));
    }
  });

  it.each(['1.root', '27.root'])(
    'delegates to no role whose file would be called like a root: %s',
    async (name) => {
      const targets = new RepositoryEdit(await simpleRepository(), { now: NOW }).targets('targets');
      const delegation = { ...anyOf(1, poolKey(PUBLISHER)), paths: ['*'] };
      expect(() => targets.delegate({ ...delegation, name })).toThrow(code('usage'));
      expect(() => targets.delegate({ ...delegation, name: `x${name}` })).not.toThrow();
    },
  );

  it.each(['root', 'snapshot', 'timestamp'])('gives %s no names', async (role) => {
    const edit = new RepositoryEdit(await simpleRepository(), { now: NOW });
    expect(() => edit.replaceTargets(role)).toThrow(code('usage', { role }));
    expect([...edit.drafts()]).toEqual([]);
  });

  it('changes nothing in a file that it adopted', async () => {
    const base = await simpleRepository();
    const next = new RepositoryEdit(base, { now: NOW });
    next.targets('names').setTarget('v2', targetOf('two'));
    const made = (await next.prepare().publish(simpleSigners())).roles.get('names')?.bytes as Uint8Array;
    const edit = new RepositoryEdit(base, { now: NOW });
    edit.adopt('names', made);
    expect(() => edit.replaceTargets('names')).toThrow(code('usage', { role: 'names' }));
    expect(() => edit.targets('names')).toThrow(code('usage', { role: 'names' }));
  });

  it('extends snapshot and timestamp until they are made, and not later', async () => {
    const edit = new RepositoryEdit(await simpleRepository(), { now: NOW });
    edit.targets('names').setTarget('v2', targetOf('two'));
    const prepared = edit.prepare();
    prepared.extend('snapshot', { 'x-a': 1 });
    prepared.extend('snapshot', { 'x-b': 2 });
    expect(() => prepared.extend('timestamp', { meta: 1 })).toThrow(code('usage', { member: 'meta' }));
    const { snapshot } = await prepared.publish(simpleSigners());
    expect(snapshot?.signed).toMatchObject({ 'x-a': 1, 'x-b': 2 });
    for (const role of ['snapshot', 'timestamp'] as const)
      expect(() => prepared.extend(role, { 'x-c': 3 })).toThrow(code('usage', { role }));
  });

  it('adopts only what is newer', async () => {
    const base = await simpleRepository();
    const file = base.roles.get('names')?.bytes as Uint8Array;
    const adopting = () => new RepositoryEdit(base, { now: NOW }).adopt('names', file);
    expect(adopting).toThrow(code('trust-rollback', { role: 'names', from: 1, to: 1 }));
    const root = () => new RepositoryEdit(base, { now: NOW }).adopt('root', rootBytes(base));
    expect(root).toThrow(code('trust-invalid', { role: 'root', expected: 2, found: 1 }));
  });
});

describe('signatures that are pooled', () => {
  const signed = content('targets', { targets: object({}) });
  const key = poolKey(PUBLISHER);
  const demand = {
    delegator: 'root',
    keys: new Map([[key.key.keyid, key.key]]),
    role: { keyids: [key.key.keyid], threshold: 1 },
  };
  const pending = () => new PendingFile('targets', signed, [demand]);
  const one = composeMetadataFile('targets', signed, [signatureOf(signed, key)]).bytes;
  const other = malleated(one, 'targets');

  it('are the same in whatever order two spellings of one come', () => {
    const pooled = [[one], [other], [one, other], [other, one]].map((files) => {
      const file = pending();
      for (const bytes of files) expect(file.addFile(bytes)).toBe(1);
      return file.file.signatures[0]?.sig;
    });
    expect(pooled[0]).not.toBe(pooled[1]);
    const [least] = [pooled[0], pooled[1]].sort();
    expect(pooled.slice(2)).toEqual([least, least]);
  });

  it('are of this content, and of keys that are listed', () => {
    const another = content('targets', { targets: object({}), version: 2 });
    const moved = composeMetadataFile('targets', signed, [signatureOf(another, key)]).bytes;
    const mismatch = expect.objectContaining({ code: 'signature-mismatch' });
    expect(() => pending().addFile(moved)).toThrow(mismatch);
    const changed = composeMetadataFile('targets', another, [signatureOf(another, key)]).bytes;
    expect(() => pending().addFile(changed)).toThrow(mismatch);
    const stranger = composeMetadataFile('targets', signed, [signatureOf(signed, poolKey(9))]).bytes;
    expect(pending().addFile(stranger)).toBe(0);
  });
});

describe('a repository that is read', () => {
  it.each([
    [[1, 3], 2, 3],
    [[3, 1], 2, 3],
    [[2, 3, 5], 4, 5],
    [[1, 2, 4, 5], 3, 4],
  ])('with the roots %j lacks root %i', async (versions, expected, found) => {
    const root = (version: number) =>
      composeMetadataFile('root', content('root', { version, keys: object({}), roles: object({}) }), [])
        .bytes;
    const files = new Map(versions.map((version) => [`${version}.root.json`, root(version)]));
    expect(() => readRepositoryFiles(files)).toThrow(
      code('content-invalid', { role: 'root', expected, found }),
    );
  });
});

describe('what is published', () => {
  const withRole = (base: RepositoryFiles, role: string): RepositoryFiles => ({
    ...base,
    roles: new Map([
      ...base.roles,
      [role, composeMetadataFile(role, content('targets', { targets: object({}) }), [])],
    ]),
  });

  it('has no role without a file, and none without a delegation', async () => {
    const base = await simpleRepository();
    const check = (next: RepositoryFiles, role: string) => checkRepository(next, base, new Set([role]), NOW);
    await expect(check(base, 'names')).resolves.toBeUndefined();
    await expect(check(base, 'stray')).rejects.toThrow(
      code('trust-invalid', { role: 'stray', reason: 'unlisted' }),
    );
    await expect(check(withRole(base, 'stray'), 'stray')).rejects.toThrow(
      code('trust-invalid', { role: 'stray', reason: 'undelegated' }),
    );
  });

  it('is no rollback for those who have seen the state before, also of a later root', async () => {
    const base = await simpleRepository();
    const rotation = new RepositoryEdit(base, { now: NOW });
    rotation.root().setKeys('timestamp', anyOf(1, poolKey(6)));
    const signers = [...simpleSigners(), ...signersOf(poolKey(6))];
    const rotated = await rotation.prepare().publish(signers);
    const renewal = new RepositoryEdit(rotated, { now: NOW });
    renewal.renew('timestamp');
    const renewed = await renewal.prepare().publish(signers);
    const edit = new RepositoryEdit(renewed, { now: NOW, restart: new Set(['timestamp']) });
    edit.renew('timestamp');
    await expect(edit.prepare().publish(signers)).rejects.toThrow(
      code('trust-rollback', { role: 'timestamp', to: 1 }),
    );
    expect((await freshClient(renewed)).trusted.timestamp.content.version).toBe(3);
  });

  it('is signed by keys that were there all along', async () => {
    const edit = new RepositoryEdit(await simpleRepository(), { now: NOW });
    edit.targets('names').setTarget('v2', targetOf('two'));
    const online = signersOf(poolKey(ROOT), poolKey(ONLINE));
    await expect(edit.prepare().publish(online)).rejects.toThrow(code('threshold-not-met'));
  });
});

describe('a store that fails', () => {
  class FailingStore extends MemoryStateStore {
    private readonly error: unknown;
    constructor(error: unknown) {
      super();
      this.error = error;
    }
    override load(): Promise<Uint8Array | undefined> {
      return Promise.reject(this.error);
    }
  }
  const read = async (error: unknown) => {
    const repository = await simpleRepository();
    const fetcher = new MemoryFetcher(writeRepositoryFiles(repository));
    const initialRoot = repository.roots[0]?.bytes as Uint8Array;
    return refresh(fetcher, new FailingStore(error), NOW, { initialRoot, repair: 'ask Alice' });
  };
  const storage = (reason: string) =>
    new BullaError('storage-error', 'no', { hint: 'none', details: { reason } });

  it('with damage says for which role, and what to do', async () => {
    await expect(read(storage('damaged-state'))).rejects.toMatchObject({
      code: 'storage-error',
      hint: 'ask Alice',
      details: { role: 'root', reason: 'damaged-state' },
    });
  });

  it.each<[string, unknown]>([
    ['another failure of a disk', storage('full')],
    [
      'damage of something else',
      new BullaError('content-invalid', 'no', { hint: 'none', details: { reason: 'damaged-state' } }),
    ],
    ['what is no error of ours', new TypeError('no')],
  ])('is told as it failed: %s', async (_, error) => {
    await expect(read(error)).rejects.toBe(error);
  });
});

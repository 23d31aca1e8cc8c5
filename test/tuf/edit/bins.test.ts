import { describe, expect, it } from 'vitest';
import { utf8 } from '../../../src/encoding/bytes.ts';
import { parseJsonObject } from '../../../src/encoding/json.ts';
import {
  hashPrefixesOf,
  holderOf,
  removeTargetFrom,
  setTargetIn,
  spreadOverBins,
  spreadOverHashBins,
} from '../../../src/tuf/edit/bins.ts';
import { RepositoryEdit } from '../../../src/tuf/edit/edit.ts';
import { listedRoles, publishedVersion, type RepositoryFiles } from '../../../src/tuf/edit/repository.ts';
import { binIndexFor, targetPathHash } from '../../../src/tuf/hash-bins.ts';
import {
  anyOf,
  digestOf,
  freshClient,
  NOW,
  PUBLISHER,
  simpleRepository,
  simpleSigners,
  targetOf,
} from '../../support/tuf/editing.ts';
import { poolKey } from '../../support/tuf/keys.ts';

const code = (name: string) => expect.objectContaining({ code: name });
const names = Object.fromEntries(Array.from({ length: 60 }, (_, i) => [`v${i}`, `content ${i}`]));
const publisher = () => anyOf(1, poolKey(PUBLISHER));
const layout = (bitLength: number) => ({ bitLength, namePrefix: 'names-bin' });

async function change(base: RepositoryFiles, make: (edit: RepositoryEdit) => void): Promise<RepositoryFiles> {
  const edit = new RepositoryEdit(base, { now: NOW });
  make(edit);
  return edit.prepare().publish(simpleSigners());
}

async function assertNames(repository: RepositoryFiles, expected: Record<string, string>): Promise<void> {
  const client = await freshClient(repository);
  for (const [name, text] of Object.entries(expected)) {
    expect((await client.findTarget(name)).target.hashes.get('sha256')).toBe(targetOf(text).hashes['sha256']);
  }
  await expect(client.findTarget('nobody')).rejects.toThrow(code('name-not-signed'));
}

describe.each([
  ['succinct bins (TAP 15)', spreadOverBins],
  ['bins by path_hash_prefixes', spreadOverHashBins],
])('%s', (_kind, spread) => {
  const split = async (bits: number) =>
    change(await simpleRepository(names), (edit) => spread(edit, 'names', layout(bits), publisher()));

  it.each([1, 3, 4, 5])('of %i bits hold every name after the split, and the role none', async (bits) => {
    const repository = await split(bits);
    await assertNames(repository, names);
    expect(repository.roles.get('names')?.signed['targets']).toEqual({});
    expect(listedRoles(repository).size).toBe(2 + 2 ** bits);
  });

  it('are found again for one more name, and only that bin is signed anew', async () => {
    const base = await split(3);
    const edit = new RepositoryEdit(base, { now: NOW });
    const holder = holderOf(edit, 'names', 'new');
    setTargetIn(edit, 'names', 'new', targetOf('new'));
    expect(removeTargetFrom(edit, 'names', 'nobody')).toBe(false);
    expect(removeTargetFrom(edit, 'names', 'v0')).toBe(true);
    const touched = new Set([holder, holderOf(edit, 'names', 'v0')]);
    const next = await edit.prepare().publish(simpleSigners());
    const { v0: _, ...others } = names;
    await assertNames(next, { ...others, new: 'new' });
    expect(await digestOf(next, 'v0')).toBeUndefined();
    const changed = [...next.roles].filter(([role, file]) => base.roles.get(role) !== file);
    expect(new Set(changed.map(([role]) => role))).toEqual(touched);
  });

  it.each([
    [2, 5],
    [5, 2],
    [4, 3],
  ])('are made %i bits into %i in one edit, losing no name and no listing', async (from, to) => {
    const base = await split(from);
    const next = await change(base, (edit) => spread(edit, 'names', layout(to), publisher()));
    await assertNames(next, names);
    for (const path of listedRoles(base).keys()) expect(listedRoles(next).has(path)).toBe(true);
  });

  it('do not bring back what was removed while there were fewer of them', async () => {
    const few = await change(await split(3), (edit) => spread(edit, 'names', layout(1), publisher()));
    const without = await change(few, (edit) => {
      for (const name of Object.keys(names)) if (name !== 'v7') removeTargetFrom(edit, 'names', name);
    });
    const many = await change(without, (edit) => spread(edit, 'names', layout(3), publisher()));
    for (const name of ['v0', 'v1', 'v30']) expect(await digestOf(many, name)).toBeUndefined();
    await assertNames(many, { v7: 'content 7' });
    for (const role of many.roles.keys())
      expect(publishedVersion(many, role)).toBe(many.roles.get(role)?.signed['version']);
  });

  it('keep unknown members of entries', async () => {
    const entry = parseJsonObject(utf8(`{"hashes":{"sha256":"${'a'.repeat(64)}"},"length":1,"x-note":[1]}`), {
      what: 'test',
    });
    const base = await change(await simpleRepository(), (edit) =>
      edit.targets('names').putEntry('odd', entry),
    );
    const next = await change(base, (edit) => spread(edit, 'names', layout(2), publisher()));
    const found = await (await freshClient(next)).findTarget('odd');
    expect(found.target.json).toEqual(entry);
  });

  it('that are not all in hand cannot be resized', async () => {
    const base = await split(2);
    const roles = new Map([...base.roles].filter(([role]) => role !== 'names-bin-2'));
    const edit = new RepositoryEdit({ ...base, roles }, { now: NOW });
    expect(() => spread(edit, 'names', layout(3), publisher())).toThrow(code('usage'));
  });

  it('get new keys together', async () => {
    const base = await split(2);
    const edit = new RepositoryEdit(base, { now: NOW });
    spread(edit, 'names', layout(2), anyOf(1, poolKey(9)));
    const prepared = edit.prepare();
    await expect(prepared.publish(simpleSigners())).rejects.toThrow(code('threshold-not-met'));
  });
});

describe('one kind of bins', () => {
  it('can be made of the other', async () => {
    const flat = await simpleRepository(names);
    const prefixes = await change(flat, (edit) => spreadOverHashBins(edit, 'names', layout(3), publisher()));
    const succinct = await change(prefixes, (edit) => spreadOverBins(edit, 'names', layout(4), publisher()));
    const back = await change(succinct, (edit) => spreadOverHashBins(edit, 'names', layout(3), publisher()));
    for (const repository of [prefixes, succinct, back]) await assertNames(repository, names);
  });
});

describe('prefixes of bins', () => {
  it.each([1, 2, 4, 6, 8])('of %i bits cover every hash exactly once', (bits) => {
    const all = Array.from({ length: 2 ** bits }, (_, index) => hashPrefixesOf(bits, index));
    expect(new Set(all.flat()).size).toBe(16 ** Math.ceil(bits / 4));
    for (let i = 0; i < 50; i++) {
      const hash = targetPathHash(`path ${i}`);
      const holders = all.filter((prefixes) => prefixes.some((prefix) => hash.startsWith(prefix)));
      expect(holders).toEqual([all[binIndexFor({ bitLength: bits, namePrefix: 'b' }, `path ${i}`)]]);
    }
  });
});

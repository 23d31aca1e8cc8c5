import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { MemoryStore } from '../../../src/oci/memory.ts';
import type { Target } from '../../../src/oci/target.ts';
import { CollectionEdit } from '../../../src/trust/change/collection-edit.ts';
import type { LogEntry } from '../../../src/trust/format/log.ts';
import { HEAD_TAG, NAMES_ROLE } from '../../../src/trust/format/vocabulary.ts';
import { anyFirstRoot, type Collection, readCollection } from '../../../src/trust/read/collection.ts';
import { ProcessMemory } from '../../../src/trust/read/memory.ts';
import { WorkingCopy } from '../../../src/trust/read/working-copy.ts';
import { newCollection, PLACE, policy, pushAssembly, pushHead } from '../../support/trust/collection.ts';
import { anyOf, NOW, ONLINE, PUBLISHER, ROOT, signersOf } from '../../support/tuf/editing.ts';
import { poolKey } from '../../support/tuf/keys.ts';

const signers = signersOf(poolKey(ROOT), poolKey(PUBLISHER), poolKey(ONLINE));

async function read(store: Target): Promise<Collection> {
  const collection = await readCollection(store, {
    place: PLACE,
    now: NOW,
    memory: new ProcessMemory(),
    anchor: anyFirstRoot,
    isPinned: false,
    isNamed: (name) => name === PLACE,
  });
  return collection as Collection;
}

async function change(store: Target, make: (edit: CollectionEdit) => Promise<void> | void): Promise<void> {
  const copy = await WorkingCopy.open(await read(store));
  const edit = new CollectionEdit(copy, { now: NOW, policy });
  await make(edit);
  const prepared = edit.prepare();
  const files = await prepared.edit.publish(signers);
  await pushAssembly(store, await prepared.assemble(files), HEAD_TAG);
}

const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');

function setting(id: number, ...names: string[]): LogEntry {
  const set = new Map(names.map((name) => [name, { length: name.length, sha256: sha256(name) }]));
  return { id: id.toString(16).padStart(32, '0'), at: NOW, set };
}

describe('a change of a collection', () => {
  it('names images, and takes names out', async () => {
    const store = new MemoryStore();
    await pushHead(store, await newCollection());
    await change(store, (edit) => edit.apply(NAMES_ROLE, [setting(1, 'v1', 'v2', '__proto__', '7')]));
    await change(store, (edit) =>
      edit.apply(NAMES_ROLE, [{ id: '2'.padStart(32, '0'), at: NOW, unset: new Set(['v2', 'v3']) }]),
    );
    const collection = await read(store);
    for (const name of ['v1', '__proto__', '7'])
      expect((await collection.client.findTarget(name)).target.hashes.get('sha256')).toBe(sha256(name));
    await expect(collection.client.findTarget('v2')).rejects.toMatchObject({ code: 'name-not-signed' });
    const copy = await WorkingCopy.open(collection);
    expect((await copy.log(NAMES_ROLE)).entries.map(({ unset }) => unset?.size)).toEqual([undefined, 2]);
  });

  it('adds a signer, whose names are found by its own keys', async () => {
    const store = new MemoryStore();
    await pushHead(store, await newCollection());
    await change(store, async (edit) => {
      edit.addSigner({ name: 'ci', ...anyOf(1, poolKey(ROOT)), paths: ['*'] });
    });
    await change(store, (edit) => edit.apply('ci', [setting(1, 'v1')]));
    const found = await (await read(store)).client.findTarget('v1', { through: 'ci' });
    expect(found.role).toBe('ci');
  });

  it('spreads many names over bins, of which a reader fetches one', async () => {
    const store = new MemoryStore();
    await pushHead(store, await newCollection());
    const names = Array.from({ length: 1500 }, (_, index) => `v1.${index}`);
    await change(store, (edit) => edit.apply(NAMES_ROLE, [setting(1, ...names)]));
    await change(store, (edit) => edit.apply(NAMES_ROLE, [setting(2, 'latest', 'v1.7')]));
    const collection = await read(store);
    expect(collection.object.bins).toMatchObject({ bits: 6 });
    for (const name of ['latest', 'v1.0', 'v1.1499'])
      expect((await collection.client.findTarget(name)).target.hashes.get('sha256')).toBe(sha256(name));
    const copy = await WorkingCopy.open(collection);
    expect(copy.files.roles.size).toBe(2);
  });

  it('keeps all names where `names` gets other keys', async () => {
    const store = new MemoryStore();
    await pushHead(store, await newCollection());
    const names = Array.from({ length: 1100 }, (_, index) => `v1.${index}`);
    await change(store, (edit) => edit.apply(NAMES_ROLE, [setting(1, ...names)]));
    await change(store, (edit) => edit.rekeyNames(anyOf(1, poolKey(ROOT))));
    const found = await (await read(store)).client.findTarget('v1.1099');
    expect(found.target.hashes.get('sha256')).toBe(sha256('v1.1099'));
  });

  it('makes the next root say to which collection it belongs', async () => {
    const store = new MemoryStore();
    await pushHead(store, await newCollection());
    await change(store, (edit) => {
      edit.root().setKeys('timestamp', anyOf(1, poolKey(PUBLISHER)));
    });
    const { client, id } = await read(store);
    expect(client.trusted.root.file.signed['bulla']).toMatchObject({ collection: PLACE, root: id });
  });
});

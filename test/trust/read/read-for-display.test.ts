import { describe, expect, it } from 'vitest';
import { BullaError } from '../../../src/errors.ts';
import { MemoryStore } from '../../../src/oci/memory.ts';
import { HEAD_TAG, NAMES_ROLE } from '../../../src/trust/format/vocabulary.ts';
import { ProcessMemory } from '../../../src/trust/read/memory.ts';
import { readForDisplay } from '../../../src/trust/read/read-for-display.ts';
import { WorkingCopy } from '../../../src/trust/read/working-copy.ts';
import { type ListedName, listNames } from '../../../src/trust/report/listing.ts';
import { overviewOf } from '../../../src/trust/report/overview.ts';
import { changeHead, contentOf, readAny, reading, setting } from '../../support/trust/changing.ts';
import { newCollection, PLACE, pushHead } from '../../support/trust/collection.ts';
import { anyOf, daysLater, NOW, PUBLISHER, ROOT } from '../../support/tuf/editing.ts';
import { poolKey } from '../../support/tuf/keys.ts';

async function collection(): Promise<MemoryStore> {
  const store = new MemoryStore();
  await pushHead(store, await newCollection());
  return store;
}

async function piecesOf(copy: WorkingCopy): Promise<(readonly ListedName[])[]> {
  const pieces: (readonly ListedName[])[] = [];
  for await (const piece of listNames(copy)) pieces.push(piece);
  return pieces;
}

async function listed(store: MemoryStore) {
  const listing = await piecesOf(await WorkingCopy.open(await readAny(store)));
  return listing.flat().map(({ name, digest, signers }) => [name, digest.slice(7), signers]);
}

describe('readForDisplay', () => {
  it('shows no older state than is remembered, and nothing where the memory is damaged', async () => {
    const store = await collection();
    const old = await store.fetchManifest(HEAD_TAG);
    await changeHead(store, (edit) => edit.apply(NAMES_ROLE, [setting(['v1'])]));
    const options = reading({ memory: new ProcessMemory() });
    expect((await readForDisplay(store, options))?.unpinned).toBeUndefined();
    await store.pushManifest(old, { tag: HEAD_TAG });
    const later = { ...options, now: new Date(NOW.getTime() + 120_000) };
    await expect(readForDisplay(store, later)).rejects.toMatchObject({ code: 'trust-rollback' });
    const failure = new BullaError('storage-error', 'no permission');
    const memory = Object.assign(new ProcessMemory(), { seen: () => Promise.reject(failure) });
    await expect(readForDisplay(store, reading({ memory }))).rejects.toBe(failure);
  });
});

describe('listNames', () => {
  it('lists names with all who signed them, in order', async () => {
    const store = await collection();
    await changeHead(store, async (edit) => {
      edit.addSigner({ name: 'ci', ...anyOf(1, poolKey(ROOT)), paths: ['v*'] });
    });
    await changeHead(store, (edit) => edit.apply(NAMES_ROLE, [setting(['v2', 'v10', '__proto__'])]));
    // What ci says of "latest" is heard by nobody: it may speak of v* only.
    await changeHead(store, (edit) => edit.apply('ci', [setting(['v2', 'v3', 'latest'])]));
    await changeHead(store, (edit) => edit.apply('ci', [setting(['v10'], NOW, 'other')]));
    const of = (text: string) => contentOf(text).sha256;
    expect(await listed(store)).toEqual([
      ['__proto__', of('__proto__'), ['names']],
      ['v10', of('v10'), ['names']],
      ['v10', of('other'), ['ci']],
      ['v2', of('v2'), ['names', 'ci']],
      ['v3', of('v3'), ['ci']],
    ]);
  });

  it('lists the names of bins one by one, and each name once', async () => {
    const store = await collection();
    const names = Array.from({ length: 1100 }, (_, at) => `v${at}`);
    await changeHead(store, (edit) => edit.apply(NAMES_ROLE, [setting(names)]));
    await changeHead(store, async (edit) => {
      edit.addSigner({ name: 'ci', ...anyOf(1, poolKey(ROOT)), paths: ['*'] });
    });
    await changeHead(store, (edit) => edit.apply('ci', [setting(['v7', 'zz', 'aa'])]));
    const copy = await WorkingCopy.open(await readAny(store));
    const pieces = await piecesOf(copy);
    expect(pieces.length).toBeGreaterThan(32);
    const all = pieces.flat();
    expect(all.map(({ name }) => name).toSorted()).toEqual(['aa', ...names, 'zz'].toSorted());
    expect(all.find(({ name }) => name === 'v7')?.signers).toEqual(['names', 'ci']);
    expect(pieces.at(-1)?.map(({ name }) => name)).toEqual(['aa', 'zz']);
    // None of them stayed in memory.
    expect(copy.files.roles.size).toBe(3);
  });
});

describe('readForDisplay', () => {
  it('finds none where there is none', async () => {
    expect(await readForDisplay(new MemoryStore(), reading())).toBeUndefined();
  });

  it('shows what has expired, and says so', async () => {
    const store = await collection();
    const memory = new ProcessMemory();
    await readAny(store, { memory });
    await changeHead(store, (edit) => edit.apply(NAMES_ROLE, [setting(['v1'])]));
    const options = reading({ memory, now: daysLater(400) });
    const looked = await readForDisplay(store, options);
    expect(looked?.expired).toMatchObject({ code: 'trust-expired' });
    expect(looked?.collection.client.trusted.timestamp.content.expires).toEqual(daysLater(14));
    // Nothing of it was remembered.
    const id = looked!.collection.id;
    const known = await (await memory.open(id)).loadHead(PLACE);
    expect(known?.content.descriptor.digest).not.toBe((await store.resolve(HEAD_TAG)).digest);
  });

  it('shows what nobody has pinned, and says so', async () => {
    const unpinned = new BullaError('trust-unpinned', 'nobody', {});
    const anchor = () => Promise.reject(unpinned);
    const looked = await readForDisplay(await collection(), reading({ anchor, now: daysLater(30) }));
    expect(looked).toMatchObject({ unpinned, expired: { code: 'trust-expired' } });
  });

  it('does not show what is not signed as it should be', async () => {
    const store = await collection();
    const memory = new ProcessMemory();
    await readAny(store, { memory });
    await pushHead(store, await newCollection('registry.example.com/other'));
    await expect(readForDisplay(store, reading({ memory, now: daysLater(30) }))).rejects.toMatchObject({
      code: 'trust-invalid',
    });
  });
});

describe('overviewOf', () => {
  it('tells who may sign what, who did, and until when', async () => {
    const store = await collection();
    await changeHead(store, async (edit) => {
      edit.edit.targets('targets').setDelegationKeys(NAMES_ROLE, anyOf(1, poolKey(PUBLISHER), poolKey(9)));
      edit.addSigner({ name: 'ci', ...anyOf(1, poolKey(ROOT)), paths: ['v*'] });
    });
    await changeHead(store, (edit) => edit.apply(NAMES_ROLE, [setting(['v1', 'v2'])]));
    const { roles, created } = overviewOf(await WorkingCopy.open(await readAny(store)));
    expect(roles.map(({ role, kind }) => [role, kind])).toEqual([
      ['root', 'root'],
      ['targets', 'targets'],
      ['names', 'names'],
      ['ci', 'signer'],
      ['snapshot', 'snapshot'],
      ['timestamp', 'timestamp'],
    ]);
    expect(created).toEqual(NOW);
    expect(roles[2]).toMatchObject({ threshold: 1, count: 2, expires: daysLater(365), paths: ['*'] });
    expect(roles[2]?.keys.map(({ keyid }) => keyid)).toEqual([
      poolKey(PUBLISHER).key.keyid,
      poolKey(9).key.keyid,
    ]);
    expect(roles[2]?.signedBy).toEqual([poolKey(PUBLISHER).key.keyid]);
    expect([...(roles[2]?.names?.keys() ?? [])]).toEqual(['v1', 'v2']);
  });

  it('counts names in bins', async () => {
    const store = await collection();
    const names = Array.from({ length: 1100 }, (_, at) => `v${at}`);
    await changeHead(store, (edit) => edit.apply(NAMES_ROLE, [setting(names)]));
    const { roles } = overviewOf(await WorkingCopy.open(await readAny(store)));
    expect(roles[2]).toMatchObject({ count: 1100, bins: expect.any(Number) });
  });
});

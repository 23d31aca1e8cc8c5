import { describe, expect, it } from 'vitest';
import { withdrawStage } from '../../../src/actions/change/withdraw.ts';
import { readStatus } from '../../../src/actions/inspect/status.ts';
import { BullaError } from '../../../src/errors.ts';
import { MemoryStore } from '../../../src/oci/memory.ts';
import type { Tag } from '../../../src/oci/reference.ts';
import { PendingChange } from '../../../src/trust/approve/pending-change.ts';
import { stageChange } from '../../../src/trust/approve/stage-change.ts';
import type { PartialRole } from '../../../src/trust/candidates/sibling-files.ts';
import { SiblingReader } from '../../../src/trust/candidates/siblings.ts';
import { addSigner, rekey, type StructureChange } from '../../../src/trust/change/role-changes.ts';
import { HEAD_TAG } from '../../../src/trust/format/vocabulary.ts';
import { publishNames } from '../../../src/trust/publish/publish.ts';
import { composeMetadataFile } from '../../../src/tuf/metadata-file.ts';
import { newCollection, pushHead } from '../../support/trust/collection.ts';
import { FakeClock, naming, publisher } from '../../support/trust/publishing.ts';
import {
  ALICE,
  BOB,
  chance,
  collection,
  copyOf,
  idOf,
  listAt,
  made,
  personAt,
  resign,
  stage,
  stagesAt,
  twoSigners,
  waitingAt,
} from '../../support/trust/staging.ts';
import { anyOf, NOW, ONLINE, PUBLISHER, ROOT, signersOf } from '../../support/tuf/editing.ts';
import { poolKey } from '../../support/tuf/keys.ts';

const twoForNames = rekey('names', {
  add: [poolKey(ALICE).key, poolKey(BOB).key],
  drop: [],
  keep: false,
  threshold: 2,
});
const newRoot = rekey('root', { add: [poolKey(ALICE).key], drop: [], keep: false });
const findingsAt = async (store: MemoryStore) =>
  (await readStatus(store, await copyOf(store), { now: NOW, chance })).findings.map(({ kind }) => kind);

describe('how far a stage is signed', () => {
  it('counts for each role the keys of that role alone', async () => {
    const store = await collection();
    await stageChange(store, await made(store, twoForNames, ROOT));
    const [first] = await waitingAt(store);
    expect(first?.signedBy).toEqual([idOf(ROOT)]);
    expect(first?.progress).toMatchObject([
      { role: 'targets', threshold: 1, valid: [idOf(ROOT)], open: [] },
      { role: 'names', threshold: 2, valid: [], open: expect.arrayContaining([idOf(ALICE), idOf(BOB)]) },
    ]);
    await first?.sign(signersOf(poolKey(ALICE)));
    const [second] = await waitingAt(store);
    expect(second).toMatchObject({
      state: 'signatures',
      since: NOW,
      missing: [{ role: 'names', threshold: 2, valid: [idOf(ALICE)], open: [idOf(BOB)] }],
    });
  });

  it('counts a new root for the keys before and for its own separately', async () => {
    const store = await collection();
    await stageChange(store, await made(store, newRoot, ALICE));
    expect((await waitingAt(store))[0]?.progress.filter(({ role }) => role === 'root')).toMatchObject([
      { delegator: 'root 1', valid: [] },
      { delegator: 'root 2', valid: [idOf(ALICE)] },
    ]);
  });
});

describe('a stage that was taken in', () => {
  const changes: readonly [string, StructureChange, readonly number[]][] = [
    ['a change of root', newRoot, [ROOT, ALICE]],
    ['a change of names', twoForNames, [ROOT, ALICE, BOB]],
    ['a new signer', addSigner({ name: 'alice', ...anyOf(1, poolKey(ALICE)), paths: ['*'] }), [ROOT, ALICE]],
    [
      'a change of the online key',
      rekey('snapshot', { add: [poolKey(ALICE).key], drop: [], keep: true }),
      [ROOT],
    ],
  ];
  it.each(changes)('with %s is not reported any more, and goes after a day', async (_, change, keys) => {
    const store = await collection();
    // Two copies, of which one lacks signatures: both say what the head says.
    const [first, ...others] = keys as [number, ...number[]];
    const half = await made(store, change, first);
    const whole = PendingChange.open(half.toFile(), NOW);
    await whole.sign(signersOf(...others.map(poolKey)));
    await stageChange(store, whole);
    await resign(store);
    await stageChange(store, half);
    await stageChange(store, whole);
    expect(await listAt(store)).toEqual({ waiting: [], refused: [] });
    expect(await findingsAt(store)).toEqual([]);
    const clock = new FakeClock();
    clock.pass(3_600_000);
    await resign(store, clock, true);
    expect(await listAt(store)).toEqual({ waiting: [], refused: [] });
    clock.pass(25 * 3_600_000);
    await resign(store, clock, true);
    expect((await store.listTags()).filter((tag) => tag.startsWith('_trust.stage.'))).toEqual([]);
  });

  it('is not reported after further changes', async () => {
    const store = await collection();
    await stageChange(store, await made(store, newRoot, ROOT, ALICE));
    await resign(store);
    await resign(store, undefined, true);
    expect(await listAt(store)).toEqual({ waiting: [], refused: [] });
  });
});

/** As docker-registry without deletion. */
class KeepingStore extends MemoryStore {
  override deleteTag(): Promise<void> {
    return Promise.reject(new BullaError('registry-error', 'unsupported', { hint: '' }));
  }

  override deleteManifest(): Promise<void> {
    return Promise.reject(new BullaError('registry-error', 'unsupported', { hint: '' }));
  }
}

async function withdraw(store: MemoryStore, id: string, keys: readonly number[], agrees = false) {
  let asked = 0;
  const done = await withdrawStage(personAt(store, keys), id, {
    onFound: () => undefined,
    confirm: async () => {
      asked += 1;
      if (!agrees) throw new BullaError('interrupted', 'it stays', { hint: '' });
    },
  });
  return { ...done, asked };
}

describe('a stage that is withdrawn', () => {
  const stores = [
    ['removed', () => new MemoryStore()],
    ['hidden where nothing can be removed', () => new KeepingStore()],
  ] as const;
  it.each(stores)('is %s, with all of its copies', async (_, open) => {
    const store = open();
    await pushHead(store, await newCollection());
    const change = await made(store, twoForNames, ROOT);
    await stageChange(store, change);
    await change.sign(signersOf(poolKey(ALICE)));
    await stageChange(store, change);
    const [waiting] = await waitingAt(store);
    expect(waiting?.tags).toHaveLength(2);
    expect(await withdraw(store, waiting?.id ?? '', [ALICE])).toMatchObject({ isOwn: true, asked: 0 });
    expect(await listAt(store)).toEqual({ waiting: [], refused: [] });
    expect(await findingsAt(store)).toEqual([]);
    expect((await resign(store)).outcome).toBe('fresh');
  });

  it('by someone whose keys have not signed it, only after a question', async () => {
    const store = await collection();
    await stageChange(store, await made(store, twoForNames, ROOT));
    const [{ id } = { id: '' }] = await waitingAt(store);
    // Alice may sign it, and has not: it is not hers to take back.
    for (const keys of [[], [ALICE], [ONLINE]])
      await expect(withdraw(store, id, keys)).rejects.toMatchObject({ code: 'interrupted' });
    expect(await waitingAt(store)).toHaveLength(1);
    expect(await withdraw(store, id, [], true)).toMatchObject({ isOwn: false, asked: 1 });
    expect(await waitingAt(store)).toEqual([]);
  });

  it('by a signature in the name of a key is not taken for that key’s', async () => {
    const store = await twoSigners();
    const { read, options } = publisher(1, { signers: signersOf(poolKey(PUBLISHER)), wait: 0 });
    const change = naming({ v1: 'one' });
    await expect(publishNames(store, read, change, options)).rejects.toMatchObject({ code: 'staged' });
    const { siblings } = await new SiblingReader(store, chance).read(await copyOf(store), NOW);
    const { file, logBytes } = siblings.flatMap(
      ({ partial }) => partial.get('names') ?? [],
    )[0] as PartialRole;
    const forged = [...file.signatures, { keyid: idOf(ALICE), sig: 'ab'.repeat(64) }];
    const copy = composeMetadataFile('names', file.signed, forged);
    await stage(store, [copy], new Map([['names', logBytes]]));
    const [{ id, tags } = { id: '', tags: [] }] = await waitingAt(store);
    expect(tags).toHaveLength(2);
    await expect(withdraw(store, id, [ALICE])).rejects.toMatchObject({ code: 'interrupted' });
    expect(await withdraw(store, id, [PUBLISHER])).toMatchObject({ isOwn: true, removed: tags });
  });

  it('leaves the head alone, whatever tag leads to it', async () => {
    const store = await collection();
    const whole = await made(store, newRoot, ROOT, ALICE);
    await stageChange(store, whole);
    const [{ id } = { id: '' }] = await waitingAt(store);
    const head = await store.fetchManifest(HEAD_TAG);
    await store.pushManifest(head, { tag: '_trust.stage.0123456789abcdef' as Tag });
    await withdraw(store, id, [ROOT]);
    expect((await store.fetchManifest(HEAD_TAG)).descriptor.digest).toBe(head.descriptor.digest);
    await expect(withdraw(store, id, [ROOT])).rejects.toMatchObject({ code: 'not-found' });
  });

  it('stays withdrawn where it was staged: its own machine does not put it back', async () => {
    const store = await twoSigners();
    const clock = new FakeClock();
    const { read, options } = publisher(1, { signers: signersOf(poolKey(PUBLISHER)), wait: 0 }, clock);
    await expect(publishNames(store, read, naming({ v1: 'one' }), options)).rejects.toMatchObject({
      code: 'staged',
    });
    const [{ id } = { id: '' }] = await waitingAt(store);
    const place = { ...personAt(store, []), publish: options };
    const done = await withdrawStage(place, id, {
      onFound: () => undefined,
      confirm: async () => Promise.reject(new Error('it is its own')),
    });
    expect(done.isOwn).toBe(true);
    clock.pass(60_000);
    const other = naming({ v2: 'two' });
    await expect(publishNames(store, read, other, options)).rejects.toMatchObject({ code: 'staged' });
    expect((await waitingAt(store)).map(({ changes }) => changes.join())).toEqual([
      expect.not.stringContaining('v1'),
    ]);
  });

  it.each([
    ['removes', (store: MemoryStore, tag: Tag) => store.deleteTag(tag)],
    [
      'moves to something else',
      async (store: MemoryStore, tag: Tag) =>
        store.pushManifest(await store.fetchManifest(HEAD_TAG), { tag }),
    ],
  ])('by a stranger without keys, who %s its tag, comes back while its author waits', async (_, take) => {
    const store = await twoSigners();
    const clock = new FakeClock();
    const { read, options } = publisher(1, { signers: signersOf(poolKey(PUBLISHER)), wait: 90_000 }, clock);
    let taken = 0;
    clock.onSleep = async () => {
      const [tag] = await stagesAt(store);
      if (tag === undefined || taken > 0 || clock.now().getTime() < NOW.getTime() + 15_000) return;
      taken += 1;
      await take(store, tag);
    };
    await expect(publishNames(store, read, naming({ v1: 'one' }), options)).rejects.toMatchObject({
      code: 'staged',
    });
    expect(taken).toBe(1);
    expect(await waitingAt(store)).toMatchObject([{ roles: ['names'], signedBy: [idOf(PUBLISHER)] }]);
  });
});

import { describe, expect, it } from 'vitest';
import { changeRoles } from '../../../src/actions/change/change-roles.ts';
import { isBullaError } from '../../../src/errors.ts';
import type { MemoryStore } from '../../../src/oci/memory.ts';
import { stageChange } from '../../../src/trust/approve/stage-change.ts';
import { CollectionEdit } from '../../../src/trust/change/collection-edit.ts';
import { addSigner, rekey, renewFor, type StructureChange } from '../../../src/trust/change/role-changes.ts';
import type { LogEntry } from '../../../src/trust/format/log.ts';
import { trustVersions } from '../../../src/trust/format/versions.ts';
import { publishNames } from '../../../src/trust/publish/publish.ts';
import { FakeClock, logOf, naming, publisher } from '../../support/trust/publishing.ts';
import {
  ALICE,
  BOB,
  collection,
  copyOf,
  idOf,
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

const HOUR = 3_600_000;
const DAY = 24 * HOUR;

/** What a person with some keys does with `--stage`. @returns id of the change that waits */
async function rotate(
  store: MemoryStore,
  change: StructureChange,
  keys: number[],
  later = 0,
): Promise<string> {
  const place = personAt(store, keys, 20 + keys.length + later);
  const clock = new FakeClock(new Date(NOW.getTime() + later));
  const copy = await copyOf(store);
  const publish = { ...place.publish, clock };
  const options = { stageOnly: true, agree: async () => true };
  try {
    const { change: published } = await changeRoles({ ...place, publish }, copy, change, options);
    return published?.digest ?? '';
  } catch (error) {
    if (!isBullaError(error, 'staged')) throw error;
    return String(error.details['id']);
  }
}

/** A collection whose root and targets two have to sign. */
async function twoOwners(): Promise<MemoryStore> {
  const store = await collection();
  const two = rekey('root', { add: [poolKey(ALICE).key], drop: [], keep: true, threshold: 2 });
  await stageChange(store, await made(store, two, ROOT, ALICE));
  await resign(store);
  for (const tag of await stagesAt(store)) await store.deleteTag(tag);
  return store;
}

const bob = addSigner({ name: 'bob', ...anyOf(1, poolKey(BOB)), paths: ['*'] });

describe('a change of roles that two people make', () => {
  it.each<[string, StructureChange, readonly [number[], number[]]]>([
    ['a new signer', bob, [[ROOT, BOB], [ALICE]]],
    [
      'new keys of names',
      rekey('names', { add: [poolKey(BOB).key], drop: [], keep: false }),
      [[ROOT], [ALICE, BOB]],
    ],
    ['a new root', rekey('root', { add: [poolKey(BOB).key], drop: [], keep: true }), [[ROOT, BOB], [ALICE]]],
    ['another threshold', rekey('root', { add: [], drop: [], keep: true, threshold: 1 }), [[ROOT], [ALICE]]],
    [
      'the online key',
      rekey('timestamp', { add: [poolKey(BOB).key], drop: [], keep: true }),
      [[ROOT], [ALICE]],
    ],
    ['another lifetime', renewFor('names', 100 * DAY), [[ROOT, PUBLISHER], [ALICE]]],
  ])('is one: %s', async (_, change, [first, second]) => {
    const store = await twoOwners();
    const id = await rotate(store, change, first);
    expect(await waitingAt(store)).toMatchObject([{ id, state: 'signatures' }]);
    expect(await rotate(store, change, second, 5 * HOUR)).toBe(id);
    expect(await waitingAt(store)).toMatchObject([
      { id, state: 'online', missing: [], tags: [expect.any(String)] },
    ]);
    expect((await resign(store)).outcome).toBe('folded');
    expect(await waitingAt(store)).toEqual([]);
  });

  it('is found again by who repeats the command, and nothing is staged twice', async () => {
    const store = await twoOwners();
    const id = await rotate(store, bob, [ROOT]);
    const stages = await stagesAt(store);
    for (const later of [1, HOUR, 5 * DAY]) expect(await rotate(store, bob, [ROOT], later)).toBe(id);
    expect(await stagesAt(store)).toEqual(stages);
  });

  it('is another where one asks for anything else', async () => {
    const store = await twoOwners();
    const id = await rotate(store, bob, [ROOT]);
    const other = addSigner({ name: 'bob', ...anyOf(1, poolKey(BOB)), paths: ['v*'] });
    expect(await rotate(store, other, [ALICE])).not.toBe(id);
    expect(await waitingAt(store)).toMatchObject([{ state: 'signatures' }, { state: 'signatures' }]);
  });

  it.each<[string, { lifetime?: number; now?: number }]>([
    ['expires early', { lifetime: 20 * DAY }],
    ['expires late', { lifetime: 4000 * DAY }],
    ['was signed before the state that it changes', { now: -3 * HOUR }],
    ['was signed in future', { now: 3 * HOUR }],
    ['takes in older changes', { now: -HOUR / 2, lifetime: 365 * DAY + HOUR / 2 }],
  ])('is not joined where what waits %s', async (_, { lifetime, now = 0 }) => {
    const store = await twoOwners();
    const copy = await copyOf(store);
    const edit = new CollectionEdit(copy, {
      now: new Date(NOW.getTime() + now),
      policy: {
        versions: trustVersions((range) => Math.floor(Math.random() * range)),
        ...(lifetime !== undefined && { lifetime: () => lifetime }),
      },
    });
    await bob(edit, copy);
    const prepared = edit.prepare();
    await prepared.edit.sign(signersOf(poolKey(ROOT)));
    const files = prepared.edit.pending().map(({ file }) => file);
    await stage(store, files, prepared.logs);
    await rotate(store, bob, [ALICE]);
    const signed = (await waitingAt(store)).filter(({ signedBy }) => signedBy.includes(idOf(ALICE)));
    expect(signed).toMatchObject([{ signedBy: [idOf(ALICE)] }]);
  });
});

const sign = async (
  store: MemoryStore,
  names: Record<string, string>,
  keys: number[],
  seed: number,
  clock?: FakeClock,
  wait = 0,
) => {
  const { read, options } = publisher(seed, { signers: signersOf(...keys.map(poolKey)), wait }, clock);
  return await publishNames(store, read, naming(names), options);
};
const staged = { code: 'staged' };

describe('a change of names that two publishers make', () => {
  it('is one: the second signs the first one’s, and their signatures count together', async () => {
    const store = await twoSigners();
    await expect(sign(store, { v1: 'one' }, [PUBLISHER], 1)).rejects.toMatchObject(staged);
    const [{ id } = { id: '' }] = await waitingAt(store);
    await expect(sign(store, { v1: 'one' }, [ALICE], 2)).rejects.toMatchObject(staged);
    expect(await waitingAt(store)).toMatchObject([{ id, state: 'online', missing: [] }]);
    expect((await resign(store)).outcome).toBe('folded');
    expect((await logOf(store)).map(({ by }) => by)).toEqual([idOf(PUBLISHER)]);
    expect(await waitingAt(store)).toEqual([]);
  });

  it('is published at once where the second has the online key', async () => {
    const store = await twoSigners();
    await expect(sign(store, { v1: 'one' }, [PUBLISHER], 1)).rejects.toMatchObject(staged);
    const { ids } = await sign(store, { v1: 'one' }, [ALICE, ONLINE], 2, undefined, 30_000);
    expect((await logOf(store)).map(({ id }) => id)).toEqual(ids);
  });

  it('is staged once by who repeats the command', async () => {
    const store = await twoSigners();
    for (const seed of [1, 2, 3, 4])
      await expect(sign(store, { v1: 'one' }, [PUBLISHER], seed)).rejects.toMatchObject(staged);
    expect(await stagesAt(store)).toHaveLength(1);
  });

  it('is one where both staged it at the same moment and wait', async () => {
    const store = await twoSigners();
    const clocks = [new FakeClock(), new FakeClock()];
    const work = [PUBLISHER, ALICE].map((key, at) =>
      sign(store, { v1: 'one' }, [key], at + 1, clocks[at], 40_000),
    );
    const ended = await Promise.allSettled(work);
    expect(ended.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
    expect((await waitingAt(store)).filter(({ missing }) => missing.length === 0)).toHaveLength(1);
    expect((await resign(store)).outcome).toBe('folded');
    expect(await logOf(store)).toHaveLength(1);
  });

  it.each<[string, Record<string, string>]>([
    ['another digest', { v1: 'other' }],
    ['another name', { v2: 'one' }],
    ['more names', { v1: 'one', v2: 'two' }],
  ])('is another with %s', async (_, names) => {
    const store = await twoSigners();
    await expect(sign(store, { v1: 'one' }, [PUBLISHER], 1)).rejects.toMatchObject(staged);
    await expect(sign(store, names, [ALICE], 2)).rejects.toMatchObject(staged);
    expect(await waitingAt(store)).toMatchObject([
      { signedBy: [expect.any(String)] },
      { signedBy: [expect.any(String)] },
    ]);
  });

  const content = naming({ v1: 'one', v2: 'two' })[0]?.set ?? new Map();
  const only = (...names: string[]) => new Map([...content].filter(([name]) => names.includes(name)));
  it.each<
    [string, { entry?: Partial<LogEntry>; lifetime?: number; now?: number; signers?: number[]; more?: true }]
  >([
    ['nobody has signed', { signers: [] }],
    ['a stranger has signed', { signers: [BOB] }],
    ['has a further name', { entry: { set: only('v1', 'v2') } }],
    ['has a further change', { more: true }],
    ['is in the name of another signer', { entry: { by: idOf(ALICE) } }],
    ['states an origin', { entry: { origin: 'registry.example.com/other:v1' } }],
    ['is dated long ago', { entry: { at: new Date(NOW.getTime() - 40 * DAY) } }],
    ['is dated in future', { entry: { at: new Date(NOW.getTime() + 5 * HOUR) } }],
    ['expires early', { lifetime: 10 * DAY }],
    ['expires late', { lifetime: 4000 * DAY }],
    ['was signed in future', { now: 5 * HOUR }],
  ])(
    'is not joined where what waits %s',
    async (_, { entry = {}, lifetime, now = 0, signers = [PUBLISHER], more }) => {
      const store = await twoSigners();
      const edit = new CollectionEdit(await copyOf(store), {
        now: new Date(NOW.getTime() + now),
        policy: {
          versions: trustVersions((range) => Math.floor(Math.random() * range)),
          ...(lifetime !== undefined && { lifetime: () => lifetime }),
        },
      });
      const by = idOf(PUBLISHER);
      await edit.apply('names', [
        { id: 'a'.repeat(32), at: NOW, by, set: only('v1'), ...entry },
        ...(more === true ? [{ id: 'b'.repeat(32), at: NOW, by, set: only('v2') }] : []),
      ]);
      const prepared = edit.prepare();
      await prepared.edit.sign(signersOf(...signers.map(poolKey)));
      await stage(
        store,
        prepared.edit.pending().map(({ file }) => file),
        prepared.logs,
      );
      await expect(sign(store, { v1: 'one' }, [ALICE], 2)).rejects.toMatchObject(staged);
      const signed = (await waitingAt(store)).filter(({ signedBy }) => signedBy.includes(idOf(ALICE)));
      expect(signed).toMatchObject([{ signedBy: [idOf(ALICE)] }]);
      expect(signed[0]?.entries).not.toContain('a'.repeat(32));
    },
  );
});

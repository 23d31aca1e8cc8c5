import { describe, expect, it } from 'vitest';
import { approveStaged } from '../../../src/actions/change/approve.ts';
import { exportChange } from '../../../src/actions/change/offline.ts';
import { listPending, type Waiting } from '../../../src/actions/change/pending.ts';
import type { ChangePlace, KeySource } from '../../../src/actions/change/place.ts';
import { MemoryStore } from '../../../src/oci/memory.ts';
import type { Tag } from '../../../src/oci/reference.ts';
import { stageChange } from '../../../src/trust/approve/stage-change.ts';
import { CollectionEdit } from '../../../src/trust/change/collection-edit.ts';
import { addSigner, rekey, type StructureChange } from '../../../src/trust/change/role-changes.ts';
import { trustVersions } from '../../../src/trust/format/versions.ts';
import { HEAD_TAG, NAMES_ROLE } from '../../../src/trust/format/vocabulary.ts';
import { publishNames } from '../../../src/trust/publish/publish.ts';
import { resignCollection } from '../../../src/trust/publish/resign.ts';
import { WorkingCopy } from '../../../src/trust/read/working-copy.ts';
import type { TufSigner } from '../../../src/tuf/edit/signing.ts';
import { readAny } from '../../support/trust/changing.ts';
import { newCollection, pushAssembly, pushHead } from '../../support/trust/collection.ts';
import { naming, publisher } from '../../support/trust/publishing.ts';
import { anyOf, NOW, ONLINE, PUBLISHER, ROOT, signersOf } from '../../support/tuf/editing.ts';
import { poolKey } from '../../support/tuf/keys.ts';

const ALICE = 3;
const versions = trustVersions((range) => Math.floor(Math.random() * range));
const chance = { fraction: () => 0.5 };
const copyOf = async (store: MemoryStore): Promise<WorkingCopy> => WorkingCopy.open(await readAny(store));

/** Work of another machine, right after a stage was pushed. */
class RacingStore extends MemoryStore {
  afterStage: (() => Promise<void>) | undefined;

  override async pushManifest(...args: Parameters<MemoryStore['pushManifest']>): Promise<void> {
    await super.pushManifest(...args);
    if (args[1]?.tag?.startsWith('_trust.stage.') !== true) return;
    const others = this.afterStage;
    this.afterStage = undefined;
    await others?.();
  }
}

const resign = async (store: MemoryStore): Promise<void> => {
  const { read, options } = publisher(7, { signers: signersOf(poolKey(ONLINE)) });
  expect((await resignCollection(store, read, options)).outcome).toBe('folded');
};

async function removeStages(store: MemoryStore): Promise<void> {
  for (const tag of await store.listTags())
    if (tag.startsWith('_trust.stage.')) await store.deleteTag(tag as Tag);
}

/** A collection whose names two have to sign, and a change that the first of them has signed. */
async function halfSigned(): Promise<RacingStore> {
  const store = new RacingStore();
  await pushHead(store, await newCollection());
  const two = signersOf(poolKey(ROOT), poolKey(PUBLISHER), poolKey(ALICE), poolKey(ONLINE));
  const copy = await copyOf(store);
  const edit = new CollectionEdit(copy, { now: NOW, policy: { versions } });
  await rekey(NAMES_ROLE, { add: [poolKey(ALICE).key], drop: [], keep: true, threshold: 2 })(edit, copy);
  const prepared = edit.prepare();
  await pushAssembly(store, await prepared.assemble(await prepared.edit.publish(two)), HEAD_TAG);
  const { read, options } = publisher(1, { signers: signersOf(poolKey(PUBLISHER)), wait: 0 });
  await expect(publishNames(store, read, naming({ v1: 'one' }), options)).rejects.toMatchObject({
    code: 'staged',
  });
  return store;
}

/** A new signer, whose own signature is missing. */
async function halfAdmitted(change: StructureChange): Promise<RacingStore> {
  const store = new RacingStore();
  await pushHead(store, await newCollection());
  const made = await exportChange(await copyOf(store), change, {
    now: NOW,
    versions,
    signers: signersOf(poolKey(ROOT)),
  });
  await stageChange(store, made);
  return store;
}

function keysOf(...keys: number[]): KeySource {
  const own = signersOf(...keys.map(poolKey));
  const chosen: KeySource['signersFor'] = async (demands) => {
    const ids = new Set([...demands].flatMap(({ role }) => role.keyids));
    return own.filter(({ key }: TufSigner) => ids.has(key.keyid));
  };
  const none = async (): Promise<never> => Promise.reject(new Error('not asked for here'));
  return {
    signersFor: chosen,
    publicKey: none,
    signer: none,
    nameOf: async () => undefined,
    unlisted: async () => [],
    certificates: async () => new Map(),
  };
}

async function approve(store: RacingStore, ...keys: number[]): ReturnType<typeof approveStaged> {
  const { read, options } = publisher(3, { wait: 0 });
  const place: ChangePlace<KeySource> = {
    place: read.place,
    repository: read.place,
    name: read.place,
    target: store,
    read,
    keys: keysOf(...keys),
    publish: options,
  };
  const [waiting] = (await listPending(store, await copyOf(store), { now: NOW, chance })).waiting;
  const { id } = waiting as Waiting;
  const quiet = async (): Promise<void> => undefined;
  return await approveStaged(place, id, { onFound: () => undefined, confirm: quiet });
}

const alice = addSigner({ name: 'alice', ...anyOf(1, poolKey(ALICE)), paths: ['*'] });

describe('an approval with the last missing signature', () => {
  it.each([
    ['names', 'removed', () => halfSigned(), true],
    ['names', 'left', () => halfSigned(), false],
    ['a new signer', 'removed', () => halfAdmitted(alice), true],
    ['a new signer', 'left', () => halfAdmitted(alice), false],
  ] as const)(
    'of %s is told as published where a re-signer was faster and %s its stages',
    async (_, __, begin, removes) => {
      const store = await begin();
      store.afterStage = async () => {
        await resign(store);
        if (removes) await removeStages(store);
      };
      const { waiting, published } = await approve(store, ALICE);
      expect(published).toBe((await readAny(store)).object.content.descriptor.digest);
      expect(waiting.missing).toEqual([]);
    },
  );

  it.each([
    ['names', () => halfSigned()],
    ['a new signer', () => halfAdmitted(alice)],
  ] as const)('of %s is not told as missing where the registry lists its stage late', async (_, begin) => {
    const store = await begin();
    store.afterStage = () => removeStages(store);
    // No online key and nothing listed: it has all signatures, and is not in the head.
    await expect(approve(store, ALICE)).rejects.toMatchObject({ code: 'staged' });
  });

  it('is not told as published where others removed its stage and moved the head without it', async () => {
    const store = await halfSigned();
    const two = signersOf(poolKey(PUBLISHER), poolKey(ALICE), poolKey(ONLINE));
    store.afterStage = async () => {
      await removeStages(store);
      const { read, options } = publisher(9, { signers: two });
      await publishNames(store, read, naming({ v2: 'two' }), options);
    };
    await expect(approve(store, ALICE)).rejects.toMatchObject({ code: 'staged' });
  });
});

it('an approval that leaves signatures missing says how many', async () => {
  const change = addSigner({ name: 'bob', ...anyOf(2, poolKey(ALICE), poolKey(4)), paths: ['*'] });
  const store = await halfAdmitted(change);
  const { waiting, published } = await approve(store, ALICE);
  expect(published).toBeNull();
  expect(waiting.missing).toMatchObject([{ role: 'bob', threshold: 2, valid: [poolKey(ALICE).key.keyid] }]);
});

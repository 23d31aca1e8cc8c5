import { describe, expect, it } from 'vitest';
import { exportChange } from '../../../src/actions/change/offline.ts';
import { listPending, type Waiting } from '../../../src/actions/change/pending.ts';
import { MemoryStore } from '../../../src/oci/memory.ts';
import { PendingChange } from '../../../src/trust/approve/pending-change.ts';
import { stageChange } from '../../../src/trust/approve/stage-change.ts';
import { SiblingReader } from '../../../src/trust/candidates/siblings.ts';
import { CollectionEdit } from '../../../src/trust/change/collection-edit.ts';
import {
  addSigner,
  rekey,
  removeSigner,
  type StructureChange,
} from '../../../src/trust/change/role-changes.ts';
import { assembleStage } from '../../../src/trust/format/assemble.ts';
import { trustVersions } from '../../../src/trust/format/versions.ts';
import { HEAD_TAG, NAMES_ROLE, stageTag } from '../../../src/trust/format/vocabulary.ts';
import { publishNames } from '../../../src/trust/publish/publish.ts';
import { resignCollection } from '../../../src/trust/publish/resign.ts';
import { WorkingCopy } from '../../../src/trust/read/working-copy.ts';
import { versionOf } from '../../../src/tuf/edit/repository.ts';
import { composeMetadataFile, type MetadataFile } from '../../../src/tuf/metadata-file.ts';
import { metadataFileName } from '../../../src/tuf/role-name.ts';
import { changeHead, readAny } from '../../support/trust/changing.ts';
import { newCollection, pushAssembly, pushHead } from '../../support/trust/collection.ts';
import { malleated } from '../../support/trust/malleate.ts';
import { FakeClock, naming, publisher } from '../../support/trust/publishing.ts';
import { anyOf, NOW, ONLINE, PUBLISHER, ROOT, signersOf } from '../../support/tuf/editing.ts';
import { poolKey } from '../../support/tuf/keys.ts';

const ALICE = 3;
const MALLORY = 4;
const versions = trustVersions((range) => Math.floor(Math.random() * range));
const chance = { fraction: () => 0.5 };

async function collection(name?: string): Promise<MemoryStore> {
  const store = new MemoryStore();
  await pushHead(store, await newCollection(name));
  return store;
}

const copyOf = async (store: MemoryStore): Promise<WorkingCopy> => WorkingCopy.open(await readAny(store));

async function waitingAt(store: MemoryStore): Promise<readonly Waiting[]> {
  return (await listPending(store, await copyOf(store), { now: NOW, chance })).waiting;
}

/** One pass of whoever has the online key alone. */
const resign = (store: MemoryStore) => {
  const { read, options } = publisher(7, { signers: signersOf(poolKey(ONLINE)) });
  return resignCollection(store, read, options);
};

/** A collection whose names two have to sign, and a change that the first of them has signed. */
async function halfSigned(): Promise<MemoryStore> {
  const store = await collection();
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

async function stage(
  store: MemoryStore,
  files: readonly MetadataFile[],
  logs = new Map<string, Uint8Array>(),
): Promise<void> {
  const named = files.map((file) => [metadataFileName(file.role, versionOf(file)), file.bytes] as const);
  const assembly = assembleStage({ files: new Map(named), logs });
  await pushAssembly(store, assembly, stageTag(assembly.top.descriptor.digest));
}

/** The staged file of a role, as its first signer left it. */
async function stagedFile(store: MemoryStore, role: string): Promise<MetadataFile> {
  const { siblings } = await new SiblingReader(store, chance).read(await copyOf(store), NOW);
  const found = siblings.flatMap(({ partial }) => partial.get(role)?.file ?? []);
  return found[0] as MetadataFile;
}

describe('names that two have to sign', () => {
  it('are published with the second signature, and by nobody before', async () => {
    const store = await halfSigned();
    expect((await resign(store)).outcome).toBe('fresh');
    const [waiting] = await waitingAt(store);
    expect(waiting).toMatchObject({ state: 'signatures', signedBy: [poolKey(PUBLISHER).key.keyid] });
    await waiting?.sign(signersOf(poolKey(ALICE)));
    expect(await waitingAt(store)).toMatchObject([{ id: waiting?.id, state: 'online', missing: [] }]);
    expect((await resign(store)).outcome).toBe('folded');
    expect((await (await readAny(store)).client.findTarget('v1')).role).toBe(NAMES_ROLE);
    expect(await waitingAt(store)).toEqual([]);
  });

  it('a signature in another spelling is not the second', async () => {
    const store = await halfSigned();
    const file = await stagedFile(store, NAMES_ROLE);
    const bytes = malleated(file.bytes, NAMES_ROLE);
    expect(bytes).not.toEqual(file.bytes);
    await stage(store, [{ ...file, bytes }]);
    expect(await waitingAt(store)).toMatchObject([
      { state: 'signatures', missing: [{ valid: [poolKey(PUBLISHER).key.keyid] }] },
    ]);
    expect((await resign(store)).outcome).toBe('fresh');
  });

  it.each([
    ['a key that is not listed', MALLORY, MALLORY],
    ['a stranger in the name of a key that is', MALLORY, ALICE],
  ])('a signature by %s is not the second', async (_, by, as) => {
    const store = await halfSigned();
    const file = await stagedFile(store, NAMES_ROLE);
    const [signer] = signersOf(poolKey(by));
    const sig = Buffer.from((await signer?.sign(file.message)) ?? []).toString('hex');
    const forged = { keyid: poolKey(as).key.keyid, sig };
    await stage(store, [composeMetadataFile(NAMES_ROLE, file.signed, [...file.signatures, forged])]);
    const [waiting] = await waitingAt(store);
    expect(waiting).toMatchObject({ state: 'signatures', signedBy: [poolKey(PUBLISHER).key.keyid] });
    expect((await resign(store)).outcome).toBe('fresh');
    // The forged one does not stand in the way of the true one.
    await waiting?.sign(signersOf(poolKey(ALICE)));
    expect((await resign(store)).outcome).toBe('folded');
  });
});

describe('staged changes of roles and keys', () => {
  const alice = addSigner({ name: 'alice', ...anyOf(1, poolKey(ALICE)), paths: ['*'] });

  async function made(
    store: MemoryStore,
    change: StructureChange,
    ...keys: number[]
  ): Promise<PendingChange> {
    return await exportChange(await copyOf(store), change, {
      now: NOW,
      versions,
      signers: signersOf(...keys.map(poolKey)),
    });
  }

  it('are taken over by whoever has the online key alone', async () => {
    const store = await collection();
    await stageChange(store, await made(store, alice, ROOT, ALICE));
    expect(await waitingAt(store)).toMatchObject([{ state: 'online', roles: ['targets', 'alice'] }]);
    expect((await resign(store)).outcome).toBe('folded');
    expect((await copyOf(store)).delegations.roles).toHaveLength(2);
    expect(await waitingAt(store)).toEqual([]);
    expect((await resign(store)).outcome).toBe('fresh');
  });

  it('that two have signed without knowing of each other are pooled', async () => {
    const store = await collection();
    const change = (await made(store, alice)).toFile();
    for (const key of [ROOT, ALICE]) {
      const half = PendingChange.open(change, NOW);
      await half.sign(signersOf(poolKey(key)));
      await stageChange(store, half);
    }
    expect(await waitingAt(store)).toMatchObject([
      { state: 'online', tags: [expect.any(String), expect.any(String)] },
    ]);
    expect((await resign(store)).outcome).toBe('folded');
    expect((await copyOf(store)).delegations.roles).toHaveLength(2);
  });

  it('are not, while a signature is missing; copies are pooled', async () => {
    const store = await collection();
    await stageChange(store, await made(store, alice, ROOT));
    expect((await resign(store)).outcome).toBe('fresh');
    const [waiting] = await waitingAt(store);
    await waiting?.sign(signersOf(poolKey(ALICE)));
    expect((await resign(store)).outcome).toBe('folded');
  });

  it('leave nothing behind to be asked about, and go a day after they were taken over', async () => {
    const store = await collection();
    const first = await stageChange(store, await made(store, alice, ROOT));
    const [waiting] = await waitingAt(store);
    const second = (await waiting?.sign(signersOf(poolKey(ALICE))))?.tags[0];
    const stages = async () => (await store.listTags()).filter((tag) => tag.startsWith('_trust.stage.'));
    expect(await stages()).toEqual([second]);
    expect(second).not.toBe(first);
    expect((await resign(store)).outcome).toBe('folded');
    expect(await listPending(store, await copyOf(store), { now: NOW, chance })).toEqual({
      waiting: [],
      refused: [],
    });
    const clock = new FakeClock();
    const later = async (hours: number) => {
      clock.pass(hours * 3_600_000);
      const { read, options } = publisher(8, { signers: signersOf(poolKey(ONLINE)) }, clock);
      await resignCollection(store, read, { ...options, force: true });
    };
    await later(1);
    expect(await stages()).toEqual([second]);
    await later(25);
    expect(await stages()).toEqual([]);
  });

  it.each<[string, (store: MemoryStore) => Promise<PendingChange>]>([
    [
      'of another collection, by the same keys',
      async () => made(await collection('registry.example.com/other'), alice, ROOT, ALICE),
    ],
    [
      'that was made on the same state as the one that is published',
      async (store) => {
        const change = await made(store, alice, ROOT, ALICE);
        await changeHead(store, (edit) =>
          addSigner({ name: 'bob', ...anyOf(1, poolKey(PUBLISHER)), paths: ['*'] })(edit, edit.copy),
        );
        return change;
      },
    ],
    [
      'that was published and undone',
      async (store) => {
        const change = await made(store, alice, ROOT, ALICE);
        await stageChange(store, change);
        await resign(store);
        await changeHead(store, (edit) => removeSigner('alice')(edit, edit.copy));
        return change;
      },
    ],
    ['signed by keys that may not', async (store) => made(store, alice, MALLORY, ALICE)],
    [
      'to the next root, by the new key alone',
      async (store) =>
        made(store, rekey('root', { add: [poolKey(MALLORY).key], drop: [], keep: false }), MALLORY),
    ],
  ])('one %s is not taken over', async (_, make) => {
    const store = await collection();
    const change = await make(store);
    await stageChange(store, change);
    const before = (await copyOf(store)).files;
    await resign(store);
    const after = (await copyOf(store)).files;
    expect(after.roots).toEqual(before.roots);
    expect(after.roles.get('targets')).toEqual(before.roles.get('targets'));
  });

  it('a stage of a removed signer is nobody’s word', async () => {
    const store = await collection();
    await changeHead(store, (edit) =>
      addSigner({ name: 'ci', ...anyOf(1, poolKey(ROOT)), paths: ['*'] })(edit, edit.copy),
    );
    const { read, options } = publisher(1, { signers: signersOf(poolKey(ROOT)), wait: 0 });
    const change = naming({ v1: 'one' }, 'ci');
    await expect(publishNames(store, read, change, options)).rejects.toMatchObject({ code: 'staged' });
    await changeHead(store, (edit) => removeSigner('ci')(edit, edit.copy));
    expect(await waitingAt(store)).toEqual([]);
    await resign(store);
    expect((await copyOf(store)).delegations.roles).toHaveLength(1);
  });
});

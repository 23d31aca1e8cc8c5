import { exportChange } from '../../../src/actions/change/offline.ts';
import { listPending, type PendingList, type Waiting } from '../../../src/actions/change/pending.ts';
import type { ChangePlace } from '../../../src/actions/change/place.ts';
import { KeysAtHand } from '../../../src/actions/sign/keys-at-hand.ts';
import { algorithm } from '../../../src/crypto/algorithm.ts';
import { createSigner } from '../../../src/crypto/signer.ts';
import { MemoryStore } from '../../../src/oci/memory.ts';
import type { Tag } from '../../../src/oci/reference.ts';
import type { PendingChange } from '../../../src/trust/approve/pending-change.ts';
import { stageChange } from '../../../src/trust/approve/stage-change.ts';
import { rekey, type StructureChange } from '../../../src/trust/change/role-changes.ts';
import { assembleStage } from '../../../src/trust/format/assemble.ts';
import { trustVersions } from '../../../src/trust/format/versions.ts';
import { stageTag } from '../../../src/trust/format/vocabulary.ts';
import { type Resigned, resignCollection } from '../../../src/trust/publish/resign.ts';
import { WorkingCopy } from '../../../src/trust/read/working-copy.ts';
import { versionOf } from '../../../src/tuf/edit/repository.ts';
import type { MetadataFile } from '../../../src/tuf/metadata-file.ts';
import { metadataFileName } from '../../../src/tuf/role-name.ts';
import { NOW, ONLINE, PUBLISHER, ROOT, signersOf } from '../tuf/editing.ts';
import { poolKey } from '../tuf/keys.ts';
import { readAny } from './changing.ts';
import { newCollection, pushAssembly, pushHead } from './collection.ts';
import { type FakeClock, publisher } from './publishing.ts';

export const ALICE: number = 3;
export const BOB: number = 4;
export const chance: { fraction(): number } = { fraction: () => 0.5 };
export const idOf = (key: number): string => poolKey(key).key.keyid;

export async function collection(): Promise<MemoryStore> {
  const store = new MemoryStore();
  await pushHead(store, await newCollection());
  return store;
}

export const copyOf = async (store: MemoryStore): Promise<WorkingCopy> =>
  WorkingCopy.open(await readAny(store));
export const listAt = async (store: MemoryStore, now: Date = NOW): Promise<PendingList> =>
  await listPending(store, await copyOf(store), { now, chance });
export const waitingAt = async (store: MemoryStore): Promise<readonly Waiting[]> =>
  (await listAt(store)).waiting;

/** One pass of the re-signer. */
export const resign = (store: MemoryStore, clock?: FakeClock, force?: boolean): Promise<Resigned> => {
  const { read, options } = publisher(7, { signers: signersOf(poolKey(ONLINE)) }, clock);
  return resignCollection(store, read, { ...options, force });
};

export async function made(
  store: MemoryStore,
  change: StructureChange,
  ...keys: number[]
): Promise<PendingChange> {
  const versions = trustVersions((range) => Math.floor(Math.random() * range));
  const signers = signersOf(...keys.map(poolKey));
  return await exportChange(await copyOf(store), change, { now: NOW, versions, signers });
}

/** A collection whose names two have to sign. */
export async function twoSigners(): Promise<MemoryStore> {
  const store = await collection();
  const change = await made(
    store,
    rekey('names', { add: [poolKey(ALICE).key], drop: [], keep: true, threshold: 2 }),
    ...[ROOT, PUBLISHER, ALICE],
  );
  await stageChange(store, change);
  await resign(store);
  for (const tag of await stagesAt(store)) await store.deleteTag(tag);
  return store;
}

export const stagesAt = async (store: MemoryStore): Promise<readonly Tag[]> =>
  (await store.listTags()).filter((tag) => tag.startsWith('_trust.stage.'));

export async function stage(
  store: MemoryStore,
  files: readonly MetadataFile[],
  logs: ReadonlyMap<string, Uint8Array>,
): Promise<void> {
  const named = files.map((file) => [metadataFileName(file.role, versionOf(file)), file.bytes] as const);
  const assembly = assembleStage({ files: new Map(named), logs });
  await pushAssembly(store, assembly, stageTag(assembly.top.descriptor.digest));
}

/** A person with some private keys. */
export function personAt(store: MemoryStore, keys: readonly number[], seed = 11): ChangePlace<KeysAtHand> {
  const { read, options } = publisher(seed, { wait: 0 });
  const own = keys.map((key) => createSigner(poolKey(key).privateKey, algorithm('ES256')));
  const all = async () =>
    own.map((signer) => ({ name: 'own', publicKey: signer.publicKey, certificates: [], signer }));
  return {
    ...{ place: read.place, repository: read.place, name: read.place, target: store, read },
    keys: new KeysAtHand({ all, find: () => Promise.reject(new Error('not named')) }, []),
    publish: options,
  };
}

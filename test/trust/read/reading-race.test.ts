import { describe, expect, it } from 'vitest';
import { MemoryStore } from '../../../src/oci/memory.ts';
import { CollectionEdit } from '../../../src/trust/change/collection-edit.ts';
import { assembleHead } from '../../../src/trust/format/assemble.ts';
import { HEAD_TAG, NAMES_ROLE } from '../../../src/trust/format/vocabulary.ts';
import {
  anyFirstRoot,
  type Collection,
  type ReadOptions,
  readCollection,
} from '../../../src/trust/read/collection.ts';
import { ProcessMemory } from '../../../src/trust/read/memory.ts';
import { WorkingCopy } from '../../../src/trust/read/working-copy.ts';
import { collisionFreeVersions } from '../../../src/tuf/edit/policy.ts';
import { newCollection, PLACE, pushAssembly } from '../../support/trust/collection.ts';
import { contentOf } from '../../support/trust/publishing.ts';
import { NOW, ONLINE, PUBLISHER, ROOT, signersOf } from '../../support/tuf/editing.ts';
import { poolKey } from '../../support/tuf/keys.ts';

const signers = signersOf(poolKey(ROOT), poolKey(PUBLISHER), poolKey(ONLINE));

function reading(memory: ProcessMemory, now = NOW): ReadOptions {
  return {
    place: PLACE,
    now,
    memory,
    anchor: anyFirstRoot,
    isPinned: false,
    isNamed: (name) => name === PLACE,
  };
}

async function read(store: MemoryStore, memory: ProcessMemory): Promise<Collection> {
  return (await readCollection(store, reading(memory))) as Collection;
}

/** A head on top of a collection that sets one name; `parts` are the random parts of names, snapshot, timestamp. */
async function headAbove(base: Collection, name: string, parts: readonly number[]) {
  const left = [...parts];
  const versions = collisionFreeVersions(() => left.shift() ?? 0);
  const edit = new CollectionEdit(await WorkingCopy.open(base), { now: NOW, policy: { versions } });
  const id = Buffer.from(name).toString('hex').padStart(32, '0');
  await edit.apply(NAMES_ROLE, [{ id, at: NOW, set: new Map([[name, contentOf(name)]]) }]);
  const prepared = edit.prepare();
  return await prepared.assemble(await prepared.edit.publish(signers));
}

describe('a reader of two heads that race', () => {
  it('keeps the one it has seen where the other has a higher timestamp and lower names', async () => {
    const store = new MemoryStore();
    const made = await newCollection();
    await pushAssembly(store, assembleHead(made), HEAD_TAG);
    const base = await read(store, new ProcessMemory());
    const first = await headAbove(base, 'v1', [9, 1, 1]);
    const second = await headAbove(base, 'v2', [1, 9, 9]);
    const memory = new ProcessMemory();
    for (const head of [first, second, second, first, second]) {
      await pushAssembly(store, head, HEAD_TAG);
      const { client } = await read(store, memory);
      expect((await client.findTarget('v1')).target.hashes.get('sha256')).toBe(contentOf('v1').sha256);
    }
  });
});

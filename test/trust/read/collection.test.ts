import { describe, expect, it } from 'vitest';
import { BullaError } from '../../../src/errors.ts';
import { MemoryStore } from '../../../src/oci/memory.ts';
import { anyFirstRoot, type ReadOptions, readCollection } from '../../../src/trust/read/collection.ts';
import { ProcessMemory } from '../../../src/trust/read/memory.ts';
import { newCollection, PLACE, pushHead } from '../../support/trust/collection.ts';
import { NOW } from '../../support/tuf/editing.ts';

function reading(change: Partial<ReadOptions> = {}): ReadOptions {
  return {
    place: PLACE,
    now: NOW,
    memory: new ProcessMemory(),
    anchor: anyFirstRoot,
    isPinned: false,
    isNamed: (name) => name === PLACE,
    ...change,
  };
}

describe('readCollection', () => {
  it('brings all of a small collection with one request', async () => {
    const store = new MemoryStore();
    const made = await newCollection();
    await pushHead(store, made);
    store.fetchBlob = () => Promise.reject(new Error('a blob was asked for'));
    const collection = await readCollection(store, reading());
    expect(collection).toMatchObject({ place: PLACE, id: made.id, name: PLACE });
    await expect(collection?.client.findTarget('v1')).rejects.toMatchObject({ code: 'name-not-signed' });
  });

  it('finds none where none was ever seen', async () => {
    expect(await readCollection(new MemoryStore(), reading())).toBeUndefined();
  });

  it('takes a head that is gone for a failure where one was seen', async () => {
    const store = new MemoryStore();
    const options = reading();
    await pushHead(store, await newCollection());
    await readCollection(store, options);
    await expect(readCollection(new MemoryStore(), options)).rejects.toMatchObject({
      code: 'trust-invalid',
      details: { reason: 'missing-head' },
    });
  });

  it.each(['root', 'timestamp', 'snapshot'])(
    'says why what is remembered cannot be read: %s',
    async (role) => {
      const store = new MemoryStore();
      const options = reading();
      const made = await newCollection();
      await pushHead(store, made);
      await readCollection(store, options);
      const memory = await options.memory.open(made.id);
      const failure = new BullaError('storage-error', 'no permission', { details: { errno: 'EACCES' } });
      const load = memory.load.bind(memory);
      memory.load = async (name) => {
        if (name === role) throw failure;
        return await load(name);
      };
      await expect(readCollection(store, options)).rejects.toBe(failure);
    },
  );

  it('refuses what a pin says now of a place where another collection was seen', async () => {
    const [store, other] = [new MemoryStore(), new MemoryStore()];
    const options = reading();
    await pushHead(store, await newCollection());
    await readCollection(store, options);
    await pushHead(other, await newCollection(PLACE, new Date(NOW.getTime() + 1000)));
    for (const isPinned of [true, false])
      await expect(readCollection(other, { ...options, isPinned })).rejects.toMatchObject({
        code: 'trust-invalid',
        details: { reason: 'collection' },
      });
  });

  it('refuses the head of another repository', async () => {
    const store = new MemoryStore();
    await pushHead(store, await newCollection('registry.example.com/team/other'));
    await expect(readCollection(store, reading())).rejects.toMatchObject({
      code: 'trust-invalid',
      details: { reason: 'binding', collection: 'registry.example.com/team/other' },
    });
  });
});

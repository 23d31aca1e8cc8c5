import { describe, expect, it } from 'vitest';
import { BullaError } from '../../../src/errors.ts';
import { MemoryStore } from '../../../src/oci/memory.ts';
import { HEAD_TAG, NAMES_ROLE } from '../../../src/trust/format/vocabulary.ts';
import { anyFirstRoot, type ReadOptions, readCollection } from '../../../src/trust/read/collection.ts';
import { ProcessMemory } from '../../../src/trust/read/memory.ts';
import { changeHead, setting } from '../../support/trust/changing.ts';
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

  describe('of a registry behind a cache', () => {
    const later = (ms: number) => new Date(NOW.getTime() + ms);
    /** A place that shows what was there before, for so many reads; `waited` are the pauses. */
    async function cached(before: 'nothing' | 'an older head', reads: number) {
      const store = new MemoryStore();
      await pushHead(store, await newCollection());
      const old = await store.fetchManifest(HEAD_TAG);
      await changeHead(store, (edit) => edit.apply(NAMES_ROLE, [setting(['v1'])]));
      const waited: number[] = [];
      const pause = async (ms: number) => void waited.push(ms);
      const options = { ...reading(), pause };
      await readCollection(store, options);
      let left = reads;
      const stale = new MemoryStore();
      stale.fetchBlob = (...args) => store.fetchBlob(...args);
      stale.fetchManifest = async (reference, ...rest) => {
        if (reference !== HEAD_TAG || left-- <= 0) return await store.fetchManifest(reference, ...rest);
        if (before === 'nothing') throw new BullaError('not-found', 'a cache says so');
        return old;
      };
      stale.fetchManifestUnless = async (tag, known) => {
        const content = await stale.fetchManifest(tag);
        return content.descriptor.digest === known ? undefined : content;
      };
      return { stale, options, waited };
    }

    it.each([
      ['nothing', 1],
      ['nothing', 4],
      ['an older head', 1],
      ['an older head', 3],
    ] as const)('is asked again where it shows %s, %i times', async (before, reads) => {
      const warnings: string[] = [];
      const { stale, options, waited } = await cached(before, reads);
      const onWarning = (line: string) => warnings.push(line);
      const collection = await readCollection(stale, { ...options, now: later(1_000), onWarning });
      await expect(collection?.client.findTarget('v1')).resolves.toBeDefined();
      expect(waited).toHaveLength(reads);
      expect(warnings).toEqual([]);
    });

    it.each([
      [0, 6_000],
      [1_000, 5_000],
      [5_900, 100],
      [6_000, 0],
      [3_600_000, 0],
      [-1_000, 0],
    ])('is said to lack its head, if it still does: %i ms later, after %i ms', async (ms, total) => {
      const { stale, options, waited } = await cached('nothing', 99);
      await expect(readCollection(stale, { ...options, now: later(ms) })).rejects.toMatchObject({
        details: { reason: 'missing-head' },
      });
      expect(waited.reduce((sum, one) => sum + one, 0)).toBe(total);
    });

    it.each([
      [0, 6_000, 'answered from memory'],
      [7_000, 0, 'answered from memory'],
      [61_000, 0, 'trust-rollback'],
    ])('is said to have gone back, if it still did: %i ms later, after %i ms', async (ms, total, outcome) => {
      const { stale, options, waited } = await cached('an older head', 99);
      const read = readCollection(stale, { ...options, now: later(ms) }).then(
        () => 'answered from memory',
        (error: BullaError) => error.code,
      );
      expect(await read).toBe(outcome);
      expect(waited.reduce((sum, one) => sum + one, 0)).toBe(total);
    });

    it('is asked once where nothing is remembered of it, or nothing can wait', async () => {
      const { stale, options, waited } = await cached('nothing', 99);
      const fresh = { ...options, memory: new ProcessMemory(), isPinned: true };
      await expect(readCollection(stale, fresh)).rejects.toMatchObject({ code: 'trust-invalid' });
      const { pause: _, ...hasty } = options;
      await expect(readCollection(stale, hasty)).rejects.toMatchObject({ code: 'trust-invalid' });
      expect(waited).toEqual([]);
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

import { describe, expect, it } from 'vitest';
import { utf8 } from '../../../src/encoding/bytes.ts';
import type { Digest } from '../../../src/oci/digest.ts';
import { MemoryStore } from '../../../src/oci/memory.ts';
import { readCollection } from '../../../src/trust/read/collection.ts';
import { type BlobCache, ProcessMemory } from '../../../src/trust/read/memory.ts';
import { reading, setting } from '../../support/trust/changing.ts';
import { newCollection, PLACE, pushHead } from '../../support/trust/collection.ts';
import { changeWith, headFiles, pushFiles } from '../../support/trust/heads.ts';
import { NOW } from '../../support/tuf/editing.ts';

class MapCache implements BlobCache {
  readonly blobs = new Map<Digest, Uint8Array>();

  async load(digest: Digest): Promise<Uint8Array | undefined> {
    return this.blobs.get(digest);
  }

  async keep(digest: Digest, bytes: Uint8Array): Promise<void> {
    this.blobs.set(digest, bytes);
  }
}

/** A repository that counts what is asked of it. */
class CountingStore extends MemoryStore {
  asked = 0;

  override fetchManifest(
    ...args: Parameters<MemoryStore['fetchManifest']>
  ): ReturnType<MemoryStore['fetchManifest']> {
    this.asked++;
    return super.fetchManifest(...args);
  }

  override fetchBlob(...args: Parameters<MemoryStore['fetchBlob']>): ReturnType<MemoryStore['fetchBlob']> {
    this.asked++;
    return super.fetchBlob(...args);
  }
}

async function largeStore(): Promise<CountingStore> {
  const store = new CountingStore(PLACE);
  await pushHead(store, await newCollection());
  const names = Array.from({ length: 1001 }, (_, index) => `v${index}`);
  await changeWith(store, (edit) => edit.apply('names', [setting(names)]));
  return store;
}

describe('a reader with a cache', () => {
  it('asks once where nothing has changed, also where the head is large', async () => {
    const store = await largeStore();
    const options = reading({ memory: new ProcessMemory(), cache: new MapCache() });
    const read = async () => (await (await readCollection(store, options))?.client.findTarget('v7'))?.role;
    expect(await read()).toMatch(/^-/);
    store.asked = 0;
    expect(await read()).toMatch(/^-/);
    expect(store.asked).toBe(1);
  });

  it('asks only for what changed', async () => {
    const store = await largeStore();
    const options = reading({ memory: new ProcessMemory(), cache: new MapCache() });
    const read = async () => (await readCollection(store, options))?.client.findTarget('v7');
    await read();
    await changeWith(store, (edit) => edit.apply('names', [setting(['other'])]));
    store.asked = 0;
    await read();
    // The head, its listing, timestamp, snapshot, names; not root and targets, and mostly not the shard and bin.
    expect(store.asked).toBeLessThanOrEqual(7);
  });

  it('believes nothing that the cache holds without its hash', async () => {
    const store = new MemoryStore(PLACE);
    await pushHead(store, await newCollection());
    await pushFiles(store, await headFiles(store), { bare: true });
    const cache = new MapCache();
    const read = () => readCollection(store, reading({ now: NOW, cache }));
    expect((await read())?.name).toBe(PLACE);
    for (const [digest, bytes] of cache.blobs) cache.blobs.set(digest, utf8(' '.repeat(bytes.byteLength)));
    await expect(read()).rejects.toMatchObject({ code: 'content-invalid' });
  });
});

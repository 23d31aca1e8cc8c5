import { describe, expect, it } from 'vitest';
import { MemoryStore } from '../../../src/oci/memory.ts';
import { publishNames } from '../../../src/trust/publish/publish.ts';
import { newCollection, pushHead } from '../../support/trust/collection.ts';
import { contentOf, hashesOf, logOf, naming, publisher, revoking } from '../../support/trust/publishing.ts';

async function place(): Promise<MemoryStore> {
  const store = new MemoryStore();
  await pushHead(store, await newCollection());
  return store;
}

describe('publishNames', () => {
  it('names an image in the head, and says so only once it is read back', async () => {
    const store = await place();
    const { read, options } = publisher();
    const published = await publishNames(store, read, naming({ v1: 'one' }), options);
    expect(published).toMatchObject({ rounds: 2, folded: [], conflicts: [], refused: [] });
    expect(published.head).toBe(published.collection.object.content.descriptor.digest);
    expect(await hashesOf(store, ['v1'])).toEqual({ v1: contentOf('one').sha256 });
    expect((await logOf(store)).map(({ id }) => id)).toEqual(published.ids);
  });

  it('takes a name out', async () => {
    const store = await place();
    const { read, options } = publisher();
    await publishNames(store, read, naming({ v1: 'one', v2: 'two' }), options);
    await publishNames(store, read, revoking('v1'), options);
    expect(await hashesOf(store, ['v1', 'v2'])).toEqual({ v1: undefined, v2: contentOf('two').sha256 });
  });

  it('gets every change of 8 publishers at once into the head', async () => {
    const store = await place();
    const work = Array.from({ length: 8 }, async (_, index) => {
      const { read, options } = publisher(index + 1);
      return await publishNames(store, read, naming({ [`v${index}`]: `image ${index}` }), options);
    });
    const ids = (await Promise.all(work)).flatMap((published) => published.ids);
    expect(new Set((await logOf(store)).map(({ id }) => id))).toEqual(new Set(ids));
  });
});

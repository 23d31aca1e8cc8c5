import { describe, expect, it } from 'vitest';
import { prefetch } from '../../../src/actions/verify/prefetch.ts';
import { MemoryStore } from '../../../src/oci/memory.ts';
import { pushImage, tagOf } from '../../support/content.ts';

describe('a manifest that is asked for early', () => {
  it('is asked for once, and again only for whoever asks again', async () => {
    const store = new MemoryStore();
    const image = await pushImage(store, 'app', 'v1');
    const asked: string[] = [];
    const original = store.fetchManifest.bind(store);
    store.fetchManifest = (reference, options) => {
      asked.push(reference);
      return original(reference, options);
    };
    const source = prefetch(store, tagOf('v1'), {});
    expect(asked).toEqual(['v1']);
    expect((await source.fetchManifest(tagOf('v1'))).descriptor).toEqual(image.descriptor);
    expect(asked).toEqual(['v1']);
    await source.fetchManifest(tagOf('v1'));
    await source.fetchManifest(image.descriptor.digest);
    expect(asked).toEqual(['v1', 'v1', image.descriptor.digest]);
    expect(await source.listTags()).toEqual(['v1']);
  });

  it('tells its failure to whoever asks', async () => {
    const source = prefetch(new MemoryStore(), tagOf('none'), {});
    await new Promise((resolve) => setTimeout(resolve, 5));
    await expect(source.fetchManifest(tagOf('none'))).rejects.toMatchObject({ code: 'not-found' });
  });
});

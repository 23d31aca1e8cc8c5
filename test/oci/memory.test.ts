import { describe, expect, it } from 'vitest';
import { MemoryStore } from '../../src/oci/memory.ts';
import { pushImage, tagOf } from '../support/content.ts';
import { describeTarget } from '../support/target-contract.ts';

describeTarget('memory store', async () => ({ target: new MemoryStore() }));

describe('memory store', () => {
  it('keeps its own copy of what is pushed', async () => {
    const store = new MemoryStore();
    const image = await pushImage(store, 'one', 'v1');
    const first = image.bytes[0];
    image.bytes[0] = 0;
    expect((await store.fetchManifest(tagOf('v1'))).bytes[0]).toBe(first);
  });
});

import { describe, expect, it } from 'vitest';
import type { ManifestContent } from '../../../src/oci/manifest.ts';
import type { Tag } from '../../../src/oci/reference.ts';
import { HEAD_TAG } from '../../../src/trust/format/vocabulary.ts';
import { type Published, publishNames } from '../../../src/trust/publish/publish.ts';
import { resignCollection } from '../../../src/trust/publish/resign.ts';
import { newCollection, pushHead } from '../../support/trust/collection.ts';
import { FakeClock, naming, publisher, reading } from '../../support/trust/publishing.ts';
import { WeakStore } from '../../support/trust/weak-store.ts';
import { ONLINE, PUBLISHER, signersOf } from '../../support/tuf/editing.ts';
import { poolKey } from '../../support/tuf/keys.ts';

const DAY_MS = 86_400_000;

/** Puts something else at a tag once it was read so often. */
class SwappingStore extends WeakStore {
  swap: { readonly tag: Tag; after: number; readonly content: ManifestContent } | undefined;

  override async fetchManifest(...args: Parameters<WeakStore['fetchManifest']>) {
    const { swap } = this;
    if (swap?.tag === args[0] && swap.after-- === 0) {
      this.swap = undefined;
      await this.replay(swap.content, swap.tag);
    }
    return await super.fetchManifest(...args);
  }
}

async function place(): Promise<WeakStore> {
  const store = new WeakStore();
  await pushHead(store, await newCollection());
  return store;
}

async function nameBy(store: WeakStore, seed: number, name: string, clock = new FakeClock()) {
  const { options } = publisher(seed, {}, clock);
  return await publishNames(store, reading({ now: clock.now() }), naming({ [name]: name }), options);
}

/** Puts a change beside the head, and does not wait. @returns its tag */
async function stageBy(store: WeakStore, seed: number, name: string, clock = new FakeClock()): Promise<Tag> {
  const { options } = publisher(seed, { signers: signersOf(poolKey(PUBLISHER)), wait: 0 }, clock);
  const before = await store.siblings();
  await expect(
    publishNames(store, reading({ now: clock.now() }), naming({ [name]: name }), options),
  ).rejects.toMatchObject({ code: 'staged' });
  const [made] = (await store.siblings()).filter((tag) => !before.includes(tag));
  return made as Tag;
}

/** The tag that something brings. */
async function newTag(store: WeakStore, make: () => Promise<unknown>): Promise<Tag> {
  const before = await store.siblings();
  await make();
  const [made, ...more] = (await store.siblings()).filter((tag) => !before.includes(tag));
  expect(more).toEqual([]);
  return made as Tag;
}

function namesOf({ folded }: Published): readonly string[] {
  return folded.flatMap(({ set }) => [...(set?.keys() ?? [])]);
}

describe('somebody who may push and has no key, at tags that are listed as folded', () => {
  it('cannot hide a stage by having a folded one listed in its place for a while', async () => {
    const store = await place();
    const folded = await store.fetchManifest(await stageBy(store, 1, 'v1'));
    await nameBy(store, 2, 'v2');
    const tag = await stageBy(store, 3, 'v3');
    const stage = await store.fetchManifest(tag);
    await store.replay(folded, tag);
    await nameBy(store, 4, 'v4');
    await store.replay(stage, tag);
    expect(namesOf(await nameBy(store, 5, 'v5'))).toEqual(['v3']);
  });

  it('cannot hide a buried change by having a folded candidate listed in its place for a while', async () => {
    const store = await place();
    await nameBy(store, 1, 'v1');
    const [first = '' as Tag] = await store.siblings();
    const folded = await store.fetchManifest(first);
    const early = await store.fetchManifest(HEAD_TAG);
    const tag = await newTag(store, () => nameBy(store, 2, 'v2'));
    const candidate = await store.fetchManifest(tag);
    await store.replay(early, HEAD_TAG);
    await store.replay(folded, tag);
    await nameBy(store, 3, 'v3');
    await store.replay(candidate, tag);
    expect(namesOf(await nameBy(store, 4, 'v4'))).toEqual(['v2']);
  });

  it('cannot have a change removed that waits, with a copy of it where something folded lay', async () => {
    const store = await place();
    store.tagsTakeManifestsAlong = true;
    const clock = new FakeClock();
    const tag = await stageBy(store, 1, 'v1', clock);
    const stage = await store.fetchManifest(tag);
    await store.deleteTag(tag);
    const old = await newTag(store, () => nameBy(store, 2, 'v2', clock));
    // Made for an older head, it is not for a re-signer to take over: its maker has to make it again.
    await store.replay(stage, tag);
    await store.replay(stage, old);
    clock.pass(DAY_MS);
    const { options } = publisher(3, { signers: signersOf(poolKey(ONLINE)) }, clock);
    await resignCollection(store, reading({ now: clock.now() }), options);
    expect(await store.siblings()).toContain(tag);
    expect(namesOf(await nameBy(store, 4, 'v4', clock))).toEqual(['v1']);
  });

  it('cannot have a change removed that waits, by putting it where something folded was just looked at', async () => {
    const store = new SwappingStore();
    await pushHead(store, await newCollection());
    store.tagsTakeManifestsAlong = true;
    const clock = new FakeClock();
    const tag = await stageBy(store, 1, 'v1', clock);
    const stage = await store.fetchManifest(tag);
    await store.deleteTag(tag);
    const folded = await store.fetchManifest(await newTag(store, () => nameBy(store, 2, 'v2', clock)));
    const copy = '_trust.next.0123456789ab' as Tag;
    await store.replay(folded, copy);
    await store.replay(stage, tag);
    clock.pass(DAY_MS);
    store.swap = { tag: copy, after: 1, content: stage };
    const { options } = publisher(3, { signers: signersOf(poolKey(ONLINE)) }, clock);
    await resignCollection(store, reading({ now: clock.now() }), options);
    expect(store.swap).toBeUndefined();
    expect(await store.siblings()).toContain(tag);
  });
});

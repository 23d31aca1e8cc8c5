import { describe, expect, it } from 'vitest';
import type { Digest } from '../../../src/oci/digest.ts';
import type { Tag } from '../../../src/oci/reference.ts';
import { announceHead, headOf } from '../../../src/trust/format/candidate.ts';
import {
  encodeFolded,
  foldedDescriptorOf,
  MAX_FOLDED,
  parseFolded,
} from '../../../src/trust/format/folded.ts';
import { HEAD_TAG } from '../../../src/trust/format/vocabulary.ts';
import { publishNames } from '../../../src/trust/publish/publish.ts';
import { resignCollection } from '../../../src/trust/publish/resign.ts';
import { WorkingCopy } from '../../../src/trust/read/working-copy.ts';
import { newCollection, PLACE, pushHead } from '../../support/trust/collection.ts';
import { pushLargeHead } from '../../support/trust/many-names.ts';
import {
  contentOf,
  FakeClock,
  freshRead,
  hashesOf,
  logOf,
  naming,
  publisher,
  reading,
} from '../../support/trust/publishing.ts';
import { WeakStore } from '../../support/trust/weak-store.ts';
import { daysLater, NOW, ONLINE, PUBLISHER, signersOf } from '../../support/tuf/editing.ts';
import { poolKey } from '../../support/tuf/keys.ts';

const HOUR_MS = 3_600_000;

/** Counts what is fetched, and can lose blobs. */
class CountingStore extends WeakStore {
  fetched = 0;
  readonly lost = new Set<Digest>();

  override async fetchManifest(...args: Parameters<WeakStore['fetchManifest']>) {
    this.fetched++;
    return await super.fetchManifest(...args);
  }

  override async fetchBlob(...args: Parameters<WeakStore['fetchBlob']>) {
    this.fetched++;
    if (this.lost.has(args[0].digest)) return await super.fetchBlob({ ...args[0], digest: MISSING }, args[1]);
    return await super.fetchBlob(...args);
  }
}

const MISSING = `sha256:${'0'.repeat(64)}` as Digest;

async function place(): Promise<CountingStore> {
  const store = new CountingStore();
  await pushHead(store, await newCollection());
  return store;
}

/** Somebody who knows nothing of what was before names something. */
async function nameBy(store: WeakStore, seed: number, name: string, clock = new FakeClock()) {
  const { options } = publisher(seed, {}, clock);
  return await publishNames(store, reading(), naming({ [name]: name }), options);
}

async function foldedTags(store: WeakStore): Promise<readonly Tag[]> {
  return [...(await (await WorkingCopy.open(await freshRead(store))).folded()).keys()];
}

describe('what was folded', () => {
  it('need not be read again: the 40th change of a day costs no more than the 5th', async () => {
    const store = await place();
    const costs: number[] = [];
    for (let count = 1; count <= 40; count++) {
      const before = store.fetched;
      await nameBy(store, count, `v${count}`);
      costs.push(store.fetched - before);
    }
    expect(await store.siblings()).toHaveLength(40);
    expect(costs[39]).toBeLessThanOrEqual(costs[4] as number);
  });

  it('need not be read again where changes are staged and taken over by somebody else', async () => {
    const store = await place();
    const service = publisher(99, { signers: signersOf(poolKey(ONLINE)) });
    const costs: number[] = [];
    for (let count = 1; count <= 20; count++) {
      const { options } = publisher(count, { signers: signersOf(poolKey(PUBLISHER)), wait: 0 });
      await expect(
        publishNames(store, reading(), naming({ [`v${count}`]: 'x' }), options),
      ).rejects.toMatchObject({ code: 'staged' });
      const before = store.fetched;
      await resignCollection(store, reading(), service.options);
      costs.push(store.fetched - before);
    }
    expect(await logOf(store)).toHaveLength(20);
    expect(costs[19]).toBeLessThanOrEqual(costs[4] as number);
  });

  it('comes back all the same where a late request buries the head that held it', async () => {
    const store = await place();
    await nameBy(store, 1, 'v1');
    const early = await store.fetchManifest(HEAD_TAG);
    for (const count of [2, 3, 4]) await nameBy(store, count, `v${count}`);
    expect((await foldedTags(store)).length).toBeGreaterThanOrEqual(3);
    await store.replay(early, HEAD_TAG);
    const { folded } = await nameBy(store, 5, 'v5');
    expect(folded).toHaveLength(3);
    const names = ['v1', 'v2', 'v3', 'v4', 'v5'];
    expect(await hashesOf(store, names)).toEqual(
      Object.fromEntries(names.map((name) => [name, contentOf(name).sha256])),
    );
  });

  it('is read again, and nothing is lost, where the list is gone', async () => {
    const store = await place();
    for (const count of [1, 2, 3]) await nameBy(store, count, `v${count}`);
    const { snapshot } = (await freshRead(store)).client.trusted;
    const list = foldedDescriptorOf(snapshot.file);
    store.lost.add(list?.digest as Digest);
    expect(await foldedTags(store)).toHaveLength(1);
    await nameBy(store, 4, 'v4');
    expect(await logOf(store)).toHaveLength(4);
    expect((await foldedTags(store)).length).toBe(4);
  });

  it('is not what somebody says who may push and has no key', async () => {
    const store = await place();
    await nameBy(store, 1, 'v1');
    const { options } = publisher(2, { signers: signersOf(poolKey(PUBLISHER)), wait: 0 });
    await expect(publishNames(store, reading(), naming({ v2: 'v2' }), options)).rejects.toMatchObject({
      code: 'staged',
    });
    const [stage] = (await store.siblings()).filter((tag) => tag.startsWith('_trust.stage.'));
    const head = await store.fetchManifest(HEAD_TAG);
    const [own] = (await store.siblings()).filter((tag) => tag.startsWith('_trust.next.'));
    const forged = announceHead(
      { blobs: [], children: [], top: head },
      encodeFolded(new Map([[stage as Tag, NOW]])),
    );
    for (const { descriptor, bytes } of forged.blobs)
      await store.pushBlob(descriptor, async () =>
        (async function* () {
          yield bytes;
        })(),
      );
    await store.replay(forged.top, own as Tag);
    expect(await foldedTags(store)).toEqual([own]);
    const { folded } = await nameBy(store, 3, 'v3');
    expect(folded.map(({ set }) => [...(set?.keys() ?? [])])).toEqual([['v2']]);
  });

  it('is not what has a part that could not be verified yet', async () => {
    const store = await place();
    const { options } = publisher(1, { signers: signersOf(poolKey(PUBLISHER)), wait: 0 });
    await expect(publishNames(store, reading(), naming({ v1: 'v1' }), options)).rejects.toMatchObject({
      code: 'staged',
    });
    const [stage = '' as Tag] = await store.siblings();
    const manifest = JSON.parse(Buffer.from((await store.fetchManifest(stage)).bytes).toString());
    const log = manifest.layers.find(({ mediaType }: { mediaType: string }) => mediaType.includes('log'));
    store.lost.add(log.digest);
    await nameBy(store, 2, 'v2');
    expect(await foldedTags(store)).not.toContain(stage);
    store.lost.clear();
    expect((await nameBy(store, 3, 'v3')).folded).toHaveLength(1);
  });

  it('is removed a day later, though nobody reads it any more and its changes left the log', async () => {
    const store = await place();
    const clock = new FakeClock();
    for (const count of [1, 2, 3]) await nameBy(store, count, `v${count}`, clock);
    const [old] = [await store.siblings()];
    clock.pass(23 * HOUR_MS);
    await nameBy(store, 4, 'v4', clock);
    expect(await store.siblings()).toEqual(expect.arrayContaining([...old]));
    clock.pass(3 * HOUR_MS);
    const many = Object.fromEntries(Array.from({ length: 200 }, (_, index) => [`w${index}`, 'w']));
    const { options } = publisher(5, { cleanUp: false }, clock);
    await publishNames(store, reading(), naming(many), options);
    expect(await logOf(store, 'names', clock.now())).toHaveLength(2);
    await nameBy(store, 6, 'v6', clock);
    const left = await store.siblings();
    expect(old.filter((tag) => left.includes(tag))).toEqual([]);
    expect(left).toHaveLength(3);
  });

  it('leaves out the oldest where nothing is ever removed', () => {
    const made = (index: number): [Tag, Date] => [
      `_trust.next.${index.toString(16).padStart(12, '0')}` as Tag,
      new Date(NOW.getTime() + index * 1000),
    ];
    const list = new Map(Array.from({ length: MAX_FOLDED + 10 }, (_, index) => made(index)));
    const kept = parseFolded(encodeFolded(list));
    expect(kept?.size).toBe(MAX_FOLDED);
    expect([...(kept ?? [])].sort()).toEqual([...list].slice(10).sort());
  });

  it.each([
    ['another version', '{"next":{},"stage":{},"version":2}'],
    ['a tag that is none', '{"next":{"../../etc":1},"stage":{},"version":1}'],
    ['a time that is none', '{"next":{"0123456789ab":"now"},"stage":{},"version":1}'],
    ['a time that no date has', '{"next":{"0123456789ab":9007199254740991},"stage":{},"version":1}'],
    ['unknown members', '{"next":{},"more":1,"stage":{},"version":1}'],
  ])('is nothing where the list is not understood: %s', (_, text) => {
    expect(parseFolded(Buffer.from(text))).toBeUndefined();
  });
});

describe('a candidate', () => {
  it('is its head, with a mark and the list: the head can be told from it', async () => {
    const small = await place();
    const large = new WeakStore();
    await pushLargeHead(large, PLACE, 1500);
    for (const store of [small, large]) {
      const top = await store.fetchManifest(HEAD_TAG);
      for (const folded of [undefined, encodeFolded(new Map([['_trust.next.0123456789ab' as Tag, NOW]]))]) {
        const candidate = announceHead({ blobs: [], children: [], top }, folded);
        expect(candidate.top.descriptor.digest).not.toBe(top.descriptor.digest);
        expect(headOf(candidate.top)).toEqual(top);
      }
      expect(headOf(top)).toBeUndefined();
    }
  });

  it('of a large head is read and put back like any other', async () => {
    const store = new WeakStore();
    await pushLargeHead(store, PLACE, 1500);
    const clock = new FakeClock(daysLater(1));
    const { read, options } = publisher(1, {}, clock);
    for (const name of ['a1', 'a2', 'a3']) await publishNames(store, read, naming({ [name]: name }), options);
    const head = await store.digestOf(HEAD_TAG);
    await store.deleteTag(HEAD_TAG);
    const restarted = publisher(2, { signers: signersOf(poolKey(ONLINE)), state: options.state }, clock);
    const resigned = await resignCollection(store, reading({ isPinned: true }), restarted.options);
    expect(resigned.outcome).toBe('healed');
    expect(await store.digestOf(HEAD_TAG)).toBe(head);
  });
});

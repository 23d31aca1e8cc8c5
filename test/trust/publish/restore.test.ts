import { describe, expect, it } from 'vitest';
import { BullaError } from '../../../src/errors.ts';
import { candidateOf } from '../../../src/trust/format/candidate.ts';
import { HEAD_TAG } from '../../../src/trust/format/vocabulary.ts';
import { publishNames } from '../../../src/trust/publish/publish.ts';
import { resignCollection } from '../../../src/trust/publish/resign.ts';
import { ProcessBlobCache } from '../../../src/trust/read/memory.ts';
import { pushImage } from '../../support/content.ts';
import { recording } from '../../support/recording-target.ts';
import { newCollection, pushHead } from '../../support/trust/collection.ts';
import { contentOf, hashesOf, naming, publisher, reading } from '../../support/trust/publishing.ts';
import { WeakStore } from '../../support/trust/weak-store.ts';
import { ONLINE, signersOf } from '../../support/tuf/editing.ts';
import { poolKey } from '../../support/tuf/keys.ts';

const signers = signersOf(poolKey(ONLINE));
const one = { v1: contentOf('one').sha256 };

/** A place with one name, whose publisher and re-signer have seen the head. */
async function place(names: Readonly<Record<string, string>> = { v1: 'one' }) {
  const store = new WeakStore();
  await pushHead(store, await newCollection());
  const first = await store.fetchManifest(HEAD_TAG);
  const known = publisher(1);
  await publishNames(store, known.read, naming(names), { ...known.options, cleanUp: false });
  const service = publisher(2, { signers });
  await resignCollection(store, service.read, service.options);
  return { store, first, known, service };
}

describe('a head that is gone', () => {
  it('is put back by a publisher who remembers it', async () => {
    const { store, known } = await place();
    for (const tag of await store.siblings()) await store.deleteTag(tag);
    await store.deleteTag(HEAD_TAG);
    await publishNames(store, known.read, naming({ v2: 'two' }), known.options);
    expect(await hashesOf(store, ['v1', 'v2'])).toEqual({ ...one, v2: contentOf('two').sha256 });
  });

  it('is put back by a re-signer that has nothing but its state, from what was announced', async () => {
    const { store, service } = await place();
    const before = await store.digestOf(HEAD_TAG);
    await store.deleteTag(HEAD_TAG);
    const restarted = publisher(3, { signers, state: service.options.state });
    const resigned = await resignCollection(store, reading({ isPinned: true }), restarted.options);
    expect(resigned.outcome).toBe('healed');
    expect(await store.digestOf(HEAD_TAG)).toBe(before);
  });

  it('stays gone for whoever knows nothing of it', async () => {
    const { store } = await place();
    await store.deleteTag(HEAD_TAG);
    const stranger = publisher(4);
    await expect(
      publishNames(store, stranger.read, naming({ v2: 'two' }), stranger.options),
    ).rejects.toMatchObject({ code: 'not-found' });
    await expect(
      publishNames(store, reading({ isPinned: true }), naming({ v2: 'two' }), stranger.options),
    ).rejects.toMatchObject({ code: 'trust-invalid', details: { reason: 'missing-head' } });
    expect(await store.digestOf(HEAD_TAG)).toBeNull();
  });
});

/** So many names that they are kept in bins. */
const MANY = 1_500;

/** A registry that was restored from a backup: of what came later, it has not even the parts. */
const BACKUPS = {
  'from before the last change': { names: { v1: 'one' }, hasHead: true },
  'that is empty': { names: { v1: 'one' }, hasHead: false },
  'of a collection with bins': {
    names: Object.fromEntries(Array.from({ length: MANY }, (_, at) => [`v${at}`, 'one'])),
    hasHead: true,
  },
} as const;

describe('a registry that was restored from a backup', () => {
  async function restored({ names, hasHead }: (typeof BACKUPS)[keyof typeof BACKUPS]) {
    const collection = await newCollection();
    const [store, older] = [new WeakStore(), new WeakStore()];
    await pushHead(store, collection);
    const known = publisher(1);
    const read = { ...known.read, cache: new ProcessBlobCache() };
    if (hasHead) await pushHead(older, collection);
    await publishNames(store, read, naming(names), known.options);
    return { store, older, known: { ...known, read } };
  }

  it.each(Object.entries(BACKUPS))(
    '%s gets the newest head again, whole, by a re-signer',
    async (_, backup) => {
      const { store, older, known } = await restored(backup);
      const resigned = await resignCollection(older, known.read, { ...known.options, signers });
      expect(resigned.outcome).toBe('healed');
      expect(await older.digestOf(HEAD_TAG)).toBe(await store.digestOf(HEAD_TAG));
      const stranger = publisher(6);
      await publishNames(older, reading(), naming({ next: 'two' }), stranger.options);
      expect(await hashesOf(older, ['v1', 'next'])).toEqual({ ...one, next: contentOf('two').sha256 });
    },
  );

  it.each(Object.entries(BACKUPS))('%s gets it by the next publisher who remembers it', async (_, backup) => {
    const { older, known } = await restored(backup);
    await publishNames(older, known.read, naming({ next: 'two' }), known.options);
    expect(await hashesOf(older, ['v1', 'next'])).toEqual({ ...one, next: contentOf('two').sha256 });
  });
});

describe('an old head', () => {
  it('that was built upon by somebody who knew no better is taken over before it is replaced', async () => {
    const { store, first, known } = await place();
    await publishNames(store, known.read, naming({ v2: 'two' }), known.options);
    const remove = async () => {
      for (const tag of await store.siblings()) await store.deleteTag(tag);
    };
    await remove();
    await store.replay(first, HEAD_TAG);
    const stranger = publisher(5);
    await publishNames(store, reading(), naming({ v3: 'three' }), stranger.options);
    await remove();
    const { folded } = await publishNames(store, known.read, naming({ v4: 'four' }), known.options);
    expect(folded.map(({ set }) => [...(set?.keys() ?? [])])).toEqual([['v3']]);
    expect(await hashesOf(store, ['v1', 'v2', 'v3', 'v4'])).toEqual({
      ...one,
      v2: contentOf('two').sha256,
      v3: contentOf('three').sha256,
      v4: contentOf('four').sha256,
    });
  });

  it.each([
    ['an old head', 1],
    ['a head without its parts', 0],
    ['another object', 0],
    ['a candidate', 0],
    ['two old heads, one after the other', 2],
  ])('is fetched and announced once, however many rounds a publish takes: %s', async (what, announced) => {
    const { store, first, known } = await place();
    const second = await store.fetchManifest(HEAD_TAG);
    await publishNames(store, known.read, naming({ v2: 'two' }), { ...known.options, cleanUp: false });
    const candidates = (await store.siblings()).filter((tag) => tag.startsWith('_trust.next.'));
    const candidate = await store.fetchManifest(candidates[0]!);
    for (const tag of await store.siblings()) await store.deleteTag(tag);
    await store.replay(first, HEAD_TAG);
    if (what === 'another object') await pushImage(store, 'app', HEAD_TAG);
    if (what === 'a candidate') await store.replay(candidate, HEAD_TAG);
    let failures = 0;
    const { target, calls } = recording(store, async (method, subject) => {
      if (
        method === 'fetchManifest' &&
        what === 'a head without its parts' &&
        subject === first.descriptor.digest
      )
        throw new BullaError('not-found', 'gone', { hint: 'none' });
      if (method !== 'pushManifest' || !subject.endsWith(` as ${HEAD_TAG}`) || failures === 4) return;
      failures++;
      if (failures === 2 && announced === 2) await store.replay(second, HEAD_TAG);
      throw new BullaError('registry-unreachable', 'no answer', { hint: 'none' });
    });
    await publishNames(target, known.read, naming({ v3: 'three' }), known.options);
    expect(failures).toBe(4);
    const displaced = [first, second].map((head) => candidateOf(head).descriptor.digest);
    const pushes = calls.filter((call) =>
      displaced.some((digest) => call.startsWith(`pushManifest ${digest} as `)),
    );
    expect(pushes).toHaveLength(announced);
    expect(new Set(pushes).size).toBe(announced);
    expect(await hashesOf(store, ['v1', 'v2', 'v3'])).toEqual({
      ...one,
      v2: contentOf('two').sha256,
      v3: contentOf('three').sha256,
    });
  });

  it('is replaced by what was announced, by a re-signer that has nothing but its state', async () => {
    const { store, first, service } = await place();
    await store.replay(first, HEAD_TAG);
    const restarted = publisher(3, { signers, state: service.options.state });
    const resigned = await resignCollection(store, restarted.read, restarted.options);
    expect(resigned.outcome).toBe('healed');
    expect(await hashesOf(store, ['v1'])).toEqual(one);
  });

  it('is refused where nothing newer is found, and not made young again', async () => {
    const { store, first, service } = await place();
    for (const tag of await store.siblings()) await store.deleteTag(tag);
    await store.replay(first, HEAD_TAG);
    const restarted = publisher(3, { signers, state: service.options.state });
    await expect(
      resignCollection(store, restarted.read, { ...restarted.options, force: true }),
    ).rejects.toMatchObject({ code: 'trust-rollback', details: { reason: 'signer-state' } });
    expect(await store.digestOf(HEAD_TAG)).toBe(first.descriptor.digest);
  });

  it('is not replaced by a candidate that lacks a bin', async () => {
    const many = Object.fromEntries(Array.from({ length: 1100 }, (_, index) => [`v1.${index}`, 'x']));
    const { store, first, service } = await place(many);
    const fetch = store.fetchBlob.bind(store);
    let isCut = true;
    store.fetchBlob = async (descriptor, maxBytes, how) => {
      const bytes = await fetch(descriptor, maxBytes, how);
      if (isCut && Buffer.from(bytes).includes('"role":"-0'))
        throw new BullaError('not-found', 'cut', { hint: 'none' });
      return bytes;
    };
    await store.replay(first, HEAD_TAG);
    const restarted = publisher(3, { signers, state: service.options.state });
    await expect(resignCollection(store, restarted.read, restarted.options)).rejects.toMatchObject({
      code: 'trust-rollback',
    });
    isCut = false;
    const again = publisher(4, { signers, state: service.options.state });
    expect((await resignCollection(store, again.read, again.options)).outcome).toBe('healed');
  });
});

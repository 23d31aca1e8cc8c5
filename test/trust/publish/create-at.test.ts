import { describe, expect, it } from 'vitest';
import { BullaError } from '../../../src/errors.ts';
import type { ManifestContent } from '../../../src/oci/manifest.ts';
import { MemoryStore } from '../../../src/oci/memory.ts';
import type { PushManifestOptions } from '../../../src/oci/target.ts';
import { createAt } from '../../../src/trust/publish/create-at.ts';
import { publishEdit, publishNames } from '../../../src/trust/publish/publish.ts';
import { newCollection } from '../../support/trust/collection.ts';
import { freshRead, naming, publisher } from '../../support/trust/publishing.ts';
import { anyOf, ONLINE, PUBLISHER, ROOT, signersOf } from '../../support/tuf/editing.ts';
import { poolKey } from '../../support/tuf/keys.ts';

class ImmutableStore extends MemoryStore {
  override async pushManifest(content: ManifestContent, options: PushManifestOptions = {}): Promise<void> {
    const isThere = options.tag !== undefined && (await this.listTags()).includes(options.tag);
    if (isThere) throw new BullaError('conflict', 'immutable', { details: { reason: 'immutable-tag' } });
    await super.pushManifest(content, options);
  }
}

describe('createAt', () => {
  it('makes a head that can be published upon, and leaves nothing of its trying', async () => {
    const store = new MemoryStore();
    const { read, options } = publisher();
    const created = await createAt(store, await newCollection(), options);
    expect(created).toMatchObject({ abilities: { removal: 'tags', listing: 'at-once' }, shortcomings: [] });
    expect(await store.listTags()).toEqual(['_trust']);
    await publishNames(store, read, naming({ v1: 'one' }), options);
  });

  it('refuses where there is a head', async () => {
    const store = new MemoryStore();
    await createAt(store, await newCollection(), publisher().options);
    await expect(createAt(store, await newCollection(), publisher().options)).rejects.toMatchObject({
      code: 'conflict',
    });
  });

  it('refuses where tags cannot be moved, and says where a collection can lie', async () => {
    await expect(
      createAt(new ImmutableStore(), await newCollection(), publisher().options),
    ).rejects.toMatchObject({
      code: 'conflict',
      details: { reason: 'immutable-tag' },
      hint: expect.stringContaining('--at'),
    });
  });

  it('says the same to publishers where tags were fixed later', async () => {
    const store = new MemoryStore();
    await createAt(store, await newCollection(), publisher().options);
    store.pushManifest = ImmutableStore.prototype.pushManifest.bind(store);
    const { read, options } = publisher();
    await expect(publishNames(store, read, naming({ v1: 'one' }), options)).rejects.toMatchObject({
      details: { reason: 'immutable-tag' },
      hint: expect.stringContaining('--at'),
    });
  });

  it.each([
    [503, 1, 'made'],
    [503, 3, 'made'],
    [503, 4, 'registry-error'],
    [500, 1, 'registry-error'],
  ])('is sent again where the registry was too busy: %i, %i times', async (status, times, outcome) => {
    const store = new MemoryStore();
    let refused = 0;
    store.pushManifest = async (content, options) => {
      if (options?.tag === '_trust' && refused++ < times)
        throw new BullaError('registry-error', 'too busy', { details: { status } });
      await MemoryStore.prototype.pushManifest.call(store, content, options);
    };
    const made = createAt(store, await newCollection(), publisher().options).then(
      () => 'made',
      (error: BullaError) => error.code,
    );
    expect(await made).toBe(outcome);
  });

  it.each([1, 3, 5])('waits where a cache still says that there is none, %d times', async (times) => {
    const store = new MemoryStore();
    const { options } = publisher();
    let isWritten = false;
    let stale = times;
    const push = store.pushManifest.bind(store);
    const fetch = store.fetchManifest.bind(store);
    store.pushManifest = async (content, more) => {
      await push(content, more);
      isWritten ||= more?.tag === '_trust';
    };
    store.fetchManifest = async (reference, more) => {
      if (reference === '_trust' && isWritten && stale-- > 0)
        throw new BullaError('not-found', 'stale', { hint: 'none' });
      return await fetch(reference, more);
    };
    const created = await createAt(store, await newCollection(), options);
    expect((await fetch('_trust' as never)).descriptor.digest).toBe(created.head);
  });

  it('does not say that another is there where its own does not appear', async () => {
    const store = new MemoryStore();
    const fetch = store.fetchManifest.bind(store);
    store.fetchManifest = async (reference, more) => {
      if (reference === '_trust') throw new BullaError('not-found', 'stale', { hint: 'none' });
      return await fetch(reference, more);
    };
    await expect(createAt(store, await newCollection(), publisher().options)).rejects.toMatchObject({
      code: 'registry-error',
    });
  });

  it('says what cannot be had where nothing can be removed and tags are not listed', async () => {
    const store = new MemoryStore();
    const refuse = () => Promise.reject(new BullaError('registry-error', 'switched off', { hint: 'no' }));
    store.deleteTag = refuse;
    store.deleteManifest = refuse;
    store.listTags = async () => [];
    const created = await createAt(store, await newCollection(), publisher().options);
    expect(created.abilities).toEqual({ removal: 'none', listing: 'never' });
    expect(created.shortcomings).toHaveLength(2);
  });

  it('leaves nothing that publishers take for something, where nothing can be removed', async () => {
    const store = new MemoryStore();
    const refuse = () => Promise.reject(new BullaError('registry-error', 'switched off', { hint: 'no' }));
    store.deleteTag = refuse;
    store.deleteManifest = refuse;
    await createAt(store, await newCollection(), publisher().options);
    expect(await store.listTags()).toHaveLength(2);
    const { read, options } = publisher();
    expect(await publishNames(store, read, naming({ v1: 'one' }), options)).toMatchObject({ refused: [] });
  });
});

describe('publishEdit', () => {
  const signers = signersOf(poolKey(ROOT), poolKey(PUBLISHER), poolKey(ONLINE), poolKey(3));

  it('adds a signer, and publishes it once', async () => {
    const store = new MemoryStore();
    const { read, options } = publisher(1, { signers });
    await createAt(store, await newCollection(), options);
    const choice = anyOf(1, poolKey(3));
    const published = await publishEdit(
      store,
      read,
      (edit) => edit.addSigner({ name: 'ci', ...choice, paths: ['*'] }),
      options,
    );
    expect(published.rounds).toBe(2);
    const { client } = await freshRead(store);
    expect(client.trusted.snapshot.content.meta.has('ci.json')).toBe(true);
  });

  it.each([
    ['folds first what was announced by keys that stay', [PUBLISHER, 3], 1],
    ['takes in nothing that was announced by a key that goes', [3], 0],
  ] as const)('%s', async (_, keys, folded) => {
    const store = new MemoryStore();
    const { read, options } = publisher(1, { signers });
    await createAt(store, await newCollection(), options);
    const crashed = publisher(2);
    const push = store.pushManifest.bind(store);
    store.pushManifest = async (content, how = {}) => {
      if (how.expected !== undefined) throw new BullaError('interrupted', 'killed', { hint: 'no' });
      await push(content, how);
    };
    await expect(
      publishNames(store, crashed.read, naming({ v1: 'one' }), crashed.options),
    ).rejects.toMatchObject({
      code: 'interrupted',
    });
    store.pushManifest = push;
    const published = await publishEdit(
      store,
      read,
      (edit) => edit.rekeyNames(anyOf(1, ...keys.map(poolKey))),
      options,
    );
    expect(published.folded).toHaveLength(folded);
    const old = publisher(3);
    const signing = publishNames(store, old.read, naming({ v2: 'two' }), old.options);
    if (folded === 1) await expect(signing).resolves.toMatchObject({ rounds: expect.any(Number) });
    else await expect(signing).rejects.toMatchObject({ code: 'untrusted-identity' });
  });
});

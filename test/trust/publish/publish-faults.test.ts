import { describe, expect, it } from 'vitest';
import { HEAD_TAG } from '../../../src/trust/format/vocabulary.ts';
import { publishNames } from '../../../src/trust/publish/publish.ts';
import { newCollection, pushHead } from '../../support/trust/collection.ts';
import { contentOf, hashesOf, logOf, naming, publisher, revoking } from '../../support/trust/publishing.ts';
import { WeakStore } from '../../support/trust/weak-store.ts';

async function place(): Promise<WeakStore> {
  const store = new WeakStore();
  await pushHead(store, await newCollection());
  return store;
}

const one = { v1: contentOf('one').sha256 };

describe('the answer to the moving of the head', () => {
  it.each(['answer-lost', 'request-lost'] as const)('is neither success nor failure: %s', async (fate) => {
    const store = await place();
    store.puts.push(fate);
    const { read, options } = publisher();
    await publishNames(store, read, naming({ v1: 'one' }), options);
    expect(await hashesOf(store, ['v1'])).toEqual(one);
    expect(await logOf(store)).toHaveLength(1);
    expect(store.heads).toHaveLength(1);
  });

  it('is reported where it never comes', async () => {
    const store = await place();
    store.puts.push(...Array.from({ length: 20 }, () => 'request-lost' as const));
    const { read, options } = publisher();
    await expect(publishNames(store, read, naming({ v1: 'one' }), options)).rejects.toMatchObject({
      code: 'timeout',
    });
    expect(store.heads).toEqual([]);
  });

  it('does not count where the head moved meanwhile, or was read too long ago', async () => {
    const store = await place();
    const { read, options, clock } = publisher();
    const list = store.listTags.bind(store);
    let listings = 0;
    store.listTags = async (how) => {
      // Between announcing and moving, the machine stands still for a minute.
      if (++listings === 2) clock.pass(60_000);
      return await list(how);
    };
    const published = await publishNames(store, read, naming({ v1: 'one' }), options);
    expect(published.rounds).toBe(3);
    expect(store.heads).toHaveLength(1);
  });
});

describe('a stalled writer', () => {
  it('who buries a finished change does so only until the next publish', async () => {
    const store = await place();
    const [stalled, quick] = [publisher(1), publisher(2)];
    store.onStall = async () => {
      await publishNames(store, quick.read, naming({ v1: 'one' }), { ...quick.options, cleanUp: false });
    };
    await publishNames(store, stalled.read, naming({ v2: 'two' }), stalled.options);
    // The stalled one read back, listed, and brought the buried one back itself.
    expect(await hashesOf(store, ['v1', 'v2'])).toEqual({ ...one, v2: contentOf('two').sha256 });
  });

  it('who is killed right after burying leaves it to the next publisher', async () => {
    const store = await place();
    const [stalled, quick, next] = [publisher(1), publisher(2), publisher(3)];
    store.onStall = async () => {
      await publishNames(store, quick.read, naming({ v1: 'one' }), quick.options);
      store.fetchManifestUnless = () => Promise.reject(new Error('killed'));
    };
    await expect(publishNames(store, stalled.read, naming({ v2: 'two' }), stalled.options)).rejects.toThrow(
      'killed',
    );
    delete (store as Partial<WeakStore>).fetchManifestUnless;
    expect(await hashesOf(store, ['v1', 'v2'])).toEqual({ v1: undefined, v2: contentOf('two').sha256 });
    const published = await publishNames(store, next.read, naming({ v3: 'three' }), next.options);
    expect(published.folded).toHaveLength(1);
    expect(Object.values(await hashesOf(store, ['v1', 'v2', 'v3']))).not.toContain(undefined);
  });

  it('is overruled by a publisher who remembers the newer head', async () => {
    const store = await place();
    const { read, options } = publisher();
    const before = await store.fetchManifest(HEAD_TAG);
    await publishNames(store, read, naming({ v1: 'one' }), options);
    for (const tag of await store.siblings()) await store.deleteTag(tag);
    await store.replay(before, HEAD_TAG);
    const warnings: string[] = [];
    await publishNames(store, read, naming({ v2: 'two' }), {
      ...options,
      onWarning: (message) => warnings.push(message),
    });
    expect(await hashesOf(store, ['v1', 'v2'])).toEqual({ ...one, v2: contentOf('two').sha256 });
    expect(warnings).toHaveLength(1);
  });
});

describe('a publisher who is killed', () => {
  it('between announcing and moving is finished by the next', async () => {
    const store = await place();
    store.puts.push('killed');
    const [killed, next] = [publisher(1), publisher(2)];
    await expect(
      publishNames(store, killed.read, naming({ v1: 'one' }), killed.options),
    ).rejects.toMatchObject({
      code: 'interrupted',
    });
    const published = await publishNames(store, next.read, naming({ v2: 'two' }), next.options);
    expect(published.folded).toHaveLength(1);
    expect(await hashesOf(store, ['v1', 'v2'])).toEqual({ ...one, v2: contentOf('two').sha256 });
  });

  it('announces its change again when its candidate was deleted meanwhile', async () => {
    const store = await place();
    store.puts.push('killed');
    const { read, options, clock } = publisher(1);
    await expect(publishNames(store, read, naming({ v1: 'one' }), options)).rejects.toMatchObject({
      code: 'interrupted',
    });
    for (const tag of await store.siblings()) await store.deleteTag(tag);
    clock.pass(60_000);
    await publishNames(store, read, naming({ v2: 'two' }), options);
    expect(await hashesOf(store, ['v1', 'v2'])).toEqual({ ...one, v2: contentOf('two').sha256 });
    expect(
      await options.state.pending(
        (await publishNames(store, read, naming({ v3: 'x' }), options)).collection.id,
      ),
    ).toEqual([]);
  });
});

describe('changes of one name', () => {
  it('by two who live: the later one stands', async () => {
    const store = await place();
    const [first, second] = [publisher(1), publisher(2)];
    await publishNames(store, first.read, naming({ latest: 'one' }), first.options);
    const published = await publishNames(store, second.read, naming({ latest: 'two' }), second.options);
    expect(published.conflicts).toEqual([]);
    expect(await hashesOf(store, ['latest'])).toEqual({ latest: contentOf('two').sha256 });
  });

  it('by one who died and one who came later: a conflict, reported and never merged', async () => {
    const store = await place();
    store.puts.push('killed');
    const [dead, blindly, third] = [publisher(1), publisher(2), publisher(3)];
    await expect(publishNames(store, dead.read, naming({ latest: 'one' }), dead.options)).rejects.toThrow();
    const blind = Object.assign(Object.create(store) as WeakStore, { listTags: async () => [] });
    await publishNames(blind, blindly.read, naming({ latest: 'two' }), blindly.options);
    const published = await publishNames(store, third.read, naming({ v1: 'one' }), third.options);
    expect(published.conflicts).toMatchObject([{ reason: 'names', names: ['latest'] }]);
    expect(await hashesOf(store, ['latest'])).toEqual({ latest: contentOf('two').sha256 });
  });

  it('over a revoke since it began: exit 30', async () => {
    const store = await place();
    const [signing, revoker] = [publisher(1), publisher(2)];
    const blind = Object.assign(Object.create(store) as WeakStore, { listTags: async () => [] });
    store.onStall = async () => {
      store.puts.push('well', 'request-lost');
      await publishNames(blind, revoker.read, revoking('v1'), revoker.options);
    };
    await expect(
      publishNames(store, signing.read, naming({ v1: 'one' }), signing.options),
    ).rejects.toMatchObject({
      code: 'conflict',
      exitCode: 30,
    });
    expect(await hashesOf(store, ['v1'])).toEqual({ v1: undefined });
    // What was announced is taken back, so that nobody else is told of the conflict.
    const third = publisher(3);
    const published = await publishNames(store, third.read, naming({ v2: 'two' }), third.options);
    expect(published).toMatchObject({ conflicts: [], folded: [] });
  });

  it('a revoke wins over what was signed beside it, whoever was first', async () => {
    const store = await place();
    store.puts.push('killed', 'killed');
    const [setter, revoker, third] = [publisher(1), publisher(2), publisher(3)];
    const blind = Object.assign(Object.create(store) as WeakStore, { listTags: async () => [] });
    await expect(publishNames(blind, setter.read, naming({ v1: 'one' }), setter.options)).rejects.toThrow();
    await expect(publishNames(blind, revoker.read, revoking('v1'), revoker.options)).rejects.toThrow();
    await publishNames(store, third.read, naming({ v2: 'two' }), third.options);
    expect(await hashesOf(store, ['v1', 'v2'])).toEqual({ v1: undefined, v2: contentOf('two').sha256 });
  });
});

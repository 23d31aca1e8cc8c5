import { describe, expect, it } from 'vitest';
import { copyCollection } from '../../../src/actions/copy/collection.ts';
import { type Descriptor, describe as describeBytes } from '../../../src/oci/descriptor.ts';
import { MemoryStore } from '../../../src/oci/memory.ts';
import type { Target } from '../../../src/oci/target.ts';
import { HEAD_TAG, NAMES_ROLE, TRUST_TYPES } from '../../../src/trust/format/vocabulary.ts';
import { changeHead, contentOf, readAny, setting, unsetting } from '../../support/trust/changing.ts';
import { newCollection, PLACE, pushHead } from '../../support/trust/collection.ts';
import { anyOf, daysLater, NOW } from '../../support/tuf/editing.ts';
import { poolKey } from '../../support/tuf/keys.ts';

/** A repository with a collection in it, made with one key a role. */
async function collected(name: string = PLACE): Promise<MemoryStore> {
  const store = new MemoryStore(name);
  await pushHead(store, await newCollection(name));
  return store;
}

const mirror = (): MemoryStore => new MemoryStore('mirror.example.com/team/app');

function bring(source: Target, destination: Target, dryRun = false) {
  return copyCollection({ source, destination, dryRun });
}

function publish(store: Target, names: readonly string[], at: Date = NOW, content?: string): Promise<void> {
  return changeHead(store, (edit) => edit.apply(NAMES_ROLE, [setting(names, at, content)]), at);
}

function revoke(store: Target, names: readonly string[], at: Date = NOW): Promise<void> {
  return changeHead(store, (edit) => edit.apply(NAMES_ROLE, [unsetting(names, at)]), at);
}

async function signedHash(store: Target, name: string, now: Date = NOW): Promise<string | undefined> {
  for await (const { target } of (await readAny(store, { now })).client.findTargets(name))
    return target.hashes.get('sha256');
  return undefined;
}

/** Changes the manifest at the head's tag, as somebody can who may push and has no key. */
async function rewrap(
  store: MemoryStore,
  change: (manifest: Record<string, unknown>) => void,
): Promise<void> {
  const { content } = (await readAny(store)).object;
  const manifest = JSON.parse(new TextDecoder().decode(content.bytes)) as Record<string, unknown>;
  change(manifest);
  const bytes = new TextEncoder().encode(JSON.stringify(manifest));
  const descriptor = describeBytes(content.descriptor.mediaType, bytes);
  await store.pushManifest({ descriptor, bytes }, { tag: HEAD_TAG });
}

const layersOf = (manifest: Record<string, unknown>): Descriptor[] => manifest['layers'] as Descriptor[];

describe('a collection on the way to another place', () => {
  it('is not there where the source has none', async () => {
    expect(await bring(mirror(), mirror())).toEqual({ outcome: 'none' });
  });

  it.each([
    ['small', ['v1', 'v2']],
    ['large', Array.from({ length: 1500 }, (_, index) => `v1.${index}`)],
  ])('arrives as it is where there was none: a %s head', async (_, names) => {
    const [source, destination] = [await collected(), mirror()];
    await publish(source, names);
    const done = await bring(source, destination);
    const { digest } = await source.resolve(HEAD_TAG);
    expect(done).toEqual({ outcome: 'copied', name: PLACE, head: digest });
    expect((await destination.resolve(HEAD_TAG)).digest).toBe(digest);
    for (const name of names.slice(0, 5))
      expect(await signedHash(destination, name)).toBe(contentOf(name).sha256);
    expect(await bring(source, destination)).toMatchObject({ outcome: 'same', head: digest });
  });

  it('writes nothing on a dry run', async () => {
    const [source, destination] = [await collected(), mirror()];
    expect(await bring(source, destination, true)).toMatchObject({ outcome: 'copied' });
    await expect(destination.resolve(HEAD_TAG)).rejects.toMatchObject({ code: 'not-found' });
  });

  it('moves on with the source, also after its log was cut and its head has expired', async () => {
    const [source, destination] = [await collected(), mirror()];
    await publish(source, ['v1']);
    await bring(source, destination);
    await publish(source, ['v2']);
    expect(await bring(source, destination)).toMatchObject({ outcome: 'forwarded' });
    expect(await signedHash(destination, 'v2')).toBeDefined();
    const later = daysLater(12);
    await changeHead(
      source,
      (edit) => edit.apply(NAMES_ROLE, [setting(['v1'], later, 'anew')], daysLater(11)),
      later,
    );
    expect(await bring(source, destination)).toMatchObject({ outcome: 'forwarded' });
    expect(await signedHash(destination, 'v1', later)).toBe(contentOf('anew').sha256);
  });

  it('moves on over new keys', async () => {
    const [source, destination] = [await collected(), mirror()];
    await bring(source, destination);
    await changeHead(source, (edit) => {
      edit.root().setKeys('timestamp', anyOf(1, poolKey(1)));
    });
    expect(await bring(source, destination)).toMatchObject({ outcome: 'forwarded' });
    expect(await bring(destination, source)).toMatchObject({ outcome: 'same' });
  });

  it('stays where the destination is ahead', async () => {
    const [source, destination] = [await collected(), mirror()];
    await bring(source, destination);
    await publish(destination, ['v2']);
    const { digest } = await destination.resolve(HEAD_TAG);
    expect(await bring(source, destination)).toMatchObject({ outcome: 'ahead', head: digest });
    expect((await destination.resolve(HEAD_TAG)).digest).toBe(digest);
  });

  it('stays where another collection is', async () => {
    const [source, destination] = [await collected(), await collected('mirror.example.com/team/app')];
    const { digest } = await destination.resolve(HEAD_TAG);
    expect(await bring(source, destination)).toMatchObject({
      outcome: 'left',
      name: PLACE,
      other: 'mirror.example.com/team/app',
      head: digest,
    });
    expect((await destination.resolve(HEAD_TAG)).digest).toBe(digest);
  });
});

describe('attacks on a collection on the way', () => {
  /** A source and a mirror of it, and what happens to the two; nothing of it may move the mirror. */
  const attacks: readonly [string, (source: MemoryStore, there: MemoryStore) => Promise<void>, RegExp][] = [
    [
      'a change that was made at the destination alone',
      async (source, there) => {
        await publish(there, ['hotfix']);
        await publish(source, ['v2']);
        await publish(source, ['v3']);
      },
      /separate ways: .*the change [0-9a-f]{32} of "names" is missing/,
    ],
    [
      'a name that was revoked at the destination long ago',
      async (source, there) => {
        await revoke(there, ['v1']);
        const later = daysLater(3);
        const cut = daysLater(2);
        await changeHead(source, (edit) => edit.apply(NAMES_ROLE, [setting(['v2'], later)], cut), later);
        await publish(source, ['v3'], later);
      },
      /"v1" was revoked there, and would come back/,
    ],
    [
      'two roots of one version',
      async (source, there) => {
        const rotate = (key: number) => (store: Target) =>
          changeHead(store, (edit) => {
            edit.root().setKeys('snapshot', anyOf(1, poolKey(key)));
          });
        await rotate(1)(source);
        await rotate(0)(there);
      },
      /two different roots 2/,
    ],
    [
      'a head that is no head',
      async (source) => {
        await rewrap(source, (manifest) => {
          manifest['artifactType'] = TRUST_TYPES.stage;
        });
      },
      /does not hold together: .*is a stage/,
    ],
    [
      'a newer head without the log of its names',
      async (source) => {
        await publish(source, ['v2']);
        await rewrap(source, (manifest) => {
          manifest['layers'] = layersOf(manifest).filter(({ mediaType }) => !mediaType.includes('log'));
        });
      },
      /the log of "names" is not among its files/,
    ],
    [
      'an older head',
      async (source, there) => {
        const old = (await readAny(source)).object.content;
        await publish(source, ['v2']);
        await bring(source, there);
        await source.pushManifest(old, { tag: HEAD_TAG });
      },
      /^ahead$/,
    ],
  ];

  it.each(attacks)('%s', async (_, attack, message) => {
    const [source, destination] = [await collected(), mirror()];
    await publish(source, ['v1']);
    await bring(source, destination);
    await attack(source, destination);
    const { digest } = await destination.resolve(HEAD_TAG);
    const { outcome, why } = await bring(source, destination);
    expect(outcome === 'left' ? why : outcome).toMatch(message);
    expect((await destination.resolve(HEAD_TAG)).digest).toBe(digest);
  });

  it('a newer large head with an older bin among its own', async () => {
    const [source, destination] = [await collected(), mirror()];
    await publish(
      source,
      Array.from({ length: 1100 }, (_, index) => `v1.${index}`),
    );
    await bring(source, destination);
    const old = await readAny(source);
    const { digest } = await destination.resolve(HEAD_TAG);
    await publish(source, ['v2']);
    const now = (await readAny(source)).object.bins?.shards ?? [];
    await rewrap(source, (manifest) => {
      for (const [shard, before] of (old.object.bins?.shards ?? []).entries()) {
        const entries = manifest['manifests'] as Descriptor[];
        const at = entries.findIndex((entry) => entry.digest === now[shard]?.digest);
        if (at >= 0) entries[at] = before;
      }
    });
    expect(await bring(source, destination)).toMatchObject({ outcome: 'left' });
    expect((await destination.resolve(HEAD_TAG)).digest).toBe(digest);
  });

  it('somebody publishes at the destination while it is on its way', async () => {
    const [source, destination] = [await collected(), mirror()];
    await publish(source, ['v1']);
    await bring(source, destination);
    await publish(source, ['v2']);
    const { pushManifest } = destination;
    let others = 1;
    destination.pushManifest = async (content, options) => {
      if (options?.tag === undefined && others-- > 0) {
        destination.pushManifest = pushManifest;
        await publish(destination, ['hotfix']);
      }
      await pushManifest.call(destination, content, options);
    };
    const done = await bring(source, destination);
    expect(done).toMatchObject({ outcome: 'left' });
    expect(await signedHash(destination, 'hotfix')).toBeDefined();
  });
});

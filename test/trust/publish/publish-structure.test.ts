import { describe, expect, it } from 'vitest';
import { streamOf } from '../../../src/oci/content.ts';
import type { Tag } from '../../../src/oci/reference.ts';
import { publishEdit, publishNames } from '../../../src/trust/publish/publish.ts';
import { resignCollection } from '../../../src/trust/publish/resign.ts';
import { readCollection } from '../../../src/trust/read/collection.ts';
import { newCollection, pushHead } from '../../support/trust/collection.ts';
import {
  contentOf,
  freshRead,
  hashesOf,
  naming,
  publisher,
  type TestPublisher,
} from '../../support/trust/publishing.ts';
import { WeakStore } from '../../support/trust/weak-store.ts';
import { anyOf, ONLINE, PUBLISHER, ROOT, signersOf } from '../../support/tuf/editing.ts';
import { poolKey } from '../../support/tuf/keys.ts';

const admin = signersOf(poolKey(ROOT), poolKey(PUBLISHER), poolKey(3), poolKey(4));
const online = signersOf(poolKey(ONLINE));
const resigner = (seed: number): TestPublisher => publisher(seed, { signers: online });

async function place(names = 0): Promise<WeakStore> {
  const store = new WeakStore();
  await pushHead(store, await newCollection());
  if (names > 0) {
    const { read, options } = publisher(50, { cleanUp: false });
    const many = Object.fromEntries(Array.from({ length: names }, (_, index) => [`v1.${index}`, 'x']));
    await publishNames(store, read, naming(many), options);
  }
  return store;
}

async function rootVersion(store: WeakStore): Promise<number> {
  return (await freshRead(store)).client.trusted.root.content.version;
}

describe('a change of keys without the online key', () => {
  it.each([
    ['a signer is added', 0, (edit) => edit.addSigner({ name: 'ci', ...anyOf(1, poolKey(3)), paths: ['*'] })],
    ['names gets another key', 3, (edit) => edit.rekeyNames(anyOf(1, poolKey(4)))],
    ['names gets another key, and its bins', 1100, (edit) => edit.rekeyNames(anyOf(1, poolKey(4)))],
    ['root gets another key', 3, (edit) => void edit.root().setKeys('root', anyOf(1, poolKey(3)))],
  ] as [string, number, Parameters<typeof publishEdit>[2]][])(
    'is staged, and taken over by the re-signer: %s',
    async (_, names, change) => {
      const store = await place(names);
      const { read, options, clock } = publisher(1, { signers: admin });
      const service = resigner(2);
      clock.onSleep = async () => void (await resignCollection(store, service.read, service.options));
      const before = (await freshRead(store)).client.trusted;
      await publishEdit(store, read, change, options);
      const after = (await freshRead(store)).client.trusted;
      const changed = [before, after].map(({ root, snapshot }) => [
        root.content.version,
        snapshot.content.meta.get('targets.json')?.version,
      ]);
      expect(changed[1]).not.toEqual(changed[0]);
      if (names > 0) expect(await hashesOf(store, ['v1.0'])).toEqual({ 'v1.0': contentOf('x').sha256 });
    },
  );

  it('is made anew where names were published meanwhile, and takes none of them back', async () => {
    const store = await place(3);
    const { read, options, clock } = publisher(1, { signers: admin });
    const [service, other] = [resigner(2), publisher(3)];
    let sleeps = 0;
    const blind = Object.assign(Object.create(store) as WeakStore, { listTags: async () => [] });
    clock.onSleep = async () => {
      if (++sleeps === 1) await publishNames(blind, other.read, naming({ late: 'y' }), other.options);
      else await resignCollection(store, service.read, service.options);
    };
    await publishEdit(store, read, (edit) => edit.rekeyNames(anyOf(1, poolKey(4))), options);
    expect(await hashesOf(store, ['v1.0', 'late'])).toEqual({
      'v1.0': contentOf('x').sha256,
      late: contentOf('y').sha256,
    });
  });

  it('leaves nothing where keys of others are missing', async () => {
    const store = await place();
    const { read, options } = publisher(1, { signers: signersOf(poolKey(ROOT)) });
    await expect(
      publishEdit(
        store,
        read,
        (edit) => edit.addSigner({ name: 'ci', ...anyOf(1, poolKey(3)), paths: ['*'] }),
        options,
      ),
    ).rejects.toMatchObject({ code: 'threshold-not-met' });
    expect(await store.siblings()).toEqual([]);
  });

  it('cannot be replayed to undo a later change of keys', async () => {
    const store = await place();
    const first = publisher(1, { signers: admin, wait: 10 });
    const stagedChange = publishEdit(
      store,
      first.read,
      (edit) => edit.addSigner({ name: 'ci', ...anyOf(1, poolKey(3)), paths: ['*'] }),
      first.options,
    );
    await expect(stagedChange).rejects.toMatchObject({ code: 'staged' });
    const [tag] = await store.siblings();
    const stage = await store.fetchManifest(tag as Tag);
    await store.deleteTag(tag as Tag);
    const second = publisher(9, { signers: [...admin, ...online] });
    for (let round = 0; round < 3; round++) {
      // Whatever chance makes of the versions.
      await publishEdit(store, second.read, (edit) => void edit.edit.targets('targets'), second.options);
      await store.replay(stage, tag as Tag);
      const service = resigner(10 + round);
      const resigned = await resignCollection(store, service.read, service.options);
      expect(resigned.outcome).toBe('fresh');
    }
    expect((await freshRead(store)).client.trusted.snapshot.content.meta.has('ci.json')).toBe(false);
  });
});

describe('a publisher of a new root who is killed', () => {
  it('is finished with the root that was made, and no second one of its version is', async () => {
    const store = await place();
    const signers = [...admin, ...online];
    const [killed, again] = [publisher(1, { signers }), publisher(2, { signers })];
    store.puts.push('killed');
    const rotate: Parameters<typeof publishEdit>[2] = (edit) =>
      void edit.root().setKeys('root', anyOf(1, poolKey(3)));
    await expect(publishEdit(store, killed.read, rotate, killed.options)).rejects.toMatchObject({
      code: 'interrupted',
    });
    const [tag] = await store.siblings();
    const announced = JSON.parse(Buffer.from((await store.fetchManifest(tag as Tag)).bytes).toString());
    await publishNames(store, again.read, naming({ v1: 'one' }), again.options);
    expect(await rootVersion(store)).toBe(2);
    const { object } = await freshRead(store);
    const made = announced.layers.find(
      (layer: { annotations: Record<string, string> }) =>
        layer.annotations['tuf.io/filename'] === '2.root.json',
    );
    expect(object.files.get('2.root.json')?.digest).toBe(made.digest);
    expect(await hashesOf(store, ['v1'])).toEqual({ v1: contentOf('one').sha256 });
  });
});

describe('two roots of one version', () => {
  it('both lead to the next, where the keys of both are in hand', async () => {
    const store = await place();
    const signers = [...admin, ...online];
    const [lost, seen] = [new WeakStore(), publisher(1, { signers, cleanUp: false })];
    await pushHead(lost, await newCollection());
    const turn =
      (key: number): Parameters<typeof publishEdit>[2] =>
      (edit) =>
        void edit.root().setKeys('root', anyOf(1, poolKey(key)));
    // One is shown to some clients, and another is published: its maker saw nothing of the first.
    await publishEdit(lost, seen.read, turn(3), seen.options);
    const client = seen.read;
    const other = publisher(2, { signers, cleanUp: false });
    await publishEdit(store, other.read, turn(4), other.options);
    for (const tag of await lost.siblings()) {
      const { bytes, descriptor } = await lost.fetchManifest(tag);
      for (const layer of JSON.parse(Buffer.from(bytes).toString()).layers) {
        const blob = await lost.fetchBlob(layer, 1_000_000);
        await store.pushBlob(layer, async () => streamOf(blob));
      }
      await store.replay({ bytes, descriptor }, tag);
    }
    await publishEdit(store, other.read, (edit) => void edit.root(), other.options);
    const found = await readCollection(store, client);
    expect(found?.client.trusted.root.content.version).toBe(3);
  });
});

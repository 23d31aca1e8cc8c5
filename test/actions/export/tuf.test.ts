import { mkdir, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { exportTuf } from '../../../src/actions/export/tuf.ts';
import { DirectoryMirror } from '../../../src/mirror/directory.ts';
import { DirectoryWriter } from '../../../src/mirror/directory-writer.ts';
import { MemoryStore } from '../../../src/oci/memory.ts';
import { NAMES_ROLE } from '../../../src/trust/format/vocabulary.ts';
import { WorkingCopy } from '../../../src/trust/read/working-copy.ts';
import { refresh } from '../../../src/tuf/client.ts';
import { MemoryStateStore } from '../../../src/tuf/memory.ts';
import { temporaryDirectory } from '../../support/cli.ts';
import { pushImage } from '../../support/content.ts';
import { changeHead, contentOf, readAny, setting } from '../../support/trust/changing.ts';
import { newCollection, PLACE, pushHead } from '../../support/trust/collection.ts';
import { anyOf, PUBLISHER, ROOT } from '../../support/tuf/editing.ts';
import { poolKey } from '../../support/tuf/keys.ts';
import { readWithTufJs } from '../../support/tuf/tuf-js-client.ts';

/** tuf-js judges by its own clock. */
const NOW = new Date();

async function collection(names: readonly string[], name: string = PLACE): Promise<MemoryStore> {
  const store = new MemoryStore();
  await pushHead(store, await newCollection(name, NOW));
  await changeHead(store, (edit) => edit.apply(NAMES_ROLE, [setting(names, NOW)]), NOW);
  return store;
}

const options = { concurrency: 4 };
const copyOf = async (store: MemoryStore) => WorkingCopy.open(await readAny(store, { now: NOW }));

async function exported(store: MemoryStore, directory?: string): Promise<string> {
  const path = directory ?? (await temporaryDirectory());
  await exportTuf(await copyOf(store), new DirectoryWriter(path), options);
  return path;
}

const expected = (names: readonly string[]) =>
  Object.fromEntries(names.map((name) => [name, contentOf(name).sha256]));

describe('exportTuf', () => {
  it('writes what tuf-js accepts, root rotations and signers included', async () => {
    const store = await collection(['v1', 'v2']);
    await changeHead(
      store,
      (edit) => void edit.root().setKeys('timestamp', anyOf(1, poolKey(PUBLISHER))),
      NOW,
    );
    await changeHead(
      store,
      (edit) => edit.addSigner({ name: 'ci/é', ...anyOf(1, poolKey(ROOT)), paths: ['x*'] }),
      NOW,
    );
    await changeHead(store, (edit) => edit.apply('ci/é', [setting(['x1'], NOW)]), NOW);
    const directory = await exported(store);
    expect(await readWithTufJs(directory, ['v1', 'v2', 'x1'], false)).toEqual(expected(['v1', 'v2', 'x1']));
    expect(await readdir(join(directory, 'metadata'))).toEqual(
      expect.arrayContaining(['1.root.json', '2.root.json', 'timestamp.json']),
    );
  });

  it('writes bins that tuf-js accepts', async () => {
    const names = Array.from({ length: 1050 }, (_, at) => `v${at}`);
    const directory = await exported(await collection(names));
    const some = ['v0', 'v77', 'v1049'];
    expect(await readWithTufJs(directory, some, false)).toEqual(expected(some));
  });

  it('writes manifests as targets, and tells which are not there', async () => {
    const store = await collection(['gone']);
    const image = await pushImage(store, 'one', 'v1');
    const { digest, size } = image.descriptor;
    const set = new Map([['v1', { length: size, sha256: digest.slice(7) }]]);
    await changeHead(store, (edit) => edit.apply(NAMES_ROLE, [{ ...setting([], NOW), set }]), NOW);
    const directory = await temporaryDirectory();
    const done = await exportTuf(await copyOf(store), new DirectoryWriter(directory), {
      ...options,
      images: store,
    });
    expect(done).toMatchObject({ targets: 1, missing: [{ name: 'gone' }] });
    expect(await readWithTufJs(directory, ['v1'])).toEqual({ v1: digest.slice(7) });
  });

  it('brings a directory up to date, and keeps the files of before for clients on their way', async () => {
    const store = await collection(['v1']);
    const directory = await exported(store);
    const before = await readdir(join(directory, 'metadata'));
    await changeHead(store, (edit) => edit.apply(NAMES_ROLE, [setting(['v2'], NOW)]), NOW);
    await exported(store, directory);
    expect(await readdir(join(directory, 'metadata'))).toEqual(expect.arrayContaining(before));
    expect(await readWithTufJs(directory, ['v1', 'v2'], false)).toEqual(expected(['v1', 'v2']));
  });

  it('can be ended at any file, and clients still read the old state', async () => {
    const store = await collection(['v1']);
    const directory = await exported(store);
    await changeHead(store, (edit) => edit.apply(NAMES_ROLE, [setting(['v2'], NOW)]), NOW);
    const copy = await copyOf(store);
    const initialRoot = await readFile(join(directory, 'metadata/1.root.json'));
    for (let files = 0; ; files++) {
      const writer = new DirectoryWriter(directory);
      let left = files;
      const write = writer.writeMetadata.bind(writer);
      writer.writeMetadata = (name, bytes) =>
        left-- > 0 ? write(name, bytes) : Promise.reject(new Error('killed'));
      const ended = await exportTuf(copy, writer, options).then(
        () => 'well',
        () => 'badly',
      );
      const mirror = new DirectoryMirror(join(directory, 'metadata'), join(directory, 'targets'));
      const client = await refresh(mirror, new MemoryStateStore(), NOW, { initialRoot });
      expect((await client.findTarget('v1')).target.length).toBe(2);
      if (ended === 'well') break;
      await expect(client.findTarget('v2')).rejects.toMatchObject({ code: 'name-not-signed' });
      expect(files).toBeLessThan(20);
    }
  });

  it('mixes nothing into another repository, and goes back to no older state', async () => {
    const store = await collection(['v1']);
    const directory = await exported(store);
    await expect(exported(await collection(['v1'], `${PLACE}2`), directory)).rejects.toMatchObject({
      code: 'conflict',
    });
    const old = await copyOf(store);
    await changeHead(store, (edit) => edit.apply(NAMES_ROLE, [setting(['v2'], NOW)]), NOW);
    await exported(store, directory);
    await expect(exportTuf(old, new DirectoryWriter(directory), options)).rejects.toMatchObject({
      code: 'trust-rollback',
    });
  });

  it('lets no name of a hostile collection leave the directory', async () => {
    const store = await collection([]);
    const image = await pushImage(store, 'one', 'v1');
    const { digest, size } = image.descriptor;
    await changeHead(
      store,
      async (edit) => {
        const target = { length: size, hashes: { sha256: digest.slice(7) } };
        // Somebody who may sign names tells how many there are, as everybody does, and changes what they are.
        const evil = ['../../../evil', '/evil', 'a/../../evil', '..'];
        const names = evil.map((_, at) => `v${at}`);
        await edit.apply(NAMES_ROLE, [setting(names, NOW)]);
        for (const name of names) edit.edit.targets(NAMES_ROLE).removeTarget(name);
        for (const name of evil) edit.edit.targets(NAMES_ROLE).putEntry(name, target);
      },
      NOW,
    );
    const directory = join(await temporaryDirectory(), 'a', 'b');
    await mkdir(directory, { recursive: true });
    const writer = new DirectoryWriter(directory);
    await exportTuf(await copyOf(store), writer, { ...options, images: store });
    for (const level of ['.', '..', '../..'])
      expect((await readdir(join(directory, level))).filter((name) => name.includes('evil'))).toEqual([]);
  });
});

import { describe, expect, it } from 'vitest';
import type { JsonObject } from '../../../src/encoding/json.ts';
import type { BullaError } from '../../../src/errors.ts';
import { MemoryStore } from '../../../src/oci/memory.ts';
import type { CollectionEdit } from '../../../src/trust/change/collection-edit.ts';
import { createCollection } from '../../../src/trust/change/create.ts';
import { anchorFor } from '../../../src/trust/read/bootstrap.ts';
import { type Collection, readCollection } from '../../../src/trust/read/collection.ts';
import { ProcessMemory } from '../../../src/trust/read/memory.ts';
import { collectionUnder, type Pin, type PinnedTrust } from '../../../src/trust/read/pin.ts';
import { reading } from '../../support/trust/changing.ts';
import { newCollection, PLACE, policy, pushHead } from '../../support/trust/collection.ts';
import { changeWith, type Files, headFiles, pushFiles, resigned } from '../../support/trust/heads.ts';
import { anyOf, NOW, ONLINE, PUBLISHER, ROOT, signersOf } from '../../support/tuf/editing.ts';
import { poolKey, type TestKey } from '../../support/tuf/keys.ts';

const [SECOND, THIRD, EVIL] = [10, 11, 12] as const;
const id = (index: number) => poolKey(index).key.keyid;
const LATER = new Date(NOW.getTime() + 120_000);

/** A place whose root keys were rotated twice: ROOT, then SECOND, then THIRD. */
async function rotated(): Promise<{ readonly store: MemoryStore; readonly files: Files }> {
  const store = new MemoryStore(PLACE);
  await pushHead(store, await newCollection());
  for (const [next, present] of [
    [SECOND, ROOT],
    [THIRD, SECOND],
  ] as const)
    await rotate(store, next, present);
  return { store, files: await headFiles(store) };
}

function rotate(store: MemoryStore, next: number, present: number): Promise<void> {
  const change = (edit: CollectionEdit) => edit.root().setKeys('root', anyOf(1, poolKey(next)));
  return changeWith(store, change, { keys: [poolKey(next), poolKey(present)] });
}

/** A collection of the same name by keys of somebody else, whose root is signed by `signers`. */
async function evilStore(
  root: readonly TestKey[],
  signers: readonly TestKey[],
  threshold = 1,
): Promise<MemoryStore> {
  const store = new MemoryStore(PLACE);
  const evil = poolKey(EVIL);
  await pushHead(
    store,
    await createCollection(
      {
        name: PLACE,
        now: NOW,
        policy,
        root: anyOf(threshold, ...root),
        names: anyOf(1, evil),
        online: anyOf(1, evil),
      },
      signersOf(...signers, evil),
    ),
  );
  return store;
}

interface Reader {
  readonly memory?: ProcessMemory;
  readonly isUnattended?: boolean;
  readonly now?: Date;
  readonly warnings?: string[];
  readonly isNamed?: (name: string) => boolean;
}

function readWith(
  store: MemoryStore,
  trust: PinnedTrust | Pin | undefined,
  { memory = new ProcessMemory(), isUnattended = false, now = NOW, warnings = [], isNamed }: Reader = {},
): Promise<Collection | undefined> {
  const pin = trust === undefined || 'scope' in trust ? trust : { scope: PLACE, trust };
  const options = reading({ memory, now, ...(isNamed !== undefined && { isNamed }) });
  const onWarning = (line: string) => warnings.push(line);
  const start = { repository: PLACE, isNamed: options.isNamed, now, pin, isUnattended, onWarning };
  return readCollection(store, { ...options, ...anchorFor(start) });
}

const byKeys = (...keys: number[]): PinnedTrust => ({ kind: 'key-ids', keyIds: keys.map(id) });
const byRoot = (files: Files, version: number): PinnedTrust => ({
  kind: 'root',
  bytes: files.get(`${version}.root.json`)!,
});

describe('a pin', () => {
  it.each([1, 2, 3])('of root file %i leads on to the newest root', async (version) => {
    const { store, files } = await rotated();
    const collection = await readWith(store, byRoot(files, version));
    expect(collection?.client.trusted.root.content.version).toBe(3);
  });

  it.each([ROOT, SECOND, THIRD])('of the root key %i leads on to the newest root', async (key) => {
    const { store } = await rotated();
    const collection = await readWith(store, byKeys(key));
    expect(collection?.client.trusted.root.content.version).toBe(3);
  });

  it('of more keys than there are needs a threshold of them alone', async () => {
    const keys = [poolKey(ROOT), poolKey(SECOND), poolKey(THIRD)];
    const store = await evilStore(keys, keys, 2);
    await expect(readWith(store, byKeys(ROOT))).rejects.toMatchObject({ details: { reason: 'pin' } });
    expect((await readWith(store, byKeys(ROOT, THIRD, 20)))?.name).toBe(PLACE);
  });

  it('is held against what is there each time, also where the place was seen', async () => {
    const { store, files } = await rotated();
    const memory = new ProcessMemory();
    await readWith(store, byKeys(ROOT), { memory });
    await expect(readWith(store, byKeys(EVIL), { memory })).rejects.toMatchObject({
      details: { reason: 'pin' },
    });
    await expect(
      readWith(store, { scope: PLACE, trust: byRoot(files, 1), minRootVersion: 4 }, { memory, now: LATER }),
    ).rejects.toMatchObject({ code: 'trust-rollback', details: { from: 4, to: 3 } });
    const least = { scope: PLACE, trust: byRoot(files, 1), minRootVersion: 3 };
    expect((await readWith(store, least, { memory }))?.name).toBe(PLACE);
    expect((await readWith(store, byRoot(files, 1), { memory }))?.name).toBe(PLACE);
  });
});

interface Attack {
  serve(genuine: {
    store: MemoryStore;
    files: Files;
  }): Promise<{ store: MemoryStore; trust?: PinnedTrust | Pin; reader?: Reader }>;
  readonly code: string;
  readonly details?: object;
}

const ATTACKS: Readonly<Record<string, Attack>> = {
  'a root that lists the pinned key and is signed by another': {
    serve: async () => ({
      store: await evilStore([poolKey(EVIL), poolKey(ROOT)], [poolKey(EVIL)]),
      trust: byKeys(ROOT),
    }),
    code: 'trust-invalid',
    details: { reason: 'pin' },
  },
  'another key under the id of the pinned one': {
    serve: async () => {
      const store = await evilStore([poolKey(EVIL)], [poolKey(EVIL)]);
      const files = await headFiles(store);
      const text = Buffer.from(files.get('1.root.json')!).toString().replaceAll(id(EVIL), id(ROOT));
      const signed = resigned(Buffer.from(text), () => undefined, poolKey(EVIL));
      const renamed = Buffer.from(signed)
        .toString()
        .replace(`"keyid":"${id(EVIL)}"`, `"keyid":"${id(ROOT)}"`);
      await pushFiles(store, files.set('1.root.json', new Uint8Array(Buffer.from(renamed))));
      return { store, trust: byKeys(ROOT) };
    },
    code: 'trust-invalid',
    details: { reason: 'pin' },
  },
  'one of two keys that are needed': {
    serve: async () => ({
      store: await evilStore([poolKey(ROOT), poolKey(EVIL)], [poolKey(ROOT), poolKey(EVIL)], 2),
      trust: byKeys(ROOT),
    }),
    code: 'trust-invalid',
    details: { reason: 'pin' },
  },
  'the pinned root in a chain that does not lead on from it': {
    serve: async ({ store, files }) => {
      const evil = resigned(files.get('3.root.json')!, () => undefined, poolKey(EVIL));
      await pushFiles(store, files.set('3.root.json', evil));
      return { store, trust: byRoot(files, 2) };
    },
    code: 'trust-invalid',
    details: { role: 'root', reason: 'signatures' },
  },
  'a later root of the pinned key with another collection’s first root': {
    serve: async ({ files }) => {
      const store = await evilStore([poolKey(ROOT)], [poolKey(ROOT)]);
      const own = await headFiles(store);
      await pushFiles(
        store,
        own.set('2.root.json', files.get('2.root.json')!).set('3.root.json', files.get('3.root.json')!),
      );
      return { store, trust: byKeys(THIRD) };
    },
    code: 'trust-invalid',
    details: { reason: 'binding' },
  },
  'a pinned later root file with another collection’s first root': {
    serve: async ({ files }) => {
      const store = await evilStore([poolKey(ROOT)], [poolKey(ROOT)]);
      const own = await headFiles(store);
      await pushFiles(store, own.set('2.root.json', files.get('2.root.json')!));
      return { store, trust: byRoot(files, 2) };
    },
    code: 'trust-invalid',
    details: { reason: 'binding' },
  },
  'a chain cut before the pinned root': {
    serve: async ({ store, files }) => {
      const trust = byRoot(files, 3);
      files.delete('3.root.json');
      await pushFiles(store, files);
      return { store, trust };
    },
    code: 'trust-rollback',
    details: { role: 'root', from: 3, to: 2 },
  },
  'a chain cut before the least version of a pin': {
    serve: async ({ store, files }) => {
      files.delete('3.root.json');
      await pushFiles(store, files);
      return { store, trust: { scope: PLACE, trust: byKeys(ROOT), minRootVersion: 3 } };
    },
    code: 'trust-rollback',
    details: { role: 'root', from: 3, to: 2 },
  },
  'another root of the version of the pinned file': {
    serve: async ({ store, files }) => {
      const trust = byRoot(files, 3);
      const other = resigned(
        files.get('3.root.json')!,
        (signed) => {
          signed['expires'] = '2031-06-01T00:00:00Z';
        },
        poolKey(SECOND),
        poolKey(THIRD),
      );
      await pushFiles(store, files.set('3.root.json', other));
      return { store, trust };
    },
    code: 'trust-invalid',
    details: { reason: 'root-fork', version: 3 },
  },
  'a root that is not of the version under which it is listed': {
    serve: async ({ store, files }) => {
      await pushFiles(store, files.set('2.root.json', files.get('3.root.json')!));
      return { store, trust: byRoot(files, 1) };
    },
    code: 'trust-invalid',
    details: { role: 'root' },
  },
  'a root file that is no root': {
    serve: async ({ store, files }) => ({
      store,
      trust: { kind: 'root', bytes: files.get('timestamp.json')! },
    }),
    code: 'content-invalid',
  },
  'the neighbour of what a mapping names': {
    serve: async () => {
      const store = new MemoryStore(PLACE);
      await pushHead(store, await newCollection('origin.example.com/team/other'));
      const pin: Pin = {
        scope: 'registry.example.com/team/*',
        trust: byKeys(ROOT),
        collection: 'origin.example.com/team/*',
      };
      const name = collectionUnder(pin, PLACE);
      return { store, trust: pin, reader: { isNamed: (found) => found === name } };
    },
    code: 'trust-invalid',
    details: { reason: 'binding', collection: 'origin.example.com/team/other' },
  },
  'a collection whose name is the pattern of a mapping': {
    serve: async () => {
      const store = new MemoryStore(PLACE);
      await pushHead(store, await newCollection('origin.example.com/team/*'));
      const pin: Pin = {
        scope: 'registry.example.com/team/*',
        trust: byKeys(ROOT),
        collection: 'origin.example.com/team/*',
      };
      const name = collectionUnder(pin, PLACE);
      return { store, trust: pin, reader: { isNamed: (found) => found === name } };
    },
    code: 'trust-invalid',
    details: { reason: 'binding' },
  },
  'a collection that nothing was said about': {
    serve: async ({ store }) => ({ store }),
    code: 'trust-unpinned',
    details: { repository: PLACE, keyIds: [id(THIRD)], threshold: 1, rootVersion: 3 },
  },
  'a chain that does not hold together, where nothing was said about it': {
    serve: async ({ store, files }) => {
      const evil = resigned(files.get('3.root.json')!, () => undefined, poolKey(EVIL));
      await pushFiles(store, files.set('3.root.json', evil));
      return { store };
    },
    code: 'trust-invalid',
    details: { role: 'root' },
  },
  'first use where nobody is there to compare': {
    serve: async ({ store }) => ({ store, trust: { kind: 'tofu' }, reader: { isUnattended: true } }),
    code: 'trust-unpinned',
    details: { keyIds: [id(THIRD)] },
  },
  'root keys called like members of every object': {
    serve: async ({ store, files }) => {
      const text = Buffer.from(files.get('1.root.json')!).toString().replaceAll(id(ROOT), '__proto__');
      await pushFiles(store, files.set('1.root.json', new Uint8Array(Buffer.from(text))));
      return {
        store,
        trust: { kind: 'key-ids', keyIds: ['__proto__', 'constructor', id(ONLINE), id(PUBLISHER)] },
      };
    },
    code: 'trust-invalid',
    details: { reason: 'pin' },
  },
};

describe('a reader with a pin refuses', () => {
  it.each(Object.entries(ATTACKS))('%s', async (_, { serve, code, details = {} }) => {
    const genuine = await rotated();
    const genuineFiles: Files = new Map(genuine.files);
    const memory = new ProcessMemory();
    const { store, trust, reader } = await serve(genuine);
    const outcome = readWith(store, trust, { ...reader, memory }).then((collection) => collection?.id);
    await expect(outcome).rejects.toMatchObject({ code, details });
    // Nothing of it was remembered: what is genuine is believed as before.
    expect(await memory.seen(PLACE)).toBeUndefined();
    const place = new MemoryStore(PLACE);
    await pushFiles(place, genuineFiles);
    expect((await readWith(place, byRoot(genuineFiles, 1), { memory }))?.name).toBe(PLACE);
  });
});

describe('trust on first use', () => {
  it('says which root keys to compare, once', async () => {
    const { store } = await rotated();
    const memory = new ProcessMemory();
    const warnings: string[] = [];
    await readWith(store, { kind: 'tofu' }, { memory, warnings });
    expect(warnings).toEqual([expect.stringContaining(id(THIRD))]);
    await readWith(store, { kind: 'tofu' }, { memory, warnings, isUnattended: true });
    expect(warnings).toHaveLength(1);
  });

  it('keeps to what was there first', async () => {
    const { store } = await rotated();
    const memory = new ProcessMemory();
    await readWith(store, { kind: 'tofu' }, { memory });
    await expect(
      readWith(await evilStore([poolKey(EVIL)], [poolKey(EVIL)]), { kind: 'tofu' }, { memory }),
    ).rejects.toMatchObject({ code: 'trust-invalid', details: { reason: 'collection' } });
  });
});

describe('what people are told to type', () => {
  const EVIL_TEXT = '$(touch /tmp/owned)';

  /** A collection by somebody, whose root was written by hand. */
  async function told(change: (signed: JsonObject) => void, key: TestKey): Promise<string> {
    const { store, files } = await rotated();
    const only = new Map([...files].filter(([name]) => !/^[23]\.root/.test(name)));
    only.set('1.root.json', resigned(files.get('1.root.json')!, change, key));
    await pushFiles(store, only);
    const start = {
      repository: PLACE,
      isNamed: (name: string) => name === PLACE,
      now: NOW,
      isUnattended: false,
    };
    const read = readCollection(store, reading(anchorFor(start)));
    return await read.then(
      () => 'read',
      ({ code, message, hint }: BullaError) => `${code} ${message} ${hint}`,
    );
  }

  it('holds no key id that is not the hash of its key: it can be any text', async () => {
    const evil = poolKey(EVIL);
    const other = { ...evil, key: Object.create(evil.key, { keyid: { value: EVIL_TEXT } }) } as TestKey;
    const text = await told((signed) => {
      (signed['keys'] as JsonObject)[EVIL_TEXT] = evil.key.json;
      ((signed['roles'] as JsonObject)['root'] as JsonObject)['keyids'] = [EVIL_TEXT];
    }, other);
    expect(text).toContain('trust-unpinned');
    expect(text).toContain('--root FILE');
    expect(text).not.toContain(EVIL_TEXT);
  });

  it('holds no name of a collection that is none', async () => {
    const evil = poolKey(ROOT);
    const text = await told((signed) => {
      (signed['bulla'] as JsonObject)['collection'] = EVIL_TEXT;
    }, evil);
    expect(text).toContain('--collection NAME');
    expect(text).not.toContain(`--collection ${EVIL_TEXT}`);
  });
});

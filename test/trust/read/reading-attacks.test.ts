import { describe, expect, it } from 'vitest';
import { base64, utf8 } from '../../../src/encoding/bytes.ts';
import type { JsonObject } from '../../../src/encoding/json.ts';
import { describe as describeBytes } from '../../../src/oci/descriptor.ts';
import type { ManifestContent } from '../../../src/oci/manifest.ts';
import { MEDIA_TYPES } from '../../../src/oci/media-types.ts';
import { MemoryStore } from '../../../src/oci/memory.ts';
import type { CollectionEdit } from '../../../src/trust/change/collection-edit.ts';
import { assembleProof, assembleStage } from '../../../src/trust/format/assemble.ts';
import { CANDIDATE_MARK, HEAD_TAG } from '../../../src/trust/format/vocabulary.ts';
import type { Collection, ReadOptions } from '../../../src/trust/read/collection.ts';
import { readCollection } from '../../../src/trust/read/collection.ts';
import { freshnessOf } from '../../../src/trust/read/freshness.ts';
import { ProcessMemory } from '../../../src/trust/read/memory.ts';
import { pushImage } from '../../support/content.ts';
import { reading, setting } from '../../support/trust/changing.ts';
import { newCollection, PLACE, pushAssembly, pushHead } from '../../support/trust/collection.ts';
import { changeWith, type Files, fileOf, headFiles, pushFiles, resigned } from '../../support/trust/heads.ts';
import { anyOf, daysLater, NOW, ONLINE, ROOT } from '../../support/tuf/editing.ts';
import { poolKey, type TestKey } from '../../support/tuf/keys.ts';

const LATER = new Date(NOW.getTime() + 120_000);
const OTHER = 'registry.example.com/team/other';

/** A place with a collection that names v1, and somebody who may have read it. */
class Lab {
  readonly store = new MemoryStore(PLACE);
  readonly memory = new ProcessMemory();
  readonly warnings: string[] = [];
  /** The files of the newest genuine head. */
  newest: Files = new Map();

  static async make(wasRead: boolean): Promise<Lab> {
    const lab = new Lab();
    await pushHead(lab.store, await newCollection());
    await lab.change((edit) => edit.apply('names', [setting(['v1'])]));
    if (wasRead) await lab.read();
    return lab;
  }

  read(change: Partial<ReadOptions> = {}): Promise<Collection | undefined> {
    const onWarning = (message: string) => this.warnings.push(message);
    return readCollection(this.store, reading({ memory: this.memory, onWarning, ...change }));
  }

  /** Publishes a change. @param keys that sign beside the usual ones */
  async change(make: (edit: CollectionEdit) => Promise<void> | void, ...keys: TestKey[]): Promise<void> {
    await changeWith(this.store, make, { keys });
    this.newest = await headFiles(this.store);
  }

  /** Adds a name, and reads it. */
  async move(name: string, now: Date = NOW): Promise<void> {
    await this.change((edit) => edit.apply('names', [setting([name])]));
    await this.read({ now });
  }
}

/** Another collection by the same keys, with a name in it. */
async function otherStore(name = OTHER): Promise<MemoryStore> {
  const store = new MemoryStore(name);
  // Signatures are deterministic: made at the same time, it would be the same collection.
  await pushHead(store, await newCollection(name, LATER));
  await changeWith(store, (edit) => edit.apply('names', [setting(['evil'])]));
  return store;
}

function serve(store: MemoryStore, text: string, mediaType: string = MEDIA_TYPES.ociManifest): void {
  const bytes = utf8(text);
  const content: ManifestContent = { descriptor: describeBytes(mediaType, bytes), bytes };
  store.fetchManifest = async () => content;
  store.fetchManifestUnless = async () => content;
}

interface Attack {
  /** What a reader is shown; may return how it reads. */
  attack(lab: Lab): Promise<unknown>;
  readonly code: string;
  readonly details?: object;
  /** Only against readers who remember, or only against those who don't. */
  readonly reader?: 'who remembers' | 'who is new';
}

const ATTACKS: Readonly<Record<string, Attack>> = {
  'an old head, put back': {
    reader: 'who remembers',
    attack: async (lab) => {
      const old = await headFiles(lab.store);
      await lab.move('v2');
      await pushFiles(lab.store, old);
      return { now: LATER };
    },
    code: 'trust-rollback',
    details: { role: 'timestamp' },
  },
  'a head that is frozen': {
    attack: async () => ({ now: daysLater(15) }),
    code: 'trust-expired',
    details: { role: 'timestamp' },
  },
  'the head of another repository': {
    attack: async (lab) => void (await pushFiles(lab.store, await headFiles(await otherStore()))),
    code: 'trust-invalid',
  },
  'the collection that was made anew by somebody': {
    reader: 'who remembers',
    attack: async (lab) => void (await pushFiles(lab.store, await headFiles(await otherStore(PLACE)))),
    code: 'trust-invalid',
    details: { reason: 'collection' },
  },
  'all but the roots of another collection that shares the keys': {
    attack: async (lab) => {
      const files = await headFiles(await otherStore());
      files.set('1.root.json', (await headFiles(lab.store)).get('1.root.json')!);
      await pushFiles(lab.store, files);
    },
    code: 'trust-invalid',
    details: { reason: 'binding', role: 'timestamp' },
  },
  'names of another collection that shares the keys': {
    attack: async (lab) => {
      const files = await headFiles(lab.store);
      files.set(fileOf(files, 'names').name, fileOf(await headFiles(await otherStore()), 'names').bytes);
      await pushFiles(lab.store, files);
      const collection = await lab.read({ memory: new ProcessMemory() });
      await collection?.client.findTarget('evil');
    },
    code: 'trust-invalid',
    details: { role: 'names' },
  },
  'the file of one role for another that shares the keys': {
    reader: 'who is new',
    attack: async (lab) => {
      const files = await headFiles(lab.store);
      const { name } = fileOf(files, 'targets');
      files.set(
        name,
        resigned(fileOf(files, 'names').bytes, () => undefined, poolKey(ROOT)),
      );
      await pushFiles(lab.store, files);
    },
    code: 'trust-invalid',
    details: { role: 'targets' },
  },
  "the collection under another registry's name": {
    reader: 'who is new',
    attack: async () => ({
      place: 'mirror.example.net/app',
      isNamed: (name: string) => name === 'mirror.example.net/app',
    }),
    code: 'trust-invalid',
    details: { reason: 'binding', collection: PLACE },
  },
  'no head where one was seen': {
    reader: 'who remembers',
    attack: async (lab) => void (await lab.store.deleteTag(HEAD_TAG)),
    code: 'trust-invalid',
    details: { reason: 'missing-head' },
  },
  'no head where one is pinned': {
    attack: async (lab) => {
      await lab.store.deleteTag(HEAD_TAG);
      return { isPinned: true };
    },
    code: 'trust-invalid',
    details: { reason: 'missing-head' },
  },
  'no head where one is demanded': {
    attack: async (lab) => {
      await lab.store.deleteTag(HEAD_TAG);
      return { isDemanded: true };
    },
    code: 'trust-invalid',
    details: { reason: 'missing-head' },
  },
  'the snapshot of one moment with targets of another': {
    attack: async (lab) => {
      const old = fileOf(await headFiles(lab.store), 'targets').bytes;
      const alice = { ...anyOf(1, poolKey(7)), name: 'alice', paths: ['*'] };
      await lab.change((edit) => edit.addSigner(alice), poolKey(7));
      const files = await headFiles(lab.store);
      files.set(fileOf(files, 'targets').name, old);
      await pushFiles(lab.store, files);
    },
    code: 'trust-invalid',
    details: { role: 'targets' },
  },
  'the timestamp of one moment with a snapshot of another': {
    attack: async (lab) => {
      const old = fileOf(await headFiles(lab.store), 'snapshot').bytes;
      await lab.change((edit) => edit.apply('names', [setting(['v2'])]));
      const files = await headFiles(lab.store);
      files.set(fileOf(files, 'snapshot').name, old);
      await pushFiles(lab.store, files);
    },
    code: 'trust-invalid',
  },
  'the names that lost a race, under the newest snapshot': {
    attack: async (lab) => {
      const before = await headFiles(lab.store);
      await lab.change((edit) => edit.apply('names', [setting(['lost'])]));
      const lost = fileOf(await headFiles(lab.store), 'names').bytes;
      await pushFiles(lab.store, before);
      await lab.change((edit) => edit.apply('names', [setting(['won'])]));
      const files = await headFiles(lab.store);
      await pushFiles(lab.store, files.set(fileOf(files, 'names').name, lost));
      await (await lab.read())?.client.findTarget('lost');
    },
    code: 'trust-invalid',
    details: { role: 'names' },
  },
  'a head without its snapshot': {
    reader: 'who is new',
    attack: async (lab) => {
      const files = await headFiles(lab.store);
      files.delete(fileOf(files, 'snapshot').name);
      await pushFiles(lab.store, files);
    },
    code: 'trust-invalid',
    details: { role: 'snapshot' },
  },
  'a head whose names were left out': {
    reader: 'who is new',
    attack: async (lab) => {
      const files = await headFiles(lab.store);
      files.delete(fileOf(files, 'names').name);
      await pushFiles(lab.store, files);
      const collection = await lab.read({ memory: new ProcessMemory() });
      await collection?.client.findTarget('v1');
    },
    code: 'trust-invalid',
    details: { role: 'names' },
  },
  'files under each other’s names': {
    reader: 'who is new',
    attack: async (lab) => {
      const files = await headFiles(lab.store);
      const [names, targets] = [fileOf(files, 'names'), fileOf(files, 'targets')];
      await pushFiles(lab.store, files.set(targets.name, names.bytes).set(names.name, targets.bytes));
    },
    code: 'trust-invalid',
  },
  'two different files of one name': {
    attack: async (lab) => {
      const files = await headFiles(lab.store);
      const evil = fileOf(await headFiles(await otherStore()), 'timestamp').bytes;
      files.set('other.json', evil);
      const layers = (list: JsonObject[]) =>
        list.map((layer) =>
          (layer['annotations'] as JsonObject)['tuf.io/filename'] === 'other.json'
            ? { ...layer, annotations: { 'tuf.io/filename': 'timestamp.json' } }
            : layer,
        );
      await pushFiles(lab.store, files, { layers: layers as never });
    },
    code: 'trust-invalid',
    details: { reason: 'object' },
  },
  'a candidate as head': {
    attack: async (lab) =>
      void (await pushFiles(lab.store, await headFiles(lab.store), {
        annotations: { [CANDIDATE_MARK]: 'true' },
      })),
    code: 'trust-invalid',
    details: { reason: 'object' },
  },
  'a stage as head': {
    attack: async (lab) =>
      await pushAssembly(
        lab.store,
        assembleStage({ files: await headFiles(lab.store), logs: new Map() }),
        HEAD_TAG,
      ),
    code: 'trust-invalid',
    details: { reason: 'object' },
  },
  'a proof as head': {
    attack: async (lab) => {
      const { descriptor: subject } = await pushImage(lab.store, 'image', 'v1');
      await pushAssembly(lab.store, assembleProof({ subject, files: await headFiles(lab.store) }), HEAD_TAG);
    },
    code: 'trust-invalid',
    details: { reason: 'object' },
  },
  'an image as head': {
    attack: async (lab) => void (await pushImage(lab.store, 'image', HEAD_TAG)),
    code: 'trust-invalid',
    details: { reason: 'object' },
  },
  'an index without entries as head': {
    attack: async (lab) => serve(lab.store, '{"schemaVersion":2,"manifests":[]}', MEDIA_TYPES.ociIndex),
    code: 'trust-invalid',
    details: { reason: 'object' },
  },
  'a manifest that is image and index at once': {
    attack: async (lab) => {
      const { bytes } = await lab.store.fetchManifest(HEAD_TAG);
      const both = { ...(JSON.parse(Buffer.from(bytes).toString()) as object), manifests: [] };
      serve(lab.store, JSON.stringify(both));
    },
    code: 'content-invalid',
  },
  'data in the manifest that is not what its digest says': {
    attack: async (lab) => {
      const evil = base64(fileOf(await headFiles(await otherStore()), 'timestamp').bytes);
      const files = await headFiles(lab.store);
      await pushFiles(lab.store, files, {
        layers: (list) =>
          list.map((layer) =>
            layer.annotations?.['tuf.io/filename'] === 'timestamp.json' ? { ...layer, data: evil } : layer,
          ),
      });
    },
    code: 'content-invalid',
  },
  'a head that is too large': {
    attack: async (lab) => serve(lab.store, JSON.stringify({ padding: 'x'.repeat(4 * 1024 * 1024) })),
    code: 'content-invalid',
  },
  'a file that is too large': {
    attack: async (lab) => {
      const files = await headFiles(lab.store);
      await pushFiles(lab.store, files.set('timestamp.json', utf8(' '.repeat(20_000))));
    },
    code: 'trust-invalid',
  },
  'more roots than anybody makes': {
    attack: async (lab) => {
      const files = await headFiles(lab.store);
      for (let version = 2; version <= 1025; version++) files.set(`${version}.root.json`, utf8('{}'));
      await pushFiles(lab.store, files);
    },
    code: 'trust-invalid',
    details: { reason: 'root-chain' },
  },
  'roots of more bytes than anybody makes': {
    attack: async (lab) => {
      const files = await headFiles(lab.store);
      for (let version = 2; version <= 80; version++)
        files.set(`${version}.root.json`, utf8(`${version}`.padEnd(450_000)));
      await pushFiles(lab.store, files, { bare: true });
    },
    code: 'trust-invalid',
    details: { reason: 'root-chain' },
  },
  'a chain of roots with a gap': {
    attack: async (lab) => {
      const files = await headFiles(lab.store);
      await pushFiles(lab.store, files.set('3.root.json', files.get('1.root.json')!));
    },
    code: 'trust-invalid',
    details: { reason: 'root-chain' },
  },
  'no roots at all': {
    attack: async (lab) => {
      const files = await headFiles(lab.store);
      files.delete('1.root.json');
      await pushFiles(lab.store, files);
    },
    code: 'trust-invalid',
    details: { reason: 'root-chain' },
  },
  'a next root that the present one did not sign': {
    attack: async (lab) => {
      const files = await headFiles(lab.store);
      const evil = resigned(
        files.get('1.root.json')!,
        (signed) => {
          signed['version'] = 2;
        },
        poolKey(8),
      );
      await pushFiles(lab.store, files.set('2.root.json', evil));
    },
    code: 'trust-invalid',
    details: { role: 'root', reason: 'signatures' },
  },
  'a chain of roots that was cut short': {
    reader: 'who remembers',
    attack: async (lab) => {
      const old = await headFiles(lab.store);
      await lab.change((edit) => edit.root().setKeys('root', anyOf(1, poolKey(8))), poolKey(8));
      await lab.read();
      // With the newest of all other files, so that only the roots went back.
      const files = await headFiles(lab.store);
      files.delete('2.root.json');
      await pushFiles(lab.store, new Map([...old, ...files]));
      return { now: LATER };
    },
    code: 'trust-rollback',
    details: { role: 'root', from: 2, to: 1 },
  },
  'another root of the version that was seen': {
    reader: 'who remembers',
    attack: async (lab) => {
      await lab.change((edit) => void edit.root());
      await lab.read();
      const files = await headFiles(lab.store);
      const other = resigned(
        files.get('2.root.json')!,
        (signed) => {
          signed['expires'] = '2031-01-01T00:00:00Z';
        },
        poolKey(ROOT),
      );
      await pushFiles(lab.store, files.set('2.root.json', other));
      return { now: LATER };
    },
    code: 'trust-invalid',
    details: { reason: 'root-fork', version: 2 },
  },
  'a role of a name that objects have already': {
    reader: 'who is new',
    attack: async (lab) => {
      const files = await headFiles(lab.store);
      files.delete('timestamp.json');
      for (const name of ['__proto__', 'constructor', '0', '7.json', '1.__proto__.json'])
        files.set(name, utf8(`"${name}"`));
      await pushFiles(lab.store, files);
    },
    code: 'trust-invalid',
    details: { role: 'timestamp' },
  },
};

const CASES = Object.entries(ATTACKS).flatMap(([name, attack]) =>
  (['who remembers', 'who is new'] as const)
    .filter((reader) => attack.reader === undefined || attack.reader === reader)
    .map((reader) => ({ name, reader, ...attack })),
);

describe('a reader', () => {
  it.each(CASES)('$reader refuses $name', async ({ reader, attack, code, details = {} }) => {
    const lab = await Lab.make(reader === 'who remembers');
    const outcome = attack(lab).then(async (options) => (await lab.read(options ?? {}))?.name);
    await expect(outcome).rejects.toMatchObject({ code, details });
    // What is genuine can still be read, and nothing went back in memory.
    const genuine = new MemoryStore(PLACE);
    await pushFiles(genuine, lab.newest);
    const collection = await readCollection(genuine, reading({ memory: lab.memory }));
    expect((await collection?.client.findTarget('v1'))?.role).toBe('names');
    expect(collection?.client.trusted.timestamp.file.bytes).toEqual(lab.newest.get('timestamp.json'));
  });
});

describe('what a reader puts up with', () => {
  it('an old head, soon after a newer one: the answer is from memory, with a warning', async () => {
    const lab = await Lab.make(true);
    const old = await headFiles(lab.store);
    await lab.move('v2');
    await pushFiles(lab.store, old);
    const collection = await lab.read({ now: new Date(NOW.getTime() + 59_000) });
    expect((await collection?.client.findTarget('v2'))?.role).toBe('names');
    expect(lab.warnings).toHaveLength(1);
    // It is not a refresh: the time runs on.
    await expect(lab.read({ now: new Date(NOW.getTime() + 61_000) })).rejects.toMatchObject({
      code: 'trust-rollback',
    });
  });

  it('a chain of roots that is shorter, soon after the longer one', async () => {
    const lab = await Lab.make(true);
    const old = await headFiles(lab.store);
    await lab.change((edit) => void edit.root());
    await lab.read();
    await pushFiles(lab.store, old);
    expect((await lab.read())?.client.trusted.root.content.version).toBe(2);
    await expect(lab.read({ now: LATER })).rejects.toMatchObject({
      code: 'trust-rollback',
      details: { role: 'root' },
    });
  });

  it('a clock that went back does not make the time longer', async () => {
    const lab = await Lab.make(true);
    const old = await headFiles(lab.store);
    await lab.move('v2', LATER);
    await pushFiles(lab.store, old);
    await expect(lab.read({ now: NOW })).rejects.toMatchObject({ code: 'trust-rollback' });
  });

  it('the same files with other annotations', async () => {
    const lab = await Lab.make(true);
    const files = await headFiles(lab.store);
    await pushFiles(lab.store, files, { annotations: { anything: 'else' }, bare: true });
    expect((await lab.read({ now: LATER }))?.name).toBe(PLACE);
  });

  it('an old head, where nothing is remembered: it says that nothing was known', async () => {
    const lab = await Lab.make(true);
    const old = await headFiles(lab.store);
    await lab.move('v2');
    expect((await lab.read())?.wasKnown).toBe(true);
    await pushFiles(lab.store, old);
    expect((await lab.read({ memory: new ProcessMemory() }))?.wasKnown).toBe(false);
  });

  it('no head, where none was ever wanted', async () => {
    expect(await readCollection(new MemoryStore(PLACE), reading())).toBeUndefined();
  });

  it('two roots of one version, where the next leads on from both', async () => {
    const lab = await Lab.make(true);
    await lab.change((edit) => void edit.root());
    await lab.read();
    const files = await headFiles(lab.store);
    const other = resigned(
      files.get('2.root.json')!,
      (signed) => (signed['expires'] = '2031-01-01T00:00:00Z'),
      poolKey(ROOT),
    );
    const next = resigned(files.get('2.root.json')!, (signed) => (signed['version'] = 3), poolKey(ROOT));
    await pushFiles(lab.store, files.set('2.root.json', other).set('3.root.json', next));
    expect((await lab.read())?.client.trusted.root.content.version).toBe(3);
  });
});

describe('staleness', () => {
  it('is told of what is fresh: until when', async () => {
    const lab = await Lab.make(false);
    const collection = await lab.read();
    expect(freshnessOf(collection!)).toEqual({ kind: 'fresh', until: daysLater(14) });
  });

  it('counts for as long as it is allowed, as of when the timestamp was made', async () => {
    const lab = await Lab.make(false);
    const now = daysLater(20);
    const collection = await lab.read({ now, maxStaleness: 7 * 86_400_000 });
    expect(freshnessOf(collection!)).toEqual({ kind: 'stale', by: 6 * 86_400_000, asOf: NOW });
    expect((await collection?.client.findTarget('v1'))?.role).toBe('names');
    await expect(lab.read({ now, maxStaleness: 5 * 86_400_000 })).rejects.toMatchObject({
      code: 'trust-expired',
    });
    await expect(lab.read({ now })).rejects.toMatchObject({ code: 'trust-expired' });
  });

  it('never makes good what had expired when the timestamp was made', async () => {
    const lab = await Lab.make(false);
    const files = await headFiles(lab.store);
    const now = daysLater(500);
    const timestamp = resigned(
      fileOf(files, 'timestamp').bytes,
      (signed) => {
        signed['expires'] = '2032-01-01T00:00:00Z';
        (signed['bulla'] as JsonObject)['created'] = '2031-05-01T00:00:00Z';
      },
      poolKey(ONLINE),
    );
    await pushFiles(lab.store, files.set('timestamp.json', timestamp));
    await expect(lab.read({ now, maxStaleness: 1000 * 86_400_000 })).rejects.toMatchObject({
      code: 'trust-expired',
    });
  });

  it('holds no less against going back', async () => {
    const lab = await Lab.make(true);
    const old = await headFiles(lab.store);
    await lab.move('v2');
    await pushFiles(lab.store, old);
    await expect(lab.read({ now: daysLater(20), maxStaleness: 30 * 86_400_000 })).rejects.toMatchObject({
      code: 'trust-rollback',
    });
  });

  it('needs a timestamp that says when it was made', async () => {
    const lab = await Lab.make(false);
    const files = await headFiles(lab.store);
    const timestamp = resigned(
      fileOf(files, 'timestamp').bytes,
      (signed) => delete (signed['bulla'] as JsonObject)['created'],
      poolKey(ONLINE),
    );
    await pushFiles(lab.store, files.set('timestamp.json', timestamp));
    expect((await lab.read())?.name).toBe(PLACE);
    await expect(lab.read({ now: daysLater(15), maxStaleness: 7 * 86_400_000 })).rejects.toMatchObject({
      code: 'trust-invalid',
      details: { reason: 'binding', role: 'timestamp' },
    });
  });
});

import { describe, expect, it } from 'vitest';
import { utf8 } from '../../../src/encoding/bytes.ts';
import type { JsonObject } from '../../../src/encoding/json.ts';
import { BullaError } from '../../../src/errors.ts';
import { digestOf } from '../../../src/oci/digest.ts';
import { MemoryStore } from '../../../src/oci/memory.ts';
import { ConfigMapState } from '../../../src/servers/resigner/config-map-state.ts';
import { RepositoryState } from '../../../src/servers/resigner/repository-state.ts';
import { parseCollectionId } from '../../../src/trust/format/binding.ts';
import { type SignerRecord, type SignerState, withUsed } from '../../../src/trust/publish/signer-state.ts';
import { codeOf } from '../../support/registry/open.ts';
import { FakeCluster } from '../../support/resign/kubernetes.ts';

const ID = parseCollectionId('b'.repeat(64));
const OTHER = parseCollectionId('c'.repeat(64));
const served = (timestamp: number): SignerRecord => ({
  served: { digest: digestOf(utf8(`${timestamp}`)), timestamp, snapshot: 1, keys: ['k'] },
  used: new Map([['timestamp', timestamp]]),
});

interface Place {
  readonly what: string;
  /** States of two processes that share one place, and how it is made unreachable. */
  make(): { readonly one: SignerState; readonly two: SignerState; readonly cut: () => void };
}

const PLACES: readonly Place[] = [
  {
    what: 'in ConfigMaps',
    make: () => {
      const cluster = new FakeCluster();
      return {
        one: new ConfigMapState(cluster, 'trust', 'signer'),
        two: new ConfigMapState(cluster, 'trust', 'signer'),
        cut: () => {
          cluster.outage = new BullaError('registry-unreachable', 'away', { hint: 'none' });
        },
      };
    },
  },
  {
    what: 'in a repository',
    make: () => {
      const store = new MemoryStore();
      return {
        one: new RepositoryState(store),
        two: new RepositoryState(store),
        cut: () => {
          store.fetchManifest = () => Promise.reject(new BullaError('timeout', 'away', { hint: 'none' }));
        },
      };
    },
  },
];

describe.each(PLACES)('the state $what', ({ make }) => {
  it('is read as it was written, also by another process, for each collection', async () => {
    const { one, two } = make();
    expect(one.isLasting).toBe(true);
    expect(await one.load(ID)).toBeUndefined();
    await one.update(ID, () => served(5));
    expect(await two.load(ID)).toEqual(served(5));
    expect(await two.load(OTHER)).toBeUndefined();
    await two.update(OTHER, () => served(7));
    expect(await one.load(OTHER)).toEqual(served(7));
    expect(await one.load(ID)).toEqual(served(5));
  });

  it('loses no change of several at once', async () => {
    const { one } = make();
    await Promise.all(
      Array.from({ length: 6 }, (_, n) =>
        one.update(ID, (present) => withUsed(present, new Map([[`role${n}`, n]]))),
      ),
    );
    expect((await one.load(ID))?.used.size).toBe(6);
  });

  it('is an error where it cannot be read, and never an empty one', async () => {
    const { one, two, cut } = make();
    await one.update(ID, () => served(5));
    cut();
    expect(await codeOf(two.load(ID))).toBe('storage-error');
    expect(await codeOf(two.update(ID, () => served(9)))).toBe('storage-error');
  });
});

describe('the state in ConfigMaps', () => {
  it('has two that write at once go one after the other', async () => {
    const cluster = new FakeCluster();
    const [one, two] = [new ConfigMapState(cluster, 'n', 'p'), new ConfigMapState(cluster, 'n', 'p')];
    await one.update(ID, () => served(1));
    const add = (role: string) => (present: SignerRecord) => withUsed(present, new Map([[role, 3]]));
    await Promise.all([one.update(ID, add('a')), two.update(ID, add('b'))]);
    expect([...((await one.load(ID))?.used.keys() ?? [])].sort()).toEqual(['a', 'b', 'timestamp']);
  });

  it('is an error where somebody emptied it', async () => {
    const cluster = new FakeCluster();
    const state = new ConfigMapState(cluster, 'n', 'p');
    await state.update(ID, () => served(1));
    for (const [path, object] of cluster.objects)
      cluster.objects.set(path, { ...object, data: {} as JsonObject });
    expect(await codeOf(state.load(ID))).toBe('storage-error');
  });
});

describe('the state in a repository', () => {
  it('does not go back where the registry shows an old tag', async () => {
    const store = new MemoryStore();
    const state = new RepositoryState(store);
    await state.update(ID, () => served(5));
    const old = await store.fetchManifest((await store.listTags())[0]!);
    await state.update(ID, () => served(6));
    await store.pushManifest(old, { tag: (await store.listTags())[0]! });
    expect(await state.load(ID)).toEqual(served(6));
  });

  it('is an error where the tag is something else', async () => {
    const store = new MemoryStore();
    await new RepositoryState(store).update(ID, () => served(5));
    const [tag] = await store.listTags();
    const content = await store.fetchManifest(tag!);
    const forged = utf8(new TextDecoder().decode(content.bytes).replaceAll('signer-record', 'something'));
    const descriptor = { ...content.descriptor, digest: digestOf(forged), size: forged.byteLength };
    await store.pushManifest({ descriptor, bytes: forged }, { tag: tag! });
    expect(await codeOf(new RepositoryState(store).load(ID))).toBe('storage-error');
  });
});

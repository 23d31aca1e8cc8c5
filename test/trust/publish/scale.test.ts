import { beforeAll, describe, expect, it } from 'vitest';
import type { Descriptor } from '../../../src/oci/descriptor.ts';
import { MemoryStore } from '../../../src/oci/memory.ts';
import type { Target } from '../../../src/oci/target.ts';
import { publishNames } from '../../../src/trust/publish/publish.ts';
import { readCollection } from '../../../src/trust/read/collection.ts';
import { ProcessBlobCache } from '../../../src/trust/read/memory.ts';
import { findName } from '../../../src/trust/read/names.ts';
import { tagOf } from '../../support/content.ts';
import { contentOf, reading } from '../../support/trust/changing.ts';
import { PLACE } from '../../support/trust/collection.ts';
import { pushLargeHead, realTags } from '../../support/trust/many-names.ts';
import { FakeClock, publisher } from '../../support/trust/publishing.ts';
import { daysLater } from '../../support/tuf/editing.ts';

const NAMES = 10_000;
const later = daysLater(1);
const asked = [...realTags(12)];

/** Bytes of all that is read and written through a target. */
function counting(inner: Target): { readonly target: Target; bytes(): number; calls(): number } {
  let bytes = 0;
  let calls = 0;
  const counted = new Set(['fetchManifest', 'fetchManifestUnless', 'fetchBlob', 'pushBlob', 'pushManifest']);
  const target = new Proxy(inner, {
    get(object, property): unknown {
      const value = Reflect.get(object, property) as unknown;
      if (typeof value !== 'function' || !counted.has(String(property))) return value;
      return async (...args: unknown[]) => {
        const answer = (await value.apply(object, args)) as { bytes?: Uint8Array } | Uint8Array | string;
        const sent = args[0] as { bytes?: Uint8Array } & Partial<Descriptor>;
        calls++;
        if (property === 'pushBlob') bytes += answer === 'pushed' ? (sent.size ?? 0) : 0;
        else if (property === 'pushManifest') bytes += sent.bytes?.byteLength ?? 0;
        else
          bytes +=
            answer instanceof Uint8Array
              ? answer.byteLength
              : ((answer as { bytes?: Uint8Array })?.bytes?.byteLength ?? 0);
        return answer;
      };
    },
  });
  return { target, bytes: () => bytes, calls: () => calls };
}

describe(`a collection of ${NAMES} names`, () => {
  const store = new MemoryStore();
  beforeAll(() => pushLargeHead(store, PLACE, NAMES), 60_000);

  it('costs who asks for one name and knows nothing 24 KiB on average, in 9 requests', async () => {
    let sum = 0;
    for (const name of asked) {
      const { target, bytes, calls } = counting(store);
      const collection = await readCollection(target, reading({ now: later }));
      if (collection === undefined) throw new Error('there is no collection');
      expect((await findName(collection, tagOf(name))).digest).toBe(`sha256:${contentOf(name).sha256}`);
      expect(calls()).toBe(9);
      sum += bytes();
    }
    expect(sum / asked.length).toBeLessThanOrEqual(24 * 1024);
  });

  it('costs who asks again, and for another name, what is new to him', async () => {
    const options = reading({ now: later, cache: new ProcessBlobCache() });
    await readCollection(store, options);
    const { target, bytes } = counting(store);
    const collection = await readCollection(target, options);
    if (collection === undefined) throw new Error('there is no collection');
    await findName(collection, tagOf('latest'));
    expect(bytes()).toBeLessThan(16 * 1024);
  });

  it('costs who publishes one name a bin, a shard and the snapshot, not the rest', async () => {
    const { target, bytes } = counting(store);
    const set = new Map([['v9.9.9', contentOf('v9.9.9')]]);
    const { read, options } = publisher(1, {}, new FakeClock(later));
    await publishNames(target, { ...read, now: later }, [{ set }], options);
    expect(bytes()).toBeLessThanOrEqual(72 * 1024);
  });
});

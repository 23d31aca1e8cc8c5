import { describe, expect, it } from 'vitest';
import { BullaError, type ErrorCode } from '../../../src/errors.ts';
import { MemoryStore } from '../../../src/oci/memory.ts';
import type { Tag } from '../../../src/oci/reference.ts';
import { SiblingFiles } from '../../../src/trust/candidates/sibling-files.ts';
import { isUnanswered, SiblingReader } from '../../../src/trust/candidates/siblings.ts';
import { openTrustObject } from '../../../src/trust/format/object.ts';
import { HEAD_TAG } from '../../../src/trust/format/vocabulary.ts';
import { publishNames } from '../../../src/trust/publish/publish.ts';
import { WorkingCopy } from '../../../src/trust/read/working-copy.ts';
import { newCollection, pushHead } from '../../support/trust/collection.ts';
import { FakeChance, freshRead, naming, publisher } from '../../support/trust/publishing.ts';
import { NOW } from '../../support/tuf/editing.ts';

const STAGE = '_trust.stage.111111111111' as Tag;

/** A collection with one object beside it, which cannot be read for this reason. */
async function failing(code: ErrorCode): Promise<{ read(): ReturnType<SiblingReader['read']> }> {
  const store = new MemoryStore();
  await pushHead(store, await newCollection());
  await store.pushManifest(await store.fetchManifest(HEAD_TAG), { tag: STAGE });
  const copy = await WorkingCopy.open(await freshRead(store));
  store.fetchManifest = async (reference, options) => {
    if (reference === STAGE) throw new BullaError(code, 'as the test wants it');
    return await MemoryStore.prototype.fetchManifest.call(store, reference, options);
  };
  const reader = new SiblingReader(store, new FakeChance());
  return { read: () => reader.read(copy, NOW) };
}

describe('an object beside the head that cannot be read', () => {
  it.each<ErrorCode>(['registry-unreachable', 'registry-throttled', 'registry-error', 'timeout'])(
    'may be good: nothing is known of it after %s',
    async (code) => {
      expect(isUnanswered(new BullaError(code, 'x'))).toBe(true);
      const { read } = await failing(code);
      const found = await read();
      expect(found).toMatchObject({ isComplete: false, isUnanswered: true, refused: [{ tag: STAGE, code }] });
    },
  );

  it.each<ErrorCode>([
    'interrupted',
    'unauthorized',
    'forbidden',
    'registry-policy',
    'storage-error',
    'internal',
  ])('ends the work where the failure is not its own: %s', async (code) => {
    const { read } = await failing(code);
    await expect(read()).rejects.toMatchObject({ code });
  });

  it.each<ErrorCode>(['content-invalid', 'trust-invalid', 'key-invalid'])(
    'is refused where it is bad, and nothing else is owed: %s',
    async (code) => {
      const { read } = await failing(code);
      const found = await read();
      expect(found).toMatchObject({ isComplete: true, isUnanswered: false, refused: [{ tag: STAGE, code }] });
    },
  );

  it('is nothing where it was removed meanwhile', async () => {
    const found = await (await failing('not-found')).read();
    expect(found).toMatchObject({ isComplete: true, isUnanswered: false, refused: [] });
  });
});

describe('what a round may fetch of objects beside the head', () => {
  it('is counted over all of their files, without what they carry themselves', async () => {
    const store = new MemoryStore();
    await pushHead(store, await newCollection());
    const { read, options } = publisher();
    await publishNames(store, read, naming({ v1: 'one' }), options);
    const head = await openTrustObject(store, await store.fetchManifest(HEAD_TAG));
    const copy = await WorkingCopy.open(await freshRead(store));
    const files = [...head.files].map(([name, { data: _, ...descriptor }]) => [name, descriptor] as const);
    const object = { ...head, files: new Map(files) };
    const sizes = [/timestamp\.json$/, /names\.json$/].map(
      (name) => files.find(([fileName]) => name.test(fileName))![1].size,
    );
    const verify = (one: typeof head, maxBytes: number) =>
      new SiblingFiles(store, copy, NOW, maxBytes, {}).verify(one);
    const [timestamp, names] = sizes as [number, number];
    const spent = { code: 'content-invalid', details: { reason: 'budget' } };
    await expect(verify(object, timestamp + names - 1)).rejects.toMatchObject(spent);
    await expect(verify(object, 1_000_000)).resolves.toMatchObject({ isWhole: true });
    const largest = Math.max(...[...head.files.values(), ...head.logs.values()].map(({ size }) => size));
    await expect(verify(head, largest)).resolves.toMatchObject({ isWhole: true });
  });
});

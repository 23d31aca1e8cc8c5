import { describe, expect, it } from 'vitest';
import { utf8 } from '../../../src/encoding/bytes.ts';
import { describe as describeBytes } from '../../../src/oci/descriptor.ts';
import type { ManifestContent } from '../../../src/oci/manifest.ts';
import { MemoryStore } from '../../../src/oci/memory.ts';
import type { Tag } from '../../../src/oci/reference.ts';
import { HEAD_TAG } from '../../../src/trust/format/vocabulary.ts';
import { publishNames } from '../../../src/trust/publish/publish.ts';
import { resignCollection } from '../../../src/trust/publish/resign.ts';
import { newCollection, pushHead } from '../../support/trust/collection.ts';
import { contentOf, hashesOf, naming, publisher } from '../../support/trust/publishing.ts';

function changed({ bytes, descriptor }: ManifestContent, change: (json: string) => string): ManifestContent {
  const next = utf8(change(Buffer.from(bytes).toString()));
  return { bytes: next, descriptor: describeBytes(descriptor.mediaType, next) };
}

/** What somebody who may push and has no key can put in the place of a head. */
const JUNK: readonly (readonly [string, (head: ManifestContent) => ManifestContent])[] = [
  ['something of another kind', (head) => changed(head, (json) => json.replace('trust.head', 'other'))],
  ['a head marked as a candidate', (head) => changed(head, marked)],
  ['a head without names', (head) => changed(head, (json) => json.replaceAll('.names.json', '.nobody.json'))],
  ['a head without a root', (head) => changed(head, (json) => json.replaceAll('1.root.json', '2.root.json'))],
];

function marked(json: string): string {
  return JSON.stringify({ ...JSON.parse(json), annotations: { 'vnd.bulla.trust.candidate': 'true' } });
}

async function place(): Promise<MemoryStore> {
  const store = new MemoryStore();
  await pushHead(store, await newCollection());
  return store;
}

describe('where somebody put in the place of the head', () => {
  it.each(JUNK)('%s, a publisher who knows the head publishes on it', async (_, spoil) => {
    const store = await place();
    const { read, options } = publisher();
    await publishNames(store, read, naming({ v1: 'one' }), options);
    await store.pushManifest(spoil(await store.fetchManifest(HEAD_TAG)), { tag: HEAD_TAG });
    await publishNames(store, read, naming({ v2: 'two' }), options);
    expect(await hashesOf(store, ['v1', 'v2'])).toEqual({
      v1: contentOf('one').sha256,
      v2: contentOf('two').sha256,
    });
  });

  it.each(JUNK)('%s, a re-signer puts the head back, and needs no key of names for it', async (_, spoil) => {
    const store = await place();
    const { read, options } = publisher();
    await publishNames(store, read, naming({ v1: 'one' }), options);
    await resignCollection(store, read, options);
    const head = await store.fetchManifest(HEAD_TAG);
    await store.pushManifest(spoil(head), { tag: HEAD_TAG });
    const { outcome } = await resignCollection(store, read, {
      ...options,
      signers: options.signers.slice(1),
    });
    expect(outcome).toBe('healed');
    expect(await hashesOf(store, ['v1'])).toEqual({ v1: contentOf('one').sha256 });
  });

  it('the head of another collection, nobody puts anything in its place', async () => {
    const [store, other] = [await place(), new MemoryStore()];
    const { read, options } = publisher();
    await publishNames(store, read, naming({ v1: 'one' }), options);
    const { clock } = publisher();
    clock.pass(1000);
    const another = await newCollection(undefined, clock.now());
    await pushHead(other, another);
    await pushHead(store, another);
    await expect(publishNames(store, read, naming({ v2: 'two' }), options)).rejects.toMatchObject({
      code: 'trust-invalid',
      details: { reason: 'collection' },
    });
    expect((await store.fetchManifest('_trust' as Tag)).descriptor.digest).toBe(
      (await other.fetchManifest('_trust' as Tag)).descriptor.digest,
    );
  });
});

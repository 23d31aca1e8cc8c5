import { describe, expect, it } from 'vitest';
import { streamOf } from '../../../src/oci/content.ts';
import type { Descriptor } from '../../../src/oci/descriptor.ts';
import { hexOf } from '../../../src/oci/digest.ts';
import { type ImageManifest, type ManifestContent, parseManifest } from '../../../src/oci/manifest.ts';
import { MemoryStore } from '../../../src/oci/memory.ts';
import { type Assembly, assembleProof } from '../../../src/trust/format/assemble.ts';
import { fetchFile } from '../../../src/trust/format/object.ts';
import { NAMES_ROLE, TRUST_TYPES } from '../../../src/trust/format/vocabulary.ts';
import { type Collection, type ReadOptions, readCollection } from '../../../src/trust/read/collection.ts';
import { freshnessOf } from '../../../src/trust/read/freshness.ts';
import { ProcessMemory } from '../../../src/trust/read/memory.ts';
import { buildProof, namesProven, openProof } from '../../../src/trust/transfer/proof.ts';
import { pushImage } from '../../support/content.ts';
import { changeHead, readAny, reading, setting } from '../../support/trust/changing.ts';
import { newCollection, PLACE, pushHead } from '../../support/trust/collection.ts';
import { anyOf, daysLater, NOW, PUBLISHER } from '../../support/tuf/editing.ts';
import { poolKey } from '../../support/tuf/keys.ts';

const DAY = 86_400_000;

/** A collection that names an image `v1`, and `others` beside it. */
async function named(
  name: string = PLACE,
  others: readonly string[] = [],
): Promise<{ readonly store: MemoryStore; readonly image: Descriptor }> {
  const store = new MemoryStore(name);
  await pushHead(store, await newCollection(name));
  const { descriptor } = await pushImage(store, 'app', 'v1');
  const set = new Map([['v1', { length: descriptor.size, sha256: hexOf(descriptor.digest) }]]);
  await changeHead(store, (edit) => edit.apply(NAMES_ROLE, [setting(others), { ...setting([]), set }]));
  return { store, image: descriptor };
}

/** Writes the proof of an image, and says what was written. */
async function prove(store: MemoryStore, image: Descriptor, now: Date = NOW): Promise<ManifestContent> {
  const proof = await buildProof(await readAny(store, { now }), image, ['v1']);
  if (proof === undefined) throw new Error('there is nothing to be proven');
  return await push(store, proof);
}

async function push(store: MemoryStore, { blobs, top }: Assembly): Promise<ManifestContent> {
  for (const { descriptor, bytes } of blobs) await store.pushBlob(descriptor, async () => streamOf(bytes));
  await store.pushManifest(top);
  return top;
}

/** Reads a proof as somebody who has it alone. */
function open(
  store: MemoryStore,
  content: ManifestContent,
  subject: Descriptor,
  change: Partial<ReadOptions> = {},
): Promise<Collection> {
  return openProof(store, content, subject.digest, reading(change));
}

describe('a proof', () => {
  it.each([
    ['a small collection', [], 5],
    ['one with bins', Array.from({ length: 1500 }, (_, index) => `v1.${index}`), 6],
  ])('shows how %s names an image, without the head', async (_, others, files) => {
    const { store, image } = await named(PLACE, others);
    const content = await prove(store, image);
    expect(await store.listReferrers(image.digest, { artifactType: TRUST_TYPES.proof })).toHaveLength(1);
    await store.deleteManifest((await readAny(store)).object.content.descriptor.digest);
    const collection = await open(store, content, image);
    const found = await collection.client.findTarget('v1', { through: NAMES_ROLE });
    expect(found.target.hashes.get('sha256')).toBe(hexOf(image.digest));
    expect([collection.name, freshnessOf(collection).kind]).toEqual([PLACE, 'fresh']);
    expect(collection.object.files.size).toBe(files);
  });

  it.each([
    'ci.targets',
    'x.root',
    'a.snapshot',
    'timestamp.timestamp',
    'b.names',
    '7.targets',
    'names.log',
    'root.json',
  ])('tells the names that a signer called %s gives an image', async (signer) => {
    const store = new MemoryStore(PLACE);
    await pushHead(store, await newCollection(PLACE));
    const { descriptor } = await pushImage(store, 'app', 'v1');
    const set = new Map([['v1', { length: descriptor.size, sha256: hexOf(descriptor.digest) }]]);
    await changeHead(store, (edit) =>
      edit.addSigner({ ...anyOf(1, poolKey(PUBLISHER)), name: signer, paths: ['*'] }),
    );
    await changeHead(store, (edit) => edit.apply(signer, [{ ...setting([]), set }]));
    const content = await prove(store, descriptor);
    const collection = await open(store, content, descriptor);
    expect(await namesProven(collection, descriptor.digest)).toEqual(['v1']);
    expect((await collection.client.findTarget('v1', { through: signer })).target.hashes.get('sha256')).toBe(
      hexOf(descriptor.digest),
    );
  });

  it('is made of what is there already', async () => {
    const { store, image } = await named();
    const proof = await buildProof(await readAny(store), image, ['v1']);
    for (const { descriptor } of proof?.blobs ?? []) expect(await store.hasBlob(descriptor)).toBe(true);
    expect(parseManifest(proof?.top as ManifestContent).subject).toEqual(image);
  });

  it('is not there for a name of another image', async () => {
    const { store } = await named();
    const other = await pushImage(store, 'other');
    expect(await buildProof(await readAny(store), other.descriptor, ['v1', 'v9'])).toBeUndefined();
  });

  it('counts for as long after expiry as is allowed, and says how long', async () => {
    const { store, image } = await named();
    const content = await prove(store, image);
    const now = daysLater(20);
    const collection = await open(store, content, image, { now, maxStaleness: 7 * DAY });
    expect(freshnessOf(collection)).toEqual({ kind: 'stale', by: 6 * DAY, asOf: NOW });
  });
});

describe('attacks with proofs', () => {
  it('a proof older than allowed', async () => {
    const { store, image } = await named();
    const content = await prove(store, image);
    await expect(
      open(store, content, image, { now: daysLater(20), maxStaleness: 5 * DAY }),
    ).rejects.toMatchObject({ code: 'trust-expired', details: { role: 'timestamp' } });
  });

  it('a proof of another collection', async () => {
    const { store, image } = await named('registry.example.com/team/other');
    const content = await prove(store, image);
    await expect(open(store, content, image)).rejects.toMatchObject({
      code: 'trust-invalid',
      details: { reason: 'binding', collection: 'registry.example.com/team/other' },
    });
  });

  it('a proof of a collection that is not the pinned one', async () => {
    const { store, image } = await named();
    const content = await prove(store, image);
    const theirs = await readAny((await named('evil.example.com/app')).store);
    const { id } = theirs;
    const file = theirs.object.files.get('1.root.json') as Descriptor;
    const initialRoot = await fetchFile(theirs.source, file, 100_000);
    const anchor = async () => ({ id, initialRoot });
    await expect(open(store, content, image, { anchor })).rejects.toMatchObject({ code: 'trust-invalid' });
  });

  it('a proof whose name says another digest', async () => {
    const { store, image } = await named();
    const other = await pushImage(store, 'other');
    const proof = await prove(store, image);
    const files = new Map<string, Uint8Array>();
    for (const { annotations, digest, size } of (parseManifest(proof) as ImageManifest).layers) {
      const bytes = await store.fetchBlob({ digest, size, mediaType: 'x/y' }, size);
      files.set(annotations?.['tuf.io/filename'] as string, bytes);
    }
    const forged = await push(store, assembleProof({ subject: other.descriptor, files }));
    await expect(open(store, forged, image)).rejects.toMatchObject({ code: 'digest-mismatch' });
    const collection = await open(store, forged, other.descriptor);
    const { target } = await collection.client.findTarget('v1');
    expect(target.hashes.get('sha256')).not.toBe(hexOf(other.descriptor.digest));
  });

  it('a proof from before the name was revoked, shown to somebody who knows of it', async () => {
    const { store, image } = await named();
    const content = await prove(store, image);
    const memory = new ProcessMemory();
    await changeHead(store, (edit) =>
      edit.apply(NAMES_ROLE, [{ id: '1'.repeat(32), at: NOW, unset: new Set(['v1']) }]),
    );
    await readCollection(store, reading({ memory }));
    await expect(open(store, content, image, { memory })).rejects.toMatchObject({ code: 'trust-rollback' });
  });

  it('a proof by keys that were replaced since', async () => {
    const { store, image } = await named();
    const content = await prove(store, image);
    const memory = new ProcessMemory();
    await changeHead(store, (edit) => {
      edit.root().setKeys('timestamp', anyOf(1, poolKey(1)));
    });
    await readCollection(store, reading({ memory }));
    await expect(open(store, content, image, { memory })).rejects.toMatchObject({
      code: 'trust-rollback',
      details: { role: 'root' },
    });
  });

  it('a proof that leaves no trace in what is remembered', async () => {
    const { store, image } = await named();
    const content = await prove(store, image);
    const memory = new ProcessMemory();
    const collection = await open(store, content, image, { memory });
    expect(await memory.seen(PLACE)).toBeUndefined();
    expect(await (await memory.open(collection.id)).load('timestamp')).toBeUndefined();
  });

  it('a head that is attached as a proof', async () => {
    const { store, image } = await named();
    const { content } = (await readAny(store)).object;
    await expect(open(store, content, image)).rejects.toMatchObject({
      code: 'trust-invalid',
      message: /proves nothing: it is a head/,
    });
  });
});

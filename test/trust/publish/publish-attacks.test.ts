import { describe, expect, it } from 'vitest';
import { streamOf } from '../../../src/oci/content.ts';
import { describe as describeBytes } from '../../../src/oci/descriptor.ts';
import type { ManifestContent } from '../../../src/oci/manifest.ts';
import type { Tag } from '../../../src/oci/reference.ts';
import { SiblingReader } from '../../../src/trust/candidates/siblings.ts';
import { CollectionEdit } from '../../../src/trust/change/collection-edit.ts';
import { rekey } from '../../../src/trust/change/role-changes.ts';
import { type Assembly, assembleHead, assembleStage } from '../../../src/trust/format/assemble.ts';
import { isBinName } from '../../../src/trust/format/bins.ts';
import { announceHead } from '../../../src/trust/format/candidate.ts';
import { emptyLog, encodeLog, type LogEntry } from '../../../src/trust/format/log.ts';
import { trustVersions } from '../../../src/trust/format/versions.ts';
import { candidateTag, HEAD_TAG, stageTag } from '../../../src/trust/format/vocabulary.ts';
import { publishEdit, publishNames } from '../../../src/trust/publish/publish.ts';
import { resignCollection } from '../../../src/trust/publish/resign.ts';
import { ProcessSignerState } from '../../../src/trust/publish/signer-state.ts';
import { readCollection } from '../../../src/trust/read/collection.ts';
import { WorkingCopy } from '../../../src/trust/read/working-copy.ts';
import type { VersionPolicy } from '../../../src/tuf/edit/policy.ts';
import { versionOf } from '../../../src/tuf/edit/repository.ts';
import type { TufSigner } from '../../../src/tuf/edit/signing.ts';
import { metadataFileName } from '../../../src/tuf/role-name.ts';
import { newCollection, pushAssembly, pushHead } from '../../support/trust/collection.ts';
import { changeWith } from '../../support/trust/heads.ts';
import {
  contentOf,
  FakeChance,
  freshRead,
  hashesOf,
  logOf,
  naming,
  publisher,
  reading,
  revoking,
  type TestPublisher,
} from '../../support/trust/publishing.ts';
import { WeakStore } from '../../support/trust/weak-store.ts';
import { anyOf, NOW, ONLINE, PUBLISHER, ROOT, signersOf } from '../../support/tuf/editing.ts';
import { poolKey } from '../../support/tuf/keys.ts';

async function place(): Promise<WeakStore> {
  const store = new WeakStore();
  await pushHead(store, await newCollection());
  return store;
}

const DAY = 86_400_000;
const online = signersOf(poolKey(ONLINE));
const resigner = (seed: number, clock?: TestPublisher['clock']): TestPublisher =>
  publisher(seed, { signers: online }, clock);

/** Stages as a publisher does who has these keys, whatever they are worth. */
async function stageBy(
  store: WeakStore,
  signers: readonly TufSigner[],
  entries: readonly LogEntry[],
  role = 'names',
  sees = store,
  versions?: VersionPolicy,
): Promise<Assembly> {
  const copy = await WorkingCopy.open(await freshRead(sees));
  const chance = new FakeChance(entries.length + 99);
  const edit = new CollectionEdit(copy, {
    now: NOW,
    policy: { versions: versions ?? trustVersions((range) => chance.below(range)) },
  });
  await edit.apply(role, entries);
  const prepared = edit.prepare();
  await prepared.edit.sign(signers);
  const files = prepared.edit.pending().map(({ file }) => file);
  const stage = assembleStage({
    files: new Map(files.map((file) => [metadataFileName(file.role, versionOf(file)), file.bytes])),
    logs: prepared.logs,
  });
  await pushAssembly(store, stage, stageTag(stage.top.descriptor.digest));
  return stage;
}

function setting(id: string, names: Readonly<Record<string, string>>, at: Date = NOW): LogEntry {
  const set = new Map(Object.entries(names).map(([name, text]) => [name, contentOf(text)]));
  return { id: id.padStart(32, '0'), at, set };
}

describe('somebody who may push and has no key', () => {
  it.each([
    ['soon', 0],
    ['after the log was cut', 3 * DAY],
  ])('cannot bring back a revoked name with the candidate that set it: %s', async (_, later) => {
    const store = await place();
    const { read, options, clock } = publisher(1, { cleanUp: false });
    await publishNames(store, read, naming({ v1: 'one' }), options);
    const [tag] = await store.siblings();
    const old = await store.fetchManifest(tag as Tag);
    await publishNames(store, read, revoking('v1'), options);
    for (const sibling of await store.siblings()) await store.deleteTag(sibling);
    clock.pass(later);
    if (later > 0) {
      // Enough for the log to be cut.
      const many = Object.fromEntries(Array.from({ length: 200 }, (_, index) => [`w${index}`, 'w']));
      await publishNames(store, read, naming(many), options);
      expect(await logOf(store, 'names', clock.now())).toHaveLength(1);
    }
    await store.replay(old, candidateTag(old.descriptor.digest));
    const folder = publisher(2, {}, clock);
    const published = await publishNames(store, folder.read, naming({ v2: 'two' }), folder.options);
    expect(published.folded).toEqual([]);
    expect(published.conflicts.map(({ reason }) => reason)).toEqual(later > 0 ? ['old'] : []);
    const found = await hashesOf(store, ['v1', 'v2'], clock.now());
    expect(found).toEqual({ v1: undefined, v2: contentOf('two').sha256 });
  });

  it('cannot bring back a revoked name with the stage that set it', async () => {
    const store = await place();
    const stage = await stageBy(store, signersOf(poolKey(PUBLISHER)), [setting('1', { v1: 'one' })]);
    const service = resigner(1);
    expect((await resignCollection(store, service.read, service.options)).outcome).toBe('folded');
    const { read, options } = publisher(2);
    await publishNames(store, read, revoking('v1'), options);
    await store.replay(stage.top, stageTag(stage.top.descriptor.digest));
    expect((await resignCollection(store, service.read, service.options)).outcome).toBe('fresh');
    await publishNames(store, read, naming({ v2: 'two' }), options);
    expect(await hashesOf(store, ['v1'])).toEqual({ v1: undefined });
  });

  it.each([
    ['a stranger', 7, {}],
    ['the online key', ONLINE, {}],
    ['the root key', ROOT, {}],
  ])('cannot stage with a key that is not the role’s: %s', async (_, key) => {
    const store = await place();
    await stageBy(store, signersOf(poolKey(key)), [setting('1', { v1: 'evil' })]);
    const service = resigner(1);
    const resigned = await resignCollection(store, service.read, service.options);
    expect(resigned).toMatchObject({ outcome: 'fresh', refused: [{ code: 'trust-invalid' }] });
    const { read, options } = publisher(2);
    const published = await publishNames(store, read, naming({ v2: 'two' }), options);
    expect(published).toMatchObject({ folded: [], refused: [{ code: 'trust-invalid' }] });
    expect(await hashesOf(store, ['v1'])).toEqual({ v1: undefined });
  });

  it('cannot have a signer who was removed speak once more', async () => {
    const store = await place();
    const signers = signersOf(poolKey(ROOT), poolKey(PUBLISHER), poolKey(ONLINE), poolKey(3));
    const { read, options } = publisher(1, { signers });
    await publishEdit(
      store,
      read,
      (edit) => edit.addSigner({ name: 'ci', ...anyOf(1, poolKey(3)), paths: ['*'] }),
      options,
    );
    const stage = await stageBy(store, signersOf(poolKey(3)), [setting('1', { v1: 'one' })], 'ci');
    await store.deleteTag(stageTag(stage.top.descriptor.digest));
    await publishEdit(store, read, (edit) => edit.edit.targets('targets').removeDelegation('ci'), options);
    await store.replay(stage.top, stageTag(stage.top.descriptor.digest));
    const service = resigner(2);
    const resigned = await resignCollection(store, service.read, service.options);
    expect(resigned).toMatchObject({ outcome: 'fresh', refused: [{ code: 'trust-invalid' }] });
    expect(await hashesOf(store, ['v1'])).toEqual({ v1: undefined });
  });

  it('cannot stop or slow publishers down with 10,000 stages', async () => {
    const store = await place();
    const junk = await stageBy(store, signersOf(poolKey(7)), [setting('1', { v1: 'evil' })]);
    for (let index = 0; index < 10_000; index++)
      await store.replay(junk.top, `_trust.stage.${index.toString(16).padStart(12, '0')}` as Tag);
    await stageBy(store, signersOf(poolKey(PUBLISHER)), [setting('2', { v2: 'two' })]);
    let fetched = 0;
    const fetch = store.fetchManifest.bind(store);
    store.fetchManifest = async (reference, how) => {
      fetched++;
      return await fetch(reference, how);
    };
    const { read, options } = publisher(1);
    const published = await publishNames(store, read, naming({ v1: 'one' }), options);
    expect(published.refused.length).toBeGreaterThan(255);
    expect(fetched).toBeLessThan(256 * 4);
    expect(await hashesOf(store, ['v1'])).toEqual({ v1: contentOf('one').sha256 });
    expect((await logOf(store)).every(({ at }) => at <= NOW)).toBe(true);
  });

  it('cannot move versions on with a candidate that the online key has not signed', async () => {
    const store = await place();
    await huge(store, signersOf(poolKey(PUBLISHER), poolKey(7)), 2 ** 40);
    const { read, options } = publisher(1);
    await publishNames(store, read, naming({ v1: 'one' }), options);
    expect((await freshRead(store)).client.trusted.timestamp.content.version).toBeLessThan(2 ** 28);
  });

  it('cannot keep publishers waiting with copies of a young candidate', async () => {
    const store = await place();
    store.puts.push('killed');
    const killed = publisher(1);
    await expect(publishNames(store, killed.read, naming({ v1: 'one' }), killed.options)).rejects.toThrow();
    const [tag] = await store.siblings();
    const young = await store.fetchManifest(tag as Tag);
    const { read, options, clock } = publisher(2);
    let copies = 0;
    const copy = async () => {
      const manifest = {
        ...JSON.parse(Buffer.from(young.bytes).toString()),
        annotations: { 'vnd.bulla.trust.candidate': String(copies++) },
      };
      const bytes = Buffer.from(JSON.stringify(manifest));
      const content: ManifestContent = {
        descriptor: describeBytes(young.descriptor.mediaType, bytes),
        bytes,
      };
      await store.replay(content, candidateTag(content.descriptor.digest));
    };
    const list = store.listTags.bind(store);
    store.listTags = async (how) => {
      await copy();
      return await list(how);
    };
    const began = clock.now().getTime();
    await publishNames(store, read, naming({ v2: 'two' }), options);
    expect(copies).toBeGreaterThan(1);
    expect(clock.now().getTime() - began).toBeLessThan(5000);
  });

  it('who deletes candidates makes a buried change need repeating, and nothing else', async () => {
    const store = await place();
    const [stalled, quick] = [publisher(1), publisher(2)];
    store.onStall = async () => {
      await publishNames(store, quick.read, naming({ v1: 'one' }), quick.options);
      for (const tag of await store.siblings()) await store.deleteTag(tag);
    };
    await publishNames(store, stalled.read, naming({ v2: 'two' }), stalled.options);
    expect(await hashesOf(store, ['v1', 'v2'])).toEqual({ v1: undefined, v2: contentOf('two').sha256 });
    // Its publisher remembers the newer head, and brings it back with its next publish.
    await publishNames(store, quick.read, naming({ v3: 'three' }), quick.options);
    expect(Object.values(await hashesOf(store, ['v2', 'v3']))).not.toContain(undefined);
  });

  it('cannot have the head removed by a candidate’s tag that leads to it', async () => {
    const store = await place();
    store.tagsTakeManifestsAlong = true;
    const { read, options, clock } = publisher(1);
    await publishNames(store, read, naming({ v1: 'one' }), { ...options, cleanUp: false });
    const [tag] = await store.siblings();
    await store.replay(await store.fetchManifest(HEAD_TAG), tag as Tag);
    await store.replay(await store.fetchManifest(HEAD_TAG), '_trust.next.000000000000' as Tag);
    clock.pass(2 * DAY);
    const service = resigner(2, clock);
    await resignCollection(store, service.read, service.options);
    expect(await hashesOf(store, ['v1'], clock.now())).toEqual({ v1: contentOf('one').sha256 });
  });

  it('cannot lock readers out with an old head and two files that hold the same changes', async () => {
    const store = await place();
    const { read, options } = publisher(1);
    await publishNames(store, read, naming({ v1: 'one' }), options);
    const old = await store.fetchManifest(HEAD_TAG);
    await stageBy(store, signersOf(poolKey(PUBLISHER)), [setting('1', { v2: 'two' })]);
    await resignCollection(store, reading(), publisher(2).options);
    const reader = reading();
    await readCollection(store, reader);
    await store.replay(old, HEAD_TAG);
    const service = resigner(3);
    await resignCollection(store, service.read, service.options);
    // Later than heads are expected to race.
    await readCollection(store, { ...reader, now: new Date(NOW.getTime() + 120_000) });
    expect(await hashesOf(store, ['v2'])).toEqual({ v2: contentOf('two').sha256 });
  });

  it('cannot make a folder take one bin of a change of several', async () => {
    const store = await place();
    const full = publisher(1);
    const many = Object.fromEntries(Array.from({ length: 1200 }, (_, index) => [`v1.${index}`, 'x']));
    await publishNames(store, full.read, naming(many), full.options);
    const change = setting('1', { latest: 'new', stable: 'new', edge: 'new', beta: 'new' });
    const whole = await stageBy(store, signersOf(poolKey(PUBLISHER)), [change]);
    await store.deleteTag(stageTag(whole.top.descriptor.digest));
    const manifest = JSON.parse(Buffer.from(whole.top.bytes).toString());
    const bins = manifest.layers.filter((layer: { annotations: Record<string, string> }) =>
      /\.-[0-9a-f]+\.json$/.test(layer.annotations['tuf.io/filename'] ?? ''),
    );
    expect(bins.length).toBeGreaterThan(1);
    manifest.layers = manifest.layers.filter((layer: unknown) => layer !== bins[0]);
    const bytes = Buffer.from(JSON.stringify(manifest));
    const cut: ManifestContent = { descriptor: describeBytes(whole.top.descriptor.mediaType, bytes), bytes };
    await store.replay(cut, stageTag(cut.descriptor.digest));
    const service = resigner(2);
    const resigned = await resignCollection(store, service.read, service.options);
    expect(resigned).toMatchObject({ outcome: 'fresh', waiting: [{ id: change.id }] });
    await store.replay(whole.top, stageTag(whole.top.descriptor.digest));
    expect((await resignCollection(store, service.read, service.options)).outcome).toBe('folded');
    expect(Object.values(await hashesOf(store, ['latest', 'stable', 'edge', 'beta']))).not.toContain(
      undefined,
    );
  });

  it('cannot present something else at a tag of the collection', async () => {
    const store = await place();
    const head = await store.fetchManifest(HEAD_TAG);
    await store.replay(head, '_trust.next.111111111111' as Tag);
    await store.replay(head, '_trust.stage.111111111111' as Tag);
    const copy = await WorkingCopy.open(await freshRead(store));
    const found = await new SiblingReader(store, new FakeChance()).read(copy, NOW);
    expect(found.siblings).toEqual([]);
    expect(found.refused.map(({ code }) => code)).toEqual(['trust-invalid', 'trust-invalid']);
  });

  it('cannot serve a stage of another collection that shares keys', async () => {
    const [store, other] = [await place(), new WeakStore()];
    await pushHead(other, await newCollection(undefined, new Date(NOW.getTime() + 1000)));
    const stage = await stageBy(other, signersOf(poolKey(PUBLISHER)), [setting('1', { v1: 'one' })]);
    await pushAssembly(store, stage, stageTag(stage.top.descriptor.digest));
    const { read, options } = publisher(1);
    const published = await publishNames(store, read, naming({ v2: 'two' }), options);
    expect(published.refused).toMatchObject([{ code: 'trust-invalid' }]);
    expect(await hashesOf(store, ['v1'])).toEqual({ v1: undefined });
  });
});

describe('a role that several must sign', () => {
  const two = signersOf(poolKey(3), poolKey(4));

  async function withTwo(): Promise<WeakStore> {
    const store = await place();
    const signers = [...signersOf(poolKey(ROOT), poolKey(PUBLISHER), poolKey(ONLINE)), ...two];
    const { read, options } = publisher(1, { signers });
    await publishEdit(
      store,
      read,
      (edit) => edit.rekeyNames(anyOf(2, poolKey(3), poolKey(4), poolKey(5))),
      options,
    );
    return store;
  }

  it('is taken over once signatures over the same bytes are pooled', async () => {
    const store = await withTwo();
    const change = [setting('1', { v1: 'one' })];
    await stageBy(store, two.slice(0, 1), change);
    const service = resigner(1);
    expect((await resignCollection(store, service.read, service.options)).outcome).toBe('fresh');
    await stageBy(store, two.slice(1), change);
    expect((await resignCollection(store, service.read, service.options)).outcome).toBe('folded');
    expect(await hashesOf(store, ['v1'])).toEqual({ v1: contentOf('one').sha256 });
  });

  it('counts a key once, however its signature is written', async () => {
    const store = await withTwo();
    const stage = await stageBy(store, two.slice(0, 1), [setting('1', { v1: 'one' })]);
    const layer = stage.blobs.find(({ bytes }) => Buffer.from(bytes).includes('"signatures"'));
    const file = JSON.parse(Buffer.from(layer?.bytes ?? []).toString());
    // n − s is as good a signature as s, and anybody can write it.
    file.signatures[0].sig = malleated(file.signatures[0].sig);
    const bytes = Buffer.from(JSON.stringify(file));
    const name = `${file.signed.version}.names.json`;
    const log = stage.blobs.find(({ bytes: other }) => Buffer.from(other).includes('"entries"'))
      ?.bytes as Uint8Array;
    const copy = assembleStage({ files: new Map([[name, bytes]]), logs: new Map([['names', log]]) });
    await pushAssembly(store, copy, stageTag(copy.top.descriptor.digest));
    const service = resigner(1);
    const resigned = await resignCollection(store, service.read, service.options);
    expect(resigned).toMatchObject({ outcome: 'fresh', refused: [] });
    expect(await hashesOf(store, ['v1'])).toEqual({ v1: undefined });
  });

  it('is not merged by machine, though all keys are in hand', async () => {
    const store = await withTwo();
    await stageBy(store, two, [setting('1', { v1: 'one' })]);
    const { read, options } = publisher(1, { signers: [...two, ...online] });
    const blind = Object.assign(Object.create(store) as WeakStore, { listTags: async () => [] });
    await publishNames(blind, read, naming({ v2: 'two' }), options);
    const published = await publishNames(store, read, naming({ v3: 'three' }), options);
    expect(published.folded).toEqual([]);
    expect(await hashesOf(store, ['v1'])).toEqual({ v1: undefined });
  });
});

describe('a signer who has nothing but its state', () => {
  it('does not take a head from before a rotation for another rotation, and forget what it knows', async () => {
    const store = await place();
    const [present, next] = [poolKey(ONLINE), poolKey(3)];
    const first = await store.fetchManifest(HEAD_TAG);
    const rotate = (edit: CollectionEdit) => {
      const root = edit.root();
      for (const role of ['snapshot', 'timestamp'] as const) root.setKeys(role, anyOf(1, next));
    };
    await changeWith(store, rotate, { keys: [next] });
    await changeWith(store, (edit) => edit.apply('names', [setting('1', { v1: 'one' })]), { keys: [next] });
    const named = await store.fetchManifest(HEAD_TAG);
    const revoked = { id: '2'.repeat(32), at: NOW, unset: new Set(['v1']) };
    await changeWith(store, (edit) => edit.apply('names', [revoked]), { keys: [next] });
    const newest = await store.fetchManifest(HEAD_TAG);
    const state = new ProcessSignerState(true);
    const pass = async (seed: number) => {
      // What it remembers otherwise is gone each time.
      const { read, options } = publisher(seed, { signers: signersOf(present, next), state });
      return (await resignCollection(store, read, { ...options, force: true })).outcome;
    };
    await pass(1);
    await store.replay(first, HEAD_TAG);
    for (const tag of await store.siblings()) await store.deleteTag(tag);
    await expect(pass(2)).rejects.toMatchObject({ code: 'trust-rollback', details: { role: 'root' } });
    await store.replay(named, HEAD_TAG);
    await expect(pass(3)).rejects.toMatchObject({ code: 'trust-rollback' });
    expect(newest.descriptor.digest).not.toBe(named.descriptor.digest);
  });
});

describe('a thief of the online key', () => {
  it('is shaken off by a rotation for good, though a signer had to follow before', async () => {
    const store = await place();
    const next = poolKey(3);
    await changeWith(store, () => undefined, { versions: () => 2 ** 53 - 2 ** 28 });
    const signers = signersOf(poolKey(ROOT), poolKey(PUBLISHER), poolKey(ONLINE), next);
    const { read, options } = publisher(1, { signers });
    await publishNames(store, read, naming({ v1: 'one' }), options);
    const online = rekey('online', { add: [next.key], drop: [], keep: false, restart: true });
    await publishEdit(store, read, online, options);
    for (const name of ['v2', 'v3', 'v4']) await publishNames(store, read, naming({ [name]: name }), options);
    expect((await freshRead(store)).client.trusted.timestamp.content.version).toBeLessThan(2 ** 30);
  });

  it('cannot use up the versions with a candidate', async () => {
    const store = await place();
    await huge(store, signersOf(poolKey(PUBLISHER), poolKey(ONLINE)), 2 ** 52);
    const { read, options } = publisher(1);
    await publishNames(store, read, naming({ v1: 'one' }), options);
    expect((await freshRead(store)).client.trusted.timestamp.content.version).toBeLessThan(2 ** 28);
  });
});

describe('a thief of the key of names', () => {
  it('cannot use its versions up with a stage that a re-signer takes over', async () => {
    const store = await place();
    const entry = setting('1', { v1: 'one' });
    const stage = await stageBy(
      store,
      signersOf(poolKey(PUBLISHER)),
      [entry],
      'names',
      store,
      () => 2 ** 53 - 1,
    );
    const tag = stageTag(stage.top.descriptor.digest);
    const { read, options } = resigner(2);
    const resigned = await resignCollection(store, read, options);
    expect(resigned).toMatchObject({
      outcome: 'fresh',
      refused: [{ tag, code: 'trust-invalid' }],
      waiting: [{ id: entry.id }],
    });
    // Whoever has the key says the same under a version of their own.
    const { read: again, options: all } = publisher(3);
    await publishNames(store, again, naming({ v2: 'two' }), all);
    expect((await logOf(store)).map(({ id }) => id)).toContain(entry.id);
  });

  it.each([
    [2 ** 21, 'folded'],
    [2 ** 53 - 1, 'fresh'],
  ])('cannot use up the versions of a bin either: %i is %s', async (version, outcome) => {
    const store = await place();
    const full = publisher(1);
    const many = Object.fromEntries(Array.from({ length: 1200 }, (_, index) => [`v1.${index}`, 'x']));
    await publishNames(store, full.read, naming(many), full.options);
    const ofRoles = trustVersions((range) => range - 1);
    const versions: VersionPolicy = (top, role) => (isBinName(role) ? version : ofRoles(top, role));
    const entry = setting('1', { v1: 'one' });
    await stageBy(store, signersOf(poolKey(PUBLISHER)), [entry], 'names', store, versions);
    const { read, options } = resigner(2);
    expect(await resignCollection(store, read, options)).toMatchObject({ outcome });
  });

  it('and of the online one is shaken off by rotating both, though no version could follow', async () => {
    const store = await place();
    const signers = signersOf(poolKey(ROOT), poolKey(PUBLISHER), poolKey(ONLINE), poolKey(3), poolKey(4));
    const { read, options } = publisher(1, { signers });
    await publishNames(store, read, naming({ v1: 'one' }), options);
    await changeWith(store, (edit) => edit.apply('names', [setting('1', { v1: 'evil' })]), {
      versions: () => 2 ** 53 - 1,
    });
    const reader = reading();
    await readCollection(store, reader);
    const wish = { drop: [], keep: false };
    await publishEdit(store, read, rekey('online', { ...wish, add: [poolKey(3).key] }), options);
    await publishEdit(store, read, rekey('names', { ...wish, add: [poolKey(4).key] }), options);
    await publishNames(store, read, naming({ v1: 'one' }), options);
    await readCollection(store, reader);
    expect(await hashesOf(store, ['v1'])).toEqual({ v1: contentOf('one').sha256 });
  });
});

/** A candidate whose versions are huge. */
async function huge(store: WeakStore, signers: readonly TufSigner[], version: number): Promise<void> {
  const collection = await freshRead(store);
  const copy = await WorkingCopy.open(collection);
  const edit = new CollectionEdit(copy, { now: NOW, policy: { versions: () => version } });
  const prepared = edit.prepare();
  // Signed by the online key, so that it can be made, and then by others.
  const made = await prepared.edit.publish([...signers, ...online]);
  const isThief = signers.some(({ key }) => key.fingerprint === poolKey(ONLINE).key.fingerprint);
  const files = isThief ? made : { ...made, timestamp: spoiled(made.timestamp as never) };
  const logs = new Map([['names', encodeLog(emptyLog(NOW))]]);
  const candidate = announceHead(assembleHead({ files: files as never, logs }), undefined);
  for (const { descriptor, bytes } of candidate.blobs)
    await store.pushBlob(descriptor, async () => streamOf(bytes));
  await store.replay(candidate.top, candidateTag(candidate.top.descriptor.digest));
}

function spoiled(file: { readonly role: string; readonly bytes: Uint8Array }): unknown {
  const json = JSON.parse(Buffer.from(file.bytes).toString());
  json.signed.version += 1;
  return { ...file, signed: json.signed, bytes: Buffer.from(JSON.stringify(json)) };
}

const ORDER = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;

function malleated(sig: string): string {
  const der = Buffer.from(sig, 'hex');
  const rLength = der[3] as number;
  const r = der.subarray(4, 4 + rLength);
  const s = BigInt(`0x${der.subarray(6 + rLength).toString('hex')}`);
  let other = (ORDER - s).toString(16);
  if (other.length % 2 === 1) other = `0${other}`;
  let bytes = Buffer.from(other, 'hex');
  if ((bytes[0] as number) >= 0x80) bytes = Buffer.concat([Buffer.from([0]), bytes]);
  const body = Buffer.concat([Buffer.from([2, r.length]), r, Buffer.from([2, bytes.length]), bytes]);
  return Buffer.concat([Buffer.from([0x30, body.length]), body]).toString('hex');
}

import { describe, expect, it } from 'vitest';
import { BullaError } from '../../../src/errors.ts';
import type { ManifestContent } from '../../../src/oci/manifest.ts';
import { HEAD_TAG } from '../../../src/trust/format/vocabulary.ts';
import { publishNames } from '../../../src/trust/publish/publish.ts';
import { ProcessSignerState } from '../../../src/trust/publish/signer-state.ts';
import { readCollection } from '../../../src/trust/read/collection.ts';
import { ProcessMemory } from '../../../src/trust/read/memory.ts';
import { RealWorld, rootPin, type WatchedStore } from '../../support/resign/real-world.ts';
import { contentOf, naming, reading } from '../../support/trust/publishing.ts';
import { ONLINE, PUBLISHER, signersOf } from '../../support/tuf/editing.ts';
import { poolKey } from '../../support/tuf/keys.ts';

const PLACE = 'registry.example.com/team/app';
const OTHER = 'registry.example.com/team/other';
const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
/** Looks rarely, where a test goes on for days. */
const LAZY = { pollMs: 4 * HOUR, longestPauseMs: 4 * HOUR };

const headOf = (store: WatchedStore): Promise<ManifestContent> => store.fetchManifest(HEAD_TAG);

async function collectionAt(world: RealWorld, store: WatchedStore, place = PLACE) {
  const now = world.time.now();
  return (await readCollection(store, reading({ place, now, isNamed: (name) => name === place })))!;
}

let seed = 1_000;

/** Publishes with all keys, as somebody did before. */
async function published(
  world: RealWorld,
  store: WatchedStore,
  names: Record<string, string>,
): Promise<void> {
  const signers = signersOf(poolKey(PUBLISHER), poolKey(ONLINE));
  const read = reading({ now: world.time.now() });
  const options = world.publisher(seed++, { signers });
  await world.time.until(publishNames(store, read, naming(names), options));
}

describe('a collection that is looked after', () => {
  it('is fresh for ever, with as few heads as that takes', async () => {
    const world = new RealWorld();
    const store = await world.add(PLACE);
    const { alarms } = world.run({ timing: LAZY });
    for (let day = 0; day < 30; day++) {
      await world.time.pass(DAY);
      await collectionAt(world, store);
    }
    expect(store.heads.length).toBeGreaterThanOrEqual(4);
    expect(store.heads.length).toBeLessThanOrEqual(5);
    expect(alarms).toEqual([]);
  });

  it('takes staged changes in within seconds', async () => {
    const world = new RealWorld();
    const store = await world.add(PLACE);
    world.run();
    await world.time.pass(MINUTE);
    const began = world.time.monotonic();
    const read = reading({ now: world.time.now() });
    await world.time.until(publishNames(store, read, naming({ v1: 'one' }), world.publisher(3)));
    expect(world.time.monotonic() - began).toBeLessThan(5_000);
    const { client } = await collectionAt(world, store);
    expect((await client.findTarget('v1')).target.hashes.get('sha256')).toBe(contentOf('one').sha256);
  });

  it('is not written again while nothing happens', async () => {
    const world = new RealWorld();
    const store = await world.add(PLACE);
    world.run();
    await world.time.pass(MINUTE);
    const before = store.requests;
    await world.time.pass(30 * MINUTE);
    expect(store.heads).toEqual([]);
    // One conditional request for each look; the listing does not pass here.
    expect(store.requests - before).toBeLessThanOrEqual(1_000);
  });
});

describe('whoever may push and has no key', () => {
  it('cannot have an old head made young, after a restart of the re-signer either', async () => {
    const world = new RealWorld();
    const store = await world.add(PLACE);
    await published(world, store, { v1: 'one' });
    const old = await headOf(store);
    await published(world, store, { v1: 'two' });
    const state = new ProcessSignerState(true);
    const first = world.run({ state });
    await world.time.pass(MINUTE);
    await first.stop();
    for (const tag of await store.listTags()) if (tag !== HEAD_TAG) await store.deleteTag(tag);
    await store.pushManifest(old, { tag: HEAD_TAG });
    store.heads.length = 0;
    const second = world.run({ state, memory: () => new ProcessMemory(), timing: LAZY });
    await world.time.pass(10 * DAY);
    expect(store.heads).toEqual([]);
    expect((await headOf(store)).descriptor.digest).toBe(old.descriptor.digest);
    expect(second.alarms[0]).toMatchObject({ state: 'firing', alarm: { kind: 'rollback', place: PLACE } });
  });

  it('has an old head replaced by the newer one that is remembered', async () => {
    const world = new RealWorld();
    const store = await world.add(PLACE);
    await published(world, store, { v1: 'one' });
    const old = await headOf(store);
    await published(world, store, { v1: 'two' });
    const run = world.run();
    await world.time.pass(2 * MINUTE);
    await store.pushManifest(old, { tag: HEAD_TAG });
    await world.time.pass(5 * MINUTE);
    const { client } = await collectionAt(world, store);
    expect((await client.findTarget('v1')).target.hashes.get('sha256')).toBe(contentOf('two').sha256);
    expect(run.alarms.map(({ state, alarm }) => [state, alarm.kind, alarm.code, alarm.place])).toEqual([
      ['firing', 'healed', 'trust-rollback', PLACE],
    ]);
    expect(run.resigner.statistics.metrics.text()).toContain('kind="healed"');
    await world.time.pass(61 * MINUTE);
    expect(run.alarms.map(({ state }) => state)).toEqual(['firing', 'resolved']);
  });

  it('is told of where the same pass takes something in', async () => {
    const world = new RealWorld();
    const store = await world.add(PLACE);
    await published(world, store, { v1: 'one' });
    const old = await headOf(store);
    await published(world, store, { v1: 'two' });
    const run = world.run();
    await world.time.pass(2 * MINUTE);
    const read = reading({ now: world.time.now() });
    const staging = publishNames(store, read, naming({ v2: 'three' }), world.publisher(3));
    await store.pushManifest(old, { tag: HEAD_TAG });
    await world.time.until(staging);
    await world.time.pass(5 * MINUTE);
    const { client } = await collectionAt(world, store);
    expect((await client.findTarget('v1')).target.hashes.get('sha256')).toBe(contentOf('two').sha256);
    expect((await client.findTarget('v2')).target.hashes.get('sha256')).toBe(contentOf('three').sha256);
    expect(run.alarms.map(({ alarm }) => alarm.kind)).toEqual(['healed']);
  });

  it('who is late by seconds is no attacker: the head is put back, and counted', async () => {
    const world = new RealWorld();
    const store = await world.add(PLACE);
    const run = world.run();
    await world.time.pass(MINUTE);
    const old = await headOf(store);
    const read = reading({ now: world.time.now() });
    await world.time.until(publishNames(store, read, naming({ v1: 'one' }), world.publisher(3)));
    await world.time.pass(5_000);
    await store.pushManifest(old, { tag: HEAD_TAG });
    await world.time.pass(30_000);
    const { client } = await collectionAt(world, store);
    expect((await client.findTarget('v1')).role).toBe('names');
    expect(run.resigner.statistics.metrics.text()).toContain('passes_total{work="healed"} 1');
    expect(run.alarms).toEqual([]);
  });

  it('cannot have an old head made young after an outage of a month', async () => {
    const world = new RealWorld();
    const store = await world.add(PLACE);
    await published(world, store, { v1: 'one' });
    const old = await headOf(store);
    await published(world, store, { v1: 'two' });
    const state = new ProcessSignerState(true);
    const first = world.run({ state });
    await world.time.pass(MINUTE);
    await first.stop();
    const latest = await headOf(store);
    await world.time.pass(30 * DAY);
    for (const tag of await store.listTags()) if (tag !== HEAD_TAG) await store.deleteTag(tag);
    await store.pushManifest(old, { tag: HEAD_TAG });
    store.heads.length = 0;
    const second = world.run({ state, memory: () => new ProcessMemory() });
    await world.time.pass(10 * MINUTE);
    expect(store.heads).toEqual([]);
    expect(second.alarms.map(({ alarm }) => alarm.kind)).toEqual(['expired']);
    await store.pushManifest(latest, { tag: HEAD_TAG });
    await world.time.pass(10 * MINUTE);
    await collectionAt(world, store);
    expect(second.alarms.at(-1)).toMatchObject({ state: 'resolved' });
  });

  it('cannot have an expired head made young where there is no state', async () => {
    const world = new RealWorld();
    const store = await world.add(PLACE);
    await world.time.pass(15 * DAY);
    const run = world.run({ state: new ProcessSignerState(false) });
    await world.time.pass(10 * MINUTE);
    expect(store.heads).toEqual([]);
    expect(run.alarms.map(({ alarm }) => alarm.kind)).toEqual(['expired']);
  });

  it('cannot have a collection of his own signed in the place of another', async () => {
    const world = new RealWorld();
    const store = await world.add(PLACE, 'registry.example.com/evil/app');
    const run = world.run({ timing: LAZY });
    await world.time.pass(10 * DAY);
    expect(store.heads).toEqual([]);
    expect(run.alarms[0]).toMatchObject({ alarm: { kind: 'invalid', place: PLACE } });
  });

  it('cannot have a head signed whose root nobody pinned', async () => {
    const world = new RealWorld();
    const store = await world.add(PLACE);
    const pins = [{ ...rootPin(PLACE), trust: { kind: 'key-ids' as const, keyIds: ['0'.repeat(64)] } }];
    const run = world.run({ pins, timing: LAZY });
    await world.time.pass(10 * DAY);
    expect(store.heads).toEqual([]);
    expect(run.alarms[0]).toMatchObject({ alarm: { kind: 'invalid' } });
  });

  it('cannot have a stage of another collection taken in', async () => {
    const world = new RealWorld();
    const store = await world.add(PLACE);
    const other = await world.add(OTHER);
    const read = reading({ place: OTHER, now: world.time.now(), isNamed: (name) => name === OTHER });
    const staging = publishNames(other, read, naming({ v1: 'evil' }), world.publisher(3, { wait: 1_000 }));
    await world.time.until(staging.catch(() => undefined));
    const [tag] = (await other.listTags()).filter((name) => name.startsWith('_trust.stage'));
    const stage = await other.fetchManifest(tag!);
    await copyParts(other, store, stage);
    await store.pushManifest(stage, { tag: tag! });
    const run = world.run({ pins: [rootPin(PLACE)] });
    await world.time.pass(10 * MINUTE);
    expect(store.heads).toEqual([]);
    expect(run.log.filter(({ event }) => event === 'pass')).toEqual([]);
  });

  it('can remove a head, and it is put back as it was', async () => {
    const world = new RealWorld();
    const store = await world.add(PLACE);
    const run = world.run();
    await world.time.pass(MINUTE);
    const before = await store.resolve(HEAD_TAG);
    await store.deleteTag(HEAD_TAG);
    await world.time.pass(10 * MINUTE);
    expect(await store.resolve(HEAD_TAG)).toEqual(before);
    expect(run.alarms.map(({ state, alarm }) => [state, alarm.kind])).toEqual([['firing', 'healed']]);
  });

  it('cannot have it sign for a repository that is not configured', async () => {
    const world = new RealWorld();
    await world.add(PLACE);
    const other = await world.add(OTHER);
    const run = world.run({ pins: [rootPin(PLACE)] });
    for (let n = 0; n < 10; n++) {
      run.resigner.notified('team/other');
      await world.time.pass(MINUTE);
    }
    expect(other.requests).toBe(1);
  });
});

describe('a re-signer in trouble', () => {
  it('does nothing to a head while its state cannot be written, and goes on afterwards', async () => {
    const world = new RealWorld();
    const store = await world.add(PLACE);
    const state = new ProcessSignerState(true);
    const update = state.update.bind(state);
    const full = new BullaError('storage-error', 'no space left on device', { hint: 'make room' });
    const run = world.run({ state, timing: LAZY });
    await world.time.pass(MINUTE);
    state.update = () => Promise.reject(full);
    await world.time.pass(8 * DAY);
    expect(store.heads).toEqual([]);
    expect(run.alarms[0]).toMatchObject({ alarm: { kind: 'state' } });
    state.update = update;
    await world.time.pass(9 * HOUR);
    expect(store.heads).toHaveLength(1);
    expect(run.alarms.at(-1)).toMatchObject({ state: 'resolved' });
  });

  it('says that its key is another, before anything expires', async () => {
    const world = new RealWorld();
    await world.add(PLACE);
    const run = world.run({ signers: signersOf(poolKey(PUBLISHER)) });
    await world.time.pass(MINUTE);
    expect(run.alarms[0]).toMatchObject({ alarm: { kind: 'key' } });
  });

  it('does no lasting harm while its clock is wrong', async () => {
    for (const shift of [10 * DAY, -10 * DAY, 400 * DAY]) {
      const world = new RealWorld();
      const store = await world.add(PLACE);
      world.run({ timing: LAZY });
      await world.time.pass(DAY);
      world.time.shift = shift;
      await world.time.pass(DAY);
      world.time.shift = 0;
      await world.time.pass(DAY);
      const { client } = await collectionAt(world, store);
      const left = client.trusted.timestamp.content.expires.getTime() - world.time.now().getTime();
      expect(left).toBeGreaterThan(6 * DAY);
      expect(store.heads.length).toBeLessThanOrEqual(2);
    }
  });

  it('leaves nothing unfinished when the registry goes away in the middle, at any request', async () => {
    const away = new BullaError('registry-unreachable', 'away', { hint: 'none' });
    for (const at of [1, 2, 3, 5, 8]) {
      const world = new RealWorld();
      const store = await world.add(PLACE);
      world.run({ timing: LAZY });
      await world.time.pass(5.5 * DAY);
      let pushed = 0;
      let since: number | undefined;
      const push = store.pushManifest.bind(store);
      store.pushManifest = async (content, options) => {
        if (++pushed >= at) since ??= world.time.monotonic();
        if (since !== undefined && world.time.monotonic() - since < 20 * MINUTE) throw away;
        await push(content, options);
      };
      await world.time.pass(2.5 * DAY);
      const collection = await collectionAt(world, store);
      const left = collection.client.trusted.timestamp.content.expires.getTime() - world.time.now().getTime();
      expect(left).toBeGreaterThan(11 * DAY);
    }
  });
});

describe('two re-signers and eight publishers at once', () => {
  it('lose nothing, and write at most two heads for each change', async () => {
    const world = new RealWorld();
    const store = await world.add(PLACE);
    const state = new ProcessSignerState(true);
    world.run({ seed: 11, state });
    world.run({ seed: 12, state });
    await world.time.pass(MINUTE);
    const work = Array.from({ length: 8 }, async (_, n) => {
      for (let round = 0; round < 3; round++) {
        await world.time.sleep(1_000 * ((n * 7 + round * 13) % 11));
        const read = reading({ now: world.time.now() });
        const options = world.publisher(100 * n + round, { wait: 10 * MINUTE });
        await publishNames(store, read, naming({ [`v${n}.${round}`]: `${n}.${round}` }), options);
      }
    });
    await world.time.until(Promise.all(work), 1_000);
    await world.time.pass(5 * MINUTE);
    const { client } = await collectionAt(world, store);
    for (let n = 0; n < 8; n++)
      for (let round = 0; round < 3; round++)
        expect((await client.findTarget(`v${n}.${round}`)).target.hashes.get('sha256')).toBe(
          contentOf(`${n}.${round}`).sha256,
        );
    expect(store.heads.length).toBeLessThanOrEqual(2 * 24);
  });
});

async function copyParts(from: WatchedStore, to: WatchedStore, { bytes }: ManifestContent): Promise<void> {
  const manifest = JSON.parse(new TextDecoder().decode(bytes));
  for (const { mediaType, digest, size } of [manifest.config, ...manifest.layers]) {
    const descriptor = { mediaType, digest, size };
    const content = await from.fetchBlob(descriptor, 1_000_000);
    await to.pushBlob(descriptor, async () =>
      (async function* () {
        yield content;
      })(),
    );
  }
}

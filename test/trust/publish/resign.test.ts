import { describe, expect, it } from 'vitest';
import { MemoryStore } from '../../../src/oci/memory.ts';
import { publishNames } from '../../../src/trust/publish/publish.ts';
import { resignCollection } from '../../../src/trust/publish/resign.ts';
import { ProcessSignerState } from '../../../src/trust/publish/signer-state.ts';
import { newCollection, pushHead } from '../../support/trust/collection.ts';
import {
  contentOf,
  FakeClock,
  hashesOf,
  logOf,
  naming,
  publisher,
  revoking,
  type TestPublisher,
} from '../../support/trust/publishing.ts';
import { daysLater, ONLINE, PUBLISHER, signersOf } from '../../support/tuf/editing.ts';
import { poolKey } from '../../support/tuf/keys.ts';

async function place(): Promise<MemoryStore> {
  const store = new MemoryStore();
  await pushHead(store, await newCollection());
  return store;
}

const online = signersOf(poolKey(ONLINE));
const offline = signersOf(poolKey(PUBLISHER));

const resigner = (seed: number, clock?: FakeClock): TestPublisher =>
  publisher(seed, { signers: online }, clock);

describe('a publisher without the online key', () => {
  it('stages, and is done when the re-signer has taken its change over', async () => {
    const store = await place();
    const { read, options, clock } = publisher(1, { signers: offline });
    const service = resigner(2);
    const outcomes: string[] = [];
    clock.onSleep = async () => {
      outcomes.push((await resignCollection(store, service.read, service.options)).outcome);
    };
    const published = await publishNames(store, read, naming({ v1: 'one' }), options);
    expect(await hashesOf(store, ['v1'])).toEqual({ v1: contentOf('one').sha256 });
    expect((await logOf(store)).map(({ id }) => id)).toEqual(published.ids);
    expect(outcomes).toEqual(['folded']);
  });

  it('says so where nobody takes it over in time, and leaves it there', async () => {
    const store = await place();
    const { read, options } = publisher(1, { signers: offline, wait: 5000 });
    await expect(publishNames(store, read, naming({ v1: 'one' }), options)).rejects.toMatchObject({
      code: 'staged',
      exitCode: 31,
      details: { ids: [expect.any(String)], tag: expect.stringMatching(/^_trust\.stage\./) },
    });
    const service = resigner(2);
    const resigned = await resignCollection(store, service.read, service.options);
    expect(resigned).toMatchObject({ outcome: 'folded', waiting: [] });
    expect(await hashesOf(store, ['v1'])).toEqual({ v1: contentOf('one').sha256 });
  });

  it('makes its change anew where the head moved on without it', async () => {
    const store = await place();
    const staging = publisher(1, { signers: offline });
    const service = resigner(2);
    const other = publisher(3);
    let sleeps = 0;
    staging.clock.onSleep = async () => {
      sleeps++;
      if (sleeps === 1) await publishNames(store, other.read, naming({ v2: 'two' }), other.options);
      else await resignCollection(store, service.read, service.options);
    };
    await publishNames(store, staging.read, naming({ v1: 'one' }), staging.options);
    expect(await hashesOf(store, ['v1', 'v2'])).toEqual({
      v1: contentOf('one').sha256,
      v2: contentOf('two').sha256,
    });
  });

  it('is told where its name was revoked while it waited, by somebody who did not see the stage', async () => {
    const store = await place();
    const blind = Object.assign(Object.create(store) as MemoryStore, { listTags: async () => [] });
    const staging = publisher(1, { signers: offline });
    const other = publisher(3);
    staging.clock.onSleep = async () => {
      staging.clock.onSleep = undefined;
      await publishNames(blind, other.read, revoking('v1'), other.options);
    };
    await expect(
      publishNames(store, staging.read, naming({ v1: 'one' }), staging.options),
    ).rejects.toMatchObject({ code: 'conflict', exitCode: 30 });
    expect(await hashesOf(store, ['v1'])).toEqual({ v1: undefined });
  });
});

describe('resignCollection', () => {
  it('leaves a head alone that is young, and re-signs it when half of its time is over', async () => {
    const store = await place();
    const clock = new FakeClock();
    const { read, options } = resigner(1, clock);
    expect((await resignCollection(store, read, options)).outcome).toBe('fresh');
    clock.pass(8 * 86_400_000);
    const resigned = await resignCollection(store, read, options);
    expect(resigned.outcome).toBe('renewed');
    expect(resigned.expires.get('timestamp')).toEqual(daysLater(22));
    expect((await resignCollection(store, read, { ...options, force: true })).outcome).toBe('renewed');
  });

  it('refuses without the online key', async () => {
    const { read, options } = publisher(1, { signers: offline });
    await expect(resignCollection(await place(), read, options)).rejects.toMatchObject({
      code: 'untrusted-identity',
    });
  });

  it('makes an expired head young again only where it is the one that it has served', async () => {
    const store = await place();
    const clock = new FakeClock();
    const known = resigner(1, clock);
    await resignCollection(store, known.read, known.options);
    clock.pass(20 * 86_400_000);
    const stranger = resigner(2, clock);
    await expect(resignCollection(store, stranger.read, stranger.options)).rejects.toMatchObject({
      code: 'trust-expired',
    });
    const shortLived = { ...known.options, state: new ProcessSignerState(false) };
    await expect(resignCollection(store, resigner(3, clock).read, shortLived)).rejects.toMatchObject({
      code: 'trust-expired',
    });
    // A new process, which has nothing but the signer's state.
    expect((await resignCollection(store, resigner(4, clock).read, known.options)).outcome).toBe('renewed');
  });

  it('takes a head for known that somebody has looked at', async () => {
    const store = await place();
    const { read, options, clock } = resigner(1);
    clock.pass(20 * 86_400_000);
    const { descriptor } = await store.fetchManifest('_trust' as never);
    const trusting = { ...options, trustServedHead: descriptor.digest };
    expect((await resignCollection(store, read, trusting)).outcome).toBe('renewed');
  });

  it('removes what is a day old and folded, and never the head', async () => {
    const store = await place();
    const { read, options, clock } = publisher(1);
    for (const name of ['v1', 'v2', 'v3'])
      await publishNames(store, read, naming({ [name]: name }), { ...options, cleanUp: false });
    expect(await store.listTags()).toHaveLength(4);
    const service = resigner(2, clock);
    expect((await resignCollection(store, service.read, service.options)).removed).toEqual([]);
    clock.pass(25 * 3_600_000);
    const told = { ...service.options, registryNow: () => new Date(clock.now().getTime() - 2 * 3_600_000) };
    expect((await resignCollection(store, service.read, told)).removed).toEqual([]);
    expect((await resignCollection(store, service.read, service.options)).removed).toHaveLength(3);
    expect(await store.listTags()).toEqual(['_trust']);
    expect(Object.values(await hashesOf(store, ['v1', 'v2', 'v3'], clock.now()))).not.toContain(undefined);
  });
});

import { describe, expect, it } from 'vitest';
import { renew } from '../../../src/trust/change/role-changes.ts';
import { NAMES_ROLE } from '../../../src/trust/format/vocabulary.ts';
import { publishEdit, publishNames } from '../../../src/trust/publish/publish.ts';
import { resignCollection } from '../../../src/trust/publish/resign.ts';
import { WorkingCopy } from '../../../src/trust/read/working-copy.ts';
import { newCollection, PLACE, pushHead } from '../../support/trust/collection.ts';
import { pushLargeHead } from '../../support/trust/many-names.ts';
import { FakeClock, freshRead, naming, publisher, reading } from '../../support/trust/publishing.ts';
import { WeakStore } from '../../support/trust/weak-store.ts';
import { daysLater, ONLINE, PUBLISHER, signersOf } from '../../support/tuf/editing.ts';
import { poolKey } from '../../support/tuf/keys.ts';

const online = signersOf(poolKey(ONLINE));
const names = signersOf(poolKey(PUBLISHER));

async function expiryOf(store: WeakStore, now: Date): Promise<Date> {
  return (await WorkingCopy.open(await freshRead(store, now))).contentOf(NAMES_ROLE).expires;
}

describe('names renewed by whoever has no online key', () => {
  it.each([
    ['a small collection', async (store: WeakStore) => await pushHead(store, await newCollection())],
    ['one with bins', async (store: WeakStore) => await pushLargeHead(store, PLACE, 1500)],
  ])('are taken over by the re-signer, once, and no older file comes back: %s', async (_, make) => {
    const store = new WeakStore();
    await make(store);
    const clock = new FakeClock(daysLater(1));
    const full = publisher(1, {}, clock);
    await publishNames(store, full.read, naming({ v1: 'one' }), full.options);
    const before = await expiryOf(store, clock.now());
    clock.pass(10 * 86_400_000);
    const service = publisher(2, { signers: online }, clock);
    expect((await resignCollection(store, reading(), service.options)).outcome).toBe('renewed');
    const keeper = publisher(3, { signers: names, wait: 0 }, clock);
    await expect(publishEdit(store, reading(), renew(NAMES_ROLE), keeper.options)).rejects.toMatchObject({
      code: 'staged',
    });
    const resigned = await resignCollection(store, reading(), service.options);
    expect(resigned).toMatchObject({ outcome: 'renewed', refused: [], conflicts: [] });
    const after = await expiryOf(store, clock.now());
    expect(after.getTime() - before.getTime()).toBe(10 * 86_400_000);
    const head = await store.digestOf('_trust' as never);
    expect((await resignCollection(store, reading(), service.options)).outcome).toBe('fresh');
    expect(await store.digestOf('_trust' as never)).toBe(head);
  });
});

import { describe, expect, it } from 'vitest';
import { approveStaged } from '../../../src/actions/change/approve.ts';
import { changeRoles } from '../../../src/actions/change/change-roles.ts';
import type { MemoryStore } from '../../../src/oci/memory.ts';
import { addSigner } from '../../../src/trust/change/role-changes.ts';
import { publishNames } from '../../../src/trust/publish/publish.ts';
import { FakeClock, naming, publisher } from '../../support/trust/publishing.ts';
import {
  ALICE,
  collection,
  copyOf,
  idOf,
  personAt,
  resign,
  twoSigners,
  waitingAt,
} from '../../support/trust/staging.ts';
import { anyOf, ONLINE, PUBLISHER, ROOT, signersOf } from '../../support/tuf/editing.ts';
import { poolKey } from '../../support/tuf/keys.ts';

const alice = addSigner({ name: 'alice', ...anyOf(1, poolKey(ALICE)), paths: ['*'] });

/** `bulla signer add … --stage --wait 60s`, while others do something each time that it sleeps. */
async function add(store: MemoryStore, keys: readonly number[], others: (nap: number) => Promise<unknown>) {
  const place = personAt(store, keys);
  const clock = new FakeClock();
  const said: string[] = [];
  let naps = 0;
  clock.onSleep = async () => {
    naps += 1;
    await others(naps);
  };
  const publish = {
    ...place.publish,
    clock,
    wait: 60_000,
    onProgress: (text: string) => void said.push(text),
  };
  const options = { stageOnly: true, awaitsSigners: true, agree: async () => true };
  const done = await changeRoles({ ...place, publish }, await copyOf(store), alice, options).catch(
    (error: unknown) => error,
  );
  return { done, said, naps };
}

const signAsAlice = async (store: MemoryStore) =>
  (await waitingAt(store))[0]?.sign(signersOf(poolKey(ALICE)));

describe('waiting for others', () => {
  it('ends when they have signed and a re-signer has published it, and says who is awaited', async () => {
    const store = await collection();
    const { done, said } = await add(store, [ROOT], async (nap) => {
      if (nap === 2) await signAsAlice(store);
      if (nap === 4) await resign(store);
    });
    expect(done).toMatchObject({ wasStaged: true, head: expect.stringMatching(/^sha256:/) });
    expect(said[0]).toContain(idOf(ALICE).slice(0, 12));
    expect(said.join('\n')).toContain('waiting for a re-signer');
    expect((await copyOf(store)).delegations.roles.map(({ name }) => name)).toContain('alice');
  });

  it('publishes by itself where the online key is here', async () => {
    const store = await collection();
    const { done } = await add(store, [ROOT, ONLINE], async (nap) => {
      if (nap === 2) await signAsAlice(store);
    });
    expect(done).toMatchObject({ wasStaged: true });
    expect(await waitingAt(store)).toEqual([]);
  });

  it('ends at its deadline, and says who did not sign', async () => {
    const store = await collection();
    const { done, naps } = await add(store, [ROOT], async () => undefined);
    expect(done).toMatchObject({
      code: 'staged',
      message: expect.stringContaining(idOf(ALICE).slice(0, 12)),
    });
    expect(naps).toBeGreaterThan(10);
    expect(await waitingAt(store)).toHaveLength(1);
  });

  it('is done by an approval, too', async () => {
    const store = await twoSigners();
    const { read, options } = publisher(1, { signers: signersOf(poolKey(PUBLISHER)), wait: 0 });
    const change = naming({ v1: 'one' });
    await expect(publishNames(store, read, change, options)).rejects.toMatchObject({
      code: 'staged',
      message: expect.stringContaining(`1 more signature on names, by ${idOf(ALICE).slice(0, 12)}`),
    });
    const [{ id } = { id: '' }] = await waitingAt(store);
    const place = personAt(store, [ALICE]);
    const clock = new FakeClock();
    clock.onSleep = async () => void (await resign(store));
    const approving = { onFound: () => undefined, confirm: async () => undefined, awaitsSigners: true };
    const publish = { ...place.publish, clock, wait: 60_000 };
    expect(await approveStaged({ ...place, publish }, id, approving)).toMatchObject({
      published: expect.stringMatching(/^sha256:/),
    });
  });
});

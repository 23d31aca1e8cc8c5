import { describe, expect, it } from 'vitest';
import { changeRoles } from '../../../src/actions/change/change-roles.ts';
import { openCopy } from '../../../src/actions/change/place.ts';
import { sign } from '../../../src/actions/sign/sign.ts';
import { signerOf } from '../../../src/keystore/key-of.ts';
import { parseReference } from '../../../src/oci/reference.ts';
import { rekey } from '../../../src/trust/change/role-changes.ts';
import { resignCollection } from '../../../src/trust/publish/resign.ts';
import { pushImage } from '../../support/content.ts';
import { PLACE } from '../../support/trust/collection.ts';
import { freshRead, hashesOf } from '../../support/trust/publishing.ts';
import { remoteWorld } from '../../support/trust/remote-world.ts';
import { NOW } from '../../support/tuf/editing.ts';

/** {@link remoteWorld}, and what its services were asked for: messages in each request, by key. */
async function world() {
  const made = await remoteWorld();
  const asked = (): Record<string, number[]> =>
    Object.fromEntries(
      Object.entries(made.services).flatMap(([name, { requests }]) =>
        requests.length === 0 ? [] : [[name, [...requests]]],
      ),
    );
  return { ...made, asked };
}

describe('what the keys of a collection are asked for', () => {
  it.each([1, 10, 100])('does not depend on the number of names: %d names in one change', async (count) => {
    const { store, place, services, asked } = await world();
    const tags = Array.from({ length: count }, (_, at) => `v${at}`);
    for (const tag of tags) await pushImage(store, tag, tag);
    const signed = await sign(
      tags.map((tag) => ({ text: `:${tag}`, reference: parseReference(`${PLACE}:${tag}`) })),
      { signature: {} },
      {
        images: store,
        signer: async () => signerOf(await services.release.find('release')),
        collection: async () => place,
        ...{ now: NOW, agent: 'bulla/test', concurrency: 8 },
      },
    );
    expect(signed.named?.changes).toHaveLength(1);
    const { release, ...roles } = asked();
    // One file of names; snapshot and then timestamp, which holds its hash.
    expect(roles).toEqual({ publisher: [1], online: [1, 1] });
    // A detached signature each, over what no other one says.
    expect(release).toEqual(tags.map(() => 1));
    expect(services.publisher.opened).toBe(1);
    expect(Object.values(await hashesOf(store, tags)).every((hash) => hash !== undefined)).toBe(true);
  });

  it('is one request to each key of a rotated root, for root and targets together', async () => {
    const { signers, place, asked } = await world();
    const change = rekey('root', { add: [signers.next.key], drop: [], keep: false, threshold: 1 });
    await changeRoles(place, await openCopy(place), change, { agree: async () => false });
    // The change is made once to be described, and once more to be published.
    expect(asked()).toEqual({ root: [1, 1], next: [2, 2], online: [1, 1] });
  });

  it('is two requests to the online key of a re-signer: snapshot and timestamp', async () => {
    const { store, signers, place, options, asked } = await world();
    const collection = await freshRead(store);
    const before = collection.object.content.descriptor.digest;
    const result = await resignCollection(store, place.read, {
      ...options,
      signers: [signers.online],
      force: true,
    });
    expect(result).toBeDefined();
    expect((await freshRead(store)).object.content.descriptor.digest).not.toBe(before);
    expect(asked()).toEqual({ online: [1, 1] });
  });
});

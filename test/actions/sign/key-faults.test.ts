import { describe, expect, it } from 'vitest';
import { changeRoles } from '../../../src/actions/change/change-roles.ts';
import { openCopy } from '../../../src/actions/change/place.ts';
import { sign } from '../../../src/actions/sign/sign.ts';
import { BullaError, type ErrorCode } from '../../../src/errors.ts';
import { parseReference } from '../../../src/oci/reference.ts';
import { rekey } from '../../../src/trust/change/role-changes.ts';
import { resignCollection } from '../../../src/trust/publish/resign.ts';
import { pushImage } from '../../support/content.ts';
import type { RemoteKeys } from '../../support/keystore/remote.ts';
import { PLACE } from '../../support/trust/collection.ts';
import { type Name, type RemoteWorld, remoteWorld } from '../../support/trust/remote-world.ts';
import type { WeakStore } from '../../support/trust/weak-store.ts';
import { NOW } from '../../support/tuf/editing.ts';

/** What is asked of the keys, and which key fails. */
const WORK: Readonly<Record<string, readonly [fails: Name, (world: RemoteWorld) => Promise<unknown>]>> = {
  'signing a name': [
    'publisher',
    async ({ store, place }) =>
      await sign(
        [{ text: ':v1', reference: parseReference(`${PLACE}:v1`) }],
        {},
        {
          images: store,
          signer: async () => {
            throw new Error('no detached signature is asked for');
          },
          collection: async () => place,
          ...{ now: NOW, agent: 'bulla/test', concurrency: 8 },
        },
      ),
  ],
  'rotating root': [
    'root',
    async ({ place, signers }) => {
      const change = rekey('root', { add: [signers.next.key], drop: [], keep: false, threshold: 1 });
      return await changeRoles(place, await openCopy(place), change, { agree: async () => false });
    },
  ],
  'rotating root to a key that fails': [
    'next',
    async ({ place, signers }) => {
      const change = rekey('root', { add: [signers.next.key], drop: [], keep: false, threshold: 1 });
      return await changeRoles(place, await openCopy(place), change, { agree: async () => false });
    },
  ],
  're-signing': [
    'online',
    async ({ store, place, options, signers }) =>
      await resignCollection(store, place.read, { ...options, signers: [signers.online], force: true }),
  ],
};

async function worldWithImage(): Promise<RemoteWorld> {
  const made = await remoteWorld();
  await pushImage(made.store, 'v1', 'v1');
  return made;
}

const failing = (code: ErrorCode) => new BullaError(code, 'as a test wants', { hint: 'see the test' });

/** What is wrong with a key, and what the user is told; whether it is told once it is opened or only when it signs. */
const FAULTS: Readonly<Record<string, readonly [(service: RemoteKeys) => void, ErrorCode, opened: number]>> =
  {
    'a wrong PIN': [(service) => service.failures.push(failing('key-invalid')), 'key-invalid', 1],
    'a token that was removed': [
      (service) => service.failures.push(failing('key-unavailable'), failing('key-unavailable')),
      'key-unavailable',
      2,
    ],
    'a locked agent': [
      (service) => {
        service.refusal = failing('key-unavailable');
      },
      'key-unavailable',
      1,
    ],
    'a service that throttles until the end': [
      (service) => {
        service.refusal = failing('key-unavailable');
      },
      'key-unavailable',
      1,
    ],
    'an expired token': [
      (service) => {
        service.refusal = failing('unauthorized');
      },
      'unauthorized',
      1,
    ],
    'no right to sign': [
      (service) => {
        service.refusal = failing('forbidden');
      },
      'forbidden',
      1,
    ],
    'a key of another purpose': [
      (service) => {
        service.refusal = failing('key-invalid');
      },
      'key-invalid',
      1,
    ],
    garbage: [
      (service) => {
        service.spoil = (signatures) => signatures.map((signature) => new Uint8Array(signature.length));
      },
      'key-invalid',
      1,
    ],
    'fewer signatures than messages': [
      (service) => {
        service.spoil = () => [];
      },
      'key-invalid',
      1,
    ],
  };

describe.each(Object.entries(WORK))('%s', (_, [name, work]) => {
  it.each(Object.entries(FAULTS))(
    'with %s: says so, and publishes nothing',
    async (_fault, [spoil, code, opened]) => {
      const made = await worldWithImage();
      const heads = [...made.store.heads];
      const tags = await allTags(made.store);
      spoil(made.services[name]);
      await expect(work(made)).rejects.toMatchObject({ code });
      expect(made.store.heads).toEqual(heads);
      expect(await allTags(made.store)).toEqual(tags);
      // A wrong PIN is never tried again on its own: tokens lock.
      if (_fault === 'a wrong PIN') expect(made.services[name].opened).toBe(opened);
      // Once the key serves again, the same work is done.
      made.services[name].recover();
      if (code !== 'key-invalid') await expect(work(made)).resolves.toBeDefined();
    },
  );
});

it('a token that is removed in the middle of a batch leaves nothing behind', async () => {
  const made = await worldWithImage();
  const { online } = made.services;
  const heads = [...made.store.heads];
  // The snapshot is signed, the timestamp is not.
  online.refusal = failing('key-unavailable');
  online.refusesFrom = 1;
  const [, work] = WORK['re-signing'] as (typeof WORK)[string];
  await expect(work(made)).rejects.toMatchObject({ code: 'key-unavailable' });
  expect(online.requests).toEqual([1, 1]);
  expect(made.store.heads).toEqual(heads);
});

async function allTags(store: WeakStore): Promise<readonly string[]> {
  return [...(await store.listTags())].sort();
}

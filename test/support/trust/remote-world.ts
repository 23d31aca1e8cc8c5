import type { ChangePlace } from '../../../src/actions/change/place.ts';
import { KeysAtHand } from '../../../src/actions/sign/keys-at-hand.ts';
import { generatePrivateKey } from '../../../src/crypto/private-key.ts';
import { signerOf } from '../../../src/keystore/key-of.ts';
import { createCollection } from '../../../src/trust/change/create.ts';
import { type TufSigner, tufSigner } from '../../../src/tuf/edit/signing.ts';
import { RemoteKeys } from '../keystore/remote.ts';
import { NOW } from '../tuf/editing.ts';
import { PLACE, policy, pushHead } from './collection.ts';
import { publisher } from './publishing.ts';
import { WeakStore } from './weak-store.ts';

/** Keys of the collection, one to rotate to, and one for detached signatures. */
const NAMES = ['root', 'next', 'publisher', 'online', 'release'] as const;
export type Name = (typeof NAMES)[number];

export interface RemoteWorld {
  readonly store: WeakStore;
  readonly services: Readonly<Record<Name, RemoteKeys>>;
  readonly signers: Readonly<Record<Name, TufSigner>>;
  readonly place: ChangePlace<KeysAtHand>;
  readonly options: ReturnType<typeof publisher>['options'];
}

/** A collection whose keys are in one service each, which counts what it is asked and fails as a test wants. */
export async function remoteWorld(): Promise<RemoteWorld> {
  const services = {} as Record<Name, RemoteKeys>;
  const signers = {} as Record<Name, TufSigner>;
  const keys = Object.fromEntries(NAMES.map((name) => [name, generatePrivateKey('P-256')]));
  const makers = {} as Record<Name, TufSigner>;
  for (const name of NAMES) {
    const one = { [name]: keys[name] } as never;
    makers[name] = tufSigner(signerOf(await new RemoteKeys(one).find(name)));
    services[name] = new RemoteKeys(one);
    signers[name] = tufSigner(signerOf(await services[name].find(name)));
  }
  const atHand = new KeysAtHand(
    {
      find: async (spec) => {
        const signer = signerOf(await services[spec as Name].find(spec));
        return { name: spec, publicKey: signer.publicKey, certificates: [], signer };
      },
      all: async () => [],
    },
    NAMES.filter((name) => name !== 'release'),
  );
  const one = (name: Name) => ({ keys: [signers[name].key], threshold: 1 });
  const store = new WeakStore();
  const made = await createCollection(
    {
      ...{ name: PLACE, now: NOW, policy },
      root: one('root'),
      names: one('publisher'),
      online: one('online'),
    },
    [makers.root, makers.publisher, makers.online],
  );
  await pushHead(store, made);
  const { read, options } = publisher();
  const { signers: _, ...publish } = options;
  const place = {
    ...{ place: PLACE, name: PLACE, repository: PLACE, target: store, read, publish },
    keys: atHand,
  };
  return { store, services, signers, place, options };
}

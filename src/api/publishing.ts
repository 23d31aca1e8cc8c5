import { join } from 'node:path';
import type { ChangePlace, PublishPorts } from '../actions/change/place.ts';
import type { KeysAtHand } from '../actions/sign/keys-at-hand.ts';
import {
  type CollectionDemands,
  type CollectionPorts,
  openCollection,
} from '../actions/verify/collection.ts';
import type { Signer } from '../crypto/signer.ts';
import type { Digest } from '../oci/digest.ts';
import { parseReference, type Reference } from '../oci/reference.ts';
import type { Target } from '../oci/target.ts';
import { SYSTEM_CHANCE, SYSTEM_CLOCK } from '../servers/system.ts';
import { SignerStateDirectory } from '../state/signer-state.ts';
import type { SignerState } from '../trust/publish/signer-state.ts';
import type { PinnedTrust } from '../trust/read/pin.ts';
import type { Call, Config } from './config.ts';
import { type KeyOptions, keySources, keysFor } from './keys.ts';

/** How a change of a collection is published. */
export interface PublishingOptions {
  /** How long a staged change is waited for, in milliseconds; 60,000 if left out. */
  readonly wait?: number | undefined;
  /** A head that may be built upon though its timestamp has expired: a person looked at it. */
  readonly trustServedHead?: Digest | undefined;
  /** What signers remember between calls; the files of the user if left out. */
  readonly signerState?: SignerState | undefined;
  /** Told what a call is waiting for. */
  readonly onProgress?: ((message: string) => void) | undefined;
}

/** What a call publishes with. */
export function publishPorts(one: Call, options: PublishingOptions & Config): PublishPorts {
  const { wait, trustServedHead, signerState, onProgress, onWarning } = options;
  const begun = performance.now();
  return {
    ...{ wait, trustServedHead, onProgress, onWarning, signal: one.signal },
    // Also where the time is given, it goes on.
    clock: { ...SYSTEM_CLOCK, now: () => new Date(one.now.getTime() + (performance.now() - begun)) },
    chance: SYSTEM_CHANCE,
    state: signerState ?? new SignerStateDirectory(join(one.directories.state, 'signers')),
  };
}

/** What collections are found with that are to be changed. */
export function writablePorts(one: Call): CollectionPorts<Target> {
  const { places, collections } = one;
  return { ...collections, openSource: (reference) => places.openTarget(reference, { write: true }) };
}

/** Where a collection lies, and whose root keys are trusted for it. */
export interface CollectionOptions {
  /** Where the trust collection lies, if neither in the repository nor where a pin says. */
  readonly at?: string | undefined;
  /** `HOST/REPOSITORY` that the collection was made for, if this is a copy. */
  readonly collection?: string | undefined;
  /** Whose root keys are trusted, instead of a pin. */
  readonly trust?: PinnedTrust | undefined;
  /** How long after expiry trust metadata still counts, in milliseconds; 0 if left out. */
  readonly maxStaleness?: number | undefined;
}

/** What is asked of a collection. */
export function collectionDemands(options: CollectionOptions): CollectionDemands {
  const { at, collection, trust, maxStaleness } = options;
  return { at: at === undefined ? undefined : parseReference(at), collection, trust, maxStaleness };
}

/** Options of a call that changes a collection. */
export interface ChangeOptions extends Config, KeyOptions, PublishingOptions, CollectionOptions {}

/** A collection that a call changes, with the keys that are given and those of the key store. */
export async function changePlace(
  one: Call,
  reference: Reference,
  keys: readonly (string | Signer)[],
  options: ChangeOptions,
): Promise<ChangePlace<KeysAtHand>> {
  const sources = keySources({ ...options, directories: one.directories });
  return {
    ...(await openCollection(reference, collectionDemands(options), writablePorts(one))),
    keys: keysFor(keys, sources, options.onWarning),
    publish: publishPorts(one, options),
  };
}

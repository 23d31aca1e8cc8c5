import { join } from 'node:path';
import type { PublishPorts } from '../actions/change/place.ts';
import type { CollectionPorts } from '../actions/verify/collection.ts';
import type { Digest } from '../oci/digest.ts';
import type { Target } from '../oci/target.ts';
import { SYSTEM_CHANCE, SYSTEM_CLOCK } from '../servers/resigner/system.ts';
import { SignerStateDirectory } from '../state/signer-state.ts';
import type { SignerState } from '../trust/publish/signer-state.ts';
import type { Call, Config } from './config.ts';

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

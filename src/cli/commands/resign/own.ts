import { resignOnce } from '../../../actions/renew/core.ts';
import { listMarks, lookAt } from '../../../actions/renew/look.ts';
import type { StepPorts } from '../../../actions/renew/step.ts';
import { DEFAULT_TIMING } from '../../../actions/renew/timing.ts';
import type { KeysAtHand } from '../../../actions/sign/keys-at-hand.ts';
import { parseReference } from '../../../oci/reference.ts';
import { readBase } from '../../../trust/publish/publish-base.ts';
import type { PublishOptions } from '../../../trust/publish/publish-options.ts';
import { Keyring } from '../../../tuf/edit/demands.ts';
import type { TufSigner } from '../../../tuf/edit/signing.ts';
import { type OpenedCollection, openCollection } from '../../flags/collection-flags.ts';
import { clockOf, publishOptionsOf } from '../../flags/publish-flags.ts';
import { keysAtHand } from '../../flags/trust-keys.ts';
import type { Context } from '../../shell/context.ts';
import type { ResignFlags } from './pass.ts';

/** Serves collections by the pins, the memory and the keys of this person, as all commands do. */
export function ownPorts(context: Context, flags: ResignFlags): StepPorts {
  const opened = new Map<string, Promise<OpenedCollection>>();
  const open = (place: string): Promise<OpenedCollection> => {
    let collection = opened.get(place);
    if (collection === undefined) {
      collection = openCollection(context, parseReference(place), flags, { write: true });
      opened.set(place, collection);
    }
    return collection;
  };
  const { key, ...rest } = flags;
  const keys = keysAtHand(context, key === undefined ? rest : { ...rest, key });
  return {
    clock: clockOf(context),
    fraction: () => 0,
    look: async (place, seen, listing, signal) =>
      lookAt((await open(place)).target, seen, listing, { signal }),
    marks: async (place, signal) => listMarks((await open(place)).target, { signal }),
    isThere: async () => true,
    async resign(place, { renew, signal }) {
      const { target, read } = await open(place);
      const options = { ...(await publishOptionsOf(context, [], flags)), signal };
      const signers = await onlineSigners(await open(place), options, keys);
      return await resignOnce(
        target,
        { ...read, signal },
        { ...options, signers, renew, renewAt: DEFAULT_TIMING.renewAt },
      );
    },
  };
}

/** The keys at hand that the collection's root names for snapshot and timestamp. */
async function onlineSigners(
  { target, read }: OpenedCollection,
  options: PublishOptions,
  keys: KeysAtHand,
): Promise<readonly TufSigner[]> {
  const { copy } = await readBase(target, read, options);
  const keyring = new Keyring(copy.files);
  return await keys.signersFor(['snapshot', 'timestamp'].flatMap((role) => keyring.demandsOn(role)));
}

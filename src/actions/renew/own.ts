import { readBase } from '../../trust/publish/publish-base.ts';
import { Keyring } from '../../tuf/edit/demands.ts';
import type { TufSigner } from '../../tuf/edit/signing.ts';
import type { CollectionPlace, PublishPorts, SignerSource } from '../change/place.ts';
import { type AlarmPolicy, DEFAULT_ALARMS } from './alarms.ts';
import { resignOnce } from './core.ts';
import { listMarks, lookAt } from './look.ts';
import { type PassOptions, type PassReport, resignAll } from './pass.ts';
import type { StepPorts } from './step.ts';
import { DEFAULT_TIMING } from './timing.ts';

/** What a user's own collections are re-signed with. */
export interface OwnPorts {
  /** A collection by its place; opened once for each. @throws BullaError usage, config-invalid, storage-error */
  open(place: string): Promise<Pick<CollectionPlace, 'target' | 'read'>>;
  readonly keys: SignerSource;
  /** The keys that were named: they sign too if only a staged change lists them, as in a rotation. */
  named?(): Promise<readonly TufSigner[]>;
  readonly publish: PublishPorts;
}

/** A user waits for it, so that it may take its time. */
const PATIENT_MS = 10 * 60_000;

/** How collections are re-signed; what is left out is as the command has it. */
export interface OwnPassOptions extends Pick<PassOptions, 'renew' | 'signal' | 'onResult'> {
  readonly concurrency?: number | undefined;
  readonly policy?: AlarmPolicy | undefined;
  readonly budgetMs?: number | undefined;
}

/**
 * Re-signs collections once, by the pins, the memory and the keys of a user, as all commands do.
 * @throws BullaError interrupted
 */
export async function resignOwn(
  places: readonly string[],
  own: OwnPorts,
  { concurrency = 8, policy = DEFAULT_ALARMS, budgetMs = PATIENT_MS, ...options }: OwnPassOptions,
): Promise<PassReport> {
  return await resignAll(places, ownPorts(own), { ...options, concurrency, policy, budgetMs });
}

function ownPorts({ open: openOnce, keys, named, publish }: OwnPorts): StepPorts {
  const opened = new Map<string, ReturnType<typeof openOnce>>();
  const open = (place: string): ReturnType<typeof openOnce> => {
    const collection = opened.get(place) ?? openOnce(place);
    opened.set(place, collection);
    return collection;
  };
  return {
    clock: publish.clock,
    fraction: () => 0,
    look: async (place, seen, listing, signal) =>
      lookAt((await open(place)).target, seen, listing, { signal }),
    marks: async (place, signal) => listMarks((await open(place)).target, { signal }),
    isThere: async () => true,
    async resign(place, { renew, signal }) {
      const { target, read } = await open(place);
      const options = { ...publish, signal, signers: [] };
      const { copy } = await readBase(target, read, options);
      const keyring = new Keyring(copy.files);
      // The available keys that the collection's root lists for snapshot and timestamp.
      const demands = ['snapshot', 'timestamp'].flatMap((role) => keyring.demandsOn(role));
      const listed = await keys.signersFor(demands);
      const known = new Set(listed.map(({ key }) => key.fingerprint));
      const more = (await named?.()) ?? [];
      const signers = [...listed, ...more.filter(({ key }) => !known.has(key.fingerprint))];
      const { renewAt } = DEFAULT_TIMING;
      return await resignOnce(target, { ...read, signal }, { ...options, signers, renew, renewAt });
    },
  };
}

import { type PassOptions, type PassReport, resignAll } from '../../actions/renew/pass.ts';
import type { Shard } from '../../actions/renew/shard.ts';
import { DEFAULT_TIMING } from '../../actions/renew/timing.ts';
import type { Digest } from '../../oci/digest.ts';
import type { RegistryReference } from '../../oci/reference.ts';
import type { TufSigner } from '../../tuf/edit/signing.ts';
import { SYSTEM_CHANCE, SYSTEM_CLOCK } from '../system.ts';
import { allPlaces, type ListRepositories } from './catalogue.ts';
import type { ResignerConfig } from './config.ts';
import { coreOf, type openState, STATELESS } from './wiring.ts';
import { type ServedTarget, workerPorts } from './worker.ts';

/** One pass over collections of a configuration. */
export interface ConfiguredPass extends Pick<PassOptions, 'renew' | 'signal' | 'onResult'> {
  readonly config: ResignerConfig;
  readonly signers: readonly TufSigner[];
  /** `HOST/REPOSITORY` of each collection; undefined: all that the configuration names and that its registries list. */
  readonly places: readonly string[] | undefined;
  /** Of all of them, only this part. */
  readonly shard?: Shard | undefined;
  /** An expired head that a person has looked at. */
  readonly trustServedHead?: Digest | undefined;
  readonly onWarning: (message: string) => void;
}

export interface PassPorts {
  readonly target: (reference: RegistryReference) => Promise<ServedTarget>;
  readonly list: ListRepositories;
  readonly openState: (config: ResignerConfig) => ReturnType<typeof openState>;
}

/**
 * Re-signs collections of a configuration once, with its pins, its state and its keys, as the service does again and
 * again.
 * @throws BullaError interrupted; storage-error, config-invalid for its state
 */
export async function resignConfigured(pass: ConfiguredPass, ports: PassPorts): Promise<PassReport> {
  const { config, signers, places, shard, trustServedHead, onWarning, ...options } = pass;
  const { pins, timing, concurrency, alarms: policy } = config;
  const { state, memory } = await ports.openState(config);
  if (!state.isLasting) onWarning(STATELESS);
  const all =
    places === undefined ? await allPlaces(pins, shard, ports.list) : { places, unlisted: undefined };
  const work = workerPorts({
    clock: SYSTEM_CLOCK,
    fraction: SYSTEM_CHANCE.fraction,
    material: () => ({ pins, signers, state, memory }),
    core: coreOf(timing.renewAt, trustServedHead),
    target: ports.target,
    warn: (place, message) => onWarning(`${place}: ${message}`),
  });
  const budgetMs = Math.max(timing.budgetMs, DEFAULT_TIMING.budgetMs);
  return await resignAll(all.places, work, {
    ...options,
    ...{ concurrency, policy, budgetMs, unlisted: all.unlisted },
  });
}

import { readStatus } from '../actions/inspect/status.ts';
import type { AlarmPolicy } from '../actions/renew/alarms.ts';
import { type OwnPorts, resignOwn } from '../actions/renew/own.ts';
import type { PassReport } from '../actions/renew/pass.ts';
import { openCollection } from '../actions/verify/collection.ts';
import type { Signer } from '../crypto/signer.ts';
import { BullaError } from '../errors.ts';
import { formatRepository, parseReference, type Reference } from '../oci/reference.ts';
import { SYSTEM_CHANCE } from '../servers/system.ts';
import { readForDisplay } from '../trust/read/read-for-display.ts';
import type { CollectionStatus } from '../trust/report/status.ts';
import { repositoryOf } from './change.ts';
import { type Config, call } from './config.ts';
import { keySources, keysFor } from './keys.ts';
import {
  type ChangeOptions,
  type CollectionOptions,
  collectionDemands,
  publishPorts,
  writablePorts,
} from './publishing.ts';

/** How {@link resign} re-signs collections, and what it works with. */
export interface ResignOptions extends ChangeOptions {
  /** Online keys, beside those of the key store that the collections list. */
  readonly keys?: readonly (string | Signer)[] | undefined;
  /** Re-sign even where it is not due. */
  readonly renew?: boolean | undefined;
  /** What an alarm is raised for. */
  readonly alarms?: AlarmPolicy | undefined;
  /** Collections at once; 8 if left out. */
  readonly concurrency?: number | undefined;
  /** How long one collection may take, in milliseconds; ten minutes if left out. */
  readonly budgetMs?: number | undefined;
}

/**
 * Keeps trust collections fresh, in one pass, as `bulla resign` does: verifies each, takes in what was staged, and
 * re-signs snapshot and timestamp where half of their lifetime is over. One that fails does not keep others from being
 * served: the report says what became of each, and `worst` is the code of the worst outcome.
 * @param repository `registry.example.com/team/app` or `oci:DIR`; or several
 * @throws BullaError usage; interrupted
 * @example
 * ```ts
 * import { init, resign } from 'bulla';
 *
 * const passphrase = 'of the new keys';
 * await init('registry.example.com/team/app', { passphrase });
 * const { results, worst } = await resign('registry.example.com/team/app', { passphrase, renew: true });
 * for (const { place, outcome } of results) console.log(`${place}: ${outcome.kind}, worst: ${worst ?? 'none'}`);
 * ```
 */
export async function resign(
  repository: string | Reference | readonly (string | Reference)[],
  options: ResignOptions = {},
): Promise<PassReport> {
  const given: readonly (string | Reference)[] = Array.isArray(repository) ? repository : [repository];
  const places = [...new Set(given.map((one) => formatRepository(repositoryOf(one))))];
  return await call(options, async (one) => {
    const { keys = [], renew, alarms, concurrency, budgetMs } = options;
    const sources = keySources({ ...options, directories: one.directories });
    const own: OwnPorts = {
      open: (place) => openCollection(parseReference(place), collectionDemands(options), writablePorts(one)),
      keys: keysFor(keys, sources, options.onWarning),
      publish: publishPorts(one, options),
    };
    const signal = one.signal ?? new AbortController().signal;
    return await resignOwn(places, own, { concurrency, policy: alarms, budgetMs, renew, signal });
  });
}

/** What {@link status} looks at, and what it works with. */
export interface StatusOptions extends Config, CollectionOptions {
  /** How long before its expiry a role is reported, in milliseconds; 30 days, 3 for snapshot and timestamp, if left out. */
  readonly warnBefore?: number | undefined;
  /** Read all bins to see which expires first; more than 256 are not read otherwise. */
  readonly allBins?: boolean | undefined;
}

/** The state of a collection. */
export interface Status extends CollectionStatus {
  /** Whether it was compared with a pin or with what was known, and has not expired. */
  readonly trusted: boolean;
}

/**
 * What of a trust collection expires, waits, or is in conflict, as `bulla status` tells it. For people and monitoring:
 * a collection that is unpinned or expired is shown too, and `trusted` is false.
 * @param repository `registry.example.com/team/app`, `oci:DIR` or `oci-archive:FILE`
 * @throws BullaError not-found where there is no collection; trust-…, registry-…
 * @example
 * ```ts
 * import { init, status } from 'bulla';
 *
 * await init('registry.example.com/team/app', { passphrase: 'of the new keys' });
 * const { roles, findings, trusted } = await status('registry.example.com/team/app');
 * for (const { role, expires, state } of roles) console.log(`${role}: ${state}, until ${expires.toISOString()}`);
 * console.log(`${findings.length} findings, ${trusted ? 'trusted' : 'not trusted'}`);
 * ```
 */
export async function status(repository: string | Reference, options: StatusOptions = {}): Promise<Status> {
  return await call(options, async (one) => {
    const ports = { ...one.collections };
    const opened = await openCollection(repositoryOf(repository), collectionDemands(options), ports);
    const { target, read, place } = opened;
    const { signal, now } = one;
    const looked = await readForDisplay(target, { ...read, signal });
    if (looked === undefined)
      throw new BullaError('not-found', `${place} has no trust collection`, {
        hint: 'if it is in another repository, give `at`',
      });
    const { warnBefore, allBins, onWarning } = options;
    const found = await readStatus(target, looked.copy, {
      ...{ now, signal, warnBefore, allBins, onWarning },
      chance: SYSTEM_CHANCE,
    });
    return { ...found, trusted: looked.unpinned === undefined && looked.expired === undefined };
  });
}

import { listMarks, lookAt } from '../../actions/renew/look.ts';
import type { RenewedCollection } from '../../actions/renew/report.ts';
import type { StepPorts } from '../../actions/renew/step.ts';
import { BullaError, isBullaError } from '../../errors.ts';
import { resolveIfThere } from '../../oci/if-there.ts';
import { isSamePlace } from '../../oci/place.ts';
import { parseReference, type RegistryReference, type Tag } from '../../oci/reference.ts';
import type { Resolver } from '../../oci/target.ts';
import type { Clock, TrustTarget } from '../../trust/format/ports.ts';
import { HEAD_TAG } from '../../trust/format/vocabulary.ts';
import type { SignerState } from '../../trust/publish/signer-state.ts';
import { findBeginning } from '../../trust/publish/staged-creation.ts';
import { anchorFor } from '../../trust/read/bootstrap.ts';
import type { ReadOptions } from '../../trust/read/collection.ts';
import type { TrustMemory } from '../../trust/read/memory.ts';
import { collectionUnder, isPrefix, type Pin } from '../../trust/read/pin.ts';
import type { TufSigner } from '../../tuf/edit/signing.ts';
import { pinFor } from './catalogue.ts';

/** A repository as the re-signer uses it. */
export type ServedTarget = TrustTarget & Resolver;

/** One pass over one collection; see `resignCollection`. */
export type ResignCore = (
  target: TrustTarget,
  read: ReadOptions,
  options: {
    readonly signers: readonly TufSigner[];
    readonly state: SignerState;
    readonly renew: boolean;
    readonly signal: AbortSignal;
    readonly onWarning: (message: string) => void;
  },
) => Promise<RenewedCollection>;

/** With what collections are served; may change while others are served. */
export interface SigningMaterial {
  readonly pins: readonly Pin[];
  readonly signers: readonly TufSigner[];
  readonly state: SignerState;
  /** What is remembered from pass to pass; a new one for each pass where nothing is. */
  readonly memory: () => TrustMemory;
  /** Whether a collection may carry another name than its pin says: other names of the registry itself. */
  readonly isAlsoNamed?: ((place: string, collection: string) => boolean) | undefined;
}

export interface WorkerOptions {
  readonly clock: Clock;
  readonly fraction: () => number;
  readonly material: () => SigningMaterial;
  readonly core: ResignCore;
  /** @throws BullaError */
  readonly target: (reference: RegistryReference) => Promise<ServedTarget>;
  readonly warn: (place: string, message: string) => void;
}

/** How many looks for a head share one list of the tags. */
const LOOKS_PER_LIST = 3;

/** Wires the steps to registries, pins, keys and state. */
export function workerPorts(options: WorkerOptions): StepPorts {
  const { clock, fraction, material, core, warn } = options;
  const targetOf = (place: string): Promise<ServedTarget> => options.target(referenceOf(place));
  /** Looks at places without a head. */
  const looks = new Map<string, number>();
  /** The stage that begins a collection of which no head was ever seen. */
  const beginningAt = async (
    place: string,
    target: ServedTarget,
    signal: AbortSignal,
  ): Promise<Tag | undefined> => {
    if ((await material().memory().seen(place)) !== undefined) return undefined;
    return await findBeginning(
      target,
      readOptions(place, material(), clock.now(), signal, () => undefined),
    );
  };
  return {
    clock,
    fraction,
    look: async (place, seen, listing, signal) =>
      await lookAt(await targetOf(place), seen, listing, { signal }),
    marks: async (place, signal) => await listMarks(await targetOf(place), { signal }),
    async isThere(place, signal) {
      const { pins, memory } = material();
      const pin = pinFor(pins, place);
      if (pin !== undefined && !isPrefix(pin.scope)) return true;
      if ((await memory().seen(place)) !== undefined) return true;
      const target = await targetOf(place);
      if ((await resolveIfThere(target, HEAD_TAG, { signal })) !== undefined) {
        looks.delete(place);
        return true;
      }
      // Most repositories under a prefix never get a collection: their tags are listed at every third look only.
      const look = looks.get(place) ?? 0;
      looks.set(place, look + 1);
      if (look % LOOKS_PER_LIST !== 0) return false;
      if ((await listMarks(target, { signal })).size === 0) return false;
      // What was begun without the online key waits for a person, who must be told.
      return (await beginningAt(place, target, signal)) !== undefined;
    },
    async resign(place, { renew, signal }) {
      const { signers, state } = material();
      if (signers.length === 0) throw noKey();
      const onWarning = (message: string): void => warn(place, message);
      const read = readOptions(place, material(), clock.now(), signal, onWarning);
      const target = await targetOf(place);
      try {
        return await core(target, read, { signers, state, renew, signal, onWarning });
      } catch (error) {
        if (!isBullaError(error) || error.details['reason'] !== 'missing-head') throw error;
        const tag = await beginningAt(place, target, signal);
        throw tag === undefined ? error : begun(place, tag, error);
      }
    },
  };
}

/**
 * How a collection that is served is read.
 * @throws BullaError trust-unpinned, config-invalid
 */
export function readOptions(
  place: string,
  { pins, memory, isAlsoNamed }: SigningMaterial,
  now: Date,
  signal: AbortSignal,
  onWarning: (message: string) => void,
): ReadOptions {
  const pin = pinFor(pins, place);
  if (pin === undefined) throw unpinned(place);
  const name = collectionUnder(pin, place);
  const isNamed = (collection: string): boolean =>
    isSamePlace(collection, name) || isAlsoNamed?.(place, collection) === true;
  return {
    place,
    now,
    memory: memory(),
    isNamed,
    isDemanded: true,
    signal,
    onWarning,
    ...anchorFor({ repository: place, isNamed, now, pin, isUnattended: true, onWarning }),
  };
}

/** @throws BullaError usage */
export function referenceOf(place: string): RegistryReference {
  const reference = parseReference(place);
  if (reference.kind === 'registry') return reference;
  throw new BullaError('usage', `${place} is not in a registry, and nothing else is served`, {
    hint: 'name HOST/REPOSITORY',
  });
}

function unpinned(place: string): BullaError {
  return new BullaError('trust-unpinned', `no trust root configured for the collection at ${place}`, {
    hint: 'add it to the configuration with its rootFile, rootKeyIds or caFile, or pin it: bulla pin',
  });
}

function begun(place: string, tag: Tag, cause: BullaError): BullaError {
  return new BullaError(
    'trust-invalid',
    `${place} has no head yet: ${tag} begins it, without the online key`,
    {
      cause,
      hint: `complete it where the online key is, if there never was a head: bulla init ${place} --complete`,
      details: { place, tag, reason: 'missing-head' },
    },
  );
}

function noKey(): BullaError {
  return new BullaError('key-invalid', 'the re-signer has no key', {
    hint: 'name the online key: key in the configuration, or --key',
  });
}

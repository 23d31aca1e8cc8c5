import { isSamePlace, placeNamed } from '../../oci/place.ts';
import { parseReference, type Reference } from '../../oci/reference.ts';
import type { CallOptions } from '../../oci/target.ts';
import type { ObjectSource } from '../../trust/format/object.ts';
import type { ReadOptions } from '../../trust/read/collection.ts';
import type { BlobCache, TrustMemory } from '../../trust/read/memory.ts';
import {
  checkCollectionName,
  checkKeyIds,
  collectionUnder,
  findPin,
  isPinnedBy,
  type Pin,
  type PinnedTrust,
} from '../../trust/read/pin.ts';

/** What is asked of a collection, beside what the pins say. */
export interface CollectionDemands {
  /** Where it lies; left out, where a pin says, else in the repository itself. */
  readonly at?: Reference | undefined;
  /** `HOST/REPOSITORY` that it was made for, if this is a copy. */
  readonly collection?: string | undefined;
  /** Whose root keys are trusted, instead of a pin. */
  readonly trust?: PinnedTrust | undefined;
  /** How long after expiry metadata still counts, in milliseconds; 0 if left out. */
  readonly maxStaleness?: number | undefined;
}

/** What a collection is found and read with. */
export interface CollectionPorts<S extends ObjectSource = ObjectSource> extends CallOptions {
  readonly now: Date;
  readonly memory: TrustMemory;
  readonly cache?: BlobCache | undefined;
  /** All pins; asked for once for each collection. @throws BullaError config-invalid, storage-error */
  pins(): Promise<Iterable<Pin>>;
  /** The canonical spelling of a place (spec/trust-reading.md, "Places"): `HOST/REPOSITORY`, or a layout's whole path. */
  placeOf(reference: Reference): string;
  /** The repository or layout where a collection lies. Nothing is asked of it yet. */
  openSource(reference: Reference): Promise<S>;
  /** Root keys cannot be compared, as in CI: `tofu` among the demands is ignored. */
  readonly isUnattended: boolean;
  readonly onWarning?: ((message: string) => void) | undefined;
  /** As {@link ReadOptions.pause}; for registries only. */
  readonly pause?: ((ms: number) => Promise<void>) | undefined;
}

/** Where a collection is read, and under which conditions. Nothing was asked of the place yet. */
export interface OpenedCollection<S extends ObjectSource = ObjectSource> {
  /** Key of what is remembered: `HOST/REPOSITORY`, or `oci:/path`. */
  readonly place: string;
  /** `HOST/REPOSITORY` of the image, or its layout. */
  readonly repository: string;
  /** Name that the collection must carry. */
  readonly name: string;
  readonly target: S;
  readonly read: ReadOptions;
  /** The root of trust that holds, from the demands or a pin; undefined where there is none. */
  readonly pin?: Pin | undefined;
}

/**
 * Finds the collection of a repository: where it lies, the name that it must carry, and the root of trust that
 * holds (spec/trust-reading.md, "Pins"). `readCollection` then reads `target` with `read`.
 * @throws BullaError usage, config-invalid, storage-error; what the ports throw
 */
export async function openCollection<S extends ObjectSource>(
  reference: Reference,
  demands: CollectionDemands,
  ports: CollectionPorts<S>,
): Promise<OpenedCollection<S>> {
  const { now, memory, cache, signal, onWarning } = ports;
  const repository = ports.placeOf(reference);
  const { pin, name, isDemanded, at } = await rootOfTrust(repository, demands, ports);
  const lies = withoutVersion(at ?? reference);
  const place = ports.placeOf(lies);
  const isNamed = (collection: string): boolean => isSamePlace(collection, name);
  const isUnattended = isDemanded && ports.isUnattended;
  const read: ReadOptions = {
    ...{ place, now, memory, isNamed, cache, signal, onWarning },
    ...(lies.kind === 'registry' && { pause: ports.pause }),
    isDemanded: pin !== undefined,
    maxStaleness: demands.maxStaleness ?? 0,
    isPinned: isPinnedBy(pin),
    // Loaded when a head has come, or not at all: where it was seen before, it is not asked.
    anchor: async (roots) => {
      const { anchorFor } = await import('../../trust/read/bootstrap.ts');
      if (isUnattended && pin?.trust.kind === 'tofu')
        onWarning?.('--tofu is ignored in CI, where the root keys are not compared');
      return await anchorFor({ repository, isNamed, now, pin, isUnattended, onWarning }).anchor(roots);
    },
  };
  return { place, repository, name, target: await ports.openSource(lies), read, pin };
}

/** Whether a collection is pinned or was seen before: then what it says counts, and it must not be missing. */
export async function isExpected({ pin, place, read }: OpenedCollection): Promise<boolean> {
  return pin !== undefined || (await read.memory.seen(place)) !== undefined;
}

interface RootOfTrust {
  readonly pin: Pin | undefined;
  /** Name that the collection must carry. */
  readonly name: string;
  /** Whether the pin is from the demands, and so was not made with care beforehand. */
  readonly isDemanded: boolean;
  readonly at: Reference | undefined;
}

/** The pin that holds, and the name that the collection must carry. */
async function rootOfTrust(
  repository: string,
  demands: CollectionDemands,
  ports: CollectionPorts,
): Promise<RootOfTrust> {
  const named =
    demands.collection === undefined ? undefined : placeNamed(checkCollectionName(demands.collection));
  const { trust } = demands;
  const pins = [...(await ports.pins())];
  const own = findPin(pins, repository);
  // A copy of NAME is trusted as NAME is.
  const pin = (named !== undefined && (findPin(pins, named) ?? (await seenUnder(named, ports)))) || own;
  const name = named ?? (own === undefined ? repository : collectionUnder(own, repository));
  const at = demands.at ?? (own?.at === undefined ? undefined : parseReference(own.at));
  if (trust === undefined) return { pin, name, isDemanded: false, at };
  checkKeyIds(trust);
  return { pin: { scope: name, trust }, name, isDemanded: true, at };
}

/** The root that was verified at the place of this name, where a copy of it is to be read and nothing is pinned. */
async function seenUnder(name: string, { memory }: CollectionPorts): Promise<Pin | undefined> {
  const seen = await memory.seen(name);
  const bytes = seen && (await (await memory.open(seen)).load('root'));
  return bytes && { scope: name, trust: { kind: 'root', bytes } };
}

function withoutVersion(reference: Reference): Reference {
  const { tag: _, digest: __, ...rest } = reference;
  return rest as Reference;
}

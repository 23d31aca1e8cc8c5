import { BullaError, isBullaError } from '../errors.ts';
import type { ManifestContent } from '../oci/manifest.ts';
import type { CallOptions } from '../oci/target.ts';
import { refresh, type TufClient } from '../tuf/client.ts';
import { DEFAULT_LIMITS } from '../tuf/limits.ts';
import { type BindingCheck, bindingCheck, type CollectionId, rootBindingOf } from './binding.ts';
import { type CollectionMemory, type KnownHead, otherCollection, type TrustMemory } from './memory.ts';
import { fetchFile, type ObjectSource, openTrustObject, type TrustObject } from './object.ts';
import { ObjectFetcher } from './object-fetcher.ts';
import { HEAD_TAG } from './vocabulary.ts';

/** The roots that a head lists, none of them believed yet. */
export interface RootFiles {
  /** In ascending order; gaps are possible, for the head is not signed. */
  readonly versions: readonly number[];
  /** @throws BullaError trust-invalid where it is not listed; content-invalid; what the source throws */
  load(version: number): Promise<Uint8Array>;
}

/** What a collection's trust begins with. */
export interface Anchored {
  readonly id: CollectionId;
  /** The root from which TUF's chain leads on. */
  readonly initialRoot: Uint8Array;
}

/**
 * Says whom to believe first: a pin, or whoever is there (spec/trust.md, "Bootstrap").
 * @throws BullaError trust-unpinned, trust-invalid
 */
export type Anchor = (roots: RootFiles) => Promise<Anchored>;

export interface ReadOptions extends CallOptions {
  /** `HOST/REPOSITORY` where the collection lies; the key of what is remembered about the place. */
  readonly place: string;
  readonly now: Date;
  readonly memory: TrustMemory;
  /** Asked where nothing is remembered of the place; where `isPinned`, always. */
  readonly anchor: Anchor;
  /** Whether the anchor is a pin, so that a missing head is a failure and the anchor must hold each time. */
  readonly isPinned: boolean;
  /** Whether the collection may carry this `HOST/REPOSITORY` name: it is the place, or what a mapping says. */
  readonly isNamed: (collection: string) => boolean;
  readonly onWarning?: ((message: string) => void) | undefined;
}

/** A verified collection, as of one refresh. */
export interface Collection {
  readonly place: string;
  readonly id: CollectionId;
  /** `HOST/REPOSITORY` that its root names. */
  readonly name: string;
  readonly source: ObjectSource;
  readonly object: TrustObject;
  readonly client: TufClient;
  readonly memory: CollectionMemory;
  /** The demand that all of its files meet; for siblings of the head that are to be verified. */
  readonly check: BindingCheck;
}

/** Two heads may be racing: for so long after a refresh an older one is answered from memory, in milliseconds. */
export const RACE_MS = 60_000;

/**
 * Reads and verifies the collection at a place (spec/trust.md, "Refresh"): one request where the head is
 * as it was.
 * @returns undefined where there is none, and none was pinned or seen
 * @throws BullaError trust-invalid (a head is missing where one was: details.reason `missing-head`), trust-expired,
 *   trust-rollback, trust-unpinned, content-invalid; what source and memory throw
 */
export async function readCollection(
  source: ObjectSource,
  options: ReadOptions,
): Promise<Collection | undefined> {
  const { memory, place, isPinned } = options;
  const seen = await memory.seen(place);
  const known = seen && (await (await memory.open(seen)).loadHead(place));
  const content = await fetchHead(source, known?.content, options);
  if (content === undefined) {
    if (isPinned || seen !== undefined) throw missingHead(place);
    return undefined;
  }
  const object = await openTrustObject(source, content, options);
  if (object.kind !== 'head' || object.isCandidate) throw notAHead(place, object);
  return await verifyHead(source, object, options, seen, known);
}

async function fetchHead(
  source: ObjectSource,
  known: ManifestContent | undefined,
  options: ReadOptions,
): Promise<ManifestContent | undefined> {
  try {
    if (known === undefined) return await source.fetchManifest(HEAD_TAG, options);
    return (await source.fetchManifestUnless(HEAD_TAG, known.descriptor.digest, options)) ?? known;
  } catch (error) {
    if (isBullaError(error, 'not-found')) return undefined;
    throw error;
  }
}

async function verifyHead(
  source: ObjectSource,
  object: TrustObject,
  options: ReadOptions,
  seen: CollectionId | undefined,
  known: KnownHead | undefined,
): Promise<Collection> {
  const { memory, place, now, anchor, isPinned, isNamed, onWarning } = options;
  const anchored =
    seen === undefined || isPinned ? await anchor(rootsOf(source, object, options)) : undefined;
  const id = anchored?.id ?? (seen as CollectionId);
  if (seen !== undefined && seen !== id) throw otherCollection(place, seen, id);
  const store = await memory.open(id);
  const check = bindingCheck(id, isNamed);
  const update = async (of: TrustObject) => {
    const client = await refresh(new ObjectFetcher(source, of, options), store, now, {
      demand: check,
      ...(anchored !== undefined && { initialRoot: anchored.initialRoot }),
      ...(onWarning !== undefined && { onWarning }),
    });
    const { collection } = rootBindingOf(client.trusted.root.file);
    return { place, id, name: collection, source, object: of, client, memory: store, check };
  };
  try {
    const collection = await update(object);
    await store.keepHead(place, { content: object.content, refreshedAt: now });
    await memory.note(place, id);
    return collection;
  } catch (error) {
    const isRace = known !== undefined && now.getTime() - known.refreshedAt.getTime() < RACE_MS;
    if (!isRace || !isBullaError(error, 'trust-rollback')) throw error;
    onWarning?.(
      `${place} went back to an older state (${error.message}); it was refreshed ${Math.round((now.getTime() - known.refreshedAt.getTime()) / 1000)} s ago, and two publishers may be racing, so the answer is from then`,
    );
    return await update(await openTrustObject(source, known.content, options));
  }
}

/** The roots in an object, for an anchor. */
export function rootsOf(source: ObjectSource, object: TrustObject, options: CallOptions): RootFiles {
  const versions = [...object.files.keys()]
    .flatMap((name) => /^([1-9][0-9]{0,8})\.root\.json$/.exec(name)?.[1] ?? [])
    .map(Number)
    .sort((a, b) => a - b);
  return {
    versions,
    load: async (version) => {
      const descriptor = object.files.get(`${version}.root.json`);
      if (descriptor === undefined)
        throw new BullaError('trust-invalid', `${source.name} lists no root ${version}`, {
          hint: 'the collection was cut short or put together by somebody else',
          details: { role: 'root', reason: 'missing', version },
        });
      return await fetchFile(source, descriptor, DEFAULT_LIMITS.rootBytes, options);
    },
  };
}

function missingHead(place: string): BullaError {
  return new BullaError(
    'trust-invalid',
    `${place} has no trust collection any more: the tag ${HEAD_TAG} is gone`,
    {
      hint: 'somebody removed it, or it lies elsewhere now (--at); that names are no longer signed is for you to say: bulla pin rm',
      details: { place, reason: 'missing-head' },
    },
  );
}

function notAHead(place: string, object: TrustObject): BullaError {
  const what = object.isCandidate ? 'a candidate' : `a ${object.kind}`;
  return new BullaError('trust-invalid', `${place}: the tag ${HEAD_TAG} is ${what}, not a head`, {
    hint: 'somebody moved the tag; publish again, or bulla status to see whether a head can be restored',
    details: { place, reason: 'object' },
  });
}

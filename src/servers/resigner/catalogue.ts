import { failureOf } from '../../actions/renew/failure.ts';
import type { PassResult } from '../../actions/renew/pass.ts';
import { isInShard, type Shard } from '../../actions/renew/shard.ts';
import { BullaError, isBullaError } from '../../errors.ts';
import { placeNamed } from '../../oci/place.ts';
import { findPin, isPrefix, type Pin } from '../../trust/read/pin.ts';

/** Most collections that one process takes on. */
export const MAX_COLLECTIONS: number = 100_000;

interface PinIndex {
  readonly exact: ReadonlyMap<string, Pin>;
  readonly prefixes: readonly Pin[];
  readonly registries: ReadonlySet<string>;
}

const indexes = new WeakMap<readonly Pin[], PinIndex>();

/** As {@link findPin}, in a list that may name ten thousand repositories one by one. */
export function pinFor(pins: readonly Pin[], place: string): Pin | undefined {
  const { exact, prefixes } = indexOf(pins);
  return exact.get(placeNamed(place)) ?? findPin(prefixes, place);
}

function indexOf(pins: readonly Pin[]): PinIndex {
  let index = indexes.get(pins);
  if (index === undefined) {
    index = {
      exact: new Map(
        pins.flatMap((pin) => (isPrefix(pin.scope) ? [] : [[placeNamed(pin.scope), pin] as const])),
      ),
      prefixes: pins.filter(({ scope }) => isPrefix(scope)),
      registries: new Set(pins.map(({ scope }) => registryOf(scope))),
    };
    indexes.set(pins, index);
  }
  return index;
}

/** Lists the repositories of a registry. */
export type ListRepositories = (registry: string) => AsyncIterable<string>;

/** Registries of whose repositories some are meant by a prefix. */
export function registriesToList(pins: readonly Pin[]): ReadonlySet<string> {
  return new Set(pins.filter(({ scope }) => isPrefix(scope)).map(({ scope }) => registryOf(scope)));
}

/** Repositories that are named one by one. */
export function exactPlaces(pins: readonly Pin[], shard: Shard | undefined): readonly string[] {
  return pins.map(({ scope }) => scope).filter((scope) => !isPrefix(scope) && isOurs(scope, shard));
}

/**
 * Repositories of a registry that some pin is about and that are this shard's.
 * @throws BullaError what the listing throws
 */
export async function placesIn(
  registry: string,
  pins: readonly Pin[],
  shard: Shard | undefined,
  list: ListRepositories,
): Promise<readonly string[]> {
  const places: string[] = [];
  try {
    for await (const repository of list(registry)) {
      const place = `${registry}/${repository}`;
      if (pinFor(pins, place) !== undefined && isOurs(place, shard)) places.push(place);
      if (places.length >= MAX_COLLECTIONS) break;
    }
  } catch (error) {
    if (isBullaError(error, 'not-found', 'unauthorized', 'forbidden')) throw unlisted(registry, error);
    throw error;
  }
  return places;
}

/**
 * All places that pins name, exactly or by a prefix that a registry lists.
 * @returns also a failed result for each registry that does not list its repositories: others are served anyway
 */
export async function allPlaces(
  pins: readonly Pin[],
  shard: Shard | undefined,
  list: (registry: string) => AsyncIterable<string>,
): Promise<{ readonly places: readonly string[]; readonly unlisted: readonly PassResult[] }> {
  const places = new Set(exactPlaces(pins, shard));
  const failed: PassResult[] = [];
  for (const registry of registriesToList(pins)) {
    try {
      for (const place of await placesIn(registry, pins, shard, list)) places.add(place);
    } catch (error) {
      const outcome = { kind: 'failed', failure: failureOf(error) } as const;
      failed.push({ place: `${registry}/*`, outcome, alarms: [] });
    }
  }
  return { places: [...places].sort(), unlisted: failed };
}

function unlisted(registry: string, cause: BullaError): BullaError {
  return new BullaError(cause.code, `${registry} does not list its repositories: ${cause.message}`, {
    cause,
    hint: 'name them one by one in the configuration, or have the registry notify; else the account must be allowed to read the catalogue',
    details: cause.details,
  });
}

/**
 * Places that a notification about a repository may mean: it does not say in which registry, in a way that
 * reliable.
 */
export function placesNotified(
  repository: string,
  pins: readonly Pin[],
  shard: Shard | undefined,
): readonly string[] {
  return [...indexOf(pins).registries]
    .map((registry) => `${registry}/${repository}`)
    .filter((place) => pinFor(pins, place) !== undefined && isOurs(place, shard));
}

/** `HOST` of `HOST/REPOSITORY` or of a prefix. */
export function registryOf(place: string): string {
  return place.slice(0, place.indexOf('/'));
}

function isOurs(place: string, shard: Shard | undefined): boolean {
  return shard === undefined || isInShard(place, shard);
}

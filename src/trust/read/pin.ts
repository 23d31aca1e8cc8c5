import { BullaError } from '../../errors.ts';
import { isSamePlace, placeNamed } from '../../oci/place.ts';
import { isRegistryHost, isRepositoryName } from '../../oci/reference.ts';

/** The trust root of a pin: exactly one of these. */
export type PinnedTrust =
  /** A root file of the collection, any of its versions, as it came. */
  | { readonly kind: 'root'; readonly bytes: Uint8Array }
  /** Ids of root keys: some root must meet its own threshold with them alone. */
  | { readonly kind: 'key-ids'; readonly keyIds: readonly string[] }
  /** Certificates of authorities (PEM) that certify the keys of every root. */
  | { readonly kind: 'ca'; readonly pem: string }
  /** Trust on first use. */
  | { readonly kind: 'tofu' };

/** A pin: the trust root of a repository, or of all below a prefix (spec/trust-reading.md, "Pins"). */
export interface Pin {
  /** `HOST/REPOSITORY`, `HOST/PREFIX/*` or `HOST/*`. */
  readonly scope: string;
  readonly trust: PinnedTrust;
  /** Older roots are refused, for readers who remember nothing. */
  readonly minRootVersion?: number | undefined;
  /** Name that the collection must have, if it is not the repository; `*` is replaced by what the scope's matched. */
  readonly collection?: string | undefined;
  /** Repository where the collection lies, where it is not the one that is pinned. */
  readonly at?: string | undefined;
}

const WILDCARD = '/*';

/**
 * A scope, checked.
 * @throws BullaError usage
 */
export function checkScope(scope: string): string {
  if (isWellFormed(scope)) return scope;
  throw new BullaError('usage', `${quote(scope)} is not a scope of a pin`, {
    hint: 'write HOST/REPOSITORY for one repository, HOST/PREFIX/* for all below a prefix',
  });
}

/**
 * A pin whose parts go together.
 * @throws BullaError usage
 */
export function checkPin(pin: Pin): Pin {
  const { scope, trust, minRootVersion, collection, at } = pin;
  checkScope(scope);
  if (trust.kind === 'root' && isPrefix(scope))
    throw new BullaError('usage', `a root file belongs to one collection, but ${scope} matches many`, {
      hint: 'pin it to HOST/REPOSITORY; for a prefix, pin key ids or a CA',
    });
  checkKeyIds(trust);
  if (minRootVersion !== undefined && !(Number.isSafeInteger(minRootVersion) && minRootVersion > 0))
    throw new BullaError('usage', `${minRootVersion} is not a version of a root`, {
      hint: 'versions are whole numbers from 1 on',
    });
  if (collection !== undefined) checkMapping(scope, collection);
  if (at !== undefined && (isPrefix(scope) || isPrefix(at) || !isWellFormed(at)))
    throw new BullaError('usage', `the collection of ${scope} can't lie at ${quote(at)}`, {
      hint: 'write HOST/REPOSITORY, for a scope that is one repository too',
    });
  return pin;
}

/** Key ids that can be ids. @throws BullaError usage */
export function checkKeyIds(trust: PinnedTrust): void {
  if (trust.kind !== 'key-ids') return;
  const wrong = trust.keyIds.find((id) => !/^[0-9a-f]{64}$/.test(id));
  if (wrong === undefined && trust.keyIds.length > 0) return;
  throw new BullaError('usage', `${quote(wrong ?? '')} is not a key id`, {
    hint: 'an id is 64 lower-case hexadecimal digits; bulla init prints those of the root keys',
  });
}

/**
 * The name of a collection as a flag gives it: one repository, never a pattern.
 * @throws BullaError usage
 */
export function checkCollectionName(name: string): string {
  if (isWellFormed(name) && !isPrefix(name)) return name;
  throw new BullaError('usage', `${quote(name)} is not the name of a collection`, {
    hint: 'write the HOST/REPOSITORY under which it was made',
  });
}

/** Whether a pin applies at each reading; trust on first use applies once. */
export function isPinnedBy(pin: Pin | undefined): boolean {
  return pin !== undefined && pin.trust.kind !== 'tofu';
}

/**
 * The pin that holds for a repository: an exact one, else that of the longest prefix. Both are places, in
 * whatever spelling.
 * @param repository `HOST/REPOSITORY`
 */
export function findPin<P extends { readonly scope: string }>(
  pins: Iterable<P>,
  repository: string,
): P | undefined {
  const place = placeNamed(repository);
  let best: { readonly pin: P; readonly length: number } | undefined;
  for (const pin of pins) {
    const scope = placeNamed(pin.scope);
    if (scope === place) return pin;
    const matches = isPrefix(scope) && matchOf(scope, place) !== undefined;
    if (matches && (best === undefined || scope.length > best.length)) best = { pin, length: scope.length };
  }
  return best?.pin;
}

/**
 * Name that the collection of a repository must carry under a pin.
 * @throws BullaError config-invalid where the mapping makes no name of it
 */
export function collectionUnder({ scope, collection }: Pin, repository: string): string {
  if (collection === undefined) return repository;
  const name = isPrefix(collection)
    ? `${collection.slice(0, -1)}${matchOf(scope, repository) ?? ''}`
    : collection;
  if (isWellFormed(name) && !isPrefix(name)) return name;
  throw new BullaError('config-invalid', `the pin of ${scope} makes ${quote(name)} of ${repository}`, {
    hint: 'correct its --collection: bulla pin',
  });
}

/** Whether a scope matches all below a prefix. */
export function isPrefix(scope: string): boolean {
  return scope.endsWith(WILDCARD);
}

/** Whether a scope, exact or of a prefix, is about a repository. A malformed one is about none. */
export function covers(scope: string, repository: string): boolean {
  if (!isWellFormed(scope)) return false;
  return isPrefix(scope) ? matchOf(scope, repository) !== undefined : isSamePlace(scope, repository);
}

/** What the `*` of a prefix matches in a repository: the rest of its path; undefined if it isn't below. */
function matchOf(scope: string, repository: string): string | undefined {
  // The slash stays, so that HOST/team/* is not about HOST/team2/app.
  const prefix = placeNamed(scope).slice(0, -1);
  const place = placeNamed(repository);
  return place.startsWith(prefix) && place.length > prefix.length ? place.slice(prefix.length) : undefined;
}

function isWellFormed(scope: string): boolean {
  const bare = isPrefix(scope) ? scope.slice(0, -WILDCARD.length) : scope;
  const slash = bare.indexOf('/');
  const host = slash < 0 ? bare : bare.slice(0, slash);
  if (!isRegistryHost(host) || host !== host.toLowerCase()) return false;
  return slash < 0 ? isPrefix(scope) : isRepositoryName(bare.slice(slash + 1));
}

function checkMapping(scope: string, collection: string): void {
  if (!isWellFormed(collection))
    throw new BullaError('usage', `${quote(collection)} is not the name of a collection`, {
      hint: 'write HOST/REPOSITORY, or HOST/PREFIX/* if the scope is a prefix too',
    });
  if (isPrefix(scope) !== isPrefix(collection))
    throw new BullaError('usage', `${scope} can't be mapped to ${collection}: only one of them ends in /*`, {
      hint: 'the * of the collection is replaced by what the * of the scope matched: both have one, or neither',
    });
}

function quote(text: string): string {
  return JSON.stringify(text.length > 160 ? `${text.slice(0, 157)}…` : text);
}

import type { CallOptions } from '../../oci/target.ts';
import { delegationOf, isTrustedWith } from '../../tuf/delegations.ts';
import { binNames } from '../../tuf/hash-bins.ts';
import { missingFile } from '../../tuf/refusals.ts';
import type { Targets } from '../../tuf/targets.ts';
import type { Trusted } from '../../tuf/trusted-metadata.ts';
import { NAMES_ROLE } from '../format/vocabulary.ts';
import { type NamedDigest, namesIn } from '../read/names.ts';
import { ObjectFetcher } from '../read/object-fetcher.ts';
import type { WorkingCopy } from '../read/working-copy.ts';

/** What is signed about one name, and by which roles; a name about which they disagree is listed for each digest. */
export interface ListedName extends NamedDigest {
  /** As signed: other tools may name what is not a valid tag. */
  readonly name: string;
  /** `names` and signers, in the order in which the collection lists them. */
  readonly signers: readonly string[];
}

/** How many bins are read at a time, and held. */
const BINS_AT_A_TIME = 8;

/**
 * Every name of a collection, in pieces: all of it, in order, where there are no bins; else bin by bin, in
 * order in each, and what `names` does not name at the end. What is held meanwhile is a few bins and the
 * names of the signers.
 * @throws BullaError trust-invalid, trust-expired, content-invalid; what the source throws
 */
export async function* listNames(
  copy: WorkingCopy,
  options: CallOptions = {},
): AsyncGenerator<readonly ListedName[]> {
  const rest = signersNames(copy);
  const own = trustedNames(copy, NAMES_ROLE, copy.contentOf(NAMES_ROLE));
  if (copy.bins === undefined) {
    yield [...merge(new Set([...own.keys(), ...rest.keys()]), own, rest)].sort(byName);
    return;
  }
  if (own.size > 0) yield [...merge(own.keys(), own, rest)];
  for await (const [, { content }] of readBins(copy, options)) {
    const names = trustedNames(copy, NAMES_ROLE, content);
    yield [...merge(names.keys(), names, rest)];
  }
  yield [...merge([...rest.keys()], new Map(), rest)].sort(byName);
}

/**
 * Verified files of all bins, in order, a few at a time; none of them is kept.
 * @throws BullaError trust-invalid, trust-expired, content-invalid; what the source throws
 */
export async function* readBins(
  copy: WorkingCopy,
  options: CallOptions = {},
): AsyncGenerator<readonly [bin: string, file: Trusted<Targets>]> {
  const { bins, collection } = copy;
  const { source, object } = collection;
  const { trusted } = collection.client;
  const names = copy.contentOf(NAMES_ROLE);
  if (bins === undefined || names.delegations === undefined) return;
  const { delegations } = names;
  const fetcher = new ObjectFetcher(source, object, options);
  const read = async (bin: string): Promise<readonly [string, Trusted<Targets>][]> => {
    const delegated = delegationOf(delegations, bin);
    if (delegated === undefined) return [];
    const delegator = trusted.delegatorFor(NAMES_ROLE, names, delegated);
    const known = trusted.knownRole(bin, delegator);
    if (known !== undefined) return [[bin, known]];
    const { fileName, maxBytes } = trusted.roleRequest(bin);
    const bytes = await fetcher.fetchMetadata(fileName, maxBytes);
    if (bytes === undefined) throw missingFile(bin, fileName);
    const file = trusted.updateRole(bin, bytes, delegator);
    trusted.forgetRole(bin);
    return [[bin, file]];
  };
  for (const some of inGroups([...binNames(bins)], BINS_AT_A_TIME))
    for (const found of await Promise.all(some.map(read))) yield* found;
}

type Said = NamedDigest & { readonly role: string };

/** What signers say, by name; taken out of it when it is listed. */
function signersNames(copy: WorkingCopy): Map<string, Said[]> {
  const said = new Map<string, Said[]>();
  for (const { name: role } of copy.delegations.roles) {
    if (role === NAMES_ROLE) continue;
    for (const [name, named] of trustedNames(copy, role, copy.contentOf(role)))
      said.set(name, [...(said.get(name) ?? []), { ...named, role }]);
  }
  return said;
}

/** Names in a role's file, or in a bin of it, that the role is trusted with: a look-up finds no others. */
function trustedNames(copy: WorkingCopy, role: string, content: Targets): Map<string, NamedDigest> {
  const delegated = delegationOf(copy.delegations, role);
  const names = [...namesIn(content, role)];
  return new Map(names.filter(([name]) => delegated !== undefined && isTrustedWith(delegated, name)));
}

function* merge(
  listed: Iterable<string>,
  names: ReadonlyMap<string, NamedDigest>,
  rest: Map<string, Said[]>,
): Generator<ListedName> {
  for (const name of listed) {
    const named = names.get(name);
    const said = [
      ...(named === undefined ? [] : [{ ...named, role: NAMES_ROLE }]),
      ...(rest.get(name) ?? []),
    ];
    rest.delete(name);
    const digests = new Map<string, Said[]>();
    for (const one of said) digests.set(one.digest, [...(digests.get(one.digest) ?? []), one]);
    for (const same of digests.values()) {
      const { role: _, ...first } = same[0] as Said;
      yield { name, ...first, signers: same.map(({ role }) => role) };
    }
  }
}

function* inGroups<T>(all: readonly T[], size: number): Generator<readonly T[]> {
  for (let at = 0; at < all.length; at += size) yield all.slice(at, at + size);
}

function byName({ name: a }: ListedName, { name: b }: ListedName): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

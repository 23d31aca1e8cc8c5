import { isBullaError } from '../../errors.ts';
import { hexOf } from '../../oci/digest.ts';
import type { Tag } from '../../oci/reference.ts';
import type { CallOptions } from '../../oci/target.ts';
import { presentKeys } from '../../trust/change/role-changes.ts';
import { NAMES_ROLE } from '../../trust/format/vocabulary.ts';
import { findName } from '../../trust/read/names.ts';
import type { WorkingCopy } from '../../trust/read/working-copy.ts';
import { listNames } from '../../trust/report/listing.ts';
import { dockerKeysIn } from './docker-keys.ts';
import { compareBytes, compareNatural } from './natural-order.ts';

/** A tag that is signed, as `docker trust inspect` shows it. */
export interface SignedTag {
  readonly tag: string;
  /** Hex SHA-256 of the manifest. */
  readonly digest: string;
  /** Signers besides the repository's own key, in the order of the collection; none: signed by that key alone. */
  readonly signers: readonly string[];
}

/** Keys of a signer or of an administrative role, as the collection lists them. */
export interface NamedKeys {
  readonly name: string;
  readonly keyIds: readonly string[];
}

/** What docker shows of the trust in a repository (spec/docker-trust.md, "What is shown"). */
export interface TrustInfo {
  /** The image as it was asked for. */
  readonly name: string;
  /** In natural order of tags. */
  readonly tags: readonly SignedTag[];
  readonly signers: readonly NamedKeys[];
  readonly rootKeys: readonly string[];
  readonly repositoryKeys: readonly string[];
}

/**
 * Gathers what docker shows of a verified collection.
 * @param tag only this one; every tag where it is left out
 * @throws BullaError trust-invalid, trust-expired, content-invalid; what the source throws
 */
export async function trustInfoOf(
  copy: WorkingCopy,
  name: string,
  tag: Tag | undefined,
  options: CallOptions = {},
): Promise<TrustInfo> {
  const { releases, starters } = dockerKeysIn(copy);
  const signers = signerRoles(copy).map((role) => ({
    name: role,
    keyIds: keyIds(copy, role).filter((id) => !starters.has(id)),
  }));
  return {
    name,
    tags: tag === undefined ? await allTags(copy, options) : await oneTag(copy, tag),
    signers,
    rootKeys: keyIds(copy, 'root'),
    repositoryKeys: keyIds(copy, NAMES_ROLE).filter((id) => !releases.has(id)),
  };
}

/** Roles of signers, in the order of the collection. */
export function signerRoles(copy: WorkingCopy): readonly string[] {
  return copy.delegations.roles.map(({ name }) => name).filter((name) => name !== NAMES_ROLE);
}

/** Every tag that `names` holds, with the signers that name the same digest. */
export async function allTags(copy: WorkingCopy, options: CallOptions = {}): Promise<readonly SignedTag[]> {
  const tags: SignedTag[] = [];
  for await (const piece of listNames(copy, options))
    for (const { name, digest, signers } of piece)
      if (signers.includes(NAMES_ROLE))
        tags.push({
          tag: name,
          digest: hexOf(digest),
          signers: signers.filter((role) => role !== NAMES_ROLE),
        });
  return tags.sort((a, b) => compareNatural(a.tag, b.tag) || compareBytes(a.tag, b.tag));
}

/** One tag, where `names` holds it; without reading all others. */
export async function oneTag(copy: WorkingCopy, tag: Tag): Promise<readonly SignedTag[]> {
  const say = async (role: string): Promise<string | undefined> => {
    try {
      return (await findName(copy.collection, tag, { signers: [role] })).digest;
    } catch (error) {
      if (isBullaError(error, 'name-not-signed')) return undefined;
      throw error;
    }
  };
  const digest = await say(NAMES_ROLE);
  if (digest === undefined) return [];
  const signers: string[] = [];
  for (const role of signerRoles(copy)) if ((await say(role)) === digest) signers.push(role);
  return [{ tag, digest: hexOf(digest as Parameters<typeof hexOf>[0]), signers }];
}

function keyIds(copy: WorkingCopy, role: string): readonly string[] {
  return presentKeys(copy, role).keys.map(({ keyid }) => keyid);
}

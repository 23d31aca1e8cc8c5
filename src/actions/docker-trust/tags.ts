import { BullaError } from '../../errors.ts';
import type { ManifestContent } from '../../oci/manifest.ts';
import type { Tag } from '../../oci/reference.ts';
import { namedContentOf } from '../../trust/format/named-content.ts';
import { NAMES_ROLE } from '../../trust/format/vocabulary.ts';
import { type Published, publishNames } from '../../trust/publish/publish.ts';
import type { WorkingCopy } from '../../trust/read/working-copy.ts';
import { delegationOf, isTrustedWith } from '../../tuf/delegations.ts';
import { Keyring } from '../../tuf/edit/demands.ts';
import type { SignatureDemand, TufSigner } from '../../tuf/edit/signing.ts';
import type { ChangePlace } from '../change/place.ts';
import { openEarly } from '../sign/keys-at-hand.ts';
import { allTags, oneTag, type SignedTag, signerRoles } from './trust-info.ts';

/** A tag that was signed. */
export interface SignedByDocker {
  /** What was signed of the tag before; undefined where nothing was. */
  readonly before: SignedTag | undefined;
  /** Roles that say so now: `names` and signers. */
  readonly roles: readonly string[];
  readonly published: Published;
}

/**
 * Signs a tag in every role that there is a key for, as `docker trust sign` does: that of the repository,
 * and those of signers (spec/docker-trust.md, "Signing").
 * @throws BullaError untrusted-identity where there is a key for none; staged; conflict; what reading and
 *   publishing throw
 */
export async function signTag(
  place: ChangePlace,
  copy: WorkingCopy,
  tag: Tag,
  content: ManifestContent,
): Promise<SignedByDocker> {
  const set = new Map([[tag, namedContentOf(content)]]);
  const [before] = await oneTag(copy, tag);
  const { roles, signers } = await signable(place, copy, (role) => mayName(copy, role, tag));
  if (roles.length === 0) throw noKeys(copy);
  const changes = roles.map((role) => ({ role, set }));
  const options = { ...place.publish, signers };
  return { before, roles, published: await publishNames(place.target, place.read, changes, options) };
}

/** Tags that were taken out. */
export interface RevokedByDocker {
  readonly tags: readonly string[];
  /** Signers whose keys are not available, and which still name one of the tags. */
  readonly others: readonly string[];
  readonly published: Published;
}

/**
 * Takes a tag out of `names` and of every signer's role that there is a key for; all tags where none is given.
 * @throws BullaError name-not-signed where there is nothing to take out; untrusted-identity where there is no
 *   key for `names`; staged; conflict; what reading and publishing throw
 */
export async function revokeTags(
  place: ChangePlace,
  copy: WorkingCopy,
  tag: Tag | undefined,
): Promise<RevokedByDocker> {
  const signed = tag === undefined ? await allTags(copy) : await oneTag(copy, tag);
  if (signed.length === 0)
    throw new BullaError(
      'name-not-signed',
      tag === undefined ? 'no signed tags to remove' : `No valid trust data for ${tag}`,
      { hint: `bulla docker-trust inspect ${copy.collection.place} shows the tags that are signed` },
    );
  const tags = signed.map((one) => one.tag);
  // Whatever digest it is that a signer names: the tag goes.
  const named = new Map<string, ReadonlySet<string>>([[NAMES_ROLE, new Set(tags)]]);
  for (const role of signerRoles(copy)) {
    const { targets } = copy.contentOf(role);
    const listed = tags.filter((name) => targets.has(name));
    if (listed.length > 0) named.set(role, new Set(listed));
  }
  const { roles, signers } = await signable(place, copy, (role) => named.has(role));
  if (!roles.includes(NAMES_ROLE)) throw noKeys(copy);
  const changes = roles.flatMap((role) => {
    const unset = named.get(role);
    return unset === undefined ? [] : [{ role, unset }];
  });
  const options = { ...place.publish, signers };
  const published = await publishNames(place.target, place.read, changes, options);
  return { tags, others: [...named.keys()].filter((role) => !roles.includes(role)), published };
}

/**
 * The roles that can be signed for here, and the keys that do it. `names` is signed by signers' keys where
 * there are any, so that it can be seen on whose word a tag stands there.
 */
async function signable(
  { keys }: ChangePlace,
  copy: WorkingCopy,
  isWanted: (role: string) => boolean,
): Promise<{ readonly roles: readonly string[]; readonly signers: readonly TufSigner[] }> {
  const keyring = new Keyring(copy.files);
  const chosen = new Map<string, TufSigner>();
  const take = async (demands: readonly SignatureDemand[]): Promise<void> => {
    const held = new Set(chosen.keys());
    for (const signer of await keys.signersFor(demands, held)) chosen.set(signer.key.keyid, signer);
  };
  const roles: string[] = [];
  const isHeld = ({ role: { keyids } }: SignatureDemand): boolean => keyids.some((id) => chosen.has(id));
  for (const role of [...signerRoles(copy), NAMES_ROLE]) {
    if (!isWanted(role)) continue;
    const demands = keyring.demandsOn(role);
    await take(demands);
    if (demands.some(isHeld)) roles.push(role);
  }
  await take(['snapshot', 'timestamp'].flatMap((role) => keyring.demandsOn(role)));
  return { roles, signers: openEarly([...chosen.values()]) };
}

function mayName({ delegations }: WorkingCopy, role: string, tag: Tag): boolean {
  const delegated = delegationOf(delegations, role);
  return delegated !== undefined && isTrustedWith(delegated, tag);
}

function noKeys(copy: WorkingCopy): BullaError {
  const { place } = copy.collection;
  return new BullaError('untrusted-identity', 'no valid signing keys for delegation roles', {
    hint: `bulla signer ls ${place} shows the signers and their keys; load a key with bulla docker-trust key load`,
    details: { place },
  });
}

import type { Signer } from '../../crypto/signer.ts';
import { BullaError } from '../../errors.ts';
import { formatRepository, type Reference, type Tag } from '../../oci/reference.ts';
import { lifetimesOf } from '../../trust/format/lifetimes.ts';
import type { NamedContent } from '../../trust/format/log.ts';
import type { TrustTarget } from '../../trust/format/ports.ts';
import { NAMES_ROLE } from '../../trust/format/vocabulary.ts';
import type { NameChange, Published, PublishOptions } from '../../trust/publish/publish.ts';
import { type Collection, type ReadOptions, readCollection } from '../../trust/read/collection.ts';
import { WorkingCopy } from '../../trust/read/working-copy.ts';
import { Keyring } from '../../tuf/edit/demands.ts';
import { type TufSigner, tufSigner } from '../../tuf/edit/signing.ts';
import { livesLongEnough } from './existing.ts';
import type { KeysAtHand } from './keys-at-hand.ts';

/** A collection whose names are to be changed, and with what. Nothing was asked of it yet. */
export interface NamingPlace {
  /** `HOST/REPOSITORY` where it lies, or its layout. */
  readonly place: string;
  readonly target: TrustTarget;
  readonly read: ReadOptions;
  readonly keys: Pick<KeysAtHand, 'signersFor'>;
  readonly publish: Omit<PublishOptions, 'signers' | 'intake'>;
}

/** A collection whose names are about to be changed, and the keys for it. */
export interface Naming {
  readonly place: NamingPlace;
  readonly collection: Collection;
  readonly role: string;
  readonly signers: readonly TufSigner[];
  /** What would be signed anew anyway is due: less than a third of its life is left. */
  readonly isRenewalDue: boolean;
}

/**
 * Reads a collection whose names are to be changed, and finds the keys for it. No key is opened yet.
 * @param role role that names them; `names` if left out
 * @returns undefined if there is no collection
 * @throws BullaError untrusted-identity if no key here may sign for the role; usage if there is no such role; what
 *   reading throws
 */
export async function openNaming(place: NamingPlace, role: string = NAMES_ROLE): Promise<Naming | undefined> {
  const { target, read, keys, publish } = place;
  const collection = await readCollection(target, read);
  if (collection === undefined) return undefined;
  const copy = await WorkingCopy.open(collection, { signal: publish.signal });
  copy.contentOf(role);
  const signers = await signersFor(keys, copy, role);
  return { place, collection, role, signers, isRenewalDue: isRenewalDue(copy, role, signers, read.now) };
}

/** Whether a role that publishing would sign, and that a key here signs for, has less than a third of its life left. */
function isRenewalDue(copy: WorkingCopy, role: string, signers: readonly TufSigner[], now: Date): boolean {
  const { trusted } = copy.collection.client;
  const keyring = new Keyring(copy.files);
  const lifetimes = lifetimesOf(copy.files);
  const expiries: readonly (readonly [string, Date])[] = [
    [role, copy.contentOf(role).expires],
    ['snapshot', trusted.snapshot.content.expires],
    ['timestamp', trusted.timestamp.content.expires],
  ];
  return expiries.some(([name, expires]) => {
    const keyids = keyring.demandsOn(name).flatMap(({ role: { keyids } }) => keyids);
    if (!signers.some(({ key }) => keyids.includes(key.keyid))) return false;
    return !livesLongEnough(expires, new Date(now.getTime() + lifetimes(name)), now);
  });
}

/**
 * Names that need not be signed again: the role says the same of them, and nothing that it takes is due for renewal.
 * @throws BullaError what reading the role throws
 */
export async function alreadyNamed(
  { collection, role, isRenewalDue }: Naming,
  names: ReadonlyMap<Tag, NamedContent>,
): Promise<ReadonlySet<Tag>> {
  const already = new Set<Tag>();
  if (isRenewalDue) return already;
  for (const [tag, { sha256, length, mediaType }] of names) {
    for await (const { target } of collection.client.findTargets(tag, { through: role })) {
      const isSame = target.hashes.get('sha256') === sha256 && target.length === length;
      if (isSame && target.custom?.['mediaType'] === mediaType) already.add(tag);
      break;
    }
  }
  return already;
}

async function signersFor(
  keys: NamingPlace['keys'],
  copy: WorkingCopy,
  role: string,
): Promise<readonly TufSigner[]> {
  const keyring = new Keyring(copy.files);
  const signers = await keys.signersFor(
    [role, 'snapshot', 'timestamp'].flatMap((needed) => keyring.demandsOn(needed)),
  );
  const listed = keyring.demandsOn(role).flatMap(({ role: { keyids } }) => keyids);
  if (signers.some((signer) => listed.includes(signer.key.keyid))) return signers;
  const { place } = copy.collection;
  const short = JSON.stringify(role.slice(0, 80));
  throw new BullaError('untrusted-identity', `no key here may sign names for ${short} at ${place}`, {
    hint: `its keys are ${listed.map((id) => id.slice(0, 12)).join(', ')}: give one with --key, have a key holder add yours (bulla signer add), or sign the image alone with --no-name`,
    details: { place, role, keys: listed },
  });
}

/** The same, signed by an available signer wherever its key is listed: its passphrase is not needed twice. */
export function signedBy(naming: Naming, signer: Signer): Naming {
  const signers = naming.signers.map((one) => {
    const { fingerprint, verifier } = one.key;
    if (fingerprint !== signer.publicKey.fingerprint || verifier === undefined) return one;
    if (verifier.algorithm.id === signer.algorithm.id) return tufSigner(signer, one.key);
    return signer.using === undefined ? one : tufSigner(signer.using(verifier.algorithm), one.key);
  });
  return { ...naming, signers };
}

/**
 * Publishes changes of names, and says what was taken over from others on the way.
 * @throws BullaError staged, conflict; what publishing throws
 */
export async function publishNaming(
  { place: { target, read, publish }, signers }: Naming,
  changes: readonly NameChange[],
): Promise<Published> {
  // Loaded when it is certain that something is published.
  const { publishNames } = await import('../../trust/publish/publish.ts');
  const published = await publishNames(target, read, changes, { ...publish, signers });
  for (const { entry, reason, names } of published.conflicts)
    publish.onWarning?.(
      `a change by another publisher (${entry.id}) cannot be taken over: ${
        reason === 'old' ? 'it is older than the log reaches back' : `${names.join(', ')} was changed since`
      }; bulla status shows it`,
    );
  if (published.folded.length > 0)
    publish.onProgress?.(`took over ${published.folded.length} changes of others that were waiting`);
  return published;
}

/** Why a name can't be signed where there is no collection. */
export function noCollection(reference: Reference): BullaError {
  const repository = formatRepository(reference);
  return new BullaError(
    'not-found',
    `${repository} has no trust collection, so no name of it can be signed`,
    {
      hint: `bulla init ${repository} creates one; if it is in another repository, give --at OTHER/REPO`,
      details: { repository },
    },
  );
}

import { BullaError } from '../../errors.ts';
import type { TrustTarget } from '../../trust/format/ports.ts';
import type { PublishOptions } from '../../trust/publish/publish-options.ts';
import { readForDisplay } from '../../trust/read/read-for-display.ts';
import type { WorkingCopy } from '../../trust/read/working-copy.ts';
import { distinctKeys } from '../../tuf/delegation-keys.ts';
import type { SignatureDemand, TufSigner } from '../../tuf/edit/signing.ts';
import type { KeysAtHand } from '../sign/keys-at-hand.ts';
import type { OpenedCollection } from '../verify/collection.ts';

/** The keys of a user, as far as signing for demands goes. */
export type SignerSource = Pick<KeysAtHand, 'signersFor'>;

/** The keys of a user: a key store, files, or a map in memory. */
export type KeySource = Pick<
  KeysAtHand,
  'signersFor' | 'publicKey' | 'signer' | 'nameOf' | 'unlisted' | 'certificates'
>;

/** With what a collection is published: clock, randomness and signer state, but no keys yet. */
export type PublishPorts = Omit<PublishOptions, 'signers' | 'intake'>;

/** Where a collection lies that can be written to, and how it is read. */
export type CollectionPlace = Omit<OpenedCollection<TrustTarget>, 'pin'>;

/** A collection that is to be changed, and with what. */
export interface ChangePlace<Keys extends SignerSource = SignerSource> extends CollectionPlace {
  readonly keys: Keys;
  readonly publish: PublishPorts;
}

/**
 * The collection at a place, even where it has expired: renewing it may be what is to be done.
 * @throws BullaError not-found where there is none, trust-unpinned; what reading throws
 */
export async function openCopy({
  place,
  repository,
  target,
  read,
  publish,
}: Omit<ChangePlace, 'keys'>): Promise<WorkingCopy> {
  const { clock, signal } = publish;
  const looked = await readForDisplay(target, { ...read, now: clock.now(), signal });
  if (looked === undefined)
    throw new BullaError('not-found', `${place} has no trust collection`, {
      hint: `create one: bulla init ${repository}; or give its place: --at`,
    });
  if (looked.unpinned !== undefined) throw looked.unpinned;
  if (looked.expired !== undefined) publish.onWarning?.(looked.expired.message);
  return looked.copy;
}

/** Whether these signers meet every threshold. A key counts once, whatever ids it is listed under. */
export function meetsAll(demands: readonly SignatureDemand[], signers: readonly TufSigner[]): boolean {
  const held = new Set(signers.flatMap(({ key }) => key.fingerprint ?? []));
  return demands.every(
    ({ keys, role }) =>
      [...distinctKeys(keys, role.keyids)].filter((key) => held.has(key)).length >= role.threshold,
  );
}

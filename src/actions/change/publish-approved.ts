import { BullaError } from '../../errors.ts';
import type { Digest } from '../../oci/digest.ts';
import { isPublished } from '../../trust/approve/import-change.ts';
import { interruptedWith } from '../../trust/publish/interrupted.ts';
import { readBase } from '../../trust/publish/publish-base.ts';
import type { PublishOptions } from '../../trust/publish/publish-options.ts';
import { idsIn } from '../../trust/publish/reannounce.ts';
import { resignCollection } from '../../trust/publish/resign.ts';
import type { WorkingCopy } from '../../trust/read/working-copy.ts';
import { Keyring } from '../../tuf/edit/demands.ts';
import type { Waiting } from './pending.ts';
import { type ChangePlace, meetsAll } from './place.ts';

/** What is to be found in a head again. */
export type Approved = Pick<Waiting, 'id' | 'entries' | 'change' | 'tags'>;

/** How often the head is read while another machine is to move it, in milliseconds. */
const LOOK_MS = 1000;

/**
 * Brings a change that has all of its signatures into the head: with the online key if it is available, otherwise by
 * waiting for a re-signer.
 * @returns digest of the head that holds it
 * @throws BullaError staged at the end of the waiting; what reading and signing throw
 */
export async function publishApproved(
  place: ChangePlace,
  copy: WorkingCopy,
  approved: Approved,
): Promise<Digest> {
  const { target, read, publish } = place;
  const keyring = new Keyring(copy.files);
  const demands = ['snapshot', 'timestamp'].flatMap((role) => keyring.demandsOn(role));
  const signers = await place.keys.signersFor(demands);
  const options = { ...publish, signers };
  const isOnline = meetsAll(demands, signers);
  if (isOnline) await resignCollection(target, read, options);
  const { wait = 0 } = publish;
  if (!isOnline && wait > 0)
    publish.onProgress?.(`waiting for a re-signer to publish it, ${Math.round(wait / 1000)} s at most`);
  try {
    return await waitUntilHeld(place, approved, options, isOnline ? 0 : wait);
  } catch (error) {
    const [tag] = approved.tags;
    const left = tag && { place: place.place, tag, ids: approved.entries };
    throw interruptedWith(error, publish.signal, left);
  }
}

async function waitUntilHeld(
  place: ChangePlace,
  approved: Approved,
  options: PublishOptions,
  wait: number,
): Promise<Digest> {
  const { target, read } = place;
  const { clock, signal } = options;
  const deadline = clock.now().getTime() + wait;
  for (;;) {
    const base = await readBase(target, { ...read, now: clock.now() }, options);
    if (await holds(base.copy, approved)) return base.collection.object.content.descriptor.digest;
    const left = deadline - clock.now().getTime();
    if (left <= 0) throw unfinished(place, approved);
    await clock.sleep(Math.min(left, LOOK_MS), signal);
  }
}

/** Whether a collection has all of a change that was staged. */
export async function holds(
  copy: WorkingCopy,
  { entries, change }: Pick<Waiting, 'entries' | 'change'>,
): Promise<boolean> {
  if (change !== undefined) return isPublished(change, copy);
  const applied = await idsIn(copy);
  return entries.every((id) => applied.has(id));
}

function unfinished({ place }: ChangePlace, { id, tags }: Approved): BullaError {
  return new BullaError('staged', `${id} has all of its signatures, and no re-signer published it in time`, {
    hint: `it stays at ${place}:${tags[0] ?? '_trust.stage.…'}: a re-signer, or bulla resign where the online key is, publishes it`,
    details: { id, tags },
  });
}

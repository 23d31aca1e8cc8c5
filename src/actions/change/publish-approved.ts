import { BullaError } from '../../errors.ts';
import type { Digest } from '../../oci/digest.ts';
import { isPublished } from '../../trust/approve/import-change.ts';
import { interruptedWith } from '../../trust/publish/interrupted.ts';
import { readBase } from '../../trust/publish/publish-base.ts';
import type { PublishOptions } from '../../trust/publish/publish-options.ts';
import { idsIn } from '../../trust/publish/reannounce.ts';
import { resignCollection } from '../../trust/publish/resign.ts';
import { awaitedText } from '../../trust/publish/stage-run.ts';
import type { WorkingCopy } from '../../trust/read/working-copy.ts';
import { Keyring } from '../../tuf/edit/demands.ts';
import type { MissingSignatures } from '../../tuf/edit/signing.ts';
import { listPending, type Waiting } from './pending.ts';
import { type ChangePlace, meetsAll } from './place.ts';

/** What is to be found in a head again. */
export type Approved = Pick<Waiting, 'id' | 'entries' | 'change' | 'tags'>;

/** How often the head is read while another machine is to move it, in milliseconds. */
const LOOK_MS = 1000;
/** How often stages are read while people are to sign, in milliseconds. */
const LOOK_AT_STAGES_MS = 3000;

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

/**
 * Waits until a staged change has been signed by others and is in the head; with the online key here, it is published
 * as soon as it has all of its signatures.
 * @param missing signatures that it lacks
 * @returns digest of the head that holds it
 * @throws BullaError staged at the end of the waiting; conflict where the head has moved on without it; what reading
 *   and publishing throw
 */
export async function awaitTakenIn(
  place: ChangePlace,
  approved: Approved,
  missing: readonly MissingSignatures[],
): Promise<Digest> {
  const { target, read, publish } = place;
  const { clock, chance, signal, wait = 0 } = publish;
  const deadline = clock.now().getTime() + wait;
  let awaited = awaitedText(missing);
  const tell = () => publish.onProgress?.(`waiting for ${awaited}, ${Math.round(wait / 1000)} s at most`);
  tell();
  try {
    for (;;) {
      const left = deadline - clock.now().getTime();
      if (left <= 0) throw unsigned(place, approved, awaited);
      await clock.sleep(Math.min(left, LOOK_AT_STAGES_MS), signal);
      const { copy } = await readBase(target, { ...read, now: clock.now() }, { ...publish, signers: [] });
      if (await holds(copy, approved)) return copy.collection.object.content.descriptor.digest;
      const list = await listPending(target, copy, { now: clock.now(), chance, signal });
      const found = list.waiting.find(({ id }) => id === approved.id);
      if (found === undefined) continue;
      if (found.state === 'outdated') throw outdated(found);
      if (found.state === 'online') {
        const rest = { ...publish, wait: Math.max(0, deadline - clock.now().getTime()) };
        return await publishApproved({ ...place, publish: rest }, copy, found);
      }
      const now = awaitedText(found.missing);
      if (now === awaited) continue;
      awaited = now;
      tell();
    }
  } catch (error) {
    const [tag] = approved.tags;
    const left = tag && { place: place.place, tag, ids: approved.entries };
    throw interruptedWith(error, signal, left);
  }
}

/** @returns the error for a change that was made without what the head has now */
export function outdated({ id, roles }: Pick<Waiting, 'id' | 'roles'>): BullaError {
  return new BullaError('conflict', `the head has moved on, and ${id} was made without that`, {
    hint: 'its author must run the same command again; a command that still waits does so by itself',
    details: { id, roles },
  });
}

function unsigned({ place }: ChangePlace, { id, tags }: Approved, awaited: string): BullaError {
  return new BullaError('staged', `${id} was not signed in time: it waits for ${awaited}`, {
    hint: `it stays at ${place}:${tags[0] ?? '_trust.stage.…'}; where one of the keys is: bulla approve ${place} ${id}`,
    details: { id, tags },
  });
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

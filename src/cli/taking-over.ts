import type { Waiting } from '../actions/change/pending.ts';
import { BullaError } from '../errors.ts';
import type { Digest } from '../oci/digest.ts';
import { isPublished } from '../trust/approve/import-change.ts';
import { readBase } from '../trust/publish/publish-base.ts';
import { idsIn } from '../trust/publish/reannounce.ts';
import { resignCollection } from '../trust/publish/resign.ts';
import type { WorkingCopy } from '../trust/read/working-copy.ts';
import { Keyring } from '../tuf/edit/demands.ts';
import type { OpenedCollection } from './flags/collection-flags.ts';
import type { TrustKeyFlags } from './flags/key-flags.ts';
import { type PublishFlags, publishOptionsOf } from './flags/publish-flags.ts';
import { keysAtHand } from './flags/trust-keys.ts';
import type { Context } from './shell/context.ts';

/** How often the head is looked at while somebody else is to move it, in milliseconds. */
const LOOK_MS = 1000;

/**
 * Brings what waits with all of its signatures into the head: with the online key, where it is at hand, else by
 * waiting for whoever has it.
 * @returns digest of the head that holds it
 * @throws BullaError staged at the end of the waiting; what reading and signing throw
 */
export async function publishWaiting(
  context: Context,
  opened: OpenedCollection,
  copy: WorkingCopy,
  waiting: Pick<Waiting, 'id' | 'entries' | 'change' | 'tags'>,
  flags: PublishFlags & TrustKeyFlags,
): Promise<Digest> {
  const keys = keysAtHand(context, flags);
  const keyring = new Keyring(copy.files);
  const demands = ['snapshot', 'timestamp'].flatMap((role) => keyring.demandsOn(role));
  const signers = await keys.signersFor(demands);
  const options = await publishOptionsOf(context, signers, flags);
  const held = new Set(signers.map(({ key }) => key.keyid));
  const isOnline = demands.every(
    ({ role }) => role.keyids.filter((keyid) => held.has(keyid)).length >= role.threshold,
  );
  if (isOnline) await resignCollection(opened.target, opened.read, options);
  const { clock, wait = 0, signal } = options;
  const deadline = clock.now().getTime() + (isOnline ? 0 : wait);
  if (!isOnline && wait > 0)
    context.output.info(`waiting for whoever has the online key, ${Math.round(wait / 1000)} s at most`);
  for (;;) {
    const base = await readBase(opened.target, { ...opened.read, now: clock.now() }, options);
    if (await holds(base.copy, waiting)) return base.collection.object.content.descriptor.digest;
    const left = deadline - clock.now().getTime();
    if (left <= 0) throw unfinished(opened, waiting);
    await clock.sleep(Math.min(left, LOOK_MS), signal);
  }
}

async function holds(
  copy: WorkingCopy,
  { entries, change }: Pick<Waiting, 'entries' | 'change'>,
): Promise<boolean> {
  if (change !== undefined) return isPublished(change, copy);
  const applied = await idsIn(copy);
  return entries.every((id) => applied.has(id));
}

function unfinished({ place }: OpenedCollection, { id, tags }: Pick<Waiting, 'id' | 'tags'>): BullaError {
  return new BullaError('staged', `${id} has all of its signatures, and nobody took it over in time`, {
    hint: `it stays at ${place}:${tags[0] ?? '_trust.stage.…'}: a re-signer, or bulla resign where the online key is, takes it over`,
    details: { id, tags },
  });
}

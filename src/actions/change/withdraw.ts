import { BullaError } from '../../errors.ts';
import type { Tag } from '../../oci/reference.ts';
import { withdrawObject } from '../../trust/publish/removal.ts';
import { findPending, listPending, type Waiting } from './pending.ts';
import { type ChangePlace, openCopy } from './place.ts';

/** What became of a stage that was withdrawn. */
export interface Withdrawn {
  readonly waiting: Waiting;
  /** Whether a key here has signed it, or this machine has staged it. */
  readonly isOwn: boolean;
  readonly removed: readonly Tag[];
  /** Tags that lead to an empty object now, because the registry does not remove any. */
  readonly overwritten: readonly Tag[];
}

export interface WithdrawOptions {
  readonly onFound: (waiting: Waiting, isOwn: boolean) => void;
  /** Asked about what others have staged; it throws where that is to stay. */
  readonly confirm: (waiting: Waiting) => Promise<void>;
}

/**
 * Takes a staged change back (spec/trust-publishing.md, "Withdrawing"): all of its copies are removed, or overwritten
 * where the registry removes nothing. This needs no key, and no more rights than pushing: signatures are not revoked by
 * it. A command that still waits for the change stages it again.
 * @param id of the change, or the beginning of one
 * @throws BullaError not-found; conflict where tags can be neither removed nor moved; what reading and `confirm` throw
 */
export async function withdrawStage(
  place: ChangePlace,
  id: string,
  { onFound, confirm }: WithdrawOptions,
): Promise<Withdrawn> {
  const { target, publish } = place;
  const { clock, chance, signal, state } = publish;
  const copy = await openCopy(place);
  const waiting = findPending(await listPending(target, copy, { now: clock.now(), chance, signal }), id);
  const collection = copy.collection.id;
  const staged = new Set((await state.pending(collection)).map(({ tag }) => tag));
  const isOwn = waiting.tags.some((tag) => staged.has(tag)) || (await hasSigned(place, waiting));
  onFound(waiting, isOwn);
  if (!isOwn) await confirm(waiting);
  const head = copy.collection.object.content.descriptor.digest;
  const removed: Tag[] = [];
  const overwritten: Tag[] = [];
  for (const tag of waiting.tags) {
    // Otherwise the next command here would take it for lost, and stage it again.
    if (staged.has(tag)) await state.drop(collection, tag);
    const judged = waiting.digests.get(tag);
    const outcome = await withdrawObject(target, tag, head, waiting.id, { judged, signal });
    if (outcome === 'removed') removed.push(tag);
    if (outcome === 'overwritten') overwritten.push(tag);
  }
  if (removed.length === 0 && overwritten.length === 0) throw changed(waiting);
  return { waiting, isOwn, removed, overwritten };
}

/** Whether a private key here has made one of the valid signatures of a change. */
async function hasSigned(
  { keys }: ChangePlace,
  { demands, progress }: Pick<Waiting, 'demands' | 'progress'>,
): Promise<boolean> {
  const made = demands.map(({ role, ...demand }, at) => {
    const keyids = progress[at]?.valid ?? [];
    return { ...demand, role: { ...role, keyids, threshold: keyids.length } };
  });
  return (await keys.signersFor(made.filter(({ role }) => role.keyids.length > 0))).length > 0;
}

function changed({ id, tags }: Waiting): BullaError {
  return new BullaError('conflict', `nothing of ${id} was withdrawn: its stages changed meanwhile`, {
    hint: 'look at what waits now: bulla pending REPOSITORY',
    details: { id, tags },
  });
}

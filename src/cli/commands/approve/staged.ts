import { randomInt } from 'node:crypto';
import { findPending, listPending, type PendingList, type Waiting } from '../../../actions/change/pending.ts';
import { formatTime } from '../../../encoding/time.ts';
import { BullaError } from '../../../errors.ts';
import { isWholeId } from '../../../trust/approve/change-id.ts';
import type { WorkingCopy } from '../../../trust/read/working-copy.ts';
import { openCopy, repositoryIn } from '../../changing.ts';
import { type CollectionFlags, type OpenedCollection, openCollection } from '../../flags/collection-flags.ts';
import type { Context } from '../../shell/context.ts';
import { pieces } from '../../shell/output.ts';
import { publishWaiting } from '../../taking-over.ts';
import { type ApproveFlags, confirm, signersOf, tellWhole } from './approve.ts';

/** `bulla pending` */
export async function listWaiting(
  context: Context,
  repository: string,
  flags: CollectionFlags & { readonly all?: true },
): Promise<void> {
  const opened = await openCollection(context, repositoryIn(repository), flags);
  const copy = await openCopy(context, opened);
  const { waiting, refused } = await pendingAt(context, opened, copy);
  context.output.result(waiting.flatMap((one) => linesOf(one, flags.all !== true)).flatMap(pieces), {
    collection: copy.collection.name,
    place: opened.place,
    id: copy.collection.id,
    pending: waiting.map(jsonOf),
    refused: refused.map(({ tag, code, message }) => ({ tag, code, message })),
  });
  for (const { tag, message } of refused) context.output.warn(`${tag} is left aside: ${message}`);
  if (waiting.length === 0) context.output.info(`nothing waits at ${opened.place}`);
}

/** `bulla approve REPOSITORY ID` */
export async function approveStaged(
  context: Context,
  repository: string,
  id: string,
  flags: ApproveFlags,
): Promise<void> {
  if (flags.out !== undefined)
    throw new BullaError('usage', '--out is for bulla approve FILE', {
      hint: 'a signature on a staged change is pushed beside it',
    });
  const opened = await openCollection(context, repositoryIn(repository), flags, { write: true });
  const copy = await openCopy(context, opened);
  const waiting = findPending(await pendingAt(context, opened, copy), id);
  if (flags.change !== undefined && flags.change !== waiting.id) throw another(flags.change, waiting);
  tellWhole(context, flags.change ?? id, linesOf(waiting, false));
  if (waiting.state === 'outdated') throw outdated(waiting);
  const signed = new Set(waiting.signedBy);
  const needsKey = waiting.missing.length > 0;
  const signers = needsKey ? await signersOf(context, flags, waiting.demands, signed) : [];
  if (flags.dryRun === true) return tell(context, opened, waiting, { stage: null, published: null });
  // What is shown here is read by nobody: what was looked at before is named by the whole of its id.
  if (needsKey && flags.yes === true && !isWholeId(flags.change ?? id)) throw unnamed(id, waiting);
  if (needsKey) await confirm(context, flags, `Sign ${waiting.id}?`);
  const stage = needsKey ? await waiting.sign(signers) : (waiting.tags[0] ?? null);
  const now = await pendingAt(context, opened, copy);
  const after = now.waiting.find((one) => one.id === waiting.id) ?? waiting;
  if (after.missing.length > 0) {
    context.output.info(`signed; ${after.missing[0]?.threshold} have to sign, ${after.signedBy.length} have`);
    return tell(context, opened, after, { stage, published: null });
  }
  const published = await publishWaiting(context, opened, copy, after, flags);
  tell(context, opened, after, { stage, published });
}

function another(wanted: string, { id }: Waiting): BullaError {
  return new BullaError('conflict', `the change that waits is ${id}, and not ${wanted.slice(0, 80)}`, {
    hint: 'look at what waits now: bulla pending REPOSITORY',
    details: { expected: wanted, found: id },
  });
}

function unnamed(id: string, waiting: Waiting): BullaError {
  return new BullaError('usage', `${id} is only the beginning of an id, and --yes needs all of it`, {
    hint: `another change may begin like that: if ${waiting.id} is what you have looked at, give that`,
    details: { id: waiting.id },
  });
}

function outdated({ id, roles }: Waiting): BullaError {
  return new BullaError('conflict', `the head has moved on, and ${id} was made without that`, {
    hint: 'whoever made it makes it again: the same command once more, or it is still waiting and does so by itself',
    details: { id, roles },
  });
}

async function pendingAt(
  context: Context,
  { target }: OpenedCollection,
  copy: WorkingCopy,
): Promise<PendingList> {
  return await listPending(target, copy, {
    now: context.io.now(),
    chance: { fraction: () => randomInt(2 ** 32) / 2 ** 32 },
    signal: context.signal,
  });
}

function tell(
  { output }: Context,
  { place, name }: OpenedCollection,
  waiting: Waiting,
  where: { readonly stage: string | null; readonly published: string | null },
): void {
  output.result(where.published ?? where.stage ?? waiting.id, {
    collection: name,
    place,
    ...jsonOf(waiting),
    ...where,
  });
}

const STATES: Readonly<Record<Waiting['state'], string>> = {
  signatures: 'waits for signatures',
  online: 'has all signatures, and waits for the online key',
  outdated: 'is outdated: whoever made it has to make it again',
};

function linesOf(waiting: Waiting, isShort: boolean): string[] {
  const { id, roles, changes, summary, since, signedBy, missing, state } = waiting;
  const when = since === undefined ? '' : `, since ${formatTime(since)}`;
  return [
    `${id}  ${roles.join(', ')}  ${STATES[state]}${when}`,
    ...(isShort ? summary : changes).map((line) => `  ${line}`),
    ...signedBy.map((keyid) => `  signed by ${keyid}`),
    ...missing.map(
      ({ role, threshold, valid, open }) =>
        `  ${role} has ${valid.length} of ${threshold} signatures; may sign: ${open.join(', ') || 'nobody'}`,
    ),
  ];
}

function jsonOf(waiting: Waiting): Readonly<Record<string, unknown>> {
  const { id, roles, tags, changes, since, signedBy, missing, state } = waiting;
  return {
    id,
    roles,
    tags,
    state,
    changes,
    since: since === undefined ? null : formatTime(since),
    signedBy,
    missing,
  };
}

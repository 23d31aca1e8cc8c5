import { BullaError, isBullaError } from '../../errors.ts';
import type { Digest } from '../../oci/digest.ts';
import { fetchIfThere } from '../../oci/if-there.ts';
import type { CallOptions } from '../../oci/target.ts';
import { isUnanswered } from '../candidates/siblings.ts';
import type { CollectionFiles } from '../change/create.ts';
import { assembleHead } from '../format/assemble.ts';
import { openTrustObject } from '../format/object.ts';
import type { TrustTarget } from '../format/ports.ts';
import { pushObject } from '../format/push.ts';
import { HEAD_TAG } from '../format/vocabulary.ts';
import { rootsOf } from '../read/root-chain.ts';
import { versionsOf } from './make-head.ts';
import { probeTags, shortcomings, type TagAbilities } from './probe.ts';
import type { PublishOptions } from './publish-options.ts';
import { withUsed } from './signer-state.ts';

/** Between two looks for a head that was just written: some caches keep "not found" for seconds. */
const SETTLE_MS = [250, 500, 1_000, 2_000, 4_000] as const;

/** Times that the head is sent to a registry that says each time that it is too busy. */
const MAX_HEAD_TRIES = 4;

/** A collection's first head. */
export interface CreatedAt {
  readonly head: Digest;
  readonly abilities: TagAbilities;
  /** What is not available at that place, as sentences. */
  readonly shortcomings: readonly string[];
}

/** What {@link createAt} is told. */
export interface CreateOptions extends Pick<PublishOptions, 'clock' | 'chance' | 'state' | 'signal'> {
  /** The head of another collection, whose place the new one takes; left out, the tag must not exist. */
  readonly replaces?: Digest | undefined;
}

/**
 * Publishes the first head of a collection (spec/trust-publishing.md, "Creating"). Whether tags can be
 * moved there at all is tried first.
 * @throws BullaError conflict where there is a head, or tags cannot be moved (details.reason
 *   `immutable-tag`); what the target throws
 */
export async function createAt(
  target: TrustTarget,
  { id, files, logs }: CollectionFiles,
  options: CreateOptions,
): Promise<CreatedAt> {
  const { state, signal, replaces } = options;
  await assertNoHead(target, options);
  const abilities = await probeTags(target, options, { signal });
  const assembly = assembleHead({ files, logs });
  const head = assembly.top.descriptor.digest;
  await state.update(id, (record) => withUsed(record, versionsOf(files)));
  await pushObject(target, assembly, undefined, new Set(), { signal });
  for (let attempt = 1; ; attempt++) {
    try {
      await target.pushManifest(assembly.top, {
        tag: HEAD_TAG,
        expected: replaces ?? null,
        once: true,
        signal,
      });
      break;
    } catch (error) {
      if (!isUnanswered(error) && !isBullaError(error, 'conflict')) throw error;
      if ((await headAfterWrite(target, options)) === head)
        return { head, abilities, shortcomings: shortcomings(abilities) };
      const isBusy = isBullaError(error) && error.details['status'] === 503;
      if (!isBusy || attempt === MAX_HEAD_TRIES) throw error;
    }
  }
  const found = await headAfterWrite(target, options);
  if (found === undefined) throw unseen(target, head);
  if (found !== head) throw taken(target, found);
  return { head, abilities, shortcomings: shortcomings(abilities) };
}

/** @throws BullaError conflict where a place has a collection that is not to be replaced; what the target throws */
export async function assertNoHead(
  target: TrustTarget,
  { replaces, signal }: Pick<CreateOptions, 'replaces' | 'signal'>,
): Promise<void> {
  const present = await headAt(target, signal);
  if (present !== undefined && present !== replaces) throw taken(target, present);
}

/** Fewest digits of an id that name a collection. */
const MIN_ID_DIGITS = 8;

/**
 * The head that a new collection is to replace.
 * @param id of the collection that is expected there, or at least its first 8 digits
 * @returns undefined where there is no head, and nothing to replace
 * @throws BullaError conflict where another collection is there; trust-invalid where the tag has none; usage
 */
export async function headToReplace(
  target: TrustTarget,
  id: string,
  options: CallOptions,
): Promise<Digest | undefined> {
  if (!/^[0-9a-f]{8,64}$/.test(id))
    throw new BullaError('usage', `${JSON.stringify(id.slice(0, 80))} is not the id of a collection`, {
      hint: `give the id that bulla status shows, at least ${MIN_ID_DIGITS} digits`,
    });
  const head = await fetchIfThere(target, HEAD_TAG, options);
  if (head === undefined) return undefined;
  const object = await openTrustObject(target, head, options);
  const found = rootsOf(target, object, options).id;
  if (found.startsWith(id)) return head.descriptor.digest;
  throw new BullaError('conflict', `${target.name} has the collection ${found}, not ${id}`, {
    hint: 'look at it with bulla tree before it is replaced',
    details: { expected: id, found },
  });
}

/**
 * What stands at the head once it was written. A cache or a replica may still say that nothing does; it is asked
 * again until it knows better.
 */
async function headAfterWrite(
  target: TrustTarget,
  { clock, signal, replaces }: Pick<CreateOptions, 'clock' | 'signal' | 'replaces'>,
): Promise<Digest | undefined> {
  const look = async (): Promise<Digest | undefined> => {
    const found = await headAt(target, signal);
    return found === replaces ? undefined : found;
  };
  for (const ms of SETTLE_MS) {
    const found = await look();
    if (found !== undefined) return found;
    await clock.sleep(ms, signal);
  }
  return await look();
}

async function headAt(target: TrustTarget, signal: AbortSignal | undefined): Promise<Digest | undefined> {
  return (await fetchIfThere(target, HEAD_TAG, { signal }))?.descriptor.digest;
}

function unseen(target: TrustTarget, head: Digest): BullaError {
  return new BullaError(
    'registry-error',
    `${target.name} took the head of the collection, ${head}, and does not show it at ${HEAD_TAG}`,
    { hint: 'a cache or a lagging replica may stand before the registry: look with bulla status in a while' },
  );
}

function taken(target: TrustTarget, digest: Digest): BullaError {
  return new BullaError(
    'conflict',
    `${target.name} has a trust collection already: ${HEAD_TAG} is ${digest}`,
    {
      hint: 'look at it with bulla tree; to change its signers, run bulla signer or bulla rotate. To begin again with other keys, run bulla init with --replace, and tell everyone who pinned it',
      details: { digest },
    },
  );
}

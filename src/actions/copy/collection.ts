import { isBullaError, messageOf } from '../../errors.ts';
import type { Digest } from '../../oci/digest.ts';
import { resolveIfThere } from '../../oci/if-there.ts';
import type { CallOptions, Source, Target } from '../../oci/target.ts';
import { HEAD_TAG } from '../../trust/format/vocabulary.ts';
import type { Collection } from '../../trust/read/collection.ts';
import type { HeadRelation } from '../../trust/transfer/compare-heads.ts';
import { type CopyOptions, copy } from './copy.ts';

export interface CopyCollectionOptions
  extends Pick<
    CopyOptions,
    'source' | 'destination' | 'concurrency' | 'dryRun' | 'signal' | 'onEvent' | 'shared'
  > {
  /** Runs before a head is written: what it names is to be there first. */
  readonly beforeHead?: ((offered: Collection) => Promise<void>) | undefined;
}

/** What became of a collection where an image was copied. */
export interface CopiedCollection {
  readonly outcome: /** The source has none. */
    | 'none'
    /** There was none at the destination, and now there is this one. */
    | 'copied'
    /** The destination had an older state of it. */
    | 'forwarded'
    /** The destination has the same state, or a newer one. */
    | 'same'
    | 'ahead'
    /** The destination keeps what it has; `why` says why. */
    | 'left';
  /** `HOST/REPOSITORY` that its root names. */
  readonly name?: string | undefined;
  /** Digest of the head that is at the destination now. */
  readonly head?: Digest | undefined;
  /** Names the collection that is at the destination, where it is another one. */
  readonly other?: string | undefined;
  readonly why?: string | undefined;
}

/** Whether there is a head to be brought along. @throws BullaError what the source throws */
export async function hasCollection(source: Source, options: CallOptions): Promise<boolean> {
  return (await digestAt(source, options)) !== null;
}

/** How often it is begun again where others publish meanwhile. */
const MAX_ROUNDS = 5;

/**
 * Brings the head of a collection along (spec/trust-copying.md, "Heads"): to where there is none as it
 * is; to where the same collection is only if nothing is lost by it. Both sides are read again right
 * before the tag moves, and the destination afterwards.
 * @throws BullaError conflict where others keep publishing meanwhile; what the two sides throw
 */
export async function copyCollection(options: CopyCollectionOptions): Promise<CopiedCollection> {
  for (let round = 1; round <= MAX_ROUNDS; round++) {
    const done = await copyOnce(options);
    if (done !== undefined) return done;
  }
  return {
    outcome: 'left',
    why: `others keep publishing there: ${HEAD_TAG} moved ${MAX_ROUNDS} times meanwhile`,
  };
}

/** Loaded where there is a head: most repositories have none. */
const heads = () => import('../../trust/transfer/compare-heads.ts');

/** One pass; undefined where something moved meanwhile. */
async function copyOnce(options: CopyCollectionOptions): Promise<CopiedCollection | undefined> {
  const { source, destination, signal, dryRun } = options;
  const offered = await readOr(source, { signal });
  if (offered === undefined) return { outcome: 'none' };
  if (typeof offered === 'string') return { outcome: 'left', why: offered };
  const present = await readOr(destination, { signal });
  if (typeof present === 'string') return { outcome: 'left', name: offered.name, why: present };
  const { relateHeads } = await heads();
  const relation = present === undefined ? undefined : await relateHeads(offered, present, { signal });
  if (present !== undefined && relation?.kind !== 'newer') return left(offered, present, relation);
  const head = offered.object.content.descriptor.digest;
  const done: CopiedCollection = {
    outcome: present === undefined ? 'copied' : 'forwarded',
    name: offered.name,
    head,
  };
  await options.beforeHead?.(offered);
  await copy({ ...options, reference: head, tag: undefined, referrers: false });
  if (dryRun === true) return done;
  const before = present?.object.content.descriptor.digest ?? null;
  const isUnmoved =
    (await digestAt(source, { signal })) === head && (await digestAt(destination, { signal })) === before;
  if (!isUnmoved || !(await move(destination, offered, before, { signal }))) return undefined;
  return (await digestAt(destination, { signal })) === head ? done : undefined;
}

async function move(
  destination: Target,
  { object }: Collection,
  expected: Digest | null,
  options: CallOptions,
): Promise<boolean> {
  try {
    await destination.pushManifest(object.content, { ...options, tag: HEAD_TAG, expected });
    return true;
  } catch (error) {
    if (isBullaError(error, 'conflict')) return false;
    throw error;
  }
}

/** The collection there, or why it can't be made use of. */
async function readOr(side: Source, options: CallOptions): Promise<Collection | string | undefined> {
  try {
    const { readCarriedHead } = await heads();
    return await readCarriedHead(side, options);
  } catch (error) {
    if (isBullaError(error, 'trust-invalid', 'content-invalid', 'trust-rollback'))
      return `${side.name} has a collection that does not hold together: ${messageOf(error)}`;
    throw error;
  }
}

async function digestAt(side: Source, options: CallOptions): Promise<Digest | null> {
  return (await resolveIfThere(side, HEAD_TAG, options))?.digest ?? null;
}

function left(
  offered: Collection,
  present: Collection,
  relation: HeadRelation | undefined,
): CopiedCollection {
  const { name } = offered;
  const head = present.object.content.descriptor.digest;
  switch (relation?.kind) {
    case 'same':
      return { outcome: 'same', name, head };
    case 'older':
      return { outcome: 'ahead', name, head };
    case 'other':
      return { outcome: 'left', name, head, other: present.name, why: 'another collection is there' };
    default:
      return {
        outcome: 'left',
        name,
        head,
        why: `the two have gone separate ways: ${relation?.kind === 'diverged' ? relation.why : ''}`,
      };
  }
}

import { isBullaError, messageOf } from '../../errors.ts';
import { streamOf } from '../../oci/content.ts';
import { EMPTY_BYTES, EMPTY_DESCRIPTOR } from '../../oci/descriptor.ts';
import type { Digest } from '../../oci/digest.ts';
import { type ManifestContent, parseManifest } from '../../oci/manifest.ts';
import type { Tag } from '../../oci/reference.ts';
import type { CallOptions } from '../../oci/target.ts';
import { isUnanswered } from '../candidates/siblings.ts';
import type { TrustTarget } from '../format/ports.ts';
import { CANDIDATE_MARK, isOwnTag, TRUST_TYPES } from '../format/vocabulary.ts';
import { emptyObject, moveTag } from './probe.ts';
import type { Base } from './publish-base.ts';
import type { PublishOptions } from './publish-options.ts';

/** What removing an object came to. */
export type Removal =
  | { readonly outcome: 'removed' | 'gone' | 'kept' }
  /** Nothing can be removed by this account, or in this registry. */
  | { readonly outcome: 'refused'; readonly why: string };

/**
 * Removes a candidate or stage: by its tag, and where a registry cannot do that, by its digest. What lies
 * at the tag is read right before, because it may have moved: the head is never removed, and
 * only candidates and stages are. Nor is anything but what was judged, or what belongs to the tag: a
 * registry that removes by digest takes all tags along that lead there, and a copy of what is still needed
 * may lie here.
 * @param head digest of the present head
 * @param judged digest of what was looked at; where nothing was, the tag must be the object's own
 * @throws BullaError what the target throws about reading
 */
export async function removeObject(
  target: TrustTarget,
  tag: Tag,
  head: Digest | null,
  { judged, ...options }: CallOptions & { readonly judged?: Digest | undefined } = {},
): Promise<Removal> {
  let content: ManifestContent;
  try {
    content = await target.fetchManifest(tag, options);
  } catch (error) {
    if (isBullaError(error, 'not-found')) return { outcome: 'gone' };
    throw error;
  }
  const { digest } = content.descriptor;
  const isMeant = judged === undefined ? isOwnTag(tag, digest) : digest === judged;
  if (digest === head || !isMeant || !isRemovable(content)) return { outcome: 'kept' };
  try {
    await target.deleteTag(tag, options);
    return { outcome: 'removed' };
  } catch (error) {
    if (isBullaError(error, 'not-found')) return { outcome: 'gone' };
    if (!isRefusal(error)) throw error;
  }
  try {
    await target.deleteManifest(digest, options);
    return { outcome: 'removed' };
  } catch (error) {
    if (isBullaError(error, 'not-found')) return { outcome: 'gone' };
    if (!isRefusal(error)) throw error;
    return { outcome: 'refused', why: messageOf(error) };
  }
}

/**
 * Removes stages in whose place there is something better, each if it is still at the tag of its own digest. What
 * cannot be removed does no harm.
 * @throws BullaError what the target throws about reading
 */
export async function removeStages(
  target: TrustTarget,
  tags: readonly Tag[],
  { signal }: CallOptions,
): Promise<void> {
  for (const tag of tags) {
    try {
      await removeObject(target, tag, null, { signal });
    } catch (error) {
      if (!isUnanswered(error)) throw error;
    }
  }
}

/**
 * Takes a stage away: removes it, or, where the registry removes nothing, moves its tag to an empty object that
 * publishers pass over. Any account with push permission can do the same.
 * @param change id of the change, noted in that object
 * @param judged digest of what was looked at
 * @throws BullaError conflict (details.reason `immutable-tag`); what the target throws about reading
 */
export async function withdrawObject(
  target: TrustTarget,
  tag: Tag,
  head: Digest | null,
  change: string,
  options: CallOptions & { readonly judged?: Digest | undefined },
): Promise<'removed' | 'overwritten' | 'gone' | 'kept'> {
  const removal = await removeObject(target, tag, head, options);
  if (removal.outcome !== 'refused') return removal.outcome;
  const { signal } = options;
  await target.pushBlob(EMPTY_DESCRIPTOR, async () => streamOf(EMPTY_BYTES), { signal });
  await moveTag(target, emptyObject({ 'vnd.bulla.trust.withdrawn': change }), tag, { signal });
  return 'overwritten';
}

/**
 * Withdraws what was announced or staged, if it turned out that it cannot be published: otherwise all publishers
 * would report a conflict that its author knows of. What cannot be removed stays.
 */
export async function withdraw(
  target: TrustTarget,
  tags: readonly Tag[],
  { collection, parent }: Base,
  { state, signal }: Pick<PublishOptions, 'state' | 'signal'>,
): Promise<void> {
  for (const tag of tags) {
    await state.drop(collection.id, tag);
    await removeObject(target, tag, parent, { signal });
  }
}

/** By what it is, not by its tag: heads lack the mark that candidates have. */
function isRemovable(content: ManifestContent): boolean {
  const manifest = parseManifest(content);
  return manifest.annotations?.[CANDIDATE_MARK] !== undefined || manifest.artifactType === TRUST_TYPES.stage;
}

function isRefusal(error: unknown): boolean {
  return isBullaError(error, 'registry-error', 'forbidden', 'unauthorized', 'conflict', 'registry-policy');
}

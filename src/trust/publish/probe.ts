import { BullaError, isBullaError, messageOf } from '../../errors.ts';
import { streamOf } from '../../oci/content.ts';
import { EMPTY_BYTES, EMPTY_DESCRIPTOR } from '../../oci/descriptor.ts';
import { buildArtifact, type ManifestContent } from '../../oci/manifest.ts';
import type { Tag } from '../../oci/reference.ts';
import type { CallOptions } from '../../oci/target.ts';
import type { Clock, Random, TrustTarget } from '../format/ports.ts';
import { candidateTag, LIST_AFTER, LIST_UNTIL, TRUST_TYPES } from '../format/vocabulary.ts';

/** How long a tag that was written may take to be listed, in milliseconds. */
const LISTED_MS = 2000;

/** What a place can do with tags. */
export interface TagAbilities {
  /** `manifests`: only together with what they name; `none`: nothing can be removed. */
  readonly removal: 'tags' | 'manifests' | 'none';
  readonly listing: 'at-once' | 'late' | 'never';
}

/**
 * Tries what a place can do with the tags of a collection, and leaves nothing behind where it can remove.
 * @throws BullaError conflict (details.reason `immutable-tag`) where tags cannot be moved at all; what the
 *   target throws
 */
export async function probeTags(
  target: TrustTarget,
  { clock, chance }: { readonly clock: Clock; readonly chance: Random },
  options: CallOptions = {},
): Promise<TagAbilities> {
  await target.pushBlob(EMPTY_DESCRIPTOR, async () => streamOf(EMPTY_BYTES), options);
  const [first, second] = [probeObject(chance), probeObject(chance)];
  const tag = candidateTag(first.descriptor.digest);
  await target.pushManifest(first, { ...options, tag });
  try {
    await moveTag(target, second, tag, options);
  } catch (error) {
    await remove(target, tag, [first, second], options);
    throw error;
  }
  const listing = await listingOf(target, tag, clock, options);
  return { removal: await remove(target, tag, [first, second], options), listing };
}

/** What is not available with these abilities, as sentences. */
export function shortcomings({ removal, listing }: TagAbilities): readonly string[] {
  return [
    ...(removal === 'none'
      ? [
          'nothing can be removed there, so that candidates and stages pile up: have the registry remove tags that begin with "_trust.next." and "_trust.stage." after two days',
        ]
      : []),
    ...(listing === 'late'
      ? ['tags are listed late there: of two who publish at the same moment, one may have to do it again']
      : []),
    ...(listing === 'never'
      ? [
          'tags that begin with "_trust." are not listed there: staged changes are not found, and what a stalled publisher buries does not come back',
        ]
      : []),
  ];
}

function probeObject(chance: Random): ManifestContent {
  return emptyObject({ 'vnd.bulla.trust.probe': chance.changeId() });
}

/** An object without content, which publishers pass over. */
export function emptyObject(annotations: Readonly<Record<string, string>>): ManifestContent {
  return buildArtifact({ artifactType: TRUST_TYPES.probe, layers: [], annotations });
}

/** Moves a tag, and looks whether it moved. @throws BullaError conflict (details.reason `immutable-tag`) */
export async function moveTag(
  target: TrustTarget,
  to: ManifestContent,
  tag: Tag,
  options: CallOptions,
): Promise<void> {
  try {
    await target.pushManifest(to, { ...options, tag });
  } catch (error) {
    if (isImmovable(error) || isBullaError(error, 'conflict')) throw immovable(target, error);
    throw error;
  }
  const found = await target.fetchManifest(tag, options);
  if (found.descriptor.digest !== to.descriptor.digest) throw immovable(target);
}

async function listingOf(
  target: TrustTarget,
  tag: Tag,
  clock: Clock,
  options: CallOptions,
): Promise<TagAbilities['listing']> {
  const isListed = async () =>
    (await target.listTags({ ...options, last: LIST_AFTER, until: LIST_UNTIL, expected: tag })).includes(tag);
  if (await isListed()) return 'at-once';
  await clock.sleep(LISTED_MS, options.signal);
  return (await isListed()) ? 'late' : 'never';
}

async function remove(
  target: TrustTarget,
  tag: Tag,
  objects: readonly ManifestContent[],
  options: CallOptions,
): Promise<TagAbilities['removal']> {
  const isTagGone = await tries(() => target.deleteTag(tag, options));
  let isGone = false;
  for (const { descriptor } of objects)
    if (await tries(() => target.deleteManifest(descriptor.digest, options))) isGone = true;
  if (isTagGone) return 'tags';
  return isGone ? 'manifests' : 'none';
}

async function tries(work: () => Promise<void>): Promise<boolean> {
  try {
    await work();
    return true;
  } catch (error) {
    if (isBullaError(error, 'not-found', 'registry-error', 'forbidden', 'unauthorized', 'conflict'))
      return false;
    throw error;
  }
}

/** Whether a registry refused to move a tag, or to write it at all, because of its rules for tags. */
export function isImmovable(error: unknown): boolean {
  if (!isBullaError(error, 'conflict', 'registry-policy')) return false;
  return ['immutable-tag', 'tag-refused'].includes(String(error.details['reason']));
}

/** The error where the tags of a collection cannot be moved, with the way out and the registry's own words. */
export function immovable(target: TrustTarget, cause?: unknown): BullaError {
  const why = cause === undefined ? '' : ` (${messageOf(cause)})`;
  const message = `tags cannot be moved at ${target.name}, and a collection lives at one${why}`;
  return new BullaError('conflict', message, {
    hint: 'keep the collection in another repository (--at OTHER/REPO), or except tags that begin with "_trust" from immutability',
    details: { reason: 'immutable-tag' },
    ...(cause !== undefined && { cause }),
  });
}

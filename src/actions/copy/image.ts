import { BullaError } from '../../errors.ts';
import { type Digest, isDigest } from '../../oci/digest.ts';
import type { ManifestContent } from '../../oci/manifest.ts';
import {
  formatReference,
  formatRepository,
  type Reference,
  type Tag,
  TRUST_TAG_PREFIX,
} from '../../oci/reference.ts';
import type { Source, Target } from '../../oci/target.ts';
import { type CopiedCollection, copyCollection, hasCollection } from './collection.ts';
import { type CopyOptions, type CopyResult, copy } from './copy.ts';

/** An image, and where it is to be copied to. */
export interface CopyImageOptions
  extends Pick<
    CopyOptions,
    'platform' | 'referrers' | 'dryRun' | 'concurrency' | 'shared' | 'onEvent' | 'signal' | 'beforeTag'
  > {
  readonly from: { readonly reference: Reference; readonly source: Source; readonly version: Tag | Digest };
  /** Without a tag it gets that of the source. */
  readonly to: Reference;
  readonly openTarget: () => Promise<Target>;
  /** Bring the trust collection along: true if left out, but not with one platform or without referrers. */
  readonly collection?: boolean | undefined;
}

/** An image that was copied. It is there when the destination is closed: an archive, then. */
export interface CopiedImage extends CopyResult {
  /** `REPOSITORY@DIGEST` at the destination. */
  readonly reference: string;
  /** What became of the trust collection; undefined where the source has none, or it was not asked for. */
  readonly collection: CopiedCollection | undefined;
}

/**
 * Copies an image with all that belongs to it, and the trust collection of its repository (spec/copy.md,
 * spec/trust-copying.md).
 * @throws BullaError digest-mismatch where the destination names a digest that the image does not have; those of
 *   {@link copy} and of opening the destination
 */
export async function copyImage(options: CopyImageOptions): Promise<CopiedImage> {
  const { from, to, platform, dryRun, concurrency, shared, onEvent, signal } = options;
  const { source, version } = from;
  const referrers = to.kind === 'archive' && to.isImageAlone === true ? false : options.referrers;
  if (to.digest !== undefined && platform === undefined)
    assertDigest(to, isDigest(version) ? version : (await source.resolve(version, { signal })).digest);
  const destination = await options.openTarget();
  let collection: CopiedCollection | undefined;
  const mayBring = options.collection !== false && referrers !== false && platform === undefined;
  // Asked while the image is on its way; most repositories have no collection.
  const asked = mayBring ? hasCollection(source, { signal }) : Promise.resolve(false);
  asked.catch(() => undefined);
  const bring = async (): Promise<void> => {
    if (await asked)
      collection = await copyCollection({
        source,
        destination,
        concurrency,
        shared,
        onEvent,
        dryRun,
        signal,
      });
  };
  const result = await copy({
    ...{ source, destination, platform, referrers, dryRun, concurrency, shared, onEvent, signal },
    // Before the tag moves, like everything else that belongs to the image.
    beforeTag: async (root: ManifestContent) => {
      await options.beforeTag?.(root);
      await bring();
    },
    // The tag may have moved since its digest was looked at.
    reference: platform === undefined ? (to.digest ?? version) : version,
    tag: tagAt(to, from.reference),
  });
  if (dryRun === true) await bring();
  assertDigest(to, result.root.digest);
  return { ...result, reference: `${formatRepository(to)}@${result.root.digest}`, collection };
}

/** The tag at the destination: without one it gets that of the source; with a digest alone, none. */
export function tagAt(destination: Reference, source: Reference): Tag | undefined {
  return destination.tag ?? (destination.digest === undefined ? source.tag : undefined);
}

/**
 * Copies a collection without an image, as a mirror is kept fresh.
 * @throws BullaError not-found where there is none; conflict where the destination keeps what it has
 */
export async function copyCollectionAlone(
  options: Pick<CopyImageOptions, 'to' | 'openTarget' | 'dryRun' | 'concurrency' | 'onEvent' | 'signal'> & {
    readonly from: Pick<CopyImageOptions['from'], 'reference' | 'source'>;
  },
): Promise<CopiedCollection> {
  const { from, to, openTarget, ...rest } = options;
  const collection = await copyCollection({
    ...rest,
    source: from.source,
    destination: await openTarget(),
  });
  const name = formatRepository(from.reference);
  if (collection.outcome === 'none')
    throw new BullaError('not-found', `${name} has no trust collection`, {
      hint: `bulla init ${name} makes one`,
    });
  if (collection.outcome === 'left')
    throw new BullaError(
      'conflict',
      `${formatRepository(to)} keeps the signed names that it has: ${collection.why}`,
      {
        hint: 'look at both: bulla status; bulla copy --as signs names of one into the other',
        details: { ...collection },
      },
    );
  return collection;
}

/**
 * Whether references mean a collection alone: its tag `_trust`, copied to the same tag. The other tags of a collection
 * cannot be copied.
 * @throws BullaError usage
 */
export function isCollectionAlone(from: Reference, to: Reference): boolean {
  const [source, destination] = [from.tag, to.tag ?? from.tag];
  if (source?.startsWith(TRUST_TAG_PREFIX) !== true && destination?.startsWith(TRUST_TAG_PREFIX) !== true)
    return false;
  if (source === TRUST_TAG_PREFIX && destination === TRUST_TAG_PREFIX && to.digest === undefined) return true;
  throw new BullaError(
    'usage',
    `${formatReference(from)} cannot be copied to ${formatReference(to)}: tags that begin with ${TRUST_TAG_PREFIX} are those of the trust collection`,
    {
      hint: `copy an image, which brings it along, or the collection alone: bulla copy ${formatRepository(from)}:${TRUST_TAG_PREFIX} ${formatRepository(to)}`,
    },
  );
}

/** A copy that leaves something behind is not complete, though the image and its tag are there. @throws BullaError content-invalid */
export function assertComplete({ reference, left, warnings }: CopiedImage): void {
  if (left.length === 0) return;
  throw new BullaError(
    'content-invalid',
    `${reference} was copied, but not all that belongs to it: ${left.slice(0, 3).join('; ')}${left.length > 3 ? `; and ${left.length - 3} more` : ''}`,
    {
      hint: 'remove what cannot be copied from the source, or copy the image alone with --no-referrers',
      details: { reference, left, warnings },
    },
  );
}

function assertDigest(destination: Reference, found: Digest): void {
  if (destination.digest === undefined || destination.digest === found) return;
  throw new BullaError(
    'digest-mismatch',
    `${formatReference(destination)} was to be written, and the source is ${found}`,
    { hint: 'leave the digest of the destination out, or name the source by it' },
  );
}

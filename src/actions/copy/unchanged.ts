import type { Digest } from '../../oci/digest.ts';
import { resolveIfThere } from '../../oci/if-there.ts';
import { childrenOf, type ManifestContent, parseCarried } from '../../oci/manifest.ts';
import { isIndexType, isManifestType } from '../../oci/media-types.ts';
import { cosignTags, type Tag } from '../../oci/reference.ts';
import type { CallOptions, Source } from '../../oci/target.ts';

/** A repository, and the tags that it listed a moment ago; undefined where it lists none. */
export interface ListedSource {
  readonly source: Source;
  readonly tags: ReadonlySet<Tag> | undefined;
}

/** Manifests around one image that are compared; of one with more, each is looked at as in a first copy. */
const MAX_COMPARED = 1000;

/** Two repositories that are compared. */
interface Sides {
  readonly from: ListedSource;
  readonly to: ListedSource;
  /** Runs a request when there is a place for it. */
  readonly limited: <T>(work: () => Promise<T>) => Promise<T>;
}

/**
 * Whether a destination that has an image also lists all that refers to it at the source: signatures can be added to
 * an image at any time. It costs a request for each list that is not empty; `false` where it would cost more to tell.
 * @throws BullaError what the two sides throw
 */
export async function hasAllAround(
  sides: Sides,
  root: ManifestContent,
  options: CallOptions,
): Promise<boolean> {
  const manifest = parseCarried(root);
  const parts = childrenOf(manifest).filter(
    ({ mediaType }) => manifest.kind === 'index' && isManifestType(mediaType),
  );
  // What an index in an index has is not known without fetching it.
  if (parts.some(({ mediaType }) => isIndexType(mediaType)) || parts.length >= MAX_COMPARED) return false;
  const images = [root.descriptor.digest, ...parts.map(({ digest }) => digest)];
  const subjects = new Set<Digest>(images);
  for (const tag of images.flatMap(cosignTags)) {
    const there = await sameAt(sides, tag, options);
    if (there === false) return false;
    if (there !== undefined) subjects.add(there);
  }
  // Grows while it is gone through: what refers to an image can be referred to itself.
  for (const subject of subjects) {
    const listed = await listedBoth(sides, subject, options);
    if (listed === undefined || subjects.size > MAX_COMPARED) return false;
    for (const digest of listed) subjects.add(digest);
  }
  return true;
}

/** What both sides have at a tag; undefined where the source has nothing there, false where they differ. */
async function sameAt(
  { from, to, limited }: Sides,
  tag: Tag,
  options: CallOptions,
): Promise<Digest | undefined | false> {
  if (from.tags?.has(tag) === false) return undefined;
  const there = await limited(() => resolveIfThere(from.source, tag, options));
  if (there === undefined) return undefined;
  if (to.tags?.has(tag) === false) return false;
  const here = await limited(() => resolveIfThere(to.source, tag, options));
  return here?.digest === there.digest && there.digest;
}

/** What the source lists; undefined where the destination does not list all of it. */
async function listedBoth(
  { from, to, limited }: Sides,
  subject: Digest,
  options: CallOptions,
): Promise<readonly Digest[] | undefined> {
  const listed = await limited(() =>
    from.source.listReferrers(subject, { ...options, fallbackToo: true, tags: from.tags }),
  );
  if (listed.length === 0) return [];
  const known = await limited(() => to.source.listReferrers(subject, { ...options, tags: to.tags }));
  const there = new Set(known.map(({ digest }) => digest));
  return listed.every(({ digest }) => there.has(digest)) ? listed.map(({ digest }) => digest) : undefined;
}

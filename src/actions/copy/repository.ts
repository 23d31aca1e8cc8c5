import { setMaxListeners } from 'node:events';
import { BullaError, type ErrorCode, isBullaError, messageOf, throwIfAborted } from '../../errors.ts';
import { decorated } from '../../oci/decorated.ts';
import type { Digest } from '../../oci/digest.ts';
import { resolveIfThere } from '../../oci/if-there.ts';
import type { ManifestContent } from '../../oci/manifest.ts';
import { cosignTags, fallbackTag, isBesideTag, type Tag } from '../../oci/reference.ts';
import { MAX_TAGS, type Source } from '../../oci/target.ts';
import { HEAD_TAG } from '../../trust/format/vocabulary.ts';
import type { Collection } from '../../trust/read/collection.ts';
import { findName } from '../../trust/read/names.ts';
import { type CopiedCollection, copyCollection } from './collection.ts';
import { Limiter, mapConcurrently } from './concurrency.ts';
import {
  type CopyCount,
  type CopyOptions,
  type CopyResult,
  copy,
  DEFAULT_CONCURRENCY,
  rootOf,
} from './copy.ts';
import type { OnCopyEvent } from './progress.ts';
import { checkSelection, selectTags, type TagSelection } from './selection.ts';
import { SharedTransfers } from './transfer.ts';
import { hasAllAround } from './unchanged.ts';

/** How the tags of a repository are copied. */
export interface CopyRepositoryOptions
  extends Pick<
    CopyOptions,
    'source' | 'destination' | 'platform' | 'referrers' | 'dryRun' | 'concurrency' | 'signal' | 'shared'
  > {
  /** Which tags; all of them if left out. */
  readonly selection?: TagSelection | undefined;
  /** Copy the trust collection too: true if left out, but not with one platform or without referrers. */
  readonly collection?: boolean | undefined;
  /**
   * Take an image that the destination has at the same tag for copied with all that refers to it, without comparing
   * the lists of referrers: signatures that were added later are not found then.
   */
  readonly fast?: boolean | undefined;
  /** Asked, with every tag that would be removed, before any is; left out, none is removed. */
  readonly prune?: ((tags: readonly Tag[]) => boolean | Promise<boolean>) | undefined;
  /** The tag that each gets at the destination; its own if left out. */
  readonly rename?: ((tag: Tag) => Tag) | undefined;
  /** The tag that is given to what a tag of the destination names before it moves; left out, it gets none. */
  readonly backup?: ((tag: Tag) => Tag) | undefined;
  /** Asked before a tag is copied, or taken for copied. @throws BullaError why it is not copied */
  readonly check?: ((tag: Tag, digest: Digest) => Promise<void>) | undefined;
  /** Called with the number of tags before the first is copied. */
  readonly onSelected?: ((tags: number) => void) | undefined;
  /** Called as soon as a tag is done with. */
  readonly onTag?: ((tag: RepositoryTag) => void) | undefined;
  /** What the copy of the image at a tag tells. */
  readonly onEvent?: ((tag: Tag | typeof HEAD_TAG, event: Parameters<OnCopyEvent>[0]) => void) | undefined;
}

/** What became of one tag. */
export type RepositoryTag =
  | {
      readonly tag: Tag;
      /** Something was brought or the tag was moved; or all was there already. */
      readonly outcome: 'copied' | 'present';
      readonly digest: Digest;
      readonly pushed: CopyCount;
      readonly mounted: CopyCount;
    }
  | { readonly tag: Tag; readonly outcome: 'failed'; readonly error: BullaError };

/** What became of a tag that only the destination has. */
export interface PrunedTag {
  readonly tag: Tag;
  /** `kept` where removing it was not agreed to. */
  readonly outcome: 'removed' | 'kept' | 'failed';
  readonly error?: BullaError | undefined;
}

/** A repository whose tags were copied. */
export interface CopiedRepository {
  /** In the order of the source's list. */
  readonly tags: readonly RepositoryTag[];
  /** Undefined where the source has none, or it was not asked for. */
  readonly collection: CopiedCollection | undefined;
  /** Why the trust collection was not copied, though it could have been. */
  readonly collectionError: BullaError | undefined;
  readonly pruned: readonly PrunedTag[];
  /** Why nothing was removed, where it should have been. */
  readonly unpruned: string | undefined;
  readonly warnings: readonly string[];
}

/** Tags that are worked on at the same time, for each request that may be under way. */
const TAGS_PER_PLACE = 4;
/** Failures in a row that are about a registry as a whole, after which the rest is not tried. */
const MAX_IN_A_ROW = 10;
const OF_THE_REGISTRY: readonly ErrorCode[] = [
  'registry-unreachable',
  'registry-throttled',
  'timeout',
  'unauthorized',
  'forbidden',
  'storage-error',
];
/** Failures that another run may not have: what a head names is waited for. */
const PASSING: readonly ErrorCode[] = [
  'registry-unreachable',
  'registry-throttled',
  'registry-error',
  'timeout',
];
const NOTHING: CopyCount = { content: 0, bytes: 0 };

/**
 * Copies the tags of a repository with all that belongs to their images, then its trust collection (spec/copy.md,
 * "Whole repositories"). One that fails does not keep the others from being copied: the result says what became of
 * each.
 * @throws BullaError usage for an invalid selection; not-found where it selects nothing; content-invalid where the
 *   list of tags has no end; what listing the tags throws; interrupted
 */
export async function copyRepository(options: CopyRepositoryOptions): Promise<CopiedRepository> {
  throwIfAborted(options.signal);
  await checkSelection(options.selection ?? {});
  if (options.signal !== undefined) setMaxListeners(0, options.signal);
  return await new RepositoryCopy(options).run();
}

class RepositoryCopy {
  private readonly options: CopyRepositoryOptions;
  private readonly shared: SharedTransfers;
  private readonly places: number;
  private readonly images = new Map<Digest, Promise<CopyResult>>();
  /** Digests that are at the destination now. */
  private readonly arrived = new Set<Digest>();
  private readonly warnings = new Set<string>();
  /** Undefined where the source has tags that it does not list. */
  private sourceTags: ReadonlySet<Tag> | undefined = new Set();
  /** Undefined where the destination does not list its tags. */
  private destinationTags: ReadonlySet<Tag> | undefined;
  private inARow = 0;
  private lastFailure: BullaError | undefined;

  constructor(options: CopyRepositoryOptions) {
    this.options = options;
    this.places = Math.max(1, options.concurrency ?? DEFAULT_CONCURRENCY);
    this.shared = options.shared ?? new SharedTransfers(new Limiter(this.places));
  }

  async run(): Promise<CopiedRepository> {
    const { source, selection = {}, signal, onSelected } = this.options;
    const [listed] = await Promise.all([this.listSource(), this.listDestination()]);
    const all = new Set(listed);
    this.sourceTags = all;
    const { tags, missing } = await selectTags([...all], selection, source, { signal });
    if (tags.length + missing.length === 0)
      throw new BullaError(
        'not-found',
        `no tag of ${source.name} is selected (of ${listed.length} in its list)`,
        {
          hint: 'look at them: bulla ls; a pattern is a tag, or the beginning of tags and *',
          details: { reason: 'no-tags' },
        },
      );
    onSelected?.(tags.length + missing.length);
    // The first by itself: what it teaches about both registries saves the others a request each.
    const [first, ...others] = tags;
    const begun = first === undefined ? [] : [await this.tag(first)];
    await this.attempt(() => this.learn(begun));
    // Where the list could not be tried, everything is asked for.
    if ((await this.attempt(() => this.checkList(begun))) !== undefined) this.sourceTags = undefined;
    const results = [
      ...missing.map((tag) => this.ended({ tag, outcome: 'failed', error: this.notListed(tag) })),
      ...begun,
      ...(await mapConcurrently(others, TAGS_PER_PLACE * this.places, (tag) => this.tag(tag))),
    ];
    const lateError = await this.attempt(() => this.bringLate());
    const collection =
      lateError === undefined
        ? await this.collection(tags)
        : { collection: undefined, collectionError: lateError };
    return {
      tags: results,
      ...collection,
      ...(await this.prune(tags, results, collection.collectionError)),
      warnings: [...this.warnings],
    };
  }

  /** Why some work failed, which must not end the others. @throws BullaError interrupted */
  private async attempt(work: () => Promise<void>): Promise<BullaError | undefined> {
    try {
      await work();
      return undefined;
    } catch (error) {
      throwIfAborted(this.options.signal);
      if (isBullaError(error)) return error;
      throw error;
    }
  }

  /** A HEAD of what is there: until one has told something, what is absent is asked for twice. */
  private async learn([first]: readonly RepositoryTag[]): Promise<void> {
    const { destination, dryRun, signal } = this.options;
    if (first?.outcome !== 'copied' || dryRun === true) return;
    await resolveIfThere(destination, first.digest, { signal });
  }

  /** A list without any tag of referrers can be one that hides them. It is tried with the first image. */
  private async checkList([first]: readonly RepositoryTag[]): Promise<void> {
    const { source, referrers, fast, signal } = this.options;
    const tags = this.sourceTags;
    if (first === undefined || first.outcome === 'failed' || tags === undefined) return;
    if (referrers === false || fast === true || [...tags].some(isBesideTag)) return;
    const { digest } = first;
    for (const tag of [fallbackTag(digest), ...cosignTags(digest).slice(0, 1)]) {
      const found = await resolveIfThere(source, tag, { signal });
      // For GitLab, the tag of the index means the image itself.
      if (found === undefined || found.digest === digest) continue;
      this.sourceTags = undefined;
      await this.copyDigest(digest, { source });
      return;
    }
  }

  /** What the list of tags does not have is not asked for. What was pushed since then belongs to what was copied, too. */
  private async bringLate(): Promise<void> {
    const { source, referrers } = this.options;
    if (this.images.size === 0 || referrers === false) return;
    const before = this.sourceTags;
    if (before === undefined) return;
    const now = new Set(await this.listSource());
    this.sourceTags = now;
    const isNew = (tag: Tag): boolean => now.has(tag) && !before.has(tag);
    for (const digest of this.images.keys())
      if ([fallbackTag(digest), ...cosignTags(digest)].some(isNew)) await this.copyDigest(digest, { source });
  }

  /** @throws BullaError content-invalid where there is more than is listed */
  private async listSource(): Promise<readonly Tag[]> {
    const { source, signal } = this.options;
    const listed = await source.listTags({ signal });
    if (listed.length < MAX_TAGS) return listed;
    throw tooMany(source);
  }

  private async listDestination(): Promise<void> {
    const { destination, signal, prune } = this.options;
    try {
      const listed = await destination.listTags({ signal });
      if (listed.length < MAX_TAGS) this.destinationTags = new Set(listed);
      else if (prune !== undefined) throw tooMany(destination);
    } catch (error) {
      // It is asked for each tag then. What is not known to be there is not removed either.
      if (prune !== undefined || !isBullaError(error, 'not-found', 'registry-error', 'forbidden'))
        throw error;
    }
  }

  private notListed(tag: Tag): BullaError {
    return new BullaError('not-found', `${this.options.source.name} lists no tag ${tag}`, {
      hint: 'leave it out, or correct it: bulla ls lists the tags',
    });
  }

  private async tag(tag: Tag): Promise<RepositoryTag> {
    const { signal } = this.options;
    throwIfAborted(signal);
    try {
      if (this.inARow >= MAX_IN_A_ROW && this.lastFailure !== undefined) throw this.lastFailure;
      const result = await this.copyTag(tag);
      this.inARow = 0;
      return this.ended(result);
    } catch (error) {
      throwIfAborted(signal);
      if (!isBullaError(error)) throw error;
      if (OF_THE_REGISTRY.includes(error.code)) this.inARow++;
      else this.inARow = 0;
      this.lastFailure = error;
      return this.ended({ tag, outcome: 'failed', error });
    }
  }

  private ended(result: RepositoryTag): RepositoryTag {
    this.options.onTag?.(result);
    return result;
  }

  /** The tag is asked for once; all that follows is about the digest that it names then. */
  private async copyTag(tag: Tag): Promise<RepositoryTag> {
    const { source, destination, platform, signal, referrers, fast, rename } = this.options;
    const onEvent: OnCopyEvent = (event) => {
      this.options.onEvent?.(tag, event);
      if (event.kind === 'warning') this.warnings.add(event.message);
    };
    const root = await this.shared.limiter.run(() =>
      rootOf({ source, reference: tag, platform, onEvent, signal }),
    );
    const { digest } = root.descriptor;
    await this.options.check?.(tag, digest);
    const to = rename?.(tag) ?? tag;
    const mayBeThere = this.destinationTags?.has(to) !== false;
    const before = mayBeThere
      ? await this.shared.limiter.run(() => resolveIfThere(destination, to, { signal }))
      : undefined;
    const isThere = before?.digest === digest && destination.mayLackParts !== true;
    if (isThere && (referrers === false || fast === true || (await this.hasAll(root)))) {
      this.arrived.add(digest);
      return { tag, outcome: 'present', digest, pushed: NOTHING, mounted: NOTHING };
    }
    if (before !== undefined && before.digest !== digest) await this.keep(to, before.digest);
    const { result, isOurs } = await this.image(root, to, before?.digest ?? null);
    this.arrived.add(digest);
    if (!isOurs && before?.digest !== digest && this.options.dryRun !== true)
      await this.shared.limiter.run(() => destination.pushManifest(root, { tag: to, signal }));
    if (result.left.length > 0) throw incomplete(`${destination.name}:${to}`, result.left);
    const brought = isOurs ? result.pushed.content + result.mounted.content > 0 || result.tagMoved : false;
    return {
      tag,
      outcome: brought || before?.digest !== digest ? 'copied' : 'present',
      digest,
      pushed: isOurs ? result.pushed : NOTHING,
      mounted: isOurs ? result.mounted : NOTHING,
    };
  }

  /** What a tag names before it moves stays under another tag. */
  private async keep(tag: Tag, digest: Digest): Promise<void> {
    const { backup, destination, dryRun, signal } = this.options;
    if (backup === undefined || dryRun === true) return;
    await this.shared.limiter.run(async () => {
      const content = await destination.fetchManifest(digest, { signal });
      await destination.pushManifest(content, { tag: backup(tag), signal });
    });
  }

  private async hasAll(root: ManifestContent): Promise<boolean> {
    const { source, destination, signal } = this.options;
    const from = { source, tags: this.sourceTags };
    const to = { source: destination, tags: this.destinationTags };
    const { limiter } = this.shared;
    return await hasAllAround({ from, to, limited: (work) => limiter.run(work) }, root, { signal });
  }

  /** Several tags can name one image, which is copied once. */
  private async image(
    root: ManifestContent,
    tag: Tag,
    before: Digest | null,
  ): Promise<{ readonly result: CopyResult; readonly isOurs: boolean }> {
    const { digest } = root.descriptor;
    const { source } = this.options;
    const running = this.images.get(digest);
    if (running !== undefined) return { result: await running, isOurs: false };
    const work = this.copyDigest(digest, { source: withManifest(source, root), tag, before });
    this.images.set(digest, work);
    return { result: await work, isOurs: true };
  }

  private async copyDigest(
    reference: Digest,
    { source, tag, before }: Pick<CopyOptions, 'source' | 'tag' | 'before'>,
  ): Promise<CopyResult> {
    const { destination, referrers, dryRun, signal, onEvent } = this.options;
    const { shared, sourceTags } = this;
    const result = await copy({
      ...{ source, reference, destination, tag, before, sourceTags, referrers, dryRun, signal, shared },
      onEvent: (event) => onEvent?.(tag ?? HEAD_TAG, event),
    });
    for (const warning of result.warnings) this.warnings.add(warning);
    return result;
  }

  /** Copied when all tags are, so that no client verifies a name whose image is still on its way. */
  private async collection(
    tags: readonly Tag[],
  ): Promise<Pick<CopiedRepository, 'collection' | 'collectionError'>> {
    const { source, destination, collection, referrers, platform, dryRun, signal, onEvent } = this.options;
    const none = { collection: undefined, collectionError: undefined };
    if (collection === false || referrers === false || platform !== undefined) return none;
    try {
      const there = await resolveIfThere(source, HEAD_TAG, { signal });
      if (there === undefined) return none;
      const here = await resolveIfThere(destination, HEAD_TAG, { signal });
      if (here?.digest === there.digest)
        return { ...none, collection: { outcome: 'same', head: here.digest } };
      const done = await copyCollection({
        ...{ source, destination, dryRun, signal, shared: this.shared },
        onEvent: (event) => onEvent?.(HEAD_TAG, event),
        beforeHead: (offered) => this.bringNamed(offered, tags),
      });
      return { ...none, collection: done.outcome === 'none' ? undefined : done };
    } catch (error) {
      throwIfAborted(signal);
      if (!isBullaError(error)) throw error;
      return { ...none, collectionError: error };
    }
  }

  /**
   * A tag can have moved since it was signed, or since it was copied. What the head signs for the tags that were
   * selected is brought too, by its digest.
   * @throws BullaError where it did not arrive, and may do so in another run
   */
  private async bringNamed(offered: Collection, tags: readonly Tag[]): Promise<void> {
    const { source } = this.options;
    for (const tag of tags) {
      const digest = await signedDigest(offered, tag);
      if (digest === undefined || this.arrived.has(digest)) continue;
      const about = `${tag} is signed for ${digest}`;
      try {
        await this.copyDigest(digest, { source });
        this.arrived.add(digest);
        this.warnings.add(`${about}, which is not what the tag names: both were copied`);
      } catch (error) {
        if (!(error instanceof BullaError) || error.code === 'interrupted') throw error;
        if (PASSING.includes(error.code))
          throw new BullaError(error.code, `the signed names wait for an image: ${about}: ${error.message}`, {
            cause: error,
            hint: 'run the copy again',
          });
        this.warnings.add(`${about}, which was not copied: ${messageOf(error)}`);
      }
    }
  }

  private async prune(
    tags: readonly Tag[],
    results: readonly RepositoryTag[],
    collectionError: BullaError | undefined,
  ): Promise<Pick<CopiedRepository, 'pruned' | 'unpruned'>> {
    const { prune, destination, dryRun, signal } = this.options;
    if (prune === undefined) return { pruned: [], unpruned: undefined };
    const selected = new Set(tags);
    const others = [...(this.destinationTags ?? [])].filter((tag) => !selected.has(tag) && !isBesideTag(tag));
    if (others.length === 0) return { pruned: [], unpruned: undefined };
    if (collectionError !== undefined || results.some(({ outcome }) => outcome === 'failed'))
      return { pruned: [], unpruned: 'not everything was copied' };
    const isAgreed = await prune(others);
    if (!isAgreed || dryRun === true)
      return { pruned: others.map((tag) => ({ tag, outcome: 'kept' })), unpruned: undefined };
    const pruned = await mapConcurrently(others, this.places, async (tag): Promise<PrunedTag> => {
      throwIfAborted(signal);
      try {
        await destination.deleteTag(tag, { signal });
        return { tag, outcome: 'removed' };
      } catch (error) {
        throwIfAborted(signal);
        if (!isBullaError(error)) throw error;
        // Another client was first.
        if (error.code === 'not-found') return { tag, outcome: 'removed' };
        return { tag, outcome: 'failed', error };
      }
    });
    return { pruned, unpruned: undefined };
  }
}

/** The digest that a collection signs for a tag; undefined where it signs none, or nothing that can be relied on. */
async function signedDigest(collection: Collection, tag: Tag): Promise<Digest | undefined> {
  try {
    return (await findName(collection, tag)).digest;
  } catch (error) {
    if (isBullaError(error, 'name-not-signed', 'digest-mismatch', 'trust-invalid', 'content-invalid'))
      return undefined;
    throw error;
  }
}

function tooMany({ name }: Source): BullaError {
  return new BullaError('content-invalid', `${name} lists more than ${MAX_TAGS} tags, and not all are read`, {
    hint: 'copy the images that are needed one by one',
  });
}

/** A source that does not ask again for a manifest that was just fetched. */
function withManifest(source: Source, known: ManifestContent): Source {
  const fetchManifest: Source['fetchManifest'] = async (reference, options) =>
    reference === known.descriptor.digest ? known : await source.fetchManifest(reference, options);
  return decorated(source, { fetchManifest });
}

function incomplete(reference: string, left: readonly string[]): BullaError {
  const more = left.length > 3 ? `; and ${left.length - 3} more` : '';
  return new BullaError(
    'content-invalid',
    `${reference} was copied, but not all that belongs to it: ${left.slice(0, 3).join('; ')}${more}`,
    {
      hint: 'remove what cannot be copied from the source, or copy the images alone with --no-referrers',
      details: { left },
    },
  );
}

import { parseJsonObject } from '../../encoding/json.ts';
import { BullaError, isBullaError } from '../../errors.ts';
import { type CarriedManifest, MAX_MANIFEST_BYTES, parseCarried } from '../../oci/manifest.ts';
import { isManifestType } from '../../oci/media-types.ts';
import { isBesideTag, isTag, type Tag } from '../../oci/reference.ts';
import type { CallOptions, Source } from '../../oci/target.ts';
import { mapConcurrently } from './concurrency.ts';

/** Which tags of a repository are copied (spec/copy.md, "Which tags"). Each part narrows what the ones before leave. */
export interface TagSelection {
  /** Patterns, at least one of which a tag must match: a tag, or the beginning of one and `*`. All, if left out. */
  readonly tags?: readonly string[] | undefined;
  /** Patterns of tags that are not copied. */
  readonly exclude?: readonly string[] | undefined;
  /** Expressions for the whole tag, as the files of other tools have them; like {@link tags} and {@link exclude}. */
  readonly expressions?: TagExpressions | undefined;
  /** A range of versions as npm writes them, such as `>=1.2 <2`. Other tags than versions are not copied. */
  readonly semver?: string | undefined;
  /** Only so many: those with the highest versions if all are versions, else those that were created last. */
  readonly newest?: number | undefined;
}

/** Selects by regular expressions; the caller bounds the time that they may take. */
export interface TagExpressions {
  /** @throws BullaError where that takes too long */
  select(tags: readonly Tag[]): readonly Tag[];
}

/** Longest range of versions, in characters. */
const MAX_RANGE = 256;
const MANIFESTS_AT_ONCE = 8;

/** Tags that were selected. */
export interface SelectedTags {
  /** In the order of the list. */
  readonly tags: readonly Tag[];
  /** Tags that are named without `*`, and are not in the list. */
  readonly missing: readonly Tag[];
}

/**
 * Checks a selection without a list of tags.
 * @throws BullaError usage
 */
export async function checkSelection({ tags, exclude, semver, newest }: TagSelection): Promise<void> {
  for (const pattern of [...(tags ?? []), ...(exclude ?? [])]) matcherOf(pattern);
  if (semver !== undefined) await rangeOf(semver);
  if (newest !== undefined && !(Number.isSafeInteger(newest) && newest > 0))
    throw new BullaError('usage', `${newest} is not a number of tags`, { hint: 'give a positive integer' });
}

/**
 * Selects among the tags of a repository. Tags that keep things beside images, and those of a trust collection, are
 * never among them.
 * @param source asked when tags were created, where versions do not tell which are the newest
 * @throws BullaError usage; what the source throws
 */
export async function selectTags(
  listed: readonly Tag[],
  selection: TagSelection,
  source: Source,
  options: CallOptions = {},
): Promise<SelectedTags> {
  const { tags: patterns, exclude = [], expressions, semver, newest } = selection;
  const isExcluded = anyOf(exclude);
  const isWanted = patterns === undefined ? () => true : anyOf(patterns);
  let tags: readonly Tag[] = listed.filter((tag) => !isBesideTag(tag) && isWanted(tag) && !isExcluded(tag));
  if (expressions !== undefined) tags = expressions.select(tags);
  if (semver !== undefined) {
    const range = await rangeOf(semver);
    const { versionOf } = await import('./versions.ts');
    tags = tags.filter((tag) => range.includes(versionOf(tag)));
  }
  if (newest !== undefined && tags.length > newest) {
    const kept = new Set((await newestFirst(tags, source, options)).slice(0, newest));
    tags = tags.filter((tag) => kept.has(tag));
  }
  const known = new Set<string>(listed);
  const named = (patterns ?? []).filter((pattern): pattern is Tag => isTag(pattern) && !known.has(pattern));
  return { tags, missing: named.filter((tag) => !isExcluded(tag)) };
}

function anyOf(patterns: readonly string[]): (tag: Tag) => boolean {
  const matchers = patterns.map(matcherOf);
  return (tag) => matchers.some((matches) => matches(tag));
}

/** `*` has the meaning that it has in pins: the rest, whatever it is. */
function matcherOf(pattern: string): (tag: Tag) => boolean {
  if (isTag(pattern)) return (tag) => tag === pattern;
  const beginning = pattern.slice(0, -1);
  if (pattern.endsWith('*') && (beginning === '' || isTag(beginning)))
    return (tag) => tag.startsWith(beginning);
  throw new BullaError('usage', `${JSON.stringify(pattern)} is not a pattern of tags`, {
    hint: 'write a tag, or the beginning of tags and * for the rest, such as v1.*',
  });
}

async function rangeOf(text: string): Promise<import('./versions.ts').VersionRange> {
  if (text.length <= MAX_RANGE) {
    const { parseRange } = await import('./versions.ts');
    const range = parseRange(text);
    if (range !== undefined) return range;
  }
  throw new BullaError('usage', `${JSON.stringify(text)} is not a range of versions`, {
    hint: 'write it as npm does: ">=1.2 <2", "^1.4.0", "1.x || 2.x"',
  });
}

async function newestFirst(
  tags: readonly Tag[],
  source: Source,
  options: CallOptions,
): Promise<readonly Tag[]> {
  const { byVersion } = await import('./versions.ts');
  const versions = byVersion(tags);
  if (versions !== undefined) return versions;
  const dated = await mapConcurrently(tags, MANIFESTS_AT_ONCE, async (tag) => ({
    tag,
    // What does not say when it was created comes last.
    created: (await createdAt(source, tag, options)) ?? -Infinity,
  }));
  return dated.sort((a, b) => b.created - a.created || (a.tag < b.tag ? 1 : -1)).map(({ tag }) => tag);
}

/** When an image was created, as it says itself, in milliseconds since the epoch. */
async function createdAt(source: Source, tag: Tag, options: CallOptions): Promise<number | undefined> {
  try {
    let manifest = parseCarried(await source.fetchManifest(tag, options));
    const own = annotated(manifest);
    if (own !== undefined || manifest.kind !== 'index')
      return own ?? (await configured(source, manifest, options));
    const [first] = manifest.manifests.filter(({ mediaType }) => isManifestType(mediaType));
    if (first === undefined) return undefined;
    manifest = parseCarried(await source.fetchManifest(first.digest, options));
    return annotated(manifest) ?? (await configured(source, manifest, options));
  } catch (error) {
    if (isBullaError(error, 'not-found', 'content-invalid')) return undefined;
    throw error;
  }
}

function annotated({ annotations }: CarriedManifest): number | undefined {
  return timeOf(annotations?.['org.opencontainers.image.created']);
}

async function configured(
  source: Source,
  manifest: CarriedManifest,
  options: CallOptions,
): Promise<number | undefined> {
  if (manifest.kind !== 'manifest' || manifest.config.size > MAX_MANIFEST_BYTES) return undefined;
  const { config } = manifest;
  const bytes = await source.fetchBlob(config, MAX_MANIFEST_BYTES, options);
  const { created } = parseJsonObject(bytes, { what: `config ${config.digest}`, floats: true });
  return timeOf(created);
}

function timeOf(text: unknown): number | undefined {
  const time = typeof text === 'string' ? Date.parse(text) : Number.NaN;
  return Number.isNaN(time) ? undefined : time;
}

import { type Digest, hexOf } from '../../oci/digest.ts';
import { type Tag, TRUST_TAG_PREFIX } from '../../oci/reference.ts';

/** The tag of a repository at which its trust collection is read (spec/trust.md, "Objects"). */
export const HEAD_TAG: Tag = '_trust' as Tag;
const CANDIDATE_PREFIX = '_trust.next.';
const STAGE_PREFIX = '_trust.stage.';

/** artifactType of each kind of trust object. */
export const TRUST_TYPES = {
  head: 'application/vnd.bulla.trust.head.v1',
  shard: 'application/vnd.bulla.trust.shard.v1',
  stage: 'application/vnd.bulla.trust.stage.v1',
  /** What holds the list of what was folded where a candidate is an index. */
  folded: 'application/vnd.bulla.trust.folded.v1',
  proof: 'application/vnd.bulla.trust.proof.v1',
  /** What is pushed to try a registry out; it stays where nothing can be removed. */
  probe: 'application/vnd.bulla.trust.probe.v1',
} as const;

/** Media types of what trust objects are made of. */
export const TRUST_LAYERS = {
  metadata: 'application/vnd.tuf.metadata+json',
  log: 'application/vnd.bulla.trust.log.v1+json',
  folded: 'application/vnd.bulla.trust.folded.v1+json',
} as const;

/** Annotation of a layer: the file's name in a TUF repository, or `ROLE.log.json`. */
export const FILE_NAME = 'tuf.io/filename';
/** Annotation of a layer: where `oras pull` puts it. */
export const FILE_TITLE = 'org.opencontainers.image.title';
/** Annotation that candidates have and heads have not, so that their digests differ. */
export const CANDIDATE_MARK = 'vnd.bulla.trust.candidate';
/** Annotation of a large head: number of bits of its bins, from which the shard of a bin follows. */
export const BIN_BITS = 'vnd.bulla.trust.bin-bits';

/** The first delegation, which holds all names and is the only one to get bins. */
export const NAMES_ROLE = 'names';
/** Prefix of the names of its bins: none, because the snapshot repeats it for each. */
export const BIN_PREFIX = '';

/** Digits of an object's digest in its tag. */
const TAG_DIGITS = 16;
/** What they once were: such tags are read like all others. */
const OLD_TAG_DIGITS = 12;

/** Tag under which a candidate is announced. @param digest of the candidate itself */
export function candidateTag(digest: Digest): Tag {
  return tagOfObject('next', hexOf(digest).slice(0, TAG_DIGITS));
}

/** Tag under which a stage waits. @param digest of the stage itself */
export function stageTag(digest: Digest): Tag {
  return tagOfObject('stage', hexOf(digest).slice(0, TAG_DIGITS));
}

/** Tag of a candidate or stage. @param rest the first digits of its digest */
export function tagOfObject(kind: 'next' | 'stage', rest: string): Tag {
  return `${kind === 'next' ? CANDIDATE_PREFIX : STAGE_PREFIX}${rest}` as Tag;
}

/** Whether a tag is the one that an object of this digest is pushed to: it may have been copied to others. */
export function isOwnTag(tag: Tag, digest: Digest): boolean {
  const object = objectOfTag(tag);
  return object !== undefined && hexOf(digest).startsWith(object.rest);
}

/** Kind and first digits of the digest that a tag of a candidate or stage names; undefined for every other tag. */
export function objectOfTag(
  tag: Tag,
): { readonly kind: 'next' | 'stage'; readonly rest: string } | undefined {
  const [, kind, rest] = /^_trust\.(next|stage)\.([0-9a-f]+)$/.exec(tag) ?? [];
  const isOne = rest?.length === TAG_DIGITS || rest?.length === OLD_TAG_DIGITS;
  return rest !== undefined && isOne ? { kind: kind as 'next' | 'stage', rest } : undefined;
}

/** What a tag of a collection claims to be; what is there must be looked at, because anyone may push it. */
export function kindOfTag(tag: Tag): 'head' | 'candidate' | 'stage' | undefined {
  if (tag === HEAD_TAG) return 'head';
  if (tag.startsWith(CANDIDATE_PREFIX)) return 'candidate';
  return tag.startsWith(STAGE_PREFIX) ? 'stage' : undefined;
}

/** Whether a tag belongs to the collection and so can't be a name in it. */
export function isReservedTag(tag: Tag): boolean {
  return tag.startsWith(TRUST_TAG_PREFIX);
}

/**
 * After which all tags of a collection but its head are listed, where the registry sorts: the head's own tag,
 * because some registries only list after a tag that exists.
 */
export const LIST_AFTER: Tag = HEAD_TAG;
/** After this in byte order there is none of them any more. */
export const LIST_UNTIL: Tag = '_trust.stage.g' as Tag;

/** Tags that no person gave: the fallback index and cosign's (`sha256-…`), and ours (`_trust…`). */
export function isMachineTag(tag: string): boolean {
  return /^sha(?:256|512)-[0-9a-f]{64,}/.test(tag) || tag === HEAD_TAG || tag.startsWith(`${HEAD_TAG}.`);
}

import { utf8 } from '../../encoding/bytes.ts';
import { isBullaError } from '../../errors.ts';
import { type Digest, digestOf } from '../../oci/digest.ts';
import type { Tag } from '../../oci/reference.ts';
import type { CallOptions, ManifestFetcher, TagLister } from '../../oci/target.ts';
import { HEAD_TAG, kindOfTag, LIST_AFTER, LIST_UNTIL } from '../../trust/format/vocabulary.ts';

/** Announced and staged work, as tags: names if they are few, else a hash of them. */
export type TagMarks = ReadonlySet<string>;

/** What a look found. */
export type Look =
  | { readonly kind: 'same'; readonly marks: TagMarks | undefined }
  | { readonly kind: 'changed'; readonly isHead: boolean; readonly marks: TagMarks | undefined }
  | { readonly kind: 'absent' };

/** What a look is compared with. */
export interface Seen {
  readonly head: Digest;
  /** Undefined where they were never listed. */
  readonly marks: TagMarks | undefined;
}

const MAX_MARKS = 32;
/** Shared by all collections for which nothing waits, which is most of them. */
const NO_MARKS: TagMarks = new Set();

/**
 * Whether anything has changed in a collection: one conditional request for its head and, unless
 * notifications are on, one short list of tags. What is found is not trusted, only noticed.
 * @throws BullaError what the port throws
 */
export async function lookAt(
  target: ManifestFetcher & TagLister,
  seen: Seen,
  listing: boolean,
  options: CallOptions = {},
): Promise<Look> {
  let isHead: boolean;
  try {
    isHead = (await target.fetchManifestUnless(HEAD_TAG, seen.head, options)) !== undefined;
  } catch (error) {
    if (isBullaError(error, 'not-found')) return { kind: 'absent' };
    throw error;
  }
  const marks = listing ? await listMarks(target, options) : undefined;
  const hasNews = marks !== undefined && isNews(marks, seen.marks);
  return isHead || hasNews ? { kind: 'changed', isHead, marks } : { kind: 'same', marks };
}

/** The announced and staged work of a collection. @throws BullaError what the port throws */
export async function listMarks(target: TagLister, options: CallOptions = {}): Promise<TagMarks> {
  const tags = (await target.listTags({ ...options, last: LIST_AFTER, until: LIST_UNTIL }))
    .filter(isWork)
    .sort();
  if (tags.length === 0) return NO_MARKS;
  if (tags.length <= MAX_MARKS) return new Set(tags);
  return new Set([digestOf(utf8(tags.join('\n')))]);
}

function isWork(tag: Tag): boolean {
  const kind = kindOfTag(tag);
  return kind === 'candidate' || kind === 'stage';
}

/** Whether anything new appeared; a removal is not news. */
function isNews(marks: TagMarks, before: TagMarks | undefined): boolean {
  if (before === undefined) return true;
  for (const mark of marks) if (!before.has(mark)) return true;
  return false;
}

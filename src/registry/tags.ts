import { isTag, type Tag } from '../oci/reference.ts';
import { type ListTagsOptions, MAX_TAGS } from '../oci/target.ts';
import { listPages, PAGE_SIZE } from './pages.ts';
import type { Room } from './room.ts';
import { tagsPath } from './urls.ts';

const SHORT_PAGE_SIZE = 50;

/** Tags of a repository, from as many pages as there are. What is no tag by the specification is left out. */
export async function listTags(room: Room, options: ListTagsOptions = {}): Promise<readonly Tag[]> {
  const { last, until } = options;
  const tags: Tag[] = [];
  // Where only the beginning is wanted, a full page would be many times what is looked at.
  const n = until === undefined ? PAGE_SIZE : SHORT_PAGE_SIZE;
  const path = tagsPath(room.repository, { n, ...(last !== undefined && { last }) });
  const call = { path, access: room.scopes.read(), member: 'tags', signal: options.signal };
  for await (const page of listPages(room.session, call)) {
    for (const name of page) if (isTag(name)) tags.push(name);
    if (tags.length >= MAX_TAGS) return tags.slice(0, MAX_TAGS);
    if (until !== undefined && hasPassed(tags, last, until)) return tags;
  }
  return tags;
}

/** Whether all that came so far was in byte order and after `last`, and is beyond `until` by now. */
function hasPassed(tags: readonly Tag[], last: Tag | undefined, until: Tag): boolean {
  const end = tags.at(-1);
  if (end === undefined || end <= until) return false;
  return tags.every((tag, at) => {
    const before = at === 0 ? last : tags[at - 1];
    return before === undefined || before < tag;
  });
}

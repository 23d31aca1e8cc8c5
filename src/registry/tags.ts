import { isTag, type Tag } from '../oci/reference.ts';
import type { CallOptions } from '../oci/target.ts';
import { listPages, PAGE_SIZE } from './pages.ts';
import type { Room } from './room.ts';
import { tagsPath } from './urls.ts';

const MAX_TAGS = 100_000;

/** Tags of a repository, from as many pages as there are. What is no tag by the specification is left out. */
export async function listTags(
  room: Room,
  options: CallOptions & { readonly last?: Tag | undefined } = {},
): Promise<readonly Tag[]> {
  const { last } = options;
  const tags: Tag[] = [];
  const path = tagsPath(room.repository, { n: PAGE_SIZE, ...(last !== undefined && { last }) });
  const call = { path, access: room.scopes.read(), member: 'tags', signal: options.signal };
  for await (const page of listPages(room.session, call)) {
    for (const name of page) if (isTag(name)) tags.push(name);
    if (tags.length >= MAX_TAGS) return tags.slice(0, MAX_TAGS);
  }
  return tags;
}

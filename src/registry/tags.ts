import { isBullaError } from '../errors.ts';
import { isTag, type Tag } from '../oci/reference.ts';
import { type ListTagsOptions, MAX_TAGS } from '../oci/target.ts';
import { listPages, PAGE_SIZE } from './pages.ts';
import type { RepositoryContext } from './repository-context.ts';
import { tagsPath } from './urls.ts';

const SHORT_PAGE_SIZE = 50;

/**
 * Tags of a repository, from as many pages as there are. What is not a tag by the specification is left out.
 *
 * Distribution-spec lets `last` be a tag that exists only, and promises no order to rely on. So where a
 * registry refuses `last`, answers nothing to it, or answers out of byte order after it, the whole
 * list is asked for, and what that shows of the registry is remembered.
 * @throws BullaError what the registry says to the whole list
 */
export async function listTags(
  room: RepositoryContext,
  options: ListTagsOptions = {},
): Promise<readonly Tag[]> {
  const { last, expected } = options;
  if (last === undefined) return await listAll(room, options);
  const { tags: known } = await room.dialect.get();
  if (known === 'whole') return await listAll(room, options);
  const answer = await listAfter(room, { ...options, last });
  const isMissing = expected !== undefined && !answer.tags.includes(expected);
  if (answer.kind === 'after' && !isMissing) {
    await room.dialect.learn({ tags: 'after' });
    return answer.tags;
  }
  if (answer.kind === 'ignored') return answer.tags;
  if (answer.kind === 'empty' && known === 'after' && !isMissing) return answer.tags;
  const all = await listAll(room, options);
  const wanted = all.filter((tag) => tag > last);
  // A refusal of a tag that does not exist says nothing about tags that do.
  const isWrong = isMissing ? all.includes(expected) : wanted.length > 0 || answer.kind !== 'empty';
  const isTelling = answer.kind === 'unordered' || (answer.kind !== 'failed' && all.includes(last));
  if (isTelling && isWrong) await room.dialect.learn({ tags: 'whole' });
  if (isTelling && !isWrong && answer.kind === 'empty') await room.dialect.learn({ tags: 'after' });
  return all;
}

/**
 * `after`: in byte order, and after `last`; `ignored`: all tags, `last` among them; `empty`: none;
 * `unordered`: anything else; `refused`: an error about the question;
 * `failed`: an error of the registry, which may be about the question.
 */
interface Answer {
  readonly kind: 'after' | 'ignored' | 'empty' | 'unordered' | 'refused' | 'failed';
  readonly tags: readonly Tag[];
}

async function listAfter(
  room: RepositoryContext,
  options: ListTagsOptions & { readonly last: Tag },
): Promise<Answer> {
  const { last, until } = options;
  // Where only the beginning is wanted, a full page would be many times what is looked at.
  const n = until === undefined ? PAGE_SIZE : SHORT_PAGE_SIZE;
  try {
    const path = tagsPath(room.repository, { n, last });
    const tags = await collect(
      room,
      path,
      options,
      (found) => until !== undefined && hasPassed(found, last, until),
    );
    if (tags.length === 0) return { kind: 'empty', tags };
    if (isAfter(tags, last)) return { kind: 'after', tags };
    return { kind: tags.includes(last) ? 'ignored' : 'unordered', tags };
  } catch (error) {
    if (!isRefusal(error)) throw error;
    return { kind: isRefusal(error, 499) ? 'refused' : 'failed', tags: [] };
  }
}

/** Everything, whatever a registry says to `n`: some allow less than others send. */
async function listAll(room: RepositoryContext, options: ListTagsOptions): Promise<readonly Tag[]> {
  try {
    return await collect(room, tagsPath(room.repository, { n: PAGE_SIZE }), options);
  } catch (error) {
    if (!isRefusal(error) || isUnknown(error)) return emptyIfUnknown(error);
  }
  return await collect(room, tagsPath(room.repository), options).catch(emptyIfUnknown);
}

async function collect(
  room: RepositoryContext,
  path: string,
  { signal }: ListTagsOptions,
  isEnough: (tags: readonly Tag[]) => boolean = () => false,
): Promise<readonly Tag[]> {
  const tags: Tag[] = [];
  const call = { path, access: room.scopes.read(), member: 'tags', searchMs: room.searchMs, signal };
  for await (const page of listPages(room.session, call)) {
    for (const name of page) if (isTag(name)) tags.push(name);
    if (tags.length >= MAX_TAGS) return tags.slice(0, MAX_TAGS);
    if (isEnough(tags)) return tags;
  }
  return tags;
}

/** Whether a registry does not answer this question, whatever it would say to another. */
function isRefusal(error: unknown, highest = 599): boolean {
  if (!isBullaError(error, 'not-found', 'registry-error')) return false;
  const { status } = error.details;
  return typeof status === 'number' && status <= highest;
}

/** A repository without tags is not known yet, as far as distribution is concerned. */
function isUnknown(error: unknown): boolean {
  const codes = isBullaError(error, 'not-found') ? error.details['codes'] : undefined;
  return Array.isArray(codes) && codes.includes('NAME_UNKNOWN');
}

function emptyIfUnknown(error: unknown): readonly Tag[] {
  if (isUnknown(error)) return [];
  throw error;
}

/** Whether all that came so far was in byte order and after `last`, and is beyond `until` by now. */
function hasPassed(tags: readonly Tag[], last: Tag, until: Tag): boolean {
  const end = tags.at(-1);
  return end !== undefined && end > until && isAfter(tags, last);
}

function isAfter(tags: readonly Tag[], last: Tag): boolean {
  return tags.every((tag, at) => ((at === 0 ? last : tags[at - 1]) as Tag) < tag);
}

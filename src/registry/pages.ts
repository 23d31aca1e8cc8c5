import * as z from 'zod/mini';
import { parseJsonObject } from '../encoding/json.ts';
import { BullaError } from '../errors.ts';
import { within } from '../http/deadline.ts';
import { listOf } from '../oci/shape.ts';
import type { Access } from './authenticator.ts';
import { readDecoded } from './decoded.ts';
import { nextLink, nextPage } from './link.ts';
import type { RegistrySession } from './session.ts';

/** Names asked for at once: more than any registry gives, and what ECR takes at most. */
export const PAGE_SIZE = 1000;
export const MAX_PAGE_BYTES: number = 16 * 1024 * 1024;
/** A registry that goes on for ever is left: after so many names, or bytes of pages. */
export const MAX_NAMES: number = 1_000_000;
export const MAX_LIST_BYTES: number = 64 * 1024 * 1024;
/** Pages in a row without a new name: a registry may filter after it has cut the pages. */
const MAX_IDLE_PAGES = 100;

export interface ListCall {
  /** With its query. */
  readonly path: string;
  readonly access: Access;
  /** The member of each page that has the names: `tags`, `repositories`. */
  readonly member: string;
  /** How long all of it may take, in milliseconds. */
  readonly searchMs: number;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Names of a paged list (distribution-spec, "Listing Tags"), page by page, until no page follows or the one
 * that follows was read before, for registries that ignore `last`.
 * @throws BullaError not-found where there is no such list; content-invalid; registry-error where a
 *   link leads elsewhere
 */
export async function* listPages(
  session: RegistrySession,
  call: ListCall,
): AsyncGenerator<readonly string[]> {
  const seen = new Set<string>();
  const visited = new Set<string>();
  let path: string | undefined = call.path;
  let idle = 0;
  let bytes = 0;
  let leftMs = call.searchMs;
  while (path !== undefined && !visited.has(path)) {
    visited.add(path);
    const what = `${session.where({ method: 'GET', to: path })}: the list`;
    // The time that the consumer of the names needs is not the registry's.
    const began = performance.now();
    const answer = await askPage(session, call, { path, what, leftMs });
    leftMs = Math.max(1, leftMs - (performance.now() - began));
    bytes += answer.bytes.byteLength;
    const page = parsePage(answer.bytes, call.member, what);
    const fresh = page.filter((name) => !seen.has(name));
    for (const name of fresh) seen.add(name);
    idle = fresh.length === 0 ? idle + 1 : 0;
    if (seen.size > MAX_NAMES || bytes > MAX_LIST_BYTES || idle > MAX_IDLE_PAGES) throw endless(what);
    yield fresh;
    path = following(answer.links, path, session.registry);
  }
}

interface Page {
  readonly bytes: Uint8Array;
  readonly links: readonly string[];
}

async function askPage(
  session: RegistrySession,
  call: ListCall,
  { path, what, leftMs }: { readonly path: string; readonly what: string; readonly leftMs: number },
): Promise<Page> {
  return await within(leftMs, what, call.signal, async (signal) => {
    const response = await session.call({
      method: 'GET',
      to: path,
      access: call.access,
      headers: { accept: 'application/json' },
      expect: [200],
      signal,
    });
    const links = response.headers.all('link');
    return { links, bytes: await readDecoded(response, MAX_PAGE_BYTES, what) };
  });
}

function endless(what: string): BullaError {
  return new BullaError(
    'content-invalid',
    `${what} has no end: more than ${MAX_NAMES} names or ${MAX_LIST_BYTES} bytes, or nothing new for ${MAX_IDLE_PAGES} pages`,
    {
      hint: 'the registry may be hostile: no honest list is that long',
    },
  );
}

function following(links: readonly string[], path: string, registry: string): string | undefined {
  const link = nextLink(links);
  if (link === undefined) return undefined;
  const next = nextPage(link, path.split('?', 1)[0] ?? path);
  if (next !== undefined) return next;
  throw new BullaError(
    'registry-error',
    `${registry} continues its list on another endpoint, which is refused`,
    {
      hint: 'the registry, or a proxy before it, is misconfigured or hostile; the list would be incomplete',
    },
  );
}

const names = listOf(z.string().check(z.maxLength(512)));

/** Names of one page. @throws BullaError content-invalid */
export function parsePage(bytes: Uint8Array, member: string, what: string): readonly string[] {
  const json = parseJsonObject(bytes, { what, maxBytes: MAX_PAGE_BYTES, floats: true });
  // Old registries write null for an empty list.
  const parsed = z.nullish(names).safeParse(json[member]);
  if (parsed.success) return parsed.data ?? [];
  throw new BullaError('content-invalid', `${what} has no list of ${member}`, {
    hint: 'the registry does not answer as a registry does; check the address',
  });
}

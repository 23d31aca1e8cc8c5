/**
 * Target of the first `rel=next` link of Link headers (RFC 8288 §3); undefined where there is none.
 * @param values each header's value
 */
export function nextLink(values: readonly string[]): string | undefined {
  for (const value of values) {
    for (const { target, rel } of parseLinks(value)) {
      if (rel.split(/\s+/).some((word) => word.toLowerCase() === 'next')) return target;
    }
  }
  return undefined;
}

const MAX_LINK = 8192;
/** Cloudflare's registry writes the address without the brackets. */
const TARGET = /[\s,]*(?:<([^<>]*)>|([^\s<>",;]+)(?=\s*;))/y;
const PARAMETER = /\s*;\s*([!#$%&'*+.^_`|~0-9A-Za-z-]+)\s*(?:=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s",;]+)))?/y;

function parseLinks(value: string): readonly { readonly target: string; readonly rel: string }[] {
  const links: { target: string; rel: string }[] = [];
  const text = value.slice(0, MAX_LINK);
  let at = 0;
  for (;;) {
    TARGET.lastIndex = at;
    const target = TARGET.exec(text);
    if (target === null) return links;
    at = TARGET.lastIndex;
    let rel = '';
    for (;;) {
      PARAMETER.lastIndex = at;
      const parameter = PARAMETER.exec(text);
      if (parameter === null) break;
      at = PARAMETER.lastIndex;
      if (parameter[1]?.toLowerCase() === 'rel' && rel === '') {
        rel = parameter[2]?.replace(/\\(.)/g, '$1') ?? parameter[3] ?? '';
      }
    }
    links.push({ target: target[1] ?? target[2] ?? '', rel });
  }
}

/**
 * The next page's path and query on the endpoint that was asked. Of the link only the query counts: a proxy before
 * a registry, or a repository that represents others, changes host, scheme and the beginning of the path. If
 * the link names another list, it leads elsewhere: a page of it, or the same page again, would be taken for the next.
 * @param path of the request whose answer had the link, without its query
 * @returns undefined where the link leads elsewhere
 */
export function nextPage(link: string, path: string): string | undefined {
  let url: URL;
  try {
    url = new URL(link, `http://registry.invalid${path}`);
  } catch {
    return undefined;
  }
  if (url.search === '' || !/^https?:$/.test(url.protocol)) return undefined;
  const isRelative = !/^(?:[a-z][a-z0-9+.-]*:|\/)/i.test(link);
  return isSameList(partsOf(url.pathname), partsOf(path), isRelative) ? path + url.search : undefined;
}

/** What a list is of, and what kind of list it is: `tags/list`, `_catalog`, `referrers/sha256:…`. */
interface ListParts {
  readonly of: string;
  readonly kind: string;
}

function partsOf(path: string): ListParts {
  let decoded = path;
  try {
    decoded = decodeURIComponent(path);
  } catch {
    // It is compared as it is.
  }
  const parts = decoded.split('/').filter((part) => part !== '');
  const kind = parts.splice(parts.at(-1) === '_catalog' ? -1 : -2).join('/');
  return { of: parts.slice(parts.lastIndexOf('v2') + 1).join('/'), kind };
}

/** Whether one repository is the other below a prefix. What is relative was meant to be relative to the list. */
function isSameList(found: ListParts, asked: ListParts, isRelative: boolean): boolean {
  if (found.kind !== asked.kind) return false;
  const isBelow = (long: string, short: string): boolean => long === short || long.endsWith(`/${short}`);
  return isRelative || isBelow(found.of, asked.of) || isBelow(asked.of, found.of);
}

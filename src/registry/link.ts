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
const TARGET = /[\s,]*<([^<>]*)>/y;
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
    links.push({ target: target[1] ?? '', rel });
  }
}

/**
 * The next page's path and query on the endpoint that was asked. Of the link only the query counts: a proxy before
 * a registry, or a repository that stands for others, makes host, scheme and the beginning of the path another.
 * The end of its path still has to be that of the list, or it is not a page of this list.
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
  return tailOf(url.pathname) === tailOf(path) && url.search !== '' ? path + url.search : undefined;
}

/** What kind of list a path is of: `tags/list`, `_catalog`, `referrers/sha256:…`. */
function tailOf(path: string): string {
  let decoded: string;
  try {
    decoded = decodeURIComponent(path);
  } catch {
    decoded = path;
  }
  const parts = decoded.split('/').filter((part) => part !== '');
  return parts.slice(parts.at(-1) === '_catalog' ? -1 : -2).join('/');
}

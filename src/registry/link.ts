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
 * The next page's path and query on the endpoint that was asked. Of the link only the query counts:
 * a page on another host or path is not a page of this list, and a proxy in front of a registry may
 * make its own host or scheme wrong.
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
  return url.pathname === path && url.search !== '' ? path + url.search : undefined;
}

/** What stands in the place of a secret. */
export const REDACTED = '[redacted]';

/**
 * Headers that say what is sent and how, not who sends it: of all others only the name is shown. Proxies,
 * clouds and gateways put tokens into headers of their own.
 */
const PLAIN_HEADERS: ReadonlySet<string> = new Set([
  'accept',
  'accept-encoding',
  'accept-ranges',
  'age',
  'allow',
  'cache-control',
  'connection',
  'content-encoding',
  'content-length',
  'content-range',
  'content-type',
  'date',
  'docker-content-digest',
  'docker-distribution-api-version',
  'etag',
  'expires',
  'host',
  'if-match',
  'if-modified-since',
  'if-none-match',
  'keep-alive',
  'last-modified',
  'oci-chunk-min-length',
  'oci-filters-applied',
  'oci-subject',
  'oci-tag',
  'range',
  'retry-after',
  'server',
  'transfer-encoding',
  'user-agent',
  'vary',
  'via',
  'warning',
  'x-content-type-options',
  'x-ratelimit-limit',
  'x-ratelimit-remaining',
  'ratelimit-limit',
  'ratelimit-remaining',
]);
/** Longest value that is shown, in characters. */
const MAX_VALUE = 1_000;

/** Parts of a query that say where and what, not who: everything else may be a signature or a token. */
const PLAIN_QUERY: ReadonlySet<string> = new Set([
  'digest',
  'mount',
  'from',
  'n',
  'last',
  'artifactType',
  'service',
  'scope',
  'tag',
  'client_id',
  'next_page',
]);

/**
 * A URL without what could be a secret: user information, the fragment, and the values of query
 * parameters that are not known to be plain (storage back ends put signatures there).
 */
export function redactUrl(url: URL | string): string {
  let copy: URL;
  try {
    copy = new URL(url);
  } catch {
    return '[not a URL]';
  }
  if (copy.username !== '' || copy.password !== '') {
    copy.username = 'redacted';
    copy.password = '';
  }
  copy.hash = '';
  const query = redactQuery(copy.searchParams);
  copy.search = '';
  return query === '' ? copy.href : `${copy.href}?${query}`;
}

function redactQuery(parameters: URLSearchParams): string {
  return [...parameters]
    .map(([name, value]) =>
      PLAIN_QUERY.has(name)
        ? `${name}=${encodeURIComponent(value)}`
        : `${encodeURIComponent(name)}=${REDACTED}`,
    )
    .join('&');
}

/** A header's value as it may be shown. */
export function redactHeader(name: string, value: string): string {
  const lower = name.toLowerCase();
  if (lower === 'location' || lower === 'content-location') return redactLocation(value);
  if (lower === 'link') return redactLink(value);
  if (lower === 'www-authenticate' || lower === 'proxy-authenticate') return redactChallenge(value);
  if (PLAIN_HEADERS.has(lower)) return printable(value, MAX_VALUE);
  const scheme = /^(Basic|Bearer) /i.exec(value)?.[1];
  return scheme === undefined ? REDACTED : `${scheme} ${REDACTED}`;
}

function redactLocation(value: string): string {
  if (/^[a-z][a-z0-9+.-]*:/i.test(value)) return printable(redactUrl(value), MAX_VALUE);
  return printable(
    redactRelative(value, () => REDACTED),
    MAX_VALUE,
  );
}

/** A reference without a scheme; `//user:password@host/path` names a host all the same. */
function redactRelative(value: string, redact: (query: URLSearchParams) => string): string {
  const [path = '', query] = value.split('#', 1)[0]?.split('?', 2) ?? [];
  const bare = path.replace(/^([\\/]{2,})[^\\/]*@/, '$1redacted@');
  if (query === undefined) return bare;
  return `${bare}?${redact(new URLSearchParams(query))}`;
}

function redactLink(value: string): string {
  return printable(
    value.slice(0, 8 * MAX_VALUE).replace(/<([^<>]*)>/g, (_, target: string) => `<${redactTarget(target)}>`),
    MAX_VALUE,
  );
}

/** A link to a next page says where that begins. */
function redactTarget(value: string): string {
  return /^[a-z][a-z0-9+.-]*:/i.test(value) ? redactUrl(value) : redactRelative(value, redactQuery);
}

/** A challenge says where to log in and for what; anything else in it may be a token of another scheme. */
function redactChallenge(value: string): string {
  const text = value.slice(0, 8 * MAX_VALUE);
  const scheme = /^\s*([A-Za-z0-9-]{1,32})(?=\s|$)/.exec(text)?.[1];
  if (scheme === undefined) return REDACTED;
  const said = [...text.matchAll(/\b(realm|service|scope|error)=(?:"([^"]*)"|([^\s",]*))/gi)].map(
    ([, name = '', quoted, bare]) => {
      const found = quoted ?? bare ?? '';
      return `${name.toLowerCase()}="${/^[a-z]+:\/\//i.test(found) ? redactUrl(found) : found}"`;
    },
  );
  return printable([scheme, said.join(',')].join(' '), MAX_VALUE);
}

/** Text from the other side, made safe to print: no control characters, at most `max` characters. */
export function printable(text: string, max = 300): string {
  const clean = text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+/gu, ' ').trim();
  return clean.length > max ? `${clean.slice(0, max - 1)}…` : clean;
}

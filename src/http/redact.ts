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

/**
 * A header's value as it may be shown.
 * @param secrets what was sent with the request, which the answer may say again
 */
export function redactHeader(name: string, value: string, secrets: readonly string[] = []): string {
  const lower = name.toLowerCase();
  if (lower === 'location' || lower === 'content-location') return redactLocation(value);
  if (lower === 'link') return redactLink(value);
  if (lower === 'www-authenticate' || lower === 'proxy-authenticate') return redactChallenge(value);
  if (PLAIN_HEADERS.has(lower)) return quoted(value, MAX_VALUE, secrets);
  const scheme = /^(Basic|Bearer) /i.exec(value)?.[1];
  return scheme === undefined ? REDACTED : `${scheme} ${REDACTED}`;
}

/** The secrets in an `Authorization`: what stands behind the scheme, and the password in it. */
export function secretsIn(authorization: string | undefined): readonly string[] {
  const [, scheme = '', value] = /^(\S+) +(\S+)$/.exec(authorization ?? '') ?? [];
  if (value === undefined) return [];
  if (scheme.toLowerCase() !== 'basic') return [value];
  const plain = Buffer.from(value, 'base64').toString('utf8');
  return [value, plain.slice(plain.indexOf(':') + 1)];
}

function redactLocation(value: string): string {
  if (/^[a-z][a-z0-9+.-]*:/i.test(value)) return printable(redactUrl(value), MAX_VALUE);
  return printable(
    redactRelative(value, () => REDACTED),
    MAX_VALUE,
  );
}

/** A reference without a scheme; `//user:password@host/path` also names a host. */
function redactRelative(value: string, redact: (query: URLSearchParams) => string): string {
  const [path = '', query] = value.split('#', 1)[0]?.split('?', 2) ?? [];
  const bare = path.replace(/^([\\/]{2,})[^\\/]*@/, '$1redacted@');
  if (query === undefined) return bare;
  return `${bare}?${redact(new URLSearchParams(query))}`;
}

/** Where links lead and what they are; a title or another parameter may hold anything. */
function redactLink(value: string): string {
  const links = [...value.slice(0, 8 * MAX_VALUE).matchAll(/<([^<>]*)>([^<]*)/g)].map(
    ([, target = '', parameters = '']) => {
      const [relation = ''] = /;\s*rel="?[a-z]{1,32}"?/i.exec(parameters) ?? [];
      return `<${redactTarget(target)}>${relation}`;
    },
  );
  return links.length === 0 ? REDACTED : printable(links.join(', '), MAX_VALUE);
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
    ([, name = '', inQuotes, bare]) => {
      const found = inQuotes ?? bare ?? '';
      return `${name.toLowerCase()}="${/^[a-z]+:\/\//i.test(found) ? redactUrl(found) : quoted(found, MAX_VALUE)}"`;
    },
  );
  return printable([scheme, said.join(',')].join(' '), MAX_VALUE);
}

/**
 * Words of the other side as they may be shown or logged: {@link printable}, and without what may be a secret:
 * user information, queries and fragments of URLs, credentials behind the name of their scheme, tokens that look
 * like such, what is assigned to a password or the like, and what we sent ourselves.
 * @param secrets what was sent to the other side, which may say it again
 */
export function quoted(text: string, max = 300, secrets: readonly string[] = []): string {
  let clean = text;
  for (const secret of secrets)
    if (secret.length >= SHORTEST_SECRET) clean = clean.replaceAll(secret, REDACTED);
  // A secret that the cut divides is not recognised any more: the last word goes with it.
  if (clean.length > 8 * max) clean = clean.slice(0, 8 * max).replace(/\S+$/, '');
  clean = clean
    .replace(/([\\/]{2})[^\s\\/?#"'<>]*@/g, '$1redacted@')
    .replace(/\?([^\s"'<>#?]*=[^\s"'<>#]*)/g, (_, query: string) => `?${redactQueryText(query)}`)
    .replace(/#[^\s"'<>]*=[^\s"'<>]*/g, `#${REDACTED}`)
    .replace(SCHEME_AND_CREDENTIALS, (all, scheme: string, space: string, word: string) =>
      looksMade(word) ? `${scheme}${space}${REDACTED}` : all,
    )
    .replace(/\beyJ[\w-]{8,}(?:\.[\w-]*){0,4}/g, REDACTED)
    .replace(ASSIGNED_SECRET, `$1$2$3${REDACTED}`);
  return printable(clean, max);
}

/** Shorter ones are in too many words. */
const SHORTEST_SECRET = 4;
const SCHEME_AND_CREDENTIALS =
  /\b(Basic|Bearer|Digest|Negotiate|NTLM|Token)([ \t:]+)(?!\w+=")([\w+/=.~-]{6,})/gi;
const ASSIGNED_SECRET =
  /(?<![\w-])([\w-]*(?:passw(?:or)?d|passphrase|secret|token|signature|credential|(?:api|access|private)[-_]?key)[\w-]*)(["']?[ \t]*=[ \t]*|["'][ \t]*:[ \t]*)(["']?)(?!\[redacted\])[^\s"'&;,)}]+/gi;

/** Whether a word is unlikely in a sentence. */
function looksMade(word: string): boolean {
  return word.length >= 24 || /[0-9=_+/]|[a-z][A-Z]|[A-Z]{2}[a-z]/.test(word);
}

function redactQueryText(query: string): string {
  return query
    .split('&')
    .map((pair) => {
      const [name = ''] = pair.split('=', 1);
      return PLAIN_QUERY.has(name) || name === pair ? pair : `${name}=${REDACTED}`;
    })
    .join('&');
}

/** Text from the other side, made safe to print: no control characters, at most `max` characters. */
export function printable(text: string, max = 300): string {
  const clean = text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+/gu, ' ').trim();
  return clean.length > max ? `${clean.slice(0, max - 1)}…` : clean;
}

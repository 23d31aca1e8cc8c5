/** What stands in the place of a secret. */
export const REDACTED = '[redacted]';

const SECRET_HEADERS: ReadonlySet<string> = new Set([
  'authorization',
  'proxy-authorization',
  'cookie',
  'set-cookie',
  'x-amz-security-token',
]);

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
  const pairs = [...copy.searchParams].map(([name, value]) =>
    PLAIN_QUERY.has(name)
      ? `${name}=${encodeURIComponent(value)}`
      : `${encodeURIComponent(name)}=${REDACTED}`,
  );
  copy.search = '';
  return pairs.length === 0 ? copy.href : `${copy.href}?${pairs.join('&')}`;
}

/** A header's value as it may be shown. */
export function redactHeader(name: string, value: string): string {
  const lower = name.toLowerCase();
  if (lower === 'location' || lower === 'content-location') return redactLocation(value);
  if (!SECRET_HEADERS.has(lower)) return value;
  const scheme = /^(Basic|Bearer) /i.exec(value)?.[1];
  return scheme === undefined ? REDACTED : `${scheme} ${REDACTED}`;
}

function redactLocation(value: string): string {
  if (/^https?:/i.test(value)) return redactUrl(value);
  const query = value.indexOf('?');
  return query < 0 ? value : `${value.slice(0, query)}?${REDACTED}`;
}

/** Text from the other side, made safe to print: no control characters, at most `max` characters. */
export function printable(text: string, max = 300): string {
  const clean = text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+/gu, ' ').trim();
  return clean.length > max ? `${clean.slice(0, max - 1)}…` : clean;
}

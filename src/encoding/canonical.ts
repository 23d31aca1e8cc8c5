import canonicalize from 'canonicalize';
import { BullaError } from '../errors.ts';
import { utf8 } from './bytes.ts';
import { compareCodePoints } from './code-points.ts';
import type { JsonObject, JsonValue } from './json.ts';

export { compareCodePoints } from './code-points.ts';

/**
 * RFC 8785 bytes: for every document whose bytes **we** define (manifests, statements, policy hash).
 * TUF signs other bytes: {@link canonicalOlpc}.
 */
export function canonicalRfc8785(value: unknown): Uint8Array {
  const text = canonicalize(value);
  if (text === undefined) {
    throw new BullaError('internal', 'a value that JSON cannot hold was to be canonicalised', {
      hint: 'please report this with the command that was run',
    });
  }
  return utf8(text);
}

/**
 * The bytes of a document that we write and read ourselves (logs, records, lists): RFC 8785, in which every
 * string that JSON can hold is one that the parser reads again.
 * @throws BullaError content-invalid for text that UTF-8 cannot hold: half of a surrogate pair
 */
export function encodeOwn(value: JsonValue): Uint8Array {
  try {
    return canonicalRfc8785(value);
  } catch (error) {
    throw isWholeText(value) ? error : brokenText();
  }
}

/**
 * Refuses text that UTF-8 cannot hold: half of a surrogate pair, which JSON would write as an escape that no
 * strict reader takes.
 * @param bytes the JSON that was written of it, to look at first
 * @throws BullaError content-invalid
 */
export function assertWholeText(value: JsonValue, bytes: Uint8Array): void {
  if (!Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).includes('\\ud') || isWholeText(value))
    return;
  throw brokenText();
}

function brokenText(): BullaError {
  return new BullaError('content-invalid', 'text with half of a surrogate pair cannot be written', {
    hint: 'it was truncated in the middle of a character; correct it at its source',
  });
}

function isWholeText(value: JsonValue): boolean {
  if (typeof value === 'string') return !/\p{Surrogate}/u.test(value);
  if (typeof value !== 'object' || value === null) return true;
  if (Array.isArray(value)) return value.every(isWholeText);
  return Object.entries(value).every(([key, member]) => isWholeText(key) && isWholeText(member));
}

/**
 * OLPC canonical JSON (TUF specification §4.1): no white space, keys sorted by code point, strings
 * with only `"` and `\` escaped (so a newline stands as it is), no numbers but integers.
 * @throws BullaError content-invalid for a number that is not a safe integer
 */
export function canonicalOlpc(value: JsonValue): Uint8Array {
  return utf8(olpc(value));
}

function olpc(value: JsonValue): string {
  if (typeof value === 'string') return olpcString(value);
  if (value === null || typeof value === 'boolean') return String(value);
  if (typeof value === 'number') {
    if (!Number.isSafeInteger(value)) {
      throw new BullaError('content-invalid', `canonical JSON has no number ${value}`, {
        hint: 'TUF metadata may hold integers up to 2^53 only',
      });
    }
    return String(value);
  }
  if (Array.isArray(value)) return `[${value.map(olpc).join(',')}]`;
  let text = '';
  for (const key of sortedKeys(value)) {
    text += `${text === '' ? '' : ','}${olpcString(key)}:${olpc(value[key] as JsonValue)}`;
  }
  return `{${text}}`;
}

/** Most documents were written with sorted keys; looking is cheaper than sorting again. */
function sortedKeys(value: JsonObject): string[] {
  const keys = Object.keys(value);
  const isSorted = keys.every(
    (key, index) => index === 0 || compareCodePoints(keys[index - 1] ?? '', key) < 0,
  );
  return isSorted ? keys : keys.sort(compareCodePoints);
}

function olpcString(text: string): string {
  return /["\\]/.test(text) ? `"${text.replace(/["\\]/g, '\\$&')}"` : `"${text}"`;
}

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

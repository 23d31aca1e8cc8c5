import canonicalize from 'canonicalize';
import { BullaError } from '../errors.ts';
import { utf8 } from './bytes.ts';
import type { JsonValue } from './json.ts';

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
  const members = Object.entries(value).sort(([a], [b]) => compareCodePoints(a, b));
  return `{${members.map(([key, member]) => `${olpcString(key)}:${olpc(member)}`).join(',')}}`;
}

function olpcString(text: string): string {
  return `"${text.replace(/["\\]/g, '\\$&')}"`;
}

/**
 * Orders strings by Unicode code point. `<` orders by UTF-16 unit, which puts an emoji before
 * U+FFFD although its code point is higher.
 */
export function compareCodePoints(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const x = a.charCodeAt(i);
    const y = b.charCodeAt(i);
    if (x !== y) return codePointRank(x) - codePointRank(y);
  }
  return a.length - b.length;
}

/** Surrogates stand for code points above every other unit, so rank them above U+E000..U+FFFF. */
function codePointRank(unit: number): number {
  if (unit < 0xd800) return unit;
  return unit < 0xe000 ? unit + 0x2000 : unit - 0x800;
}

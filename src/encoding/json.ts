import { BullaError } from '../errors.ts';
import { decodeUtf8 } from './bytes.ts';
import {
  DEFAULT_MAX_BYTES,
  type JsonLimits,
  type JsonMember,
  type JsonObject,
  JsonParser,
  type JsonValue,
} from './json-parser.ts';

export type { JsonLimits, JsonMember, JsonObject, JsonValue } from './json-parser.ts';

/**
 * Parses untrusted JSON (RFC 8259) so that two readers can't see two things in it: refuses duplicate
 * keys, integers that a double cannot hold, lone surrogates, anything after the value, and what is
 * too large, too deep, or of too many parts. Takes time and memory linear in the input.
 * @throws BullaError content-invalid
 */
export function parseJson(bytes: Uint8Array, limits: JsonLimits): JsonValue {
  return parse(bytes, limits);
}

function parse(bytes: Uint8Array, limits: JsonLimits, members?: Map<string, JsonMember>): JsonValue {
  const maxBytes = limits.maxBytes ?? DEFAULT_MAX_BYTES;
  if (bytes.byteLength > maxBytes) {
    throw new BullaError(
      'content-invalid',
      `${limits.what} has ${bytes.byteLength} bytes, more than the ${maxBytes} allowed`,
      {
        hint: 'no honest document of this kind is that large',
      },
    );
  }
  return new JsonParser(decodeUtf8(bytes, limits.what), limits, members).document();
}

/**
 * {@link parseJson} for documents whose root must be an object.
 * @throws BullaError content-invalid
 */
export function parseJsonObject(bytes: Uint8Array, limits: JsonLimits): JsonObject {
  const value = parseJson(bytes, limits);
  if (!isJsonObject(value)) throw notAnObject(limits.what);
  return value;
}

function notAnObject(what: string): BullaError {
  return new BullaError('content-invalid', `${what} is not a JSON object`, {
    hint: 'the document is not of the kind that was asked for',
  });
}

/**
 * {@link parseJsonObject} that also keeps how each member of the root was written, for formats that
 * sign the canonical form of one of them.
 * @throws BullaError content-invalid
 */
export function parseJsonMembers(bytes: Uint8Array, limits: JsonLimits): ReadonlyMap<string, JsonMember> {
  const members = new Map<string, JsonMember>();
  const value = parse(bytes, limits, members);
  if (!isJsonObject(value)) throw notAnObject(limits.what);
  return members;
}

/** Whether a JSON value is an object (not an array, not null). */
export function isJsonObject(value: JsonValue | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The first member of an object that is not one of these; undefined where there is none. */
export function unknownMember(object: JsonObject, known: readonly string[]): string | undefined {
  return Object.keys(object).find((name) => !known.includes(name));
}

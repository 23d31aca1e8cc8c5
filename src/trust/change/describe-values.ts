import { canonicalOlpc, compareCodePoints } from '../../encoding/canonical.ts';
import { isJsonObject, type JsonObject, type JsonValue } from '../../encoding/json.ts';

/** Text from outside, so that it can be read in one way only: what is plain stays so, all else is quoted. */
export function quoted(text: string): string {
  return /^[A-Za-z0-9][A-Za-z0-9._/-]{0,127}$/.test(text) ? text : literal(text);
}

/** Text in quotes, with nothing in it but printable ASCII: no letter can pass for another, or move the others. */
export function literal(text: string): string {
  return JSON.stringify(text).replace(
    /[^\x20-\x7e]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

/** JSON with sorted members and printable ASCII alone: the same for the same value, and for no other. */
export function jsonText(value: JsonValue): string {
  if (typeof value === 'string') return literal(value);
  if (Array.isArray(value)) return `[${value.map(jsonText).join(',')}]`;
  if (!isJsonObject(value)) return String(value);
  const members = Object.entries<JsonValue>(value).sort(([a], [b]) => compareCodePoints(a, b));
  return `{${members.map(([name, member]) => `${literal(name)}:${jsonText(member)}`).join(',')}}`;
}

/** Where a member stands: names with dots, or anything odd in them, in quotes. */
export function pathText(...names: readonly string[]): string {
  return names.map((name) => (/^[A-Za-z0-9_-]+$/.test(name) ? name : literal(name))).join('.');
}

/** A member that has no words of its own. @param name as {@link pathText} writes it */
export function* memberChange(
  name: string,
  from: JsonValue | undefined,
  to: JsonValue | undefined,
): Generator<string> {
  if (isSame(from, to)) return;
  const before = from === undefined ? '' : `, before ${jsonText(from)}`;
  if (to === undefined) yield `${name} is left out${before}`;
  else yield `${name} is ${jsonText(to)}${before}`;
}

/** Whether two values say the same, in whatever order their members stand. */
export function isSame(a: JsonValue | undefined, b: JsonValue | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return a === b || Buffer.from(canonicalOlpc(a)).equals(canonicalOlpc(b));
}

/** The value, where it is an object; else one without members. */
export function objectOf(value: JsonValue | undefined): JsonObject {
  return isJsonObject(value) ? value : absent();
}

/** An object without members, and without a prototype. */
export function absent(): JsonObject {
  return Object.create(null) as JsonObject;
}

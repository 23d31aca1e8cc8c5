import { isJsonObject, type JsonObject, type JsonValue } from '../encoding/json.ts';
import { parseTime } from '../encoding/time.ts';
import { malformed, unsupported } from './errors.ts';
import { EXPIRY_ANNOTATION, RESERVED_ANNOTATION_PREFIX } from './formats.ts';

/** What was signed along with an artifact, whatever the format. */
export interface SignedAnnotations {
  readonly annotations: ReadonlyMap<string, string>;
  /** From {@link EXPIRY_ANNOTATION}. */
  readonly expiry?: Date;
}

/** What a document's annotations may be. */
export interface AnnotationRules {
  /** Names the signature in messages. */
  readonly where: string;
  /** Whether values that are not strings are refused, as Notation does; cosign lets them be anything. */
  readonly stringsOnly?: boolean;
}

/**
 * Reads every annotation of a verified document (spec/signatures.md, "Restrictions"): those of `places`,
 * which may be missing. Annotations can restrict a signature, so what cannot be read is refused: a place
 * that is not an object, an expiry that is not a time, reserved names that are not known, and reserved
 * names anywhere else in the document.
 * @returns what each place holds, in their order
 * @throws BullaError content-invalid, unsupported-signature
 */
export function readAnnotations(
  document: JsonObject,
  places: readonly (JsonValue | undefined)[],
  rules: AnnotationRules,
): readonly SignedAnnotations[] {
  const read = places.map((place) => readPlace(place, rules));
  refuseElsewhere(document, new Set(places), rules.where);
  return read;
}

/** The earliest of some expiries; undefined where there is none. */
export function earliest(expiries: readonly (Date | undefined)[]): Date | undefined {
  const times = expiries.flatMap((expiry) => expiry?.getTime() ?? []);
  return times.length === 0 ? undefined : new Date(Math.min(...times));
}

function readPlace(
  place: JsonValue | undefined,
  { where, stringsOnly = false }: AnnotationRules,
): SignedAnnotations {
  const annotations = new Map<string, string>();
  if (place === undefined || place === null) return { annotations };
  if (!isJsonObject(place)) throw malformed(where, 'its annotations are not an object');
  let expiry: Date | undefined;
  for (const [name, value] of Object.entries<JsonValue>(place)) {
    if (isReserved(name)) expiry = readReserved(name, value, where);
    if (typeof value === 'string') annotations.set(name, value);
    else if (stringsOnly) throw malformed(where, `the annotation ${name.slice(0, 80)} is not a string`);
  }
  return { annotations, ...(expiry !== undefined && { expiry }) };
}

/** Go reads names of members in any case, and so a signer's tool may have meant one of ours. */
function isReserved(name: string): boolean {
  return name.toLowerCase().startsWith(RESERVED_ANNOTATION_PREFIX);
}

/** An expiry that cannot be read must not mean "never". */
function readReserved(name: string, value: JsonValue, where: string): Date {
  if (name !== EXPIRY_ANNOTATION) {
    throw unsupported(
      where,
      `its annotation ${name.slice(0, 80)} is not known here`,
      'it may restrict the signature; verify it with the release of bulla that made it',
    );
  }
  if (typeof value !== 'string') throw malformed(where, `${EXPIRY_ANNOTATION} is not a string`);
  const time = parseTime(value);
  if (time === undefined) throw malformed(where, `${EXPIRY_ANNOTATION} is not an RFC 3339 time`);
  return time;
}

/** The parser has bounded the depth. */
function refuseElsewhere(value: JsonValue, places: ReadonlySet<unknown>, where: string): void {
  if (typeof value !== 'object' || value === null) return;
  if (Array.isArray(value)) {
    for (const element of value) refuseElsewhere(element, places, where);
    return;
  }
  for (const [name, member] of Object.entries<JsonValue>(value)) {
    if (isReserved(name) && !places.has(value))
      throw malformed(where, `${name.slice(0, 80)} stands where annotations have no effect`);
    refuseElsewhere(member, places, where);
  }
}

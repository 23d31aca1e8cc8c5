import { canonicalRfc8785 } from '../encoding/canonical.ts';
import { isJsonObject, type JsonObject, type JsonValue, parseJsonObject } from '../encoding/json.ts';
import { formatTime, parseTime } from '../encoding/time.ts';
import { algorithmOf, type Digest, hexOf, isDigest } from '../oci/digest.ts';
import type { Claims, SignedTarget } from './envelope.ts';
import { malformed, unsupported } from './errors.ts';
import { EXPIRY_ANNOTATION, MAX_ENVELOPE_BYTES, RELEASE_PURPOSE } from './formats.ts';

const STATEMENT_TYPES: readonly string[] = [
  'https://in-toto.io/Statement/v1',
  'https://in-toto.io/Statement/v0.1',
];
const MAX_SUBJECTS = 1000;

/** What an in-toto statement of ours says. */
export interface StatementParts {
  readonly digest: Digest;
  readonly annotations: ReadonlyMap<string, string>;
  readonly purpose?: string | undefined;
  readonly expiry?: Date | undefined;
}

/** The statement's bytes (in-toto Statement v1), as cosign writes them for a signature. */
export function buildStatement(parts: StatementParts): Uint8Array {
  const annotations: Record<string, string> = Object.fromEntries(parts.annotations);
  if (parts.expiry !== undefined) annotations[EXPIRY_ANNOTATION] = formatTime(parts.expiry);
  return canonicalRfc8785({
    _type: STATEMENT_TYPES[0],
    subject: [
      {
        digest: { [algorithmOf(parts.digest)]: hexOf(parts.digest) },
        ...(Object.keys(annotations).length > 0 && { annotations }),
      },
    ],
    predicateType: parts.purpose ?? RELEASE_PURPOSE,
    predicate: {},
  });
}

/**
 * Reads a statement whose bytes were verified.
 * @throws BullaError content-invalid, unsupported-signature
 */
export function readStatement(payload: Uint8Array, where: string): Claims {
  const json = parseJsonObject(payload, {
    what: `the statement of ${where}`,
    maxBytes: MAX_ENVELOPE_BYTES,
    floats: true,
  });
  const type = json['_type'];
  if (typeof type !== 'string' || !STATEMENT_TYPES.includes(type)) {
    throw unsupported(
      where,
      `its statement is of type ${JSON.stringify(type ?? null).slice(0, 120)}`,
      'in-toto statements v1 and v0.1 are read',
    );
  }
  const purpose = json['predicateType'];
  if (typeof purpose !== 'string' || purpose === '')
    throw malformed(where, 'its statement has no predicateType');
  const subject = json['subject'];
  if (!Array.isArray(subject) || subject.length === 0 || subject.length > MAX_SUBJECTS) {
    throw malformed(where, `its statement should have 1 to ${MAX_SUBJECTS} subjects`);
  }
  const targets = subject.flatMap((entry) => targetsOf(entry, where));
  const expiry = expiryOf(targets, where);
  return { targets, purpose, ...(expiry !== undefined && { expiry }) };
}

/** One subject may carry digests by several algorithms; each known one names the artifact. */
function targetsOf(entry: JsonValue, where: string): SignedTarget[] {
  if (!isJsonObject(entry) || !isJsonObject(entry['digest']))
    throw malformed(where, 'a subject has no digest');
  const annotations = stringsOf(entry['annotations']);
  if (
    isJsonObject(entry['annotations']) &&
    EXPIRY_ANNOTATION in entry['annotations'] &&
    !annotations.has(EXPIRY_ANNOTATION)
  ) {
    throw malformed(where, `${EXPIRY_ANNOTATION} is not a string`);
  }
  return Object.entries(entry['digest']).flatMap(([algorithm, value]) => {
    const text = `${algorithm}:${typeof value === 'string' ? value : ''}`;
    return isDigest(text) ? [{ digest: text, annotations }] : [];
  });
}

/** The string members of an object; cosign lets annotations be anything, and only strings can be asked for. */
export function stringsOf(value: JsonValue | undefined): ReadonlyMap<string, string> {
  const members = isJsonObject(value) ? Object.entries<JsonValue>(value satisfies JsonObject) : [];
  return new Map(members.filter((member): member is [string, string] => typeof member[1] === 'string'));
}

/** The earliest end that any subject is given: one that can't be read must not mean "never". */
function expiryOf(targets: readonly SignedTarget[], where: string): Date | undefined {
  const times = targets.flatMap((target) => {
    const text = target.annotations.get(EXPIRY_ANNOTATION);
    if (text === undefined) return [];
    const time = parseTime(text);
    if (time === undefined) throw malformed(where, `${EXPIRY_ANNOTATION} is not an RFC 3339 time`);
    return [time.getTime()];
  });
  return times.length === 0 ? undefined : new Date(Math.min(...times));
}

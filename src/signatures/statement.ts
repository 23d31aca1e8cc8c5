import { concatBytes, decodeUtf8, utf8 } from '../encoding/bytes.ts';
import { canonicalRfc8785 } from '../encoding/canonical.ts';
import { isJsonObject, type JsonValue, parseJsonObject } from '../encoding/json.ts';
import { formatTime } from '../encoding/time.ts';
import { algorithmOf, type Digest, hexOf, isDigest } from '../oci/digest.ts';
import { earliest, readAnnotations } from './annotations.ts';
import type { Claims, SignedTarget } from './envelope.ts';
import { malformed, unsupported } from './errors.ts';
import { EXPIRY_ANNOTATION, MAX_ATTESTATION_BYTES, RELEASE_PURPOSE } from './formats.ts';

const STATEMENT_TYPES: readonly string[] = [
  'https://in-toto.io/Statement/v1',
  'https://in-toto.io/Statement/v0.1',
];
const MAX_SUBJECTS = 1000;
/** Values of a statement, by its own size: what is short must not become large in memory. As many as a small one may have. */
const BYTES_PER_VALUE = 16;
const LEAST_MAX_VALUES = 262_144;

/** What an in-toto statement of ours says. */
export interface StatementParts {
  readonly digest: Digest;
  readonly annotations: ReadonlyMap<string, string>;
  readonly purpose?: string | undefined;
  readonly expiry?: Date | undefined;
  /** Of an attestation: a JSON object, which is signed with these very bytes. Empty if left out. */
  readonly predicate?: Uint8Array | undefined;
}

/** The statement's bytes (in-toto Statement v1), as cosign writes them for a signature. */
export function buildStatement(parts: StatementParts): Uint8Array {
  const annotations: Record<string, string> = Object.fromEntries(parts.annotations);
  if (parts.expiry !== undefined) annotations[EXPIRY_ANNOTATION] = formatTime(parts.expiry);
  const statement = canonicalRfc8785({
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
  return parts.predicate === undefined ? statement : withPredicate(statement, parts.predicate);
}

/** Numbers have many spellings and predicates are long: what was given is put in as it is. */
function withPredicate(statement: Uint8Array, predicate: Uint8Array): Uint8Array {
  const [head = '', tail = ''] = decodeUtf8(statement, 'the statement').split('"predicate":{},');
  return concatBytes([utf8(`${head}"predicate":`), predicate, utf8(`,${tail}`)]);
}

/**
 * Reads a statement whose bytes were verified.
 * @throws BullaError content-invalid, unsupported-signature
 */
export function readStatement(payload: Uint8Array, where: string): Claims {
  const json = parseJsonObject(payload, {
    what: `the statement of ${where}`,
    maxBytes: MAX_ATTESTATION_BYTES,
    maxValues: Math.max(LEAST_MAX_VALUES, payload.byteLength / BYTES_PER_VALUE),
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
  const annotated = readAnnotations(
    json,
    subject.map((entry) => (isJsonObject(entry) ? entry['annotations'] : undefined)),
    { where },
  );
  const targets = subject.flatMap((entry, at) => targetsOf(entry, annotated[at]?.annotations, where));
  // Also of subjects with unknown digest algorithms: their expiry was signed, too.
  const expiry = earliest(annotated.map((subjectsOwn) => subjectsOwn.expiry));
  const { predicate } = json;
  return {
    ...{ targets, purpose },
    ...(expiry !== undefined && { expiry }),
    ...(isJsonObject(predicate) && Object.keys(predicate).length > 0 && { predicate }),
  };
}

/** One subject may carry digests by several algorithms; each known one names the artifact. */
function targetsOf(
  entry: JsonValue,
  annotations: ReadonlyMap<string, string> = new Map(),
  where: string,
): SignedTarget[] {
  if (!isJsonObject(entry) || !isJsonObject(entry['digest']))
    throw malformed(where, 'a subject has no digest');
  return Object.entries<JsonValue>(entry['digest']).flatMap(([algorithm, value]) => {
    if (typeof value !== 'string') throw malformed(where, 'a digest of a subject is not a string');
    const text = `${algorithm}:${value}`;
    return isDigest(text) ? [{ digest: text, annotations }] : [];
  });
}

import { isJsonObject, type JsonObject, type JsonValue, parseJsonObject } from '../encoding/json.ts';
import { parseTime } from '../encoding/time.ts';
import { BullaError } from '../errors.ts';

/** Largest predicate that is attested, in bytes: with it, the bundle in base64 stays within what is read. */
export const MAX_PREDICATE_BYTES: number = 16 * 1024 * 1024;

/** A type of predicate that is known by name. */
export interface PredicateKind {
  /** As `--type` takes it: the names are cosign's, where cosign has one. */
  readonly names: readonly string[];
  /** URI: the predicate type of a statement. */
  readonly type: string;
  /** For people. */
  readonly label: string;
  /** What is missing or wrong in a predicate of this type; undefined if nothing is. */
  readonly flaw: (predicate: JsonObject) => string | undefined;
}

const slsa1 = (predicate: JsonObject): string | undefined =>
  texts(predicate, ['buildDefinition', 'buildType'], ['runDetails', 'builder', 'id']) ??
  (isJsonObject(at(predicate, ['buildDefinition', 'externalParameters']))
    ? undefined
    : 'buildDefinition.externalParameters is not an object');
const slsa02 = (predicate: JsonObject): string | undefined =>
  texts(predicate, ['builder', 'id'], ['buildType']);

const KINDS: readonly PredicateKind[] = [
  {
    names: ['slsaprovenance1'],
    type: 'https://slsa.dev/provenance/v1',
    label: 'SLSA provenance v1',
    flaw: slsa1,
  },
  {
    names: ['slsaprovenance', 'slsaprovenance02'],
    type: 'https://slsa.dev/provenance/v0.2',
    label: 'SLSA provenance v0.2',
    flaw: slsa02,
  },
  {
    names: ['vsa'],
    type: 'https://slsa.dev/verification_summary/v1',
    label: 'verification summary (VSA)',
    flaw: verificationSummary,
  },
  {
    names: ['spdxjson', 'spdx'],
    type: 'https://spdx.dev/Document',
    label: 'SPDX SBOM',
    flaw: (predicate) =>
      Array.isArray(predicate['@graph']) || /^SPDX-\d/.test(String(predicate['spdxVersion']))
        ? undefined
        : 'it has neither spdxVersion (SPDX 2) nor @graph (SPDX 3)',
  },
  {
    names: ['cyclonedx'],
    type: 'https://cyclonedx.org/bom',
    label: 'CycloneDX SBOM',
    flaw: (predicate) =>
      predicate['bomFormat'] === 'CycloneDX'
        ? texts(predicate, ['specVersion'])
        : 'bomFormat is not "CycloneDX"',
  },
  {
    names: ['vuln'],
    type: 'https://cosign.sigstore.dev/attestation/vuln/v1',
    label: 'vulnerability scan',
    flaw: (predicate) =>
      texts(predicate, ['scanner', 'uri']) ??
      times(predicate, ['metadata', 'scanStartedOn'], ['metadata', 'scanFinishedOn']),
  },
  {
    names: ['openvex'],
    type: 'https://openvex.dev/ns',
    label: 'OpenVEX',
    flaw: (predicate) => texts(predicate, ['@context']),
  },
  { names: ['link'], type: 'https://in-toto.io/Link/v1', label: 'in-toto link', flaw: () => undefined },
];

/** Names that `--type` takes. */
export const PREDICATE_NAMES: readonly string[] = KINDS.flatMap(({ names }) => names);

/**
 * The URI of a predicate type, given by name or as a URI.
 * @throws BullaError usage
 */
export function predicateType(text: string): string {
  const known = KINDS.find(({ names }) => names.includes(text));
  if (known !== undefined) return known.type;
  if (/^[a-z][a-z0-9+.-]*:[!-~]{1,1024}$/i.test(text)) return text;
  throw new BullaError('usage', `${JSON.stringify(text)} is not a type of attestation`, {
    hint: `give a URI such as https://example.com/scan/v1, or one of ${PREDICATE_NAMES.join(', ')}`,
  });
}

/** What a predicate type is called; undefined where it is not known. */
export function predicateLabel(type: string): string | undefined {
  return KINDS.find((kind) => kind.type === type)?.label;
}

/**
 * Checks a predicate before it is signed, as far as its type demands it.
 * @returns the bytes to sign, without white space around them
 * @throws BullaError usage, content-invalid
 */
export function checkPredicate(type: string, bytes: Uint8Array, where: string): Uint8Array {
  const limits = { what: where, maxBytes: MAX_PREDICATE_BYTES, floats: true };
  const predicate = parseJsonObject(bytes, limits);
  if (typeof predicate['_type'] === 'string' && predicate['predicateType'] !== undefined) {
    throw new BullaError('usage', `${where} is a whole in-toto statement, and its predicate is wanted`, {
      hint: 'the subject is the image: give what stands under "predicate" alone (jq .predicate)',
    });
  }
  const kind = KINDS.find((known) => known.type === type);
  const flaw = kind?.flaw(predicate);
  if (flaw === undefined) return trimmed(bytes);
  throw new BullaError('content-invalid', `${where} is not a predicate of type ${kind?.label}: ${flaw}`, {
    hint: 'correct the file, or give its real type with --type',
  });
}

function verificationSummary(predicate: JsonObject): string | undefined {
  const flaw =
    texts(predicate, ['verifier', 'id'], ['resourceUri'], ['verificationResult']) ??
    times(predicate, ['timeVerified']);
  if (flaw !== undefined) return flaw;
  return ['PASSED', 'FAILED'].includes(String(predicate['verificationResult']))
    ? undefined
    : 'verificationResult is neither PASSED nor FAILED';
}

type Path = readonly string[];

function at(value: JsonValue | undefined, path: Path): JsonValue | undefined {
  return path.reduce<JsonValue | undefined>(
    (inner, name) => (isJsonObject(inner) ? inner[name] : undefined),
    value,
  );
}

function texts(predicate: JsonObject, ...paths: readonly Path[]): string | undefined {
  const missing = paths.find((path) => {
    const value = at(predicate, path);
    return typeof value !== 'string' || value === '';
  });
  return missing === undefined ? undefined : `${missing.join('.')} is missing`;
}

function times(predicate: JsonObject, ...paths: readonly Path[]): string | undefined {
  const wrong = paths.find((path) => {
    const value = at(predicate, path);
    return typeof value !== 'string' || parseTime(value) === undefined;
  });
  return wrong === undefined ? undefined : `${wrong.join('.')} is not an RFC 3339 time`;
}

/** JSON white space around the object belongs to the file, not to the predicate. */
function trimmed(bytes: Uint8Array): Uint8Array {
  const isSpace = (octet: number | undefined): boolean =>
    octet !== undefined && [0x20, 0x09, 0x0a, 0x0d].includes(octet);
  let [start, end] = [0, bytes.byteLength];
  while (isSpace(bytes[start])) start++;
  while (end > start && isSpace(bytes[end - 1])) end--;
  return bytes.subarray(start, end);
}

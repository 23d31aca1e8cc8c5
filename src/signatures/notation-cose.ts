import type { AlgorithmId } from '../crypto/algorithm.ts';
import type { Certificate } from '../crypto/certificate.ts';
import type { Signer } from '../crypto/signer.ts';
import { concatBytes } from '../encoding/bytes.ts';
import { encodeCbor, parseCbor } from './cbor.ts';
import { readChain } from './chain.ts';
import type { Envelope } from './envelope.ts';
import { malformed, unsupported } from './errors.ts';
import { MAX_NOTATION_BYTES, SIGNATURE_TYPES } from './formats.ts';
import {
  buildNotationPayload,
  checkNotationHeaders,
  checkUnprotected,
  NOTATION_HEADERS,
  NOTATION_SCHEME,
  type NotationHeaders,
  type NotationParts,
  namedNotationAlgorithm,
  notationAlgorithms,
  PLUGIN_HEADER,
  readNotationPayload,
} from './notation-payload.ts';

/** Labels of common COSE headers (RFC 9052 §3.1, RFC 9360 §2). */
const LABELS = { algorithm: 1, critical: 2, contentType: 3, chain: 33 } as const;

/** COSE_Sign1 (RFC 9052 §4.2): tag 18 in one byte. */
const SIGN1_TAG = 0xd2;

/** Numbers of the algorithms in COSE (RFC 9053 §2.1, RFC 8230 §2). */
const NUMBERS: ReadonlyMap<AlgorithmId, number> = new Map([
  ['ES256', -7],
  ['ES384', -35],
  ['ES512', -36],
  ['PS256', -37],
  ['PS384', -38],
  ['PS512', -39],
]);

/**
 * Signs an image as Notation does and puts it into a COSE_Sign1 (spec/signatures.md, "Notation COSE").
 * @param stamp has the signature countersigned: returns a time-stamp token
 */
export async function buildNotationCose(
  parts: NotationParts,
  signer: Signer,
  chain: readonly Certificate[],
  stamp?: (signature: Uint8Array) => Promise<Uint8Array>,
): Promise<Uint8Array> {
  const { expiry } = parts;
  const critical = [NOTATION_HEADERS.scheme, ...(expiry === undefined ? [] : [NOTATION_HEADERS.expiry])];
  const header = encodeCbor(
    new Map<unknown, unknown>([
      [LABELS.algorithm, NUMBERS.get(signer.algorithm.id)],
      [LABELS.critical, critical],
      [LABELS.contentType, SIGNATURE_TYPES.notationPayload],
      [NOTATION_HEADERS.scheme, NOTATION_SCHEME],
      [NOTATION_HEADERS.time, parts.signingTime],
      ...(expiry === undefined ? [] : [[NOTATION_HEADERS.expiry, expiry] as const]),
    ]),
  );
  const payload = buildNotationPayload(parts);
  const signature = await signer.sign(signatureStructure(header, payload));
  const token = await stamp?.(signature);
  const unprotected = new Map<unknown, unknown>([
    [LABELS.chain, chain.map((certificate) => certificate.der)],
    [NOTATION_HEADERS.agent, parts.agent],
    ...(token === undefined ? [] : [[NOTATION_HEADERS.timestamp, token] as const]),
  ]);
  return concatBytes([Uint8Array.of(SIGN1_TAG), encodeCbor([header, unprotected, payload, signature])]);
}

/** What a COSE_Sign1 signs (RFC 9052 §4.4). */
export function signatureStructure(header: Uint8Array, payload: Uint8Array): Uint8Array {
  return encodeCbor(['Signature1', header, new Uint8Array(), payload]);
}

/**
 * Takes a COSE_Sign1 of Notation apart.
 * @throws BullaError content-invalid, unsupported-signature
 */
export function readNotationCose(bytes: Uint8Array, where: string): Envelope {
  if (bytes.byteLength > MAX_NOTATION_BYTES)
    throw malformed(where, `it has more than ${MAX_NOTATION_BYTES} bytes`);
  if (bytes[0] !== SIGN1_TAG) throw malformed(where, 'it is not a tagged COSE_Sign1');
  const parts = parseCbor(bytes.subarray(1), where);
  if (!Array.isArray(parts) || parts.length !== 4) throw malformed(where, 'a COSE_Sign1 has four parts');
  const [header, unprotected, payload, signature] = parts as unknown[];
  if (!isBytes(header) || !isBytes(payload) || !isBytes(signature) || !(unprotected instanceof Map)) {
    throw malformed(where, 'the parts of the COSE_Sign1 are not of their types');
  }
  const fields = parseCbor(header, where);
  if (!(fields instanceof Map)) throw malformed(where, 'its protected header is not a map');
  for (const label of unprotected.keys()) {
    if (fields.has(label))
      throw malformed(where, `header ${String(label).slice(0, 80)} is both protected and not`);
  }
  checkLabels([...fields.keys(), ...unprotected.keys()], where);
  checkUnprotected(unprotected.keys(), [LABELS.algorithm, LABELS.critical, LABELS.contentType], where);
  const headers = headersOf(fields, where);
  const namedAlgorithm = namedNotationAlgorithm(nameOf(fields.get(LABELS.algorithm), where), where);
  checkNotationHeaders(headers, where);
  const token: unknown = unprotected.get(NOTATION_HEADERS.timestamp);
  // One that is not bytes is kept as empty: it is refused where time stamps count, and ignored elsewhere.
  const timeStampToken = token === undefined || isBytes(token) ? token : new Uint8Array();
  return {
    kind: 'notation-cose',
    message: signatureStructure(header, payload),
    payload,
    signature,
    encoding: 'raw',
    namedAlgorithm,
    certificates: readChain(certificatesOf(unprotected.get(LABELS.chain), where), where),
    ...(timeStampToken !== undefined && { timeStampToken }),
    algorithmsOf: notationAlgorithms,
    claims: () => readNotationPayload(payload, headers, where),
  };
}

function headersOf(fields: ReadonlyMap<unknown, unknown>, where: string): NotationHeaders {
  return {
    contentType: fields.get(LABELS.contentType),
    scheme: fields.get(NOTATION_HEADERS.scheme),
    critical: fields.get(LABELS.critical),
    names: new Set(fields.keys()),
    plugin: fields.get(PLUGIN_HEADER),
    signingTime: timeOf(fields, NOTATION_HEADERS.time, where),
    expiry: timeOf(fields, NOTATION_HEADERS.expiry, where),
  };
}

function timeOf(fields: ReadonlyMap<unknown, unknown>, name: string, where: string): Date | undefined {
  const time = fields.get(name);
  if (time === undefined) return undefined;
  if (!(time instanceof Date)) throw malformed(where, `${name} is not a time (tag 1)`);
  return time;
}

/**
 * JOSE name of a COSE algorithm; a number that has none goes back as it came, to be named in the refusal.
 * COSE would let an algorithm be text (RFC 9052 §3.1); none is registered by a name that JOSE has.
 */
function nameOf(number: unknown, where: string): unknown {
  if (typeof number === 'string')
    throw unsupported(
      where,
      `it names its algorithm in text, ${JSON.stringify(number.slice(0, 60))}`,
      'COSE names algorithms by number; sign with notation or bulla',
    );
  return [...NUMBERS].find(([, value]) => value === number)?.[0] ?? number;
}

/** Labels are integers or text (RFC 9052 §1.5): what else stands there, other readers may take for one of them. */
function checkLabels(labels: readonly unknown[], where: string): void {
  if (labels.every((label) => typeof label === 'string' || Number.isSafeInteger(label))) return;
  throw malformed(where, 'a header has a label that is neither an integer nor text');
}

function certificatesOf(chain: unknown, where: string): Uint8Array[] {
  if (!Array.isArray(chain) || !chain.every(isBytes))
    throw malformed(where, 'it has no certificate chain (x5chain)');
  return chain;
}

function isBytes(value: unknown): value is Uint8Array {
  return value instanceof Uint8Array;
}

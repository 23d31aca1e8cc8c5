import { createHash } from 'node:crypto';
import { parseCertificates } from '../crypto/certificate.ts';
import { base64, fromBase64, fromHex, utf8 } from '../encoding/bytes.ts';
import { isJsonObject, type JsonObject, parseJsonObject, unknownMember } from '../encoding/json.ts';
import { BullaError, isBullaError } from '../errors.ts';
import type { Annotations, Descriptor } from '../oci/descriptor.ts';
import { isDigest } from '../oci/digest.ts';
import { sigstoreAlgorithms } from '../sigstore/algorithms.ts';
import { type Bundle, type LogEntry, parseEnvelope } from '../sigstore/bundle.ts';
import { preAuthEncoding } from '../sigstore/dsse.ts';
import { Fields } from '../sigstore/fields.ts';
import { readAnnotations } from './annotations.ts';
import type { Claims, Envelope } from './envelope.ts';
import { malformed } from './errors.ts';
import {
  MAX_ATTESTATION_BYTES,
  MAX_ENVELOPE_BYTES,
  RELEASE_PURPOSE,
  SIGNATURE_ANNOTATIONS,
} from './formats.ts';
import { checkInToto } from './sigstore-bundle.ts';
import { readStatement } from './statement.ts';

const SIGNATURE_TYPE = 'cosign container image signature';

/**
 * Takes one layer of a cosign `.sig` manifest apart: the payload's bytes are the blob; the signature, and what others
 * say about it, stand in the layer's annotations.
 * @throws BullaError content-invalid, certificate-invalid
 */
export function readLegacySignature(layer: Descriptor, payload: Uint8Array, where: string): Envelope {
  const signature = fromBase64(layer.annotations?.[SIGNATURE_ANNOTATIONS.legacySignature] ?? '');
  if (signature === undefined || signature.byteLength === 0) {
    throw malformed(where, `its layer has no ${SIGNATURE_ANNOTATIONS.legacySignature} in base64`);
  }
  const value = new Uint8Array(createHash('sha256').update(payload).digest());
  const digest = { algorithm: 'sha256', value };
  return {
    kind: 'cosign-legacy',
    message: payload,
    signature,
    encoding: 'der',
    ...materialOf(layer, { kind: 'message', signature, digest }, where),
    algorithmsOf: sigstoreAlgorithms,
    claims: () => readPayload(payload, where),
  };
}

/**
 * Takes one layer of a cosign `.att` manifest apart: the blob is a DSSE envelope.
 * @throws BullaError content-invalid, certificate-invalid, unsupported-signature
 */
export function readLegacyAttestation(layer: Descriptor, bytes: Uint8Array, where: string): Envelope {
  const content = parseEnvelope(bytes, where, MAX_ATTESTATION_BYTES);
  checkInToto(content, where);
  return {
    kind: 'cosign-legacy',
    message: preAuthEncoding(content.payloadType, content.payload),
    signature: content.signature,
    encoding: 'der',
    ...materialOf(layer, content, where),
    algorithmsOf: sigstoreAlgorithms,
    claims: () => readStatement(content.payload, where),
  };
}

/**
 * The certificate, the log entry and the time stamp in a layer's annotations, as a bundle of version 0.1 holds them. The
 * chain beside the certificate is left aside: issuers come from the trusted root.
 */
function materialOf(
  { annotations = {} }: Descriptor,
  content: Bundle['content'],
  where: string,
): Pick<Envelope, 'certificates' | 'bundle'> {
  const pem = annotations[SIGNATURE_ANNOTATIONS.legacyCertificate];
  if (pem === undefined || pem === '')
    return { certificates: [], ...keyMaterial(annotations, content, where) };
  const [certificate, second] = parseCertificates(pem, `the certificate of ${where}`);
  if (certificate === undefined || second !== undefined)
    throw new BullaError(
      'certificate-invalid',
      `${where} has not exactly one certificate in its annotation`,
      {
        hint: 'it was damaged, or made by a tool that does not follow cosign',
      },
    );
  const proofs = readProofs(annotations, where);
  return {
    certificates: [certificate],
    bundle: { version: '0.1', signer: { certificate }, content, ...proofs },
  };
}

/** Of a key: what cannot be read proves nothing, which matters only to a policy that demands a proof. */
function keyMaterial(
  annotations: Annotations,
  content: Bundle['content'],
  where: string,
): Pick<Envelope, 'bundle'> {
  try {
    const proofs = readProofs(annotations, where);
    if (proofs.logEntries.length + proofs.timestamps.length === 0) return {};
    return { bundle: { version: '0.1', signer: { hint: '' }, content, ...proofs } };
  } catch (error) {
    if (isBullaError(error, 'content-invalid')) return {};
    throw error;
  }
}

function readProofs(annotations: Annotations, where: string): Pick<Bundle, 'logEntries' | 'timestamps'> {
  const read = (name: string): Fields | undefined => {
    const text = annotations[name];
    if (text === undefined || text === '') return undefined;
    const what = `${name} of ${where}`;
    return new Fields(parseJsonObject(utf8(text), { what }), what);
  };
  const entry = read(SIGNATURE_ANNOTATIONS.legacyEntry);
  const stamp = read(SIGNATURE_ANNOTATIONS.legacyTimeStamp);
  return {
    logEntries: entry === undefined ? [] : [readEntry(entry, `log entry of ${where}`)],
    timestamps: stamp === undefined ? [] : [stamp.bytes('SignedRFC3161Timestamp')],
  };
}

/** Rekor v1's entry as cosign writes it: what is promised, without a proof of inclusion. */
function readEntry(entry: Fields, where: string): LogEntry {
  const payload = entry.message('Payload');
  const canonicalizedBody = payload.bytes('body');
  const body = new Fields(parseJsonObject(canonicalizedBody, { what: where }), where);
  const id = fromHex(payload.text('logID'));
  if (id === undefined) throw malformed(where, 'its logID is not hexadecimal');
  return {
    where,
    index: payload.integer('logIndex'),
    logId: base64(id),
    kind: body.text('kind'),
    kindVersion: body.text('apiVersion'),
    integratedTime: payload.integer('integratedTime'),
    canonicalizedBody,
    signedEntryTimestamp: entry.bytes('SignedEntryTimestamp'),
  };
}

/** Every member that the document has, in cosign and in those that write it like cosign; the first list at the top. */
const TOP = ['critical', 'optional'];
const CRITICAL = ['identity', 'image', 'type'];
const IDENTITY = ['docker-reference'];
const IMAGE = ['docker-manifest-digest'];

/**
 * Reads the simple signing document of a signature whose bytes were verified. It is read in exactly the shape
 * that cosign writes (spec/signatures.md, "cosign `.sig`"): the bytes are signed without a word about what they
 * are, so that whatever else a key signs as JSON must not pass for one of these.
 */
function readPayload(payload: Uint8Array, where: string): Claims {
  const json = parseJsonObject(payload, {
    what: `the payload of ${where}`,
    maxBytes: MAX_ENVELOPE_BYTES,
    floats: true,
  });
  assertOnly(json, TOP, where);
  const critical = objectOf(json, 'critical', where);
  assertOnly(critical, CRITICAL, where);
  if (critical['type'] !== SIGNATURE_TYPE) {
    throw malformed(where, `its payload is not of type "${SIGNATURE_TYPE}"`);
  }
  const identity = objectOf(critical, 'identity', where);
  assertOnly(identity, IDENTITY, where);
  if (typeof identity['docker-reference'] !== 'string') {
    throw malformed(where, 'its payload has no docker-reference');
  }
  const image = objectOf(critical, 'image', where);
  assertOnly(image, IMAGE, where);
  const digest = image['docker-manifest-digest'];
  if (typeof digest !== 'string' || !isDigest(digest)) throw malformed(where, 'its payload names no image');
  const [signed] = readAnnotations(json, [json['optional']], { where });
  const { annotations = new Map(), expiry } = signed ?? {};
  return {
    targets: [{ digest, annotations }],
    purpose: RELEASE_PURPOSE,
    ...(expiry !== undefined && { expiry }),
  };
}

function objectOf(json: JsonObject, name: string, where: string): JsonObject {
  const value = json[name];
  if (!isJsonObject(value)) throw malformed(where, `its payload has no ${name}`);
  return value;
}

function assertOnly(json: JsonObject, known: readonly string[], where: string): void {
  const unknown = unknownMember(json, known);
  if (unknown === undefined) return;
  throw malformed(
    where,
    `its payload has a member ${JSON.stringify(unknown.slice(0, 80))}, which no signature of an image has`,
  );
}

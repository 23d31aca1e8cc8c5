import { fromBase64 } from '../encoding/bytes.ts';
import { isJsonObject, type JsonObject, parseJsonObject, unknownMember } from '../encoding/json.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import { isDigest } from '../oci/digest.ts';
import { sigstoreAlgorithms } from '../sigstore/algorithms.ts';
import { readAnnotations } from './annotations.ts';
import type { Claims, Envelope } from './envelope.ts';
import { malformed, unsupported } from './errors.ts';
import { MAX_ENVELOPE_BYTES, RELEASE_PURPOSE, SIGNATURE_ANNOTATIONS } from './formats.ts';

const SIGNATURE_TYPE = 'cosign container image signature';

/**
 * Takes one layer of a cosign `.sig` manifest apart: the payload's bytes are the blob, the signature
 * stands in the layer's annotations.
 * @throws BullaError content-invalid, unsupported-signature
 */
export function readLegacySignature(layer: Descriptor, payload: Uint8Array, where: string): Envelope {
  const annotations = layer.annotations ?? {};
  if (SIGNATURE_ANNOTATIONS.legacyCertificate in annotations) {
    throw unsupported(
      where,
      'it is keyless: signed with a short-lived certificate of a public authority',
      'only signatures by a key or by a certificate chain can be verified; sign with --key',
    );
  }
  const signature = fromBase64(annotations[SIGNATURE_ANNOTATIONS.legacySignature] ?? '');
  if (signature === undefined || signature.byteLength === 0) {
    throw malformed(where, `its layer has no ${SIGNATURE_ANNOTATIONS.legacySignature} in base64`);
  }
  return {
    kind: 'cosign-legacy',
    message: payload,
    signature,
    encoding: 'der',
    certificates: [],
    algorithmsOf: sigstoreAlgorithms,
    claims: () => readPayload(payload, where),
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

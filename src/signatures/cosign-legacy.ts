import { fromBase64 } from '../encoding/bytes.ts';
import { isJsonObject, parseJsonObject } from '../encoding/json.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import { isDigest } from '../oci/digest.ts';
import type { Claims, Envelope } from './envelope.ts';
import { malformed, unsupported } from './errors.ts';
import { MAX_ENVELOPE_BYTES, RELEASE_PURPOSE, SIGNATURE_ANNOTATIONS } from './formats.ts';
import { sigstoreAlgorithms } from './sigstore-bundle.ts';
import { stringsOf } from './statement.ts';

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

/** Reads the simple signing document of a signature whose bytes were verified. */
function readPayload(payload: Uint8Array, where: string): Claims {
  const json = parseJsonObject(payload, {
    what: `the payload of ${where}`,
    maxBytes: MAX_ENVELOPE_BYTES,
    floats: true,
  });
  const critical = json['critical'];
  if (!isJsonObject(critical) || critical['type'] !== SIGNATURE_TYPE) {
    throw malformed(where, `its payload is not of type "${SIGNATURE_TYPE}"`);
  }
  const image = critical['image'];
  const digest = isJsonObject(image) ? image['docker-manifest-digest'] : undefined;
  if (typeof digest !== 'string' || !isDigest(digest)) throw malformed(where, 'its payload names no image');
  return { targets: [{ digest, annotations: stringsOf(json['optional']) }], purpose: RELEASE_PURPOSE };
}

import type { Certificate } from '../crypto/certificate.ts';
import type { Signer } from '../crypto/signer.ts';
import { base64, base64url, fromBase64, fromBase64url, utf8 } from '../encoding/bytes.ts';
import { canonicalRfc8785 } from '../encoding/canonical.ts';
import { isJsonObject, type JsonObject, type JsonValue, parseJsonObject } from '../encoding/json.ts';
import { formatTime, parseTime } from '../encoding/time.ts';
import { readChain } from './chain.ts';
import type { Envelope } from './envelope.ts';
import { malformed } from './errors.ts';
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

/**
 * Signs an image as Notation does and puts it into a flattened JWS (spec/signatures.md, "Notation JWS").
 * @param stamp has the signature countersigned: returns a time-stamp token
 */
export async function buildNotationJws(
  parts: NotationParts,
  signer: Signer,
  chain: readonly Certificate[],
  stamp?: (signature: Uint8Array) => Promise<Uint8Array>,
): Promise<Uint8Array> {
  const { expiry } = parts;
  const critical = [NOTATION_HEADERS.scheme, ...(expiry === undefined ? [] : [NOTATION_HEADERS.expiry])];
  const header = canonicalRfc8785({
    alg: signer.algorithm.id,
    crit: critical,
    cty: SIGNATURE_TYPES.notationPayload,
    [NOTATION_HEADERS.scheme]: NOTATION_SCHEME,
    [NOTATION_HEADERS.time]: formatTime(parts.signingTime),
    ...(expiry !== undefined && { [NOTATION_HEADERS.expiry]: formatTime(expiry) }),
  });
  const encodedHeader = base64url(header);
  const encodedPayload = base64url(buildNotationPayload(parts));
  const signature = await signer.sign(utf8(`${encodedHeader}.${encodedPayload}`));
  const token = await stamp?.(signature);
  return canonicalRfc8785({
    payload: encodedPayload,
    protected: encodedHeader,
    header: {
      x5c: chain.map((certificate) => base64(certificate.der)),
      [NOTATION_HEADERS.agent]: parts.agent,
      ...(token !== undefined && { [NOTATION_HEADERS.timestamp]: base64(token) }),
    },
    signature: base64url(signature),
  });
}

/**
 * Takes a flattened JWS of Notation apart (RFC 7515 §7.2.2).
 * @throws BullaError content-invalid, unsupported-signature
 */
export function readNotationJws(bytes: Uint8Array, where: string): Envelope {
  const json = parseJsonObject(bytes, { what: where, maxBytes: MAX_NOTATION_BYTES });
  if ('signatures' in json) throw malformed(where, 'it is a JWS with several signatures; Notation has one');
  const payload = decode(json, 'payload', where);
  const protectedBytes = decode(json, 'protected', where);
  const protectedHeader = parseJsonObject(protectedBytes, {
    what: `the protected header of ${where}`,
    floats: true,
  });
  const unprotected = json['header'];
  if (!isJsonObject(unprotected)) throw malformed(where, 'it has no header');
  checkDisjoint(protectedHeader, unprotected, where);
  // What stands beside the four members of a JWS is not signed either (RFC 7515 §7.2.2).
  checkUnprotected([...Object.keys(unprotected), ...Object.keys(json)], ['alg', 'crit', 'cty', 'b64'], where);
  const namedAlgorithm = namedNotationAlgorithm(protectedHeader['alg'], where);
  const headers = headersOf(protectedHeader, where);
  checkNotationHeaders(headers, where);
  const timeStampToken = tokenOf(unprotected[NOTATION_HEADERS.timestamp]);
  return {
    kind: 'notation-jws',
    message: utf8(`${json['protected']}.${json['payload']}`),
    payload,
    signature: decode(json, 'signature', where),
    encoding: 'raw',
    namedAlgorithm,
    certificates: readChain(certificatesOf(unprotected['x5c'], where), where),
    ...(timeStampToken !== undefined && { timeStampToken }),
    algorithmsOf: notationAlgorithms,
    claims: () => readNotationPayload(payload, headers, where),
  };
}

/** A header that stands in both places would be read from either (RFC 7515 §7.2.1). */
function checkDisjoint(protectedHeader: JsonObject, unprotected: JsonObject, where: string): void {
  const twice = Object.keys(unprotected).find((name) => name in protectedHeader);
  if (twice !== undefined) throw malformed(where, `header ${twice.slice(0, 80)} is both protected and not`);
}

function headersOf(header: JsonObject, where: string): NotationHeaders {
  return {
    contentType: header['cty'],
    scheme: header[NOTATION_HEADERS.scheme],
    critical: header['crit'],
    names: new Set(Object.keys(header)),
    plugin: header[PLUGIN_HEADER],
    signingTime: timeOf(header, NOTATION_HEADERS.time, where),
    expiry: timeOf(header, NOTATION_HEADERS.expiry, where),
  };
}

function timeOf(header: JsonObject, name: string, where: string): Date | undefined {
  const text = header[name];
  if (text === undefined) return undefined;
  const time = typeof text === 'string' ? parseTime(text) : undefined;
  if (time === undefined) throw malformed(where, `${name} is not an RFC 3339 time`);
  return time;
}

function certificatesOf(x5c: JsonValue | undefined, where: string): Uint8Array[] {
  if (!Array.isArray(x5c)) throw malformed(where, 'it has no certificate chain (x5c)');
  return x5c.map((text) => {
    const der = typeof text === 'string' ? fromBase64(text) : undefined;
    if (der === undefined) throw malformed(where, 'a certificate in x5c is not base64');
    return der;
  });
}

/** The time-stamp token. One that is not base64 is kept as empty: it is refused where time stamps count, and ignored elsewhere. */
function tokenOf(text: JsonValue | undefined): Uint8Array | undefined {
  if (text === undefined) return undefined;
  return (typeof text === 'string' ? fromBase64(text) : undefined) ?? new Uint8Array();
}

function decode(json: JsonObject, name: string, where: string): Uint8Array {
  const text = json[name];
  const bytes = typeof text === 'string' ? fromBase64url(text) : undefined;
  if (bytes === undefined || bytes.byteLength === 0) throw malformed(where, `its ${name} is not base64url`);
  return bytes;
}

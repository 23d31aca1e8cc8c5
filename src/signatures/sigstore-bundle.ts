import { type Algorithm, algorithm } from '../crypto/algorithm.ts';
import type { PublicKey } from '../crypto/public-key.ts';
import { ecdsaToDer } from '../crypto/signature.ts';
import type { Signer } from '../crypto/signer.ts';
import { base64, fromBase64, fromHex, hex } from '../encoding/bytes.ts';
import { canonicalRfc8785 } from '../encoding/canonical.ts';
import { isJsonObject, type JsonObject, parseJsonObject } from '../encoding/json.ts';
import { BullaError } from '../errors.ts';
import { preAuthEncoding } from './dsse.ts';
import type { Envelope } from './envelope.ts';
import { malformed, unsupported } from './errors.ts';
import { MAX_ENVELOPE_BYTES, SIGNATURE_TYPES } from './formats.ts';
import { buildStatement, readStatement, type StatementParts } from './statement.ts';

/**
 * The algorithms that cosign uses a key with: PKCS #1 v1.5 for RSA. With P-384 it signs over SHA-384 and
 * verifies over SHA-256 (3.1.3), so both are read; with P-521 it signs what it does not verify. With
 * Ed25519 it signs by Ed25519ph and verifies Ed25519, so both are read here too.
 */
export function sigstoreAlgorithms(key: PublicKey): readonly Algorithm[] {
  switch (key.type) {
    case 'P-256':
      return [algorithm('ES256')];
    case 'P-384':
      return [algorithm('ES384'), algorithm('ES384-SHA256')];
    case 'P-521':
      return [algorithm('ES512')];
    case 'Ed25519':
      return [algorithm('Ed25519'), algorithm('Ed25519ph')];
    case 'RSA':
      return [algorithm('RS256')];
  }
}

/** Hint by which cosign names a bare key: base64 of the SHA-256 of its SPKI. */
export function keyHint(key: PublicKey): string {
  return base64(fromHex(key.fingerprint) ?? new Uint8Array());
}

/** A hint as people see it: where it can be one of {@link keyHint}, as bulla names keys everywhere else. */
export function hintText(hint: string): string {
  const hash = fromBase64(hint);
  return `key ${hash?.byteLength === 32 ? hex(hash).slice(0, 12) : hint.slice(0, 80)}`;
}

/**
 * Signs a statement and puts it into a Sigstore bundle v0.3 (spec/signatures.md, "Sigstore bundle").
 * @throws BullaError key-invalid for a key that stock cosign does not verify with
 */
export async function buildBundle(parts: StatementParts, signer: Signer): Promise<Uint8Array> {
  const { type } = signer.publicKey;
  if (type !== 'P-256' && type !== 'Ed25519') {
    throw new BullaError('key-invalid', `a bare ${type} key cannot sign an image`, {
      hint: 'use a P-256 or Ed25519 key, or give the certificate chain of this one with --cert-chain',
    });
  }
  const payload = buildStatement(parts);
  const plain = await signer.sign(preAuthEncoding(SIGNATURE_TYPES.inToto, payload));
  const sig = base64(type === 'P-256' ? ecdsaToDer(plain) : plain);
  return canonicalRfc8785({
    mediaType: SIGNATURE_TYPES.bundle,
    verificationMaterial: { publicKey: { hint: keyHint(signer.publicKey) } },
    dsseEnvelope: { payloadType: SIGNATURE_TYPES.inToto, payload: base64(payload), signatures: [{ sig }] },
  });
}

/**
 * Takes a Sigstore bundle apart.
 * @throws BullaError content-invalid; unsupported-signature for keyless ones and for other contents
 */
export function readBundle(bytes: Uint8Array, where: string): Envelope {
  const json = parseJsonObject(bytes, { what: where, maxBytes: MAX_ENVELOPE_BYTES });
  if (json['mediaType'] !== SIGNATURE_TYPES.bundle) {
    throw unsupported(
      where,
      `it is a bundle of type ${JSON.stringify(json['mediaType'] ?? null).slice(0, 120)}`,
      `only ${SIGNATURE_TYPES.bundle} is read; sign again with a current tool`,
    );
  }
  const hint = bareKeyHint(json['verificationMaterial'], where);
  const dsse = json['dsseEnvelope'];
  if (!isJsonObject(dsse)) {
    throw unsupported(
      where,
      'it holds no DSSE envelope',
      'sign the image itself: a bundle over a blob says nothing about it',
    );
  }
  if (dsse['payloadType'] !== SIGNATURE_TYPES.inToto) {
    throw unsupported(
      where,
      `its payload is of type ${JSON.stringify(dsse['payloadType'] ?? null).slice(0, 120)}`,
      `only ${SIGNATURE_TYPES.inToto} says something about an image`,
    );
  }
  const payload = bytesOf(dsse, 'payload', where);
  return {
    kind: 'sigstore-bundle',
    message: preAuthEncoding(SIGNATURE_TYPES.inToto, payload),
    signature: onlySignature(dsse, where),
    encoding: 'der',
    certificates: [],
    ...(hint !== undefined && { keyHint: hint }),
    algorithmsOf: sigstoreAlgorithms,
    claims: () => readStatement(payload, where),
  };
}

/** The hint of a bare key; certificates and logs need a trust root that there is none for. */
function bareKeyHint(material: unknown, where: string): string | undefined {
  if (!isObject(material)) throw malformed(where, 'it has no verificationMaterial');
  if ('certificate' in material || 'x509CertificateChain' in material) {
    throw unsupported(
      where,
      'it is keyless: signed with a short-lived certificate of a public authority',
      'only signatures by a key or by a certificate chain can be verified; sign with --key',
    );
  }
  const { publicKey } = material;
  if (!isObject(publicKey)) throw malformed(where, 'its verificationMaterial names no key');
  return typeof publicKey['hint'] === 'string' ? publicKey['hint'] : undefined;
}

/** Exactly one, as Sigstore's bundle has it: with two, it would be a question which of them counts. */
function onlySignature(dsse: JsonObject, where: string): Uint8Array {
  const { signatures } = dsse;
  if (!Array.isArray(signatures) || signatures.length !== 1) {
    throw malformed(
      where,
      `a bundle has exactly one signature, this one ${Array.isArray(signatures) ? signatures.length : 'none'}`,
    );
  }
  const [only] = signatures;
  if (!isJsonObject(only)) throw malformed(where, 'its signature is not an object');
  return bytesOf(only, 'sig', where);
}

function bytesOf(object: JsonObject, name: string, where: string): Uint8Array {
  const text = object[name];
  const bytes = typeof text === 'string' ? fromBase64(text) : undefined;
  if (bytes === undefined || bytes.byteLength === 0) throw malformed(where, `its ${name} is not base64`);
  return bytes;
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

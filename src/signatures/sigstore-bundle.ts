import type { PublicKey } from '../crypto/public-key.ts';
import { ecdsaToDer } from '../crypto/signature.ts';
import type { Signer, SigningOptions } from '../crypto/signer.ts';
import { base64, fromBase64, fromHex, hex } from '../encoding/bytes.ts';
import { canonicalRfc8785 } from '../encoding/canonical.ts';
import type { JsonObject } from '../encoding/json.ts';
import { BullaError } from '../errors.ts';
import { sigstoreAlgorithms } from '../sigstore/algorithms.ts';
import { type DsseEnvelope, parseBundle } from '../sigstore/bundle.ts';
import { preAuthEncoding } from '../sigstore/dsse.ts';
import type { Envelope } from './envelope.ts';
import { unsupported } from './errors.ts';
import { MAX_ATTESTATION_BYTES, SIGNATURE_TYPES } from './formats.ts';
import { buildStatement, readStatement, type StatementParts } from './statement.ts';

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
 * @throws BullaError key-invalid for a key that stock cosign does not verify with; usage for a statement that is too large
 */
export async function buildBundle(parts: StatementParts, signer: Signer): Promise<Uint8Array> {
  const envelope = await signStatement(parts, signer);
  return encodeBundle(envelope, { publicKey: { hint: keyHint(signer.publicKey) } });
}

/** Signs a statement. @throws BullaError as {@link buildBundle} */
export async function signStatement(
  parts: StatementParts,
  signer: Signer,
  options: SigningOptions = {},
): Promise<DsseEnvelope> {
  const { type } = signer.publicKey;
  if (type !== 'P-256' && type !== 'Ed25519') {
    throw new BullaError('key-invalid', `a bare ${type} key cannot sign an image`, {
      hint:
        parts.predicate === undefined
          ? 'use a P-256 or Ed25519 key, or give the certificate chain of this one with --cert-chain'
          : 'attest with a P-256 or Ed25519 key, or with --keyless',
    });
  }
  const payload = buildStatement(parts);
  // A predicate of others may hold what our readers refuse.
  if (parts.predicate !== undefined) readStatement(payload, 'the new attestation');
  const plain = await signer.sign(preAuthEncoding(SIGNATURE_TYPES.inToto, payload), options);
  const signature = type === 'P-256' ? ecdsaToDer(plain) : plain;
  return { kind: 'dsse', payloadType: SIGNATURE_TYPES.inToto, payload, signature };
}

/**
 * The bundle of a signed statement.
 * @param material who signed it, and what others say about it
 * @throws BullaError usage where it would be larger than what is read
 */
export function encodeBundle(
  { payloadType, payload, signature }: DsseEnvelope,
  material: JsonObject,
): Uint8Array {
  const bundle = canonicalRfc8785({
    mediaType: SIGNATURE_TYPES.bundle,
    verificationMaterial: material,
    dsseEnvelope: { payloadType, payload: base64(payload), signatures: [{ sig: base64(signature) }] },
  });
  if (bundle.byteLength <= MAX_ATTESTATION_BYTES) return bundle;
  throw new BullaError(
    'usage',
    `the signature would have ${bundle.byteLength} bytes, more than the ${MAX_ATTESTATION_BYTES} that are read`,
    { hint: 'sign a smaller predicate; a large document can be an artifact of its own: bulla push' },
  );
}

/**
 * Takes a Sigstore bundle apart. Its log entries and time stamps, and the certificate of a keyless one, are left for
 * policy/ to verify, which knows the trusted root.
 * @throws BullaError content-invalid, certificate-invalid; unsupported-signature for other versions and contents
 */
export function readBundle(bytes: Uint8Array, where: string): Envelope {
  const bundle = parseBundle(bytes, where, MAX_ATTESTATION_BYTES);
  const { content, signer } = bundle;
  if (content.kind !== 'dsse') {
    throw unsupported(
      where,
      'it holds no DSSE envelope',
      'sign the image itself: a bundle over a blob says nothing about it',
    );
  }
  checkInToto(content, where);
  return {
    kind: 'sigstore-bundle',
    message: preAuthEncoding(SIGNATURE_TYPES.inToto, content.payload),
    signature: content.signature,
    encoding: 'der',
    ...('certificate' in signer ? { certificates: [signer.certificate], bundle } : { certificates: [] }),
    ...(bundle.logEntries.length + bundle.timestamps.length > 0 && { bundle }),
    ...('hint' in signer && signer.hint !== '' && { keyHint: signer.hint }),
    algorithmsOf: sigstoreAlgorithms,
    claims: () => readStatement(content.payload, where),
  };
}

/** Demands that an envelope holds an in-toto statement. @throws BullaError unsupported-signature */
export function checkInToto({ payloadType }: DsseEnvelope, where: string): void {
  if (payloadType === SIGNATURE_TYPES.inToto) return;
  throw unsupported(
    where,
    `its payload is of type ${JSON.stringify(payloadType).slice(0, 120)}`,
    `only ${SIGNATURE_TYPES.inToto} says something about an image`,
  );
}

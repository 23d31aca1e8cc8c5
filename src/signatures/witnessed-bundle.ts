import type { Signer, SigningOptions } from '../crypto/signer.ts';
import { base64, fromHex } from '../encoding/bytes.ts';
import type { JsonObject } from '../encoding/json.ts';
import { BullaError, isBullaError } from '../errors.ts';
import { algorithmOf, hexOf } from '../oci/digest.ts';
import type { FulcioIdentity } from '../sigstore/fulcio-identity.ts';
import { type Artifact, type ExpectedSigner, verifyBundle } from '../sigstore/verify.ts';
import type { Witness } from '../sigstore/witness.ts';
import { encodeBundle, keyHint, signStatement } from './sigstore-bundle.ts';
import type { StatementParts } from './statement.ts';

/** A bundle that its readers will accept. */
export interface WitnessedBundle {
  readonly bytes: Uint8Array;
  /** Of a keyless signature. */
  readonly identity?: FulcioIdentity | undefined;
}

/**
 * Signs a statement, has a Sigstore instance see the signature, and puts all of it into a bundle v0.3. The bundle is
 * verified as its readers will (spec/sigstore.md, "Signing").
 * @param key signs where the witness has no identity of its own
 * @throws BullaError what the witness throws; content-invalid, certificate-…, signature-mismatch where the instance's
 *   answers do not verify against its trusted root
 */
export async function buildWitnessedBundle(
  parts: StatementParts,
  key: Signer,
  witness: Witness,
  options: SigningOptions,
): Promise<WitnessedBundle> {
  const certified = await witness.identity?.(options);
  const signer = certified?.signer ?? key;
  const certificate = certified?.certificate;
  const envelope = await signStatement(parts, signer, { ...options, isFresh: true });
  const testimony = await witness.testify({ envelope, key: signer.publicKey, certificate }, options);
  const timestamps = testimony.timestamps.map((stamp) => ({ signedTimestamp: base64(stamp) }));
  const material: JsonObject = {
    ...(certificate === undefined
      ? { publicKey: { hint: keyHint(signer.publicKey) } }
      : { certificate: { rawBytes: base64(certificate.der) } }),
    tlogEntries: [...testimony.logEntries],
    ...(timestamps.length > 0 && { timestampVerificationData: { rfc3161Timestamps: timestamps } }),
  };
  const bytes = encodeBundle(envelope, material);
  return {
    bytes,
    identity: check(bytes, parts, certificate === undefined ? { key: signer.publicKey } : undefined, witness),
  };
}

/**
 * @param expected the key; undefined for a keyless signature, whose certificate says who it is
 * @returns who that is
 */
function check(
  bundle: Uint8Array,
  { digest }: StatementParts,
  expected: ExpectedSigner | undefined,
  { root }: Witness,
): FulcioIdentity | undefined {
  const algorithm = algorithmOf(digest) === 'sha512' ? 'sha512' : 'sha256';
  const artifact: Artifact = { digest: { algorithm, value: fromHex(hexOf(digest)) ?? new Uint8Array() } };
  try {
    const anyone: ExpectedSigner = { identities: [{ subject: /.*/s, issuer: /.*/s }] };
    const verified = verifyBundle(bundle, artifact, expected ?? anyone, root, 'the new signature');
    if (verified.logEntries.length === 0) throw notLogged();
    return verified.identity;
  } catch (error) {
    if (!isBullaError(error)) throw error;
    throw new BullaError(error.code, `${error.message}; it was not stored`, {
      cause: error,
      hint: 'the signing config and the trusted root are of different Sigstore instances, or one of them is out of date',
    });
  }
}

function notLogged(): BullaError {
  return new BullaError('signature-mismatch', 'the new signature is in no transparency log', {
    hint: 'use a signing config that lists a log',
  });
}

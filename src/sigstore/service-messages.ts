import { createHash } from 'node:crypto';
import { type Certificate, parseCertificates } from '../crypto/certificate.ts';
import { createCertificateRequest } from '../crypto/certificate-build.ts';
import { TAG } from '../crypto/der.ts';
import { DER_NULL, DER_TRUE, der, derInteger, derOid, derSequence } from '../crypto/der-write.ts';
import { formatPem } from '../crypto/pem.ts';
import type { PublicKey } from '../crypto/public-key.ts';
import type { Signer } from '../crypto/signer.ts';
import { base64, fromHex, utf8 } from '../encoding/bytes.ts';
import { canonicalRfc8785 } from '../encoding/canonical.ts';
import { type JsonObject, parseJsonObject } from '../encoding/json.ts';
import { BullaError } from '../errors.ts';
import { preAuthEncoding } from './dsse.ts';
import { Fields, malformed } from './fields.ts';
import type { SignatureToWitness } from './witness.ts';

// What the services of a Sigstore instance are asked, and what they answer. No answer is trusted here: the finished
// bundle is verified against the trusted root.

/** Largest answer of Fulcio or Rekor that is read, in bytes: certificates, or an entry with its proof. */
export const MAX_SERVICE_ANSWER_BYTES: number = 1024 * 1024;

const MAX_HASHES = 64;
const MAX_CERTIFICATES = 16;

/** Body of a request to Fulcio's `/api/v2/signingCert`: the token, and a request that proves possession of the key. */
export async function certificateRequest(token: string, signer: Signer): Promise<Uint8Array> {
  const request = await createCertificateRequest('CN=sigstore', signer);
  return canonicalRfc8785({
    credentials: { oidcIdentityToken: token },
    certificateSigningRequest: base64(utf8(formatPem('CERTIFICATE REQUEST', request))),
  });
}

/**
 * The certificate in Fulcio's answer.
 * @throws BullaError content-invalid, certificate-invalid; unsupported-signature for a timestamp beside the certificate
 */
export function issuedCertificate(answer: Uint8Array, where: string): Certificate {
  const fields = answerFields(answer, where);
  if (!fields.has('signedCertificateEmbeddedSct')) {
    throw new BullaError('unsupported-signature', `${where} has no certificate with an embedded timestamp`, {
      hint: 'bundles have no place for a certificate timestamp of its own: have Fulcio embed it',
    });
  }
  const chain = fields.message('signedCertificateEmbeddedSct').message('chain');
  const pem = chain.texts('certificates', MAX_CERTIFICATES)[0];
  const [leaf] = pem === undefined ? [] : parseCertificates(pem, `the certificate of ${where}`);
  if (leaf === undefined) throw malformed(where, 'it has no certificate');
  return leaf;
}

/** Body of a request to Rekor v2's `/api/v2/log/entries`: the signature, over the hash of what was signed. */
export function logRequest2({ envelope, key, certificate }: SignatureToWitness): Uint8Array {
  const details = KEY_DETAILS.get(key.type);
  if (details === undefined) {
    throw new BullaError('key-invalid', `Rekor does not log signatures by ${key.type} keys`, {
      hint: 'use a P-256 key: a log of hashes cannot verify a signature that is not over a hash',
    });
  }
  const { payloadType, payload, signature } = envelope;
  const message = preAuthEncoding(payloadType, payload);
  const verifier =
    certificate === undefined
      ? { publicKey: { rawBytes: base64(key.spki) } }
      : { x509Certificate: { rawBytes: base64(certificate.der) } };
  return canonicalRfc8785({
    hashedRekordRequestV002: {
      digest: base64(new Uint8Array(createHash('sha256').update(message).digest())),
      signature: { content: base64(signature), verifier: { ...verifier, keyDetails: details } },
    },
  });
}

const KEY_DETAILS: ReadonlyMap<PublicKey['type'], string> = new Map([['P-256', 'PKIX_ECDSA_P256_SHA_256']]);

/** The entry in Rekor v2's answer, with the members of a bundle's entry. @throws BullaError content-invalid */
export function logEntry2(answer: Uint8Array, where: string): JsonObject {
  const json = parseAnswer(answer, where);
  const known = ['logIndex', 'logId', 'kindVersion', 'inclusionProof', 'canonicalizedBody'];
  return Object.fromEntries(Object.entries(json).filter(([name]) => known.includes(name)));
}

/** Body of a request to Rekor v1's `/api/v1/log/entries`: the envelope, and who signed it. */
export function logRequest1({ envelope, key, certificate }: SignatureToWitness): Uint8Array {
  const verifier =
    certificate === undefined ? formatPem('PUBLIC KEY', key.spki) : formatPem('CERTIFICATE', certificate.der);
  const { payloadType, payload, signature } = envelope;
  const text = canonicalRfc8785({
    payloadType,
    payload: base64(payload),
    signatures: [{ sig: base64(signature) }],
  });
  return canonicalRfc8785({
    apiVersion: '0.0.1',
    kind: 'dsse',
    spec: {
      proposedContent: { envelope: new TextDecoder().decode(text), verifiers: [base64(utf8(verifier))] },
    },
  });
}

/** The entry in Rekor v1's answer, as bundles have it. @throws BullaError content-invalid */
export function logEntry1(answer: Uint8Array, where: string): JsonObject {
  const [only, second] = Object.values(parseAnswer(answer, where));
  if (only === undefined || second !== undefined) throw malformed(where, 'it is not exactly one entry');
  const entry = new Fields(only, where);
  const verification = entry.message('verification');
  const proof = verification.message('inclusionProof');
  const kind = answerFields(entry.bytes('body'), where);
  return {
    logIndex: String(entry.integer('logIndex')),
    logId: { keyId: hexBytes(entry.text('logID'), where) },
    kindVersion: { kind: kind.text('kind'), version: kind.text('apiVersion') },
    integratedTime: String(entry.integer('integratedTime')),
    inclusionPromise: { signedEntryTimestamp: verification.text('signedEntryTimestamp') },
    inclusionProof: {
      logIndex: String(proof.integer('logIndex')),
      rootHash: hexBytes(proof.text('rootHash'), where),
      treeSize: String(proof.integer('treeSize')),
      hashes: proof.texts('hashes', MAX_HASHES).map((hash) => hexBytes(hash, where)),
      checkpoint: { envelope: proof.text('checkpoint') },
    },
    canonicalizedBody: entry.text('body'),
  };
}

/** DER of a TimeStampReq for the SHA-256 of `bytes`, which asks for the authority's certificate (RFC 3161 §2.4.1). */
export function timeStampRequest(bytes: Uint8Array): Uint8Array {
  const sha256 = derSequence(derOid('2.16.840.1.101.3.4.2.1'), DER_NULL);
  const digest = new Uint8Array(createHash('sha256').update(bytes).digest());
  // No nonce: the signature is new, so no older answer is about it.
  return derSequence(derInteger(1), derSequence(sha256, der(TAG.octetString, digest)), DER_TRUE);
}

function answerFields(answer: Uint8Array, where: string): Fields {
  return new Fields(parseAnswer(answer, where), where);
}

function parseAnswer(answer: Uint8Array, where: string): JsonObject {
  return parseJsonObject(answer, { what: where, maxBytes: MAX_SERVICE_ANSWER_BYTES });
}

function hexBytes(text: string, where: string): string {
  const bytes = fromHex(text);
  if (bytes === undefined) throw malformed(where, 'a hash is not hexadecimal');
  return base64(bytes);
}

import { createHash } from 'node:crypto';
import { equalBytes, fromHex } from '../encoding/bytes.ts';
import { type Certificate, isIssuedBy, OID, parseCertificate } from './certificate.ts';
import { checkSignatureAlgorithm } from './certificate-profile.ts';
import {
  type CertificateStatus,
  checkCurrent,
  type DatedStatus,
  ENTRY_EXTENSIONS,
  readStatusExtensions,
  reasonOf,
  revocationOf,
  unusable,
} from './certificate-status.ts';
import { type DerValue, derChildren, expectTag, readDer, readDerTime, readOid, TAG } from './der.ts';
import { DER_NULL, der, derOid, derSequence } from './der-write.ts';
import { HASHES, isSignedBy } from './x509-signature.ts';

const SHA1 = '1.3.14.3.2.26';
const BASIC_RESPONSE = '1.3.6.1.5.5.7.48.1.1';
const NO_CHECK = '1.3.6.1.5.5.7.48.1.5';
const NONCE = '1.3.6.1.5.5.7.48.1.2';
const EXTENDED_REVOKE = '1.3.6.1.5.5.7.48.1.9';
const RESPONSE_EXTENSIONS: ReadonlySet<string> = new Set([NONCE, EXTENDED_REVOKE]);
/** Extensions of a responder's certificate that are understood. */
const UNDERSTOOD: ReadonlySet<string> = new Set([
  OID.basicConstraints,
  OID.keyUsage,
  OID.extKeyUsage,
  OID.subjectAltName,
  NO_CHECK,
]);
/** Most certificates that are looked at in a response. */
const MAX_RESPONDERS = 4;

/** OCSPResponseStatus (RFC 6960 §4.2.1), by number; 4 is not used. */
const REFUSALS: readonly (string | undefined)[] = [
  undefined,
  'the request is malformed',
  'it has an internal error',
  'it asks to try again later',
  undefined,
  'it wants signed requests',
  'it does not answer for this certificate',
];

/** What a responder says, and its certificate, if it is another one than that of the authority. */
export interface OcspAnswer extends DatedStatus {
  /** To be checked for revocation itself: it does not say that this is not needed (RFC 6960 §4.2.2.2.1). */
  readonly responder: Certificate | undefined;
}

/** Question about one certificate (RFC 6960 §4.1), in DER. It names it by SHA-1, the one hash that all responders know. */
export function ocspRequest(certificate: Certificate, issuer: Certificate): Uint8Array {
  const hash = (bytes: Uint8Array): Uint8Array => der(TAG.octetString, hashOf('sha1', bytes));
  const id = derSequence(
    derSequence(derOid(SHA1), DER_NULL),
    hash(issuer.subjectDer),
    hash(keyBits(issuer)),
    der(TAG.integer, serialOf(certificate)),
  );
  return derSequence(derSequence(derSequence(derSequence(id))));
}

/**
 * What a response says about a certificate (RFC 6960 §3.2): it must be about this certificate, signed by its issuer or by
 * a responder that the issuer has certified for that, and count now.
 * @throws BullaError content-invalid for any other response: then nothing is known
 */
export function readOcspResponse(
  bytes: Uint8Array,
  certificate: Certificate,
  issuer: Certificate,
  now: Date,
): OcspAnswer {
  const basic = basicResponse(bytes);
  const [data, algorithm, signature, certificates, more] = derChildren(basic);
  if (more !== undefined) throw unusable('it is malformed');
  const fields = derChildren(expectTag(data, TAG.sequence));
  // Version 1 is left out in DER.
  const [responderId, , responses, extensions] = fields;
  readStatusExtensions(extensions && inner(extensions, 0xa1), RESPONSE_EXTENSIONS);
  const signer = signerOf(responderId, certificates, issuer, now);
  if (!isSignedBy(signer.publicKey, algorithm, expectTag(data, TAG.sequence).raw, signature))
    throw unusable('its signature is wrong');
  const about = derChildren(expectTag(responses, TAG.sequence)).filter((single) =>
    isAbout(derChildren(single, TAG.sequence)[0], certificate, issuer),
  );
  const [single, second] = about;
  if (single === undefined || second !== undefined)
    throw unusable(`it has ${about.length} answers about this certificate instead of one`);
  return { ...readSingle(single, now), responder: isTrustedForEver(signer, issuer) ? undefined : signer };
}

function basicResponse(bytes: Uint8Array): DerValue {
  const [status, wrapped, ...others] = derChildren(readDer(bytes, TAG.sequence));
  const [code = REFUSALS.length] = expectTag(status, TAG.enumerated).content;
  if (code !== 0) throw unusable(`the responder refused: ${REFUSALS[code] ?? 'for an unknown reason'}`);
  const [type, response, ...more] = derChildren(inner(wrapped, 0xa0), TAG.sequence);
  if (others.length > 0 || more.length > 0) throw unusable('it is malformed');
  if (readOid(type) !== BASIC_RESPONSE) throw unusable('it is of an unknown type');
  return readDer(expectTag(response, TAG.octetString).content, TAG.sequence);
}

function readSingle(single: DerValue, now: Date): DatedStatus {
  const [, status, thisUpdate, ...rest] = derChildren(single);
  const next = rest.find(({ tag }) => tag === 0xa0);
  const until = checkCurrent(readDerTime(thisUpdate), next && readDerTime(inner(next, 0xa0)), now);
  const listed = rest.find(({ tag }) => tag === 0xa1);
  const extensions = readStatusExtensions(listed && inner(listed, 0xa1), ENTRY_EXTENSIONS);
  return { status: statusOf(status, extensions), until };
}

function statusOf(
  value: DerValue | undefined,
  extensions: ReadonlyMap<string, Uint8Array>,
): CertificateStatus {
  switch (value?.tag) {
    case 0x80:
      return { kind: 'good' };
    case 0x82:
      return { kind: 'unknown' };
    case 0xa1: {
      const [at, reason] = derChildren(value);
      const revoked = revocationOf(readDerTime(at), extensions);
      return reason === undefined ? revoked : { ...revoked, reason: reasonOf(inner(reason, 0xa0)) };
    }
    default:
      throw unusable('its status is malformed');
  }
}

/** The issuer, or the certificate of the responder in the response (RFC 6960 §4.2.2.2). */
function signerOf(
  responderId: DerValue | undefined,
  certificates: DerValue | undefined,
  issuer: Certificate,
  now: Date,
): Certificate {
  const isNamed = (candidate: Certificate): boolean => {
    if (responderId?.tag === 0xa1) return equalBytes(inner(responderId, 0xa1).raw, candidate.subjectDer);
    return equalBytes(
      expectTag(inner(responderId, 0xa2), TAG.octetString).content,
      hashOf('sha1', keyBits(candidate)),
    );
  };
  if (isNamed(issuer)) return issuer;
  const listed = certificates === undefined ? [] : derChildren(inner(certificates, 0xa0), TAG.sequence);
  if (listed.length > MAX_RESPONDERS) throw unusable(`it has ${listed.length} certificates`);
  const responder = listed
    .map(({ raw }) => parseCertificate(raw, 'the certificate of the responder'))
    .find(isNamed);
  if (responder === undefined)
    throw unusable('the certificate that signed it is not the issuer, and is not in it');
  if (!isIssuedBy(responder, issuer)) throw unusable('the responder is not certified by the issuer itself');
  checkSignatureAlgorithm(responder);
  if (!responder.extKeyUsage.includes(OID.ocspSigning))
    throw unusable('the certificate of the responder is not for signing OCSP responses');
  const strange = [...responder.extensions.values()].find(
    ({ oid, critical }) => critical && !UNDERSTOOD.has(oid),
  );
  if (strange !== undefined)
    throw unusable(
      `the certificate of the responder has a critical extension (${strange.oid}) that is not understood`,
    );
  if (responder.keyUsage?.has('digitalSignature') === false)
    throw unusable('the certificate of the responder is not for signing');
  if (now < responder.notBefore || now > responder.notAfter)
    throw unusable('the certificate of the responder has expired, or is not valid yet');
  return responder;
}

/** Whether nothing is to be asked about the responder itself. */
function isTrustedForEver(signer: Certificate, issuer: Certificate): boolean {
  return signer.thumbprint === issuer.thumbprint || signer.extensions.has(NO_CHECK);
}

/** CertID: by whatever hash the responder uses. */
function isAbout(id: DerValue | undefined, certificate: Certificate, issuer: Certificate): boolean {
  const [algorithm, name, key, serial] = derChildren(expectTag(id, TAG.sequence));
  const oid = readOid(derChildren(expectTag(algorithm, TAG.sequence))[0]);
  const hash = oid === SHA1 ? 'sha1' : HASHES.get(oid);
  if (hash === undefined) return false;
  return (
    equalBytes(expectTag(serial, TAG.integer).content, serialOf(certificate)) &&
    equalBytes(expectTag(name, TAG.octetString).content, hashOf(hash, issuer.subjectDer)) &&
    equalBytes(expectTag(key, TAG.octetString).content, hashOf(hash, keyBits(issuer)))
  );
}

/** The one value in an explicit tag. @throws BullaError content-invalid */
function inner(value: DerValue | undefined, tag: number): DerValue {
  const [only, second] = derChildren(expectTag(value, tag));
  if (only === undefined || second !== undefined) throw unusable('it is malformed');
  return only;
}

function serialOf({ serialNumber }: Certificate): Uint8Array {
  return fromHex(serialNumber) as Uint8Array;
}

/** The subjectPublicKey, without the octet that counts its unused bits. */
function keyBits({ publicKey }: Certificate): Uint8Array {
  const [, bits] = derChildren(readDer(publicKey.spki, TAG.sequence));
  return expectTag(bits, TAG.bitString).content.subarray(1);
}

function hashOf(name: string, bytes: Uint8Array): Uint8Array {
  return new Uint8Array(createHash(name).update(bytes).digest());
}

import { createHash } from 'node:crypto';
import { type Certificate, MAX_CHAIN_LENGTH, OID, parseCertificate } from '../crypto/certificate.ts';
import { checkCertificationPath } from '../crypto/certification-path.ts';
import {
  type DerValue,
  derChildren,
  expectTag,
  readDer,
  readOid,
  readSmallInteger,
  TAG,
} from '../crypto/der.ts';
import { der } from '../crypto/der-write.ts';
import { verifySignature } from '../crypto/signature.ts';
import { algorithmNamed, HASHES, type HashName } from '../crypto/x509-signature.ts';
import { concatBytes, equalBytes } from '../encoding/bytes.ts';
import { parseTime } from '../encoding/time.ts';
import { BullaError } from '../errors.ts';
import { malformed } from './fields.ts';
import { isWithin, type TrustedAuthority } from './trusted-root.ts';

const SIGNED_DATA = '1.2.840.113549.1.7.2';
const TST_INFO = '1.2.840.113549.1.9.16.1.4';
const CONTENT_TYPE = '1.2.840.113549.1.9.3';
const MESSAGE_DIGEST = '1.2.840.113549.1.9.4';
const SIGNING_CERTIFICATE_V2 = '1.2.840.113549.1.9.16.2.47';
const CONTEXT_0 = 0xa0;
const CONTEXT_1 = 0xa1;
const SUBJECT_KEY_ID = 0x80;

/** A time-stamp token, taken apart (RFC 3161 §2.4.2, RFC 5652 §5). Nothing in it has been verified. */
export interface TimeStamp {
  readonly time: Date;
  /** What was stamped: a hash of the signature. */
  readonly imprint: { readonly hash: HashName; readonly value: Uint8Array };
  /** The encoded TSTInfo, whose hash is signed. */
  readonly info: Uint8Array;
  readonly signer: SignerInfo;
  readonly certificates: readonly Certificate[];
}

interface SignerInfo {
  /** Issuer and serial number of the signer's certificate, as DER of both. */
  readonly issuer: Uint8Array;
  readonly serial: Uint8Array;
  readonly hash: HashName;
  readonly signatureAlgorithm: string;
  readonly signature: Uint8Array;
  /** The attributes as they are signed: a SET. */
  readonly signedAttributes: Uint8Array;
  readonly attributes: ReadonlyMap<string, DerValue>;
}

/**
 * Takes the answer of a time-stamp authority apart.
 * @param response DER of a TimeStampResp (RFC 3161 §2.4.2)
 * @throws BullaError content-invalid, certificate-invalid
 */
export function parseTimeStamp(response: Uint8Array, where: string): TimeStamp {
  return readToken(tokenOf(response, where), where);
}

/** DER of the token in the answer of a time-stamp authority. @throws BullaError content-invalid */
export function timeStampToken(response: Uint8Array, where: string): Uint8Array {
  return tokenOf(response, where).raw;
}

function tokenOf(response: Uint8Array, where: string): DerValue {
  const [status, token] = derChildren(readDer(response, TAG.sequence));
  if (readSmallInteger(derChildren(expectTag(status, TAG.sequence))[0]) > 1)
    throw malformed(where, 'the authority refused to stamp');
  return expectTag(token, TAG.sequence);
}

/**
 * Takes a time-stamp token apart, without the answer around it.
 * @param token DER of a TimeStampToken (RFC 3161 §2.4.2)
 * @throws BullaError content-invalid, certificate-invalid
 */
export function parseTimeStampToken(token: Uint8Array, where: string): TimeStamp {
  return readToken(readDer(token, TAG.sequence), where);
}

function readToken(token: DerValue, where: string): TimeStamp {
  const [contentType, wrapped] = partsOf(token, 2, where);
  if (readOid(contentType) !== SIGNED_DATA) throw malformed(where, 'the token is not signed data');
  const [signedData] = partsOf(expectTag(wrapped, CONTEXT_0), 1, where);
  const [version, hashes, encapsulated, ...rest] = derChildren(expectTag(signedData, TAG.sequence));
  // 3 for what is not plain data; more where there are certificates of other kinds (RFC 5652 §5.1).
  if (![1, 3, 4, 5].includes(readSmallInteger(version)))
    throw malformed(where, 'the token has an unknown version');
  for (const hash of derChildren(expectTag(hashes, TAG.set))) readOid(derChildren(hash, TAG.sequence)[0]);
  const [infoType, infoField] = partsOf(expectTag(encapsulated, TAG.sequence), 2, where);
  if (readOid(infoType) !== TST_INFO) throw malformed(where, 'the token does not contain a TSTInfo');
  const [content] = partsOf(expectTag(infoField, CONTEXT_0), 1, where);
  const info = expectTag(content, TAG.octetString).content;
  const signerInfos = rest.pop();
  const certificates = rest[0]?.tag === CONTEXT_0 ? rest.shift() : undefined;
  if (rest[0]?.tag === CONTEXT_1) rest.shift();
  if (rest.length > 0) throw malformed(where, 'the token has parts that it should not have');
  const signers = derChildren(expectTag(signerInfos, TAG.set));
  const [signer] = signers;
  if (signer === undefined || signers.length > 1)
    throw malformed(where, `the token has ${signers.length} signatures instead of one`);
  return {
    ...readInfo(info, where),
    info,
    signer: readSignerInfo(signer, where),
    certificates: certificates === undefined ? [] : readCertificates(certificates, where),
  };
}

/** Parts of a structure that has so many. */
function partsOf(value: DerValue, count: number, where: string): readonly DerValue[] {
  const parts = derChildren(value);
  if (parts.length !== count)
    throw malformed(where, `it has ${parts.length} parts where there should be ${count}`);
  return parts;
}

function readInfo(info: Uint8Array, where: string): Pick<TimeStamp, 'time' | 'imprint'> {
  const [version, , imprint, , time] = derChildren(readDer(info, TAG.sequence));
  if (readSmallInteger(version) !== 1) throw malformed(where, 'the TSTInfo has an unknown version');
  const [hash, value] = derChildren(expectTag(imprint, TAG.sequence));
  return {
    time: readTime(time, where),
    imprint: { hash: readHash(hash, where), value: expectTag(value, TAG.octetString).content },
  };
}

/** GeneralizedTime, with fractions of a second that may be there (RFC 3161 §2.4.2). */
function readTime(value: DerValue | undefined, where: string): Date {
  const text = Buffer.from(expectTag(value, TAG.generalizedTime).content).toString('latin1');
  const [, year, month, day, hour, minute, second, fraction = ''] =
    /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(\.\d{1,9})?Z$/.exec(text) ?? [];
  const time = parseTime(`${year}-${month}-${day}T${hour}:${minute}:${second}${fraction}Z`);
  if (time === undefined) throw malformed(where, 'its time is not a GeneralizedTime');
  return time;
}

function readHash(value: DerValue | undefined, where: string): HashName {
  const [name, parameters, more] = derChildren(expectTag(value, TAG.sequence));
  const oid = readOid(name);
  const hash = HASHES.get(oid);
  if (hash === undefined || more !== undefined || (parameters !== undefined && parameters.tag !== TAG.null))
    throw malformed(where, `the hash algorithm ${oid} is not supported`);
  return hash;
}

function readCertificates(field: DerValue, where: string): Certificate[] {
  const values = derChildren(field);
  if (values.length > MAX_CHAIN_LENGTH) throw malformed(where, `it has ${values.length} certificates`);
  return values.map(({ raw }) => parseCertificate(raw, `a certificate of ${where}`));
}

function readSignerInfo(value: DerValue, where: string): SignerInfo {
  const [version, id, digestAlgorithm, attributes, signatureAlgorithm, signature, ...unsigned] = derChildren(
    value,
    TAG.sequence,
  );
  if (id?.tag === SUBJECT_KEY_ID) throw malformed(where, 'its signer is named by key identifier');
  // RFC 5652 §5.3: 1 with issuer and serial number.
  if (readSmallInteger(version) !== 1 || unsigned.length > 1 || (unsigned[0]?.tag ?? CONTEXT_1) !== CONTEXT_1)
    throw malformed(where, 'its signature is malformed');
  const [issuer, serial] = partsOf(expectTag(id, TAG.sequence), 2, where);
  const { content } = expectTag(attributes, CONTEXT_0);
  const byType = new Map<string, DerValue>();
  for (const attribute of derChildren(expectTag(attributes, CONTEXT_0))) {
    const [type, values] = derChildren(attribute, TAG.sequence);
    const [only, second] = derChildren(expectTag(values, TAG.set));
    const oid = readOid(type);
    if (only === undefined || byType.has(oid)) throw malformed(where, `its attribute ${oid} is ambiguous`);
    if (second === undefined) byType.set(oid, only);
  }
  return {
    issuer: expectTag(issuer, TAG.sequence).raw,
    serial: expectTag(serial, TAG.integer).content,
    hash: readHash(digestAlgorithm, where),
    signatureAlgorithm: readSignatureAlgorithm(signatureAlgorithm, where),
    signature: expectTag(signature, TAG.octetString).content,
    signedAttributes: der(TAG.set, content),
    attributes: byType,
  };
}

/** With parameters that are absent, NULL, or those of RSASSA-PSS. */
function readSignatureAlgorithm(value: DerValue | undefined, where: string): string {
  const [name, parameters, more] = derChildren(expectTag(value, TAG.sequence));
  const tag = parameters?.tag ?? TAG.null;
  if (more === undefined && (tag === TAG.null || tag === TAG.sequence)) return readOid(name);
  throw malformed(where, 'its signature algorithm is malformed');
}

/**
 * The time at which a trusted authority saw `stamped`.
 * @param stamped the bytes that were stamped: the signature
 * @returns undefined where no trusted authority made the token
 * @throws BullaError signature-mismatch where the token is for other bytes or its signature is wrong;
 *   certificate-invalid, certificate-expired where the authority's certificate could not stamp at that time
 */
export function verifyTimeStamp(
  stamp: TimeStamp,
  stamped: Uint8Array,
  authorities: readonly TrustedAuthority[],
  where: string,
): Date | undefined {
  return verifiedPath(stamp, stamped, authorities, where) && stamp.time;
}

/** The certificates of the authority that made the stamp, its own first. */
function verifiedPath(
  stamp: TimeStamp,
  stamped: Uint8Array,
  authorities: readonly TrustedAuthority[],
  where: string,
): readonly Certificate[] | undefined {
  const { imprint, time } = stamp;
  if (!equalBytes(hashOf(imprint.hash, stamped), imprint.value))
    throw mismatch(where, 'it is for another signature');
  let failure: unknown;
  for (const authority of authorities) {
    const path = pathOf(stamp, authority);
    if (path === undefined || !isWithin(time, authority.validFor)) continue;
    try {
      checkCertificationPath(path.slice(0, -1), path.slice(-1), time, 'timeStamping');
      checkPurpose(path[0] as Certificate, where);
      verifySigner(stamp, path[0] as Certificate, where);
      return path;
    } catch (error) {
      // An authority may have renewed its keys under the same name.
      failure ??= error;
    }
  }
  if (failure !== undefined) throw failure;
  return undefined;
}

/**
 * As {@link verifyTimeStamp}, by certificates of authorities alone: the certificate that stamped, and what is between
 * it and a root, is in the token or among them.
 * @returns the time, and the certificates from the one that stamped to the authority's
 * @throws BullaError signature-mismatch, certificate-invalid, certificate-expired
 */
export function verifyTimeStampBy(
  stamp: TimeStamp,
  stamped: Uint8Array,
  roots: readonly Certificate[],
  where: string,
): { readonly time: Date; readonly path: readonly Certificate[] } {
  const known = { ...stamp, certificates: [...stamp.certificates, ...roots] };
  const authorities = roots.map((root) => ({
    chain: chainTo(root, known),
    validFor: { start: new Date(0) },
  }));
  const path = verifiedPath(known, stamped, authorities, where);
  if (path !== undefined) return { time: stamp.time, path };
  throw new BullaError('certificate-invalid', `${where} is by an authority that is not trusted`, {
    hint: 'give the root certificate of the time-stamp authority if you trust it',
  });
}

/** The issuers of the certificate that stamped, up to a root; the root alone where the token does not lead to it. */
function chainTo(root: Certificate, { certificates, signer }: TimeStamp): readonly Certificate[] {
  const path: Certificate[] = [];
  let current = certificates.find((certificate) => !certificate.isCa && isSigner(certificate, signer));
  while (current !== undefined && path.length < MAX_CHAIN_LENGTH) {
    const { issuerDer } = current;
    if (equalBytes(issuerDer, root.subjectDer)) return [...path, root];
    current = certificates.find(
      (one) => one.isCa && equalBytes(one.subjectDer, issuerDer) && !path.includes(one),
    );
    if (current !== undefined) path.push(current);
  }
  return [root];
}

/** From the certificate that stamped, which the authority's list or the token brings, to the root. */
function pathOf(stamp: TimeStamp, { chain }: TrustedAuthority): readonly Certificate[] | undefined {
  const leaf = [...chain.slice(0, 1), ...stamp.certificates].find(
    (certificate) => !certificate.isCa && isSigner(certificate, stamp.signer),
  );
  if (leaf === undefined) return undefined;
  const path = leaf.thumbprint === chain[0]?.thumbprint ? chain : [leaf, ...chain];
  const isOne = path.every(({ issuerDer }, at) => {
    const issuer = path[at + 1];
    return issuer === undefined || equalBytes(issuerDer, issuer.subjectDer);
  });
  return isOne && path.length > 1 ? path : undefined;
}

function isSigner(certificate: Certificate, { issuer, serial }: SignerInfo): boolean {
  return (
    equalBytes(certificate.issuerDer, issuer) &&
    certificate.serialNumber === Buffer.from(serial).toString('hex')
  );
}

/** RFC 3161 §2.3: for time stamping alone, and said in a critical extension. */
function checkPurpose(leaf: Certificate, where: string): void {
  const isOnly = leaf.extKeyUsage.length === 1 && leaf.extKeyUsage[0] === OID.timeStamping;
  if (isOnly && leaf.extensions.get(OID.extKeyUsage)?.critical === true) return;
  throw new BullaError('certificate-invalid', `${where}: its certificate is not for time stamping alone`, {
    hint: 'use another time-stamp authority',
  });
}

function verifySigner({ info, signer }: TimeStamp, leaf: Certificate, where: string): void {
  const { attributes } = signer;
  const contentType = attributes.get(CONTENT_TYPE);
  const digest = attributes.get(MESSAGE_DIGEST);
  if (contentType === undefined || readOid(contentType) !== TST_INFO)
    throw mismatch(where, 'the type of its content is not signed');
  if (
    digest === undefined ||
    !equalBytes(expectTag(digest, TAG.octetString).content, hashOf(signer.hash, info))
  )
    throw mismatch(where, 'its content was altered');
  checkNamedCertificate(attributes.get(SIGNING_CERTIFICATE_V2), leaf, where);
  const chosen = algorithmNamed(leaf.publicKey, signer.signatureAlgorithm, signer.hash);
  if (
    chosen === undefined ||
    !verifySignature(leaf.publicKey, chosen, signer.signedAttributes, signer.signature, 'der')
  )
    throw mismatch(where, 'its signature is wrong');
}

/** RFC 5816: the certificate is signed along, so that no other one with this key can be put in its place. */
function checkNamedCertificate(attribute: DerValue | undefined, leaf: Certificate, where: string): void {
  if (attribute === undefined) throw mismatch(where, 'it does not sign which certificate it is made with');
  const [certificates] = derChildren(expectTag(attribute, TAG.sequence));
  const [first] = derChildren(expectTag(certificates, TAG.sequence));
  const parts = derChildren(expectTag(first, TAG.sequence));
  // The hash algorithm is left out where it is SHA-256.
  const hash = parts[0]?.tag === TAG.sequence ? readHash(parts.shift(), where) : 'sha256';
  if (!equalBytes(expectTag(parts[0], TAG.octetString).content, hashOf(hash, leaf.der)))
    throw mismatch(where, 'it is made with another certificate');
}

function hashOf(hash: HashName, ...parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(createHash(hash).update(concatBytes(parts)).digest());
}

function mismatch(where: string, why: string): BullaError {
  return new BullaError('signature-mismatch', `${where} does not verify: ${why}`, {
    hint: 'the time stamp was altered, or taken from another signature',
  });
}

import { createHash, X509Certificate } from 'node:crypto';
import { equalBytes } from '../encoding/bytes.ts';
import { BullaError } from '../errors.ts';
import {
  type DerValue,
  derChildren,
  expectTag,
  readBoolean,
  readDer,
  readDerTime,
  readOid,
  readSmallInteger,
  TAG,
} from './der.ts';
import { type DistinguishedName, formatName, readName } from './name.ts';
import { parsePem } from './pem.ts';
import { type PublicKey, publicKeyFromSpki } from './public-key.ts';

/** Longest chain that is read; Notation's have 1 to 4. */
export const MAX_CHAIN_LENGTH = 16;
const MAX_CERTIFICATE_BYTES = 32 * 1024;

/** Bits of the keyUsage extension, in their order (RFC 5280 §4.2.1.3). */
const KEY_USAGES = [
  'digitalSignature',
  'contentCommitment',
  'keyEncipherment',
  'dataEncipherment',
  'keyAgreement',
  'keyCertSign',
  'cRLSign',
  'encipherOnly',
  'decipherOnly',
] as const;
export type KeyUsage = (typeof KEY_USAGES)[number];

/** An extension as it stands in the certificate. */
export interface CertificateExtension {
  readonly oid: string;
  readonly critical: boolean;
  /** DER of the extension's own value. */
  readonly value: Uint8Array;
}

/** An X.509 certificate, parsed. Parsing does not make it trusted. */
export interface Certificate {
  readonly der: Uint8Array;
  readonly x509: X509Certificate;
  readonly publicKey: PublicKey;
  readonly subject: DistinguishedName;
  readonly issuer: DistinguishedName;
  /** The names in DER: these are what is compared, never their spelling. */
  readonly subjectDer: Uint8Array;
  readonly issuerDer: Uint8Array;
  /** AlgorithmIdentifier of the issuer's signature, in DER. */
  readonly signatureAlgorithmDer: Uint8Array;
  readonly isCa: boolean;
  /** How many certificates of authorities may stand between this one and a leaf. */
  readonly pathLength?: number;
  /** Undefined where the certificate has no such extension. */
  readonly keyUsage?: ReadonlySet<KeyUsage>;
  /** Object identifiers of extended key usages; empty where the extension is absent. */
  readonly extKeyUsage: readonly string[];
  readonly extensions: ReadonlyMap<string, CertificateExtension>;
  readonly notBefore: Date;
  readonly notAfter: Date;
  /** Lower-case hexadecimal SHA-256 of {@link der}. */
  readonly thumbprint: string;
  /** Lower-case hexadecimal. */
  readonly serialNumber: string;
}

export const OID = {
  basicConstraints: '2.5.29.19',
  keyUsage: '2.5.29.15',
  extKeyUsage: '2.5.29.37',
  subjectAltName: '2.5.29.17',
  commonName: '2.5.4.3',
  serverAuth: '1.3.6.1.5.5.7.3.1',
  codeSigning: '1.3.6.1.5.5.7.3.3',
  timeStamping: '1.3.6.1.5.5.7.3.8',
  ocspSigning: '1.3.6.1.5.5.7.3.9',
} as const;

/**
 * Reads the certificates of a PEM file or of a list of DER (`x5c`), in the order given.
 * @param where names the file or document in messages
 * @throws BullaError certificate-invalid
 */
export function parseCertificates(input: string | readonly Uint8Array[], where: string): Certificate[] {
  const ders = typeof input === 'string' ? certificateBlocks(input, where) : input;
  if (ders.length === 0 || ders.length > MAX_CHAIN_LENGTH) {
    throw invalid(
      where,
      `it holds ${ders.length} certificates, and 1 to ${MAX_CHAIN_LENGTH} were expected`,
      undefined,
    );
  }
  return ders.map((der, index) =>
    parseCertificate(der, ders.length === 1 ? where : `certificate ${index + 1} of ${where}`),
  );
}

/** Reads one certificate in DER. @throws BullaError certificate-invalid */
export function parseCertificate(der: Uint8Array, where: string): Certificate {
  if (der.byteLength > MAX_CERTIFICATE_BYTES)
    throw invalid(where, `it has ${der.byteLength} bytes, more than ${MAX_CERTIFICATE_BYTES}`, undefined);
  try {
    return read(der, where);
  } catch (cause) {
    throw invalid(where, cause instanceof BullaError ? cause.message : 'OpenSSL cannot read it', cause);
  }
}

/** `C=DE, O=Acme, CN=release`: the subject, for people. */
export function subjectOf(certificate: Certificate): string {
  return formatName(certificate.subject);
}

/** Whether `issuer`'s name and key are those that `certificate` was signed with. */
export function isIssuedBy(certificate: Certificate, issuer: Certificate): boolean {
  return (
    equalBytes(certificate.issuerDer, issuer.subjectDer) &&
    certificate.x509.verify(issuer.publicKey.keyObject)
  );
}

function certificateBlocks(pem: string, where: string): Uint8Array[] {
  const blocks = parsePem(pem, { where, code: 'certificate-invalid' });
  const stranger = blocks.find(({ label }) => label !== 'CERTIFICATE');
  // A private key in a file that is going to be published is a mishap worth stopping for.
  if (stranger !== undefined)
    throw invalid(where, `it holds ${stranger.label}, and certificates were expected`, undefined);
  return blocks.map(({ bytes }) => bytes);
}

function read(der: Uint8Array, where: string): Certificate {
  const [tbs, signatureAlgorithm] = derChildren(readDer(der, TAG.sequence));
  const fields = derChildren(expectTag(tbs, TAG.sequence));
  // version [0] (v3 is 2), serialNumber, signature, issuer, validity, subject, subjectPublicKeyInfo, …
  const hasVersion = fields[0]?.tag === 0xa0;
  const version = hasVersion ? readSmallInteger(derChildren(fields[0] as DerValue)[0]) : 0;
  const [serial, , issuer, validity, subject, spki, ...rest] = hasVersion ? fields.slice(1) : fields;
  const [notBefore, notAfter] = derChildren(expectTag(validity, TAG.sequence)).map((time) =>
    readDerTime(time, true),
  );
  if (notBefore === undefined || notAfter === undefined)
    throw new BullaError('content-invalid', 'no validity');
  const extensions = readExtensions(rest.find(({ tag }) => tag === 0xa3));
  if (extensions.size > 0 && version !== 2) throw new BullaError('content-invalid', 'extensions without v3');
  const x509 = new X509Certificate(der);
  return {
    der,
    x509,
    publicKey: publicKeyFromSpki(expectTag(spki, TAG.sequence).raw, where),
    subject: readName(subject),
    issuer: readName(issuer),
    subjectDer: expectTag(subject, TAG.sequence).raw,
    issuerDer: expectTag(issuer, TAG.sequence).raw,
    signatureAlgorithmDer: expectTag(signatureAlgorithm, TAG.sequence).raw,
    ...readBasicConstraints(extensions),
    ...readKeyUsage(extensions),
    extKeyUsage: readExtKeyUsage(extensions),
    extensions,
    notBefore,
    notAfter,
    thumbprint: createHash('sha256').update(der).digest('hex'),
    serialNumber: Buffer.from(expectTag(serial, TAG.integer).content).toString('hex'),
  };
}

function readExtensions(field: DerValue | undefined): ReadonlyMap<string, CertificateExtension> {
  const extensions = new Map<string, CertificateExtension>();
  if (field === undefined) return extensions;
  const [list] = derChildren(field);
  for (const extension of derChildren(expectTag(list, TAG.sequence))) {
    const parts = derChildren(extension, TAG.sequence);
    const oid = readOid(parts[0]);
    if (parts.length !== 2 && parts.length !== 3)
      throw new BullaError('content-invalid', 'an extension that is not one');
    const critical = parts.length === 3 && readBoolean(parts[1]);
    if (extensions.has(oid)) throw new BullaError('content-invalid', `the extension ${oid} stands twice`);
    extensions.set(oid, { oid, critical, value: expectTag(parts.at(-1), TAG.octetString).content });
  }
  return extensions;
}

type Extensions = ReadonlyMap<string, CertificateExtension>;

function readBasicConstraints(extensions: Extensions): { isCa: boolean; pathLength?: number } {
  const extension = extensions.get(OID.basicConstraints);
  if (extension === undefined) return { isCa: false };
  const parts = derChildren(readDer(extension.value, TAG.sequence));
  const isCa = parts[0]?.tag === TAG.boolean && readBoolean(parts.shift());
  const length = parts.shift();
  if (parts.length > 0) throw new BullaError('content-invalid', 'basic constraints with more than two parts');
  return { isCa, ...(length !== undefined && { pathLength: readSmallInteger(length) }) };
}

function readKeyUsage(extensions: Extensions): { keyUsage?: ReadonlySet<KeyUsage> } {
  const extension = extensions.get(OID.keyUsage);
  if (extension === undefined) return {};
  const { content } = readDer(extension.value, TAG.bitString);
  const unused = content[0] ?? 8;
  // Bits that are said to be unused, and set, would be read by some and not by others.
  if (unused > 7 || content.byteLength < 2 || ((content.at(-1) ?? 0) & ((1 << unused) - 1)) !== 0)
    throw new BullaError('content-invalid', 'a key usage that is not written as it must be');
  return {
    keyUsage: new Set(
      KEY_USAGES.filter((_, bit) => (((content[1 + (bit >> 3)] ?? 0) << (bit & 7)) & 0x80) !== 0),
    ),
  };
}

function readExtKeyUsage(extensions: Extensions): string[] {
  const extension = extensions.get(OID.extKeyUsage);
  if (extension === undefined) return [];
  const purposes = derChildren(readDer(extension.value, TAG.sequence)).map(readOid);
  // RFC 5280 §4.2.1.12: at least one.
  if (purposes.length === 0)
    throw new BullaError('content-invalid', 'an extended key usage without purposes');
  return purposes;
}

function invalid(where: string, why: string, cause: unknown): BullaError {
  return new BullaError('certificate-invalid', `${where} is not a certificate that can be used: ${why}`, {
    cause,
    hint: 'certificates are PEM blocks that begin with -----BEGIN CERTIFICATE-----, the signing one first',
  });
}

import {
  type Certificate,
  isIssuedBy,
  MAX_CHAIN_LENGTH,
  OID,
  parseCertificates,
  subjectOf,
} from '../crypto/certificate.ts';
import { derChildren, readDer, readOid, TAG } from '../crypto/der.ts';
import { formatTime } from '../encoding/time.ts';
import { BullaError } from '../errors.ts';
import { notationAlgorithm } from './notation-payload.ts';

/**
 * Certificates that an envelope carries, in its order.
 * @throws BullaError certificate-invalid
 */
export function readChain(ders: readonly Uint8Array[], where: string): Certificate[] {
  if (ders.length > MAX_CHAIN_LENGTH)
    throw invalid(where, `it has ${ders.length} certificates, more than ${MAX_CHAIN_LENGTH}`);
  return parseCertificates(ders, where);
}

/** Extended key usages that a signing certificate must not have (Notary Project, "Certificate requirements"). */
const FOREIGN_USAGES: ReadonlyMap<string, string> = new Map([
  ['1.3.6.1.5.5.7.3.1', 'serverAuth'],
  ['1.3.6.1.5.5.7.3.2', 'clientAuth'],
  ['1.3.6.1.5.5.7.3.4', 'emailProtection'],
  ['1.3.6.1.5.5.7.3.8', 'timeStamping'],
  ['1.3.6.1.5.5.7.3.9', 'OCSPSigning'],
]);

/** Critical extensions that are understood; any other makes the certificate unusable (RFC 5280 §4.2). */
const UNDERSTOOD: ReadonlySet<string> = new Set([
  OID.basicConstraints,
  OID.keyUsage,
  OID.extKeyUsage,
  // certificatePolicies: no policy is asked for, so any will do.
  '2.5.29.32',
]);

const PSS = '1.2.840.113549.1.1.10';
const SOUND_SIGNATURES: ReadonlySet<string> = new Set([
  // sha256, sha384 and sha512 with RSA
  '1.2.840.113549.1.1.11',
  '1.2.840.113549.1.1.12',
  '1.2.840.113549.1.1.13',
  // ECDSA with SHA-256, SHA-384 and SHA-512
  '1.2.840.10045.4.3.2',
  '1.2.840.10045.4.3.3',
  '1.2.840.10045.4.3.4',
  // Ed25519
  '1.3.101.112',
]);
/** sha256, sha384, sha512: what RSASSA-PSS may name as its hash. */
const SOUND_HASHES: ReadonlySet<string> = new Set([
  '2.16.840.1.101.3.4.2.1',
  '2.16.840.1.101.3.4.2.2',
  '2.16.840.1.101.3.4.2.3',
]);

/**
 * Checks that certificates are one whole chain of Notation's profile: from a leaf for signing to a
 * self-signed root, nothing missing, nothing besides, in order. A single certificate signs itself and
 * is no authority. Whom to trust and what time it is are not asked here.
 * @throws BullaError certificate-invalid
 */
export function checkChain(chain: readonly Certificate[], where: string): void {
  const [leaf] = chain;
  if (leaf === undefined) throw invalid(where, 'it has no certificates');
  for (const [index, certificate] of chain.entries()) {
    const name = `certificate ${index + 1} (${subjectOf(certificate)})`;
    const isRoot = index === chain.length - 1;
    checkExtensions(certificate, name, where);
    if (!isSoundlySigned(certificate))
      throw invalid(where, `${name} is signed with an algorithm that is not safe`);
    const issuer = isRoot ? certificate : (chain[index + 1] as Certificate);
    if (!isRoot && isIssuedBy(certificate, certificate))
      throw invalid(where, `${name} is self-signed and not the last`);
    if (!isIssuedBy(certificate, issuer)) {
      throw invalid(
        where,
        isRoot ? `${name} is the last and is not self-signed` : `${name} is not issued by the next one`,
      );
    }
    if (index === 0) checkLeaf(certificate, name, where);
    else checkAuthority(certificate, index - 1, name, where);
  }
}

function checkLeaf(leaf: Certificate, name: string, where: string): void {
  if (leaf.isCa) throw invalid(where, `${name} is an authority and must not sign images itself`);
  const usages = [...(leaf.keyUsage ?? [])];
  const allowed = ['digitalSignature', 'contentCommitment'];
  if (!usages.includes('digitalSignature') || !usages.every((usage) => allowed.includes(usage))) {
    throw invalid(
      where,
      `${name} should have the key usage digitalSignature alone and has ${usages.join(', ') || 'none'}`,
    );
  }
  const foreign = leaf.extKeyUsage.find((oid) => FOREIGN_USAGES.has(oid));
  if (foreign !== undefined)
    throw invalid(where, `${name} is for ${FOREIGN_USAGES.get(foreign)}, not for signing`);
  if (notationAlgorithm(leaf.publicKey) === undefined) {
    throw invalid(where, `${name} has a key that Notation does not sign with (${leaf.publicKey.type})`);
  }
}

/** @param below authorities between this one and the leaf */
function checkAuthority(certificate: Certificate, below: number, name: string, where: string): void {
  if (!certificate.isCa) throw invalid(where, `${name} is no authority and has issued a certificate`);
  if (certificate.keyUsage?.has('keyCertSign') !== true)
    throw invalid(where, `${name} lacks the key usage keyCertSign`);
  if (certificate.pathLength !== undefined && certificate.pathLength < below) {
    throw invalid(
      where,
      `${name} allows ${certificate.pathLength} authorities below it, and there are ${below}`,
    );
  }
}

function checkExtensions(certificate: Certificate, name: string, where: string): void {
  if (certificate.extensions.get(OID.keyUsage)?.critical !== true) {
    throw invalid(where, `${name} has no key usage that is marked critical`);
  }
  const strange = [...certificate.extensions.values()].find(
    ({ oid, critical }) => critical && !UNDERSTOOD.has(oid),
  );
  if (strange !== undefined)
    throw invalid(where, `${name} has a critical extension that is not understood: ${strange.oid}`);
}

/** Whether the issuer used a hash without known collisions. PSS names its hash in its parameters; SHA-1 if it does not. */
function isSoundlySigned(certificate: Certificate): boolean {
  const [oid, parameters] = derChildren(readDer(certificate.signatureAlgorithmDer, TAG.sequence));
  const algorithm = readOid(oid);
  if (algorithm !== PSS) return SOUND_SIGNATURES.has(algorithm);
  const [hash] = parameters === undefined ? [] : derChildren(parameters, TAG.sequence);
  if (hash?.tag !== 0xa0) return false;
  const [identifier] = derChildren(hash);
  return identifier !== undefined && SOUND_HASHES.has(readOid(derChildren(identifier, TAG.sequence)[0]));
}

/** Whether one of the chain's certificates is trusted as it is: Notation's rule, so a root or an intermediate can be pinned. */
export function isAnchored(chain: readonly Certificate[], roots: readonly Certificate[]): boolean {
  const trusted = new Set(roots.map((root) => root.thumbprint));
  return chain.some((certificate) => trusted.has(certificate.thumbprint));
}

/**
 * Checks that every certificate is valid now. Without a trusted timestamp, a signature does not outlive
 * its certificates: the time that it names is the signer's own word.
 * @throws BullaError certificate-expired, certificate-invalid (not valid yet)
 */
export function checkValidity(chain: readonly Certificate[], now: Date, where: string): void {
  for (const certificate of chain) {
    const name = `certificate ${subjectOf(certificate)}`;
    if (now > certificate.notAfter) {
      throw new BullaError(
        'certificate-expired',
        `${where}: ${name} expired at ${formatTime(certificate.notAfter)}`,
        {
          hint: 'have the image signed again with a current certificate',
        },
      );
    }
    if (now < certificate.notBefore) {
      throw new BullaError(
        'certificate-invalid',
        `${where}: ${name} is valid from ${formatTime(certificate.notBefore)} on`,
        { hint: 'check the clock of this machine and that of the signer' },
      );
    }
  }
}

function invalid(where: string, why: string): BullaError {
  return new BullaError(
    'certificate-invalid',
    `${where} has no certificate chain that can be trusted: ${why}`,
    {
      hint: 'a chain goes from the signing certificate to a self-signed root, as the Notary Project asks for it',
    },
  );
}

import { BullaError } from '../errors.ts';
import { type Certificate, isIssuedBy, type KeyUsage, OID, subjectOf } from './certificate.ts';
import { derChildren, readDer, readOid, TAG } from './der.ts';

/** Bits that a signing certificate must not have (Notary Project signature specification, leaf certificates). */
const FORBIDDEN_LEAF_USAGES: readonly KeyUsage[] = [
  'keyEncipherment',
  'dataEncipherment',
  'keyAgreement',
  'keyCertSign',
  'cRLSign',
  'encipherOnly',
  'decipherOnly',
];

/** Purposes that it must not have either. OCSP signing is not in the text; Notation's code refuses it. */
const FORBIDDEN_PURPOSES: ReadonlyMap<string, string> = new Map([
  ['2.5.29.37.0', 'anyExtendedKeyUsage'],
  ['1.3.6.1.5.5.7.3.1', 'serverAuth'],
  ['1.3.6.1.5.5.7.3.2', 'clientAuth'],
  ['1.3.6.1.5.5.7.3.4', 'emailProtection'],
  ['1.3.6.1.5.5.7.3.8', 'timeStamping'],
  ['1.3.6.1.5.5.7.3.9', 'OCSPSigning'],
]);

/** Signature algorithms of issuers: those with SHA-2. RSASSA-PSS is looked into, for its hash. */
const SIGNATURE_ALGORITHMS: ReadonlySet<string> = new Set([
  '1.2.840.10045.4.3.2',
  '1.2.840.10045.4.3.3',
  '1.2.840.10045.4.3.4',
  '1.2.840.113549.1.1.11',
  '1.2.840.113549.1.1.12',
  '1.2.840.113549.1.1.13',
  '1.3.101.112',
]);
const RSASSA_PSS = '1.2.840.113549.1.1.10';
const SHA2: ReadonlySet<string> = new Set([
  '2.16.840.1.101.3.4.2.1',
  '2.16.840.1.101.3.4.2.2',
  '2.16.840.1.101.3.4.2.3',
]);

/**
 * Checks a certificate chain as the Notary Project's signature specification wants it ("Certificate
 * Requirements"): complete from the signing certificate to a self-signed root, each signed by the next
 * with SHA-2, usages, path lengths, key sizes. Neither the time nor trust in the root is looked at;
 * other extensions are, by that specification, not evaluated.
 * @throws BullaError certificate-invalid
 */
export function checkSigningChain(chain: readonly Certificate[]): void {
  const [leaf] = chain;
  if (leaf === undefined) {
    throw new BullaError('certificate-invalid', 'the certificate chain is empty', {
      hint: 'a signature of this kind carries the chain from the signing certificate to the root',
    });
  }
  for (const certificate of chain) checkSignatureAlgorithm(certificate);
  checkLeaf(leaf);
  for (const [index, certificate] of chain.entries()) {
    if (index > 0) checkAuthority(certificate, index - 1);
    checkIssuer(certificate, chain[index + 1]);
  }
}

/**
 * Checks that every certificate of a chain is within its validity at `time`, both ends included. That one's
 * validity lies within its issuer's is not demanded, by the same specification.
 * @throws BullaError certificate-expired
 */
export function checkValidAt(chain: readonly Certificate[], time: Date): void {
  for (const certificate of chain) {
    const { notBefore, notAfter } = certificate;
    if (time >= notBefore && time <= notAfter) continue;
    throw new BullaError(
      'certificate-expired',
      `the certificate ${subjectOf(certificate)} is valid from ${notBefore.toISOString()} to ${notAfter.toISOString()}, not at ${time.toISOString()}`,
      {
        hint:
          time < notBefore
            ? 'check the clock of this machine'
            : 'have the certificate renewed and the image signed again',
        details: { notBefore: notBefore.toISOString(), notAfter: notAfter.toISOString() },
      },
    );
  }
}

function checkIssuer(certificate: Certificate, issuer: Certificate | undefined): void {
  const selfSigned = isIssuedBy(certificate, certificate);
  if (issuer === undefined) {
    if (!selfSigned)
      throw unfit(certificate, 'is the last of its chain and not self-signed: the root is missing');
  } else if (selfSigned) {
    throw unfit(certificate, 'is self-signed, and yet others follow it in the chain');
  } else if (!isIssuedBy(certificate, issuer)) {
    throw unfit(certificate, `is not issued by the next one in the chain, ${subjectOf(issuer)}`);
  }
}

function checkLeaf(leaf: Certificate): void {
  if (leaf.isCa) throw unfit(leaf, 'is a CA certificate, and cannot sign images');
  const usages = criticalKeyUsage(leaf);
  if (!usages.has('digitalSignature')) throw unfit(leaf, 'lacks the key usage digitalSignature');
  const excess = FORBIDDEN_LEAF_USAGES.filter((usage) => usages.has(usage));
  if (excess.length > 0) throw unfit(leaf, `must not have the key usage ${excess.join(', ')}`);
  if (leaf.extensions.has(OID.extKeyUsage) && !leaf.extKeyUsage.includes(OID.codeSigning))
    throw unfit(leaf, 'has extended key usages, and codeSigning is not among them');
  for (const oid of leaf.extKeyUsage) {
    const purpose = FORBIDDEN_PURPOSES.get(oid);
    if (purpose !== undefined) throw unfit(leaf, `must not have the extended key usage ${purpose}`);
  }
  const { type, modulusBits } = leaf.publicKey;
  if (type === 'Ed25519') throw unfit(leaf, 'has an Ed25519 key, which Notation does not take');
  if (type === 'RSA' && ![2048, 3072, 4096].includes(modulusBits ?? 0))
    throw unfit(leaf, `has an RSA key of ${modulusBits} bits, not 2048, 3072 or 4096`);
}

/** @param below number of authorities between this one and the leaf */
function checkAuthority(certificate: Certificate, below: number): void {
  if (!certificate.isCa) throw unfit(certificate, 'is not that of an authority, and yet issued another');
  if (certificate.extensions.get(OID.basicConstraints)?.critical !== true)
    throw unfit(certificate, 'has basic constraints that are not marked critical');
  if (!criticalKeyUsage(certificate).has('keyCertSign'))
    throw unfit(certificate, 'lacks the key usage keyCertSign');
  if (certificate.pathLength !== undefined && certificate.pathLength < below)
    throw unfit(certificate, `allows ${certificate.pathLength} authorities below it, and there are ${below}`);
}

function criticalKeyUsage(certificate: Certificate): ReadonlySet<KeyUsage> {
  const extension = certificate.extensions.get(OID.keyUsage);
  if (extension?.critical !== true || certificate.keyUsage === undefined)
    throw unfit(certificate, 'has no key usage extension that is marked critical');
  return certificate.keyUsage;
}

/** Demands that an issuer signed with SHA-2. @throws BullaError certificate-invalid */
export function checkSignatureAlgorithm(certificate: Certificate): void {
  const [oid, parameters] = derChildren(readDer(certificate.signatureAlgorithmDer, TAG.sequence));
  const name = readOid(oid);
  if (SIGNATURE_ALGORITHMS.has(name)) return;
  if (name === RSASSA_PSS && parameters?.tag === TAG.sequence) {
    // The hash is [0], and SHA-1 where it is left out (RFC 4055 §3.1).
    const [hash] = derChildren(parameters);
    const algorithm = hash?.tag === 0xa0 ? derChildren(hash)[0] : undefined;
    if (algorithm !== undefined && SHA2.has(readOid(derChildren(algorithm, TAG.sequence)[0]))) return;
  }
  throw unfit(certificate, `is signed with an algorithm that is not accepted (${name})`);
}

function unfit(certificate: Certificate, why: string): BullaError {
  return new BullaError('certificate-invalid', `the certificate ${subjectOf(certificate)} ${why}`, {
    hint: 'ask the authority for a code-signing certificate after the Notary Project specification: key usage digitalSignature (critical), extended key usage codeSigning or none, SHA-2, with the whole chain',
    details: { thumbprint: certificate.thumbprint },
  });
}

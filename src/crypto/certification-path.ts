import { BullaError } from '../errors.ts';
import { type Certificate, isIssuedBy, OID, subjectOf } from './certificate.ts';
import { checkSignatureAlgorithm, checkValidAt } from './certificate-profile.ts';
import { derChildren, readDer, TAG } from './der.ts';

/** Extensions that are understood here; another one that is critical makes a certificate unusable (RFC 5280 §4.2). */
const UNDERSTOOD: ReadonlySet<string> = new Set([
  OID.basicConstraints,
  OID.keyUsage,
  OID.extKeyUsage,
  OID.subjectAltName,
]);

/** What the key at the end of a path may be for, with the words for people. */
const PURPOSES = { codeSigning: 'code signing', timeStamping: 'time stamping' } as const;
export type Purpose = keyof typeof PURPOSES;

/**
 * Checks that a chain, the key's own certificate first, leads to one of some authorities (RFC 5280 §6,
 * without policies, name constraints and revocation): each is issued by the next with SHA-2, authorities
 * are authorities and within their path lengths, the key is for signing and, where purposes are listed,
 * for `purpose`.
 * @param time when all must be valid; undefined: at some one time
 * @throws BullaError certificate-invalid, certificate-expired
 */
export function checkCertificationPath(
  chain: readonly Certificate[],
  authorities: readonly Certificate[],
  time: Date | undefined,
  purpose: Purpose = 'codeSigning',
): void {
  const path = completePath(chain, authorities);
  for (const [index, certificate] of path.entries()) {
    checkUnderstood(certificate);
    if (index === 0) checkEnd(certificate, purpose);
    else checkIssuer(certificate, index - 1, purpose);
    const issuer = path[index + 1];
    if (issuer === undefined) continue;
    checkSignatureAlgorithm(certificate);
    if (!isIssuedBy(certificate, issuer)) throw unfit(certificate, `is not issued by ${subjectOf(issuer)}`);
  }
  const last = path.reduce((a, { notAfter }) => (a < notAfter ? a : notAfter), new Date(8.64e15));
  checkValidAt(path, time ?? last);
}

/** The chain up to the authority, which it may hold itself or leave out. */
function completePath(chain: readonly Certificate[], authorities: readonly Certificate[]): Certificate[] {
  const at = chain.findIndex(({ thumbprint }) =>
    authorities.some((other) => other.thumbprint === thumbprint),
  );
  const path = at < 0 ? [...chain] : chain.slice(0, at + 1);
  const last = path.at(-1);
  if (last === undefined) throw noPath('there is no certificate');
  if (at > 0) return path;
  if (at === 0) throw unfit(last, 'is an authority itself, and certifies no key to sign with');
  const issuer = authorities.find((authority) => isIssuedBy(last, authority));
  if (issuer === undefined) throw noPath(`${subjectOf(last)} is issued by none of the authorities`);
  return [...path, issuer];
}

function checkUnderstood(certificate: Certificate): void {
  for (const { oid, critical } of certificate.extensions.values())
    if (critical && !UNDERSTOOD.has(oid))
      throw unfit(certificate, `has a critical extension that is not understood (${oid})`);
}

function checkEnd(certificate: Certificate, purpose: Purpose): void {
  if (certificate.isCa) throw unfit(certificate, 'is a CA certificate, not one of a signing key');
  if (certificate.keyUsage?.has('digitalSignature') === false)
    throw unfit(certificate, 'lacks the key usage digitalSignature');
  checkPurposes(certificate, purpose);
}

function checkIssuer(certificate: Certificate, below: number, purpose: Purpose): void {
  if (!certificate.isCa) throw unfit(certificate, 'is not that of an authority, and yet issued another');
  if (certificate.keyUsage?.has('keyCertSign') === false)
    throw unfit(certificate, 'lacks the key usage keyCertSign');
  if (certificate.pathLength !== undefined && certificate.pathLength < below)
    throw unfit(certificate, `allows ${certificate.pathLength} authorities below it, and there are ${below}`);
  checkPurposes(certificate, purpose);
}

/** So that no certificate of a web server names a collection. */
function checkPurposes({ extKeyUsage }: Certificate, purpose: Purpose): void {
  if (extKeyUsage.length === 0 || extKeyUsage.includes(OID[purpose])) return;
  throw noPath(`it is for other purposes than ${PURPOSES[purpose]}`);
}

/** URIs among the subject alternative names. @throws BullaError certificate-invalid */
export function urisOf(certificate: Certificate): readonly string[] {
  const extension = certificate.extensions.get(OID.subjectAltName);
  if (extension === undefined) return [];
  try {
    return derChildren(readDer(extension.value, TAG.sequence))
      .filter(({ tag }) => tag === TAG.uri)
      .map(({ content }) => Buffer.from(content).toString('latin1'));
  } catch (cause) {
    throw new BullaError(
      'certificate-invalid',
      `the alternative names of the certificate ${subjectOf(certificate)} cannot be read`,
      { cause, hint: 'have it issued again' },
    );
  }
}

/** The common name, where there is exactly one. */
export function commonNameOf({ subject }: Certificate): string | undefined {
  const names = subject.flat().filter(({ oid }) => oid === OID.commonName);
  return names.length === 1 ? names[0]?.value : undefined;
}

function unfit(certificate: Certificate, why: string): BullaError {
  return new BullaError('certificate-invalid', `the certificate ${subjectOf(certificate)} ${why}`, {
    hint: 'ask the authority for a code-signing certificate: key usage digitalSignature, no authority, SHA-2',
    details: { thumbprint: certificate.thumbprint },
  });
}

function noPath(why: string): BullaError {
  return new BullaError('certificate-invalid', `the key is not certified: ${why}`, {
    hint: 'the authority is another than the one that is pinned, or certificates in between are missing',
  });
}

import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { type Certificate, isIssuedBy, parseCertificate } from '../../src/crypto/certificate.ts';
import { statusSources } from '../../src/crypto/certificate-status.ts';
import { checkCertificationPath } from '../../src/crypto/certification-path.ts';
import { readRevocationList, statusInList } from '../../src/crypto/crl.ts';
import { equalBytes } from '../../src/encoding/bytes.ts';
import { messageOf } from '../../src/errors.ts';

/** NIST's test suite (testdata/pkits/README.md): paths to one trust anchor, with CRLs. The name of a case is its outcome. */
const data = JSON.parse(
  readFileSync(new URL('../../testdata/pkits/pkits.json', import.meta.url), 'utf8'),
) as Record<'certificates' | 'lists', Record<string, string>>;
const NOW = new Date('2026-07-01T00:00:00Z');
const certificates = new Map(
  Object.entries(data.certificates).map(([name, text]) => [
    name,
    parseCertificate(Buffer.from(text, 'base64'), name),
  ]),
);
const lists = Object.values(data.lists).map((text) => Buffer.from(text, 'base64'));
const anchor = certificates.get('TrustAnchorRootCertificate') as Certificate;
const authorities = [...certificates].flatMap(([name, certificate]) =>
  name.endsWith('EE') ? [] : [certificate],
);

/** Valid there, refused here, and why. */
const STRICTER: readonly (readonly [RegExp, string])[] = [
  [/nameConstraints/, 'certificates with critical name constraints are not accepted'],
  [/NameChaining|RolloverfromPrintable|CaseInsensitive/, 'names are compared by their DER'],
  [
    /BasicSelfIssued(?!NewWithOldTest3)|SeparateCertificateandCRLKeys/,
    'a CRL is signed with the key that issued the certificate',
  ],
  [/SelfIssuedpathLen/, 'self-issued certificates count in path lengths'],
  [
    /pathLenConstraintTest(?:8|14)EE|onlyContainsCACertsTest13/,
    'a certificate of an authority signs no images',
  ],
  [/indirectCRL|cRLIssuer/, 'indirect CRLs are not read'],
  [/onlySomeReasons/, 'CRLs for some reasons are not read'],
  [/deltaCRL/, 'delta CRLs are not read'],
  [/distributionPointTest[47]EE/, 'names relative to the issuer are not completed'],
];

function* pathsFrom(
  certificate: Certificate,
  below: readonly Certificate[] = [],
): Generator<readonly Certificate[]> {
  const path = [...below, certificate];
  for (const issuer of authorities) {
    if (path.includes(issuer) || !equalBytes(certificate.issuerDer, issuer.subjectDer)) continue;
    if (!isIssuedBy(certificate, issuer)) continue;
    if (issuer === anchor) yield [...path, issuer];
    else yield* pathsFrom(issuer, path);
  }
}

/** Whether a list says that a certificate is good, and none that it was revoked. */
function isGood(certificate: Certificate, issuer: Certificate): boolean {
  const names = statusSources(certificate, 'it').lists.flatMap((point) => point.names);
  const found = lists.flatMap((list) => {
    try {
      return statusInList(readRevocationList(list, issuer, NOW), certificate, names).status.kind;
    } catch (error) {
      expect(messageOf(error)).not.toBe('');
      return [];
    }
  });
  return found.includes('good') && !found.includes('revoked');
}

function isValid(certificate: Certificate): boolean {
  return [...pathsFrom(certificate)].some((path) => {
    try {
      checkCertificationPath(path.slice(0, -1), path.slice(-1), NOW);
    } catch {
      return false;
    }
    return path.slice(0, -1).every((one, at) => isGood(one, path[at + 1] as Certificate));
  });
}

const cases = [...certificates].filter(([name]) => name.endsWith('EE'));

it('has the cases', () => {
  expect(cases).toHaveLength(158);
  expect(cases.filter(([name]) => name.startsWith('Valid')).length).toBeGreaterThan(60);
});

it.each(cases)('%s', (name, certificate) => {
  const reason = STRICTER.find(([names]) => names.test(name))?.[1];
  const isExpected = name.startsWith('Valid') && reason === undefined;
  expect(isValid(certificate), reason).toBe(isExpected);
});

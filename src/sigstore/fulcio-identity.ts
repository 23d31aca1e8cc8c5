import type { Certificate } from '../crypto/certificate.ts';
import { OID, subjectOf } from '../crypto/certificate.ts';
import { type DerValue, derChildren, expectTag, readDer, readOid, TAG } from '../crypto/der.ts';
import { decodeUtf8 } from '../encoding/bytes.ts';
import { BullaError } from '../errors.ts';

// Fulcio's extensions (fulcio/docs/oid-info.md). The first issuer is bare text, its successor DER.
const ISSUER_V1 = '1.3.6.1.4.1.57264.1.1';
const ISSUER_V2 = '1.3.6.1.4.1.57264.1.8';
const OTHER_NAME_SAN = '1.3.6.1.4.1.57264.1.7';
const OTHER_NAME = 0xa0;
const EMAIL = 0x81;

/** Who a certificate of Fulcio was issued to, and who vouched for that. */
export interface FulcioIdentity {
  /** An email address, a URI, or the name of a user. */
  readonly subject: string;
  readonly subjectKind: 'email' | 'uri' | 'username';
  /** URL of the OpenID Connect issuer. */
  readonly issuer: string;
}

/** An identity to be accepted: each either exactly, or by a regular expression over the whole value. */
export interface IdentityRule {
  readonly subject: string | RegExp;
  readonly issuer: string | RegExp;
}

/** Reads the identity of a certificate. @throws BullaError certificate-invalid */
export function fulcioIdentityOf(certificate: Certificate): FulcioIdentity {
  try {
    return { ...readSubject(certificate), issuer: readIssuer(certificate) };
  } catch (cause) {
    if (!(cause instanceof BullaError)) throw cause;
    throw new BullaError(
      'certificate-invalid',
      `the certificate ${subjectOf(certificate)} does not say whom it was issued to: ${cause.message}`,
      { cause, hint: 'keyless signatures need a certificate that Fulcio issued' },
    );
  }
}

/** Whether `identity` is one that the rule accepts. */
export function matchesRule({ subject, issuer }: FulcioIdentity, rule: IdentityRule): boolean {
  return matches(subject, rule.subject) && matches(issuer, rule.issuer);
}

function matches(value: string, expected: string | RegExp): boolean {
  if (typeof expected === 'string') return value === expected;
  // Anchored, so that an expression for a host does not match a path that contains it.
  return new RegExp(`^(?:${expected.source})$`, expected.flags.replace(/[gmy]/g, '')).test(value);
}

/** The one name among the alternative names. */
function readSubject(certificate: Certificate): Pick<FulcioIdentity, 'subject' | 'subjectKind'> {
  const extension = certificate.extensions.get(OID.subjectAltName);
  const names = extension === undefined ? [] : derChildren(readDer(extension.value, TAG.sequence));
  const [only] = names;
  if (only === undefined || names.length > 1)
    throw unfit(`it has ${names.length} alternative names instead of one`);
  switch (only.tag) {
    case EMAIL:
      return { subject: textOf(only), subjectKind: 'email' };
    case TAG.uri:
      return { subject: textOf(only), subjectKind: 'uri' };
    case OTHER_NAME:
      return { subject: readOtherName(only), subjectKind: 'username' };
    default:
      throw unfit('its alternative name is neither an email address, a URI nor a user name');
  }
}

function readOtherName(name: DerValue): string {
  const [type, value] = derChildren(name);
  if (readOid(type) !== OTHER_NAME_SAN) throw unfit('its alternative name is of an unknown type');
  return textOf(expectTag(derChildren(expectTag(value, OTHER_NAME))[0], TAG.utf8String));
}

function readIssuer({ extensions }: Certificate): string {
  const first = extensions.get(ISSUER_V1);
  const second = extensions.get(ISSUER_V2);
  const issuers = [
    ...(first === undefined ? [] : [decodeUtf8(first.value, 'the issuer')]),
    ...(second === undefined ? [] : [textOf(readDer(second.value, TAG.utf8String))]),
  ];
  const [issuer] = issuers;
  if (issuer === undefined) throw unfit('it names no issuer');
  if (issuers.some((other) => other !== issuer)) throw unfit('it names two different issuers');
  return issuer;
}

function textOf({ content }: DerValue): string {
  const text = decodeUtf8(content, 'a name of a certificate');
  // A NUL ends a name for some readers and not for others.
  if (text === '' || /[\u0000-\u001f\u007f]/.test(text))
    throw unfit('a name is empty or has control characters');
  return text;
}

function unfit(why: string): BullaError {
  return new BullaError('certificate-invalid', why, { hint: 'use a certificate that Fulcio issued' });
}

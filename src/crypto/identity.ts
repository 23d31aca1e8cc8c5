import { BullaError } from '../errors.ts';
import type { Certificate } from './certificate.ts';
import { foldValue, type NameAttributes, parseName } from './name.ts';

/** Who is trusted among those that a trusted authority has certified (Notary Project trust policy). */
export type TrustedIdentity =
  | { readonly kind: 'any'; readonly text: string }
  | { readonly kind: 'subject'; readonly text: string; readonly attributes: NameAttributes };

const COUNTRY = '2.5.4.6';
const STATE = '2.5.4.8';
const ORGANIZATION = '2.5.4.10';
const PREFIX = 'x509.subject:';

export interface IdentityOptions {
  /** Demand C, ST and O, as Notation does in its trustpolicy.json. */
  readonly notation?: boolean;
}

/**
 * Reads `x509.subject: C=DE, O=Acme, CN=release`, or `*` for every subject that the CA has certified.
 * @throws BullaError usage
 */
export function parseIdentity(text: string, options: IdentityOptions = {}): TrustedIdentity {
  // A space at the end may be an escaped one: it is left to the name.
  const trimmed = text.trimStart();
  if (trimmed.trimEnd() === '*') return { kind: 'any', text: '*' };
  if (!trimmed.startsWith(PREFIX)) {
    throw new BullaError('usage', `${JSON.stringify(text)} is not an identity`, {
      hint: 'write "x509.subject: C=DE, ST=Berlin, O=Acme, CN=release", or * for every subject certified by the CA',
    });
  }
  // Nothing after the prefix would be a subset of every subject: parseName refuses it.
  const attributes = parseName(trimmed.slice(PREFIX.length));
  if (options.notation === true && ![COUNTRY, STATE, ORGANIZATION].every((oid) => attributes.has(oid))) {
    throw new BullaError('usage', `${JSON.stringify(text)} lacks C, ST or O, which Notation demands`, {
      hint: 'name at least C, ST and O of the subject',
    });
  }
  return { kind: 'subject', text: trimmed, attributes };
}

/**
 * Whether the subject of `certificate` has every attribute of `identity`, with exactly that value. An
 * attribute that the subject has more than once matches nothing: which of them would count?
 */
export function matchesIdentity(identity: TrustedIdentity, certificate: Certificate): boolean {
  if (identity.kind === 'any') return true;
  const subject = certificate.subject.flat();
  for (const [oid, value] of identity.attributes) {
    const [only, second] = subject.filter((attribute) => attribute.oid === oid);
    if (only === undefined || second !== undefined || only.value !== value) return false;
  }
  return identity.attributes.size > 0;
}

/**
 * Whether the subject of `certificate` has every attribute of `identity` among others, in any spelling.
 * For counting only, so that an extra attribute or another spelling makes no other signer: never use it to trust.
 */
export function mayMatchIdentity(identity: TrustedIdentity, certificate: Certificate): boolean {
  if (identity.kind === 'any') return true;
  const subject = certificate.subject.flat();
  return [...identity.attributes].every(([oid, value]) =>
    subject.some(
      (attribute) =>
        attribute.oid === oid &&
        attribute.value !== undefined &&
        foldValue(attribute.value) === foldValue(value),
    ),
  );
}

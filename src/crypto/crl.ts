import { equalBytes, fromHex } from '../encoding/bytes.ts';
import type { Certificate } from './certificate.ts';
import {
  checkCurrent,
  type DatedStatus,
  ENTRY_EXTENSIONS,
  pointNames,
  readStatusExtensions,
  revocationOf,
  unusable,
} from './certificate-status.ts';
import {
  type DerValue,
  derChildren,
  eachDerChild,
  expectTag,
  readBoolean,
  readDer,
  readDerTime,
  readSmallInteger,
  TAG,
} from './der.ts';
import { isSignedBy } from './x509-signature.ts';

const ISSUING_DISTRIBUTION_POINT = '2.5.29.28';
const DELTA_INDICATOR = '2.5.29.27';
const FRESHEST_CRL = '2.5.29.46';
const LIST_EXTENSIONS: ReadonlySet<string> = new Set([ISSUING_DISTRIBUTION_POINT, DELTA_INDICATOR]);

/** A list that its issuer signed and that counts now (RFC 5280 §5.1), ready to be searched. */
export interface RevocationList {
  readonly entries: DerValue | undefined;
  /** Value of the extension IssuingDistributionPoint. */
  readonly scope: Uint8Array | undefined;
  readonly until: Date;
}

/**
 * Reads a list of revoked certificates.
 * @throws BullaError content-invalid where it is not the issuer's, does not count now, is a delta CRL or points to one,
 *   or has a critical extension that is not understood: then nothing is known
 */
export function readRevocationList(bytes: Uint8Array, issuer: Certificate, now: Date): RevocationList {
  const [list, algorithm, signature, more] = derChildren(readDer(bytes, TAG.sequence));
  if (more !== undefined) throw unusable('it is malformed');
  const fields = derChildren(expectTag(list, TAG.sequence));
  // Version 2 is written as 1, and version 1, which has no extensions, is left out.
  const version = fields[0]?.tag === TAG.integer ? readSmallInteger(fields.shift()) : 0;
  if (version > 1) throw unusable(`it is a CRL of version ${version + 1}`);
  const [inside, name, thisUpdate, ...rest] = fields;
  if (!equalBytes(expectTag(name, TAG.sequence).raw, issuer.subjectDer))
    throw unusable('it is a list of another authority');
  if (issuer.keyUsage?.has('cRLSign') === false)
    throw unusable('its issuer must not sign lists (key usage cRLSign)');
  if (!equalBytes(expectTag(inside, TAG.sequence).raw, expectTag(algorithm, TAG.sequence).raw))
    throw unusable('it names two signature algorithms');
  if (!isSignedBy(issuer.publicKey, algorithm, expectTag(list, TAG.sequence).raw, signature))
    throw unusable('its signature is wrong');
  const isTime = ({ tag }: DerValue): boolean => tag === TAG.utcTime || tag === TAG.generalizedTime;
  const next = rest[0] !== undefined && isTime(rest[0]) ? rest.shift() : undefined;
  const until = checkCurrent(readDerTime(thisUpdate, true), next && readDerTime(next, true), now);
  const entries = rest[0]?.tag === TAG.sequence ? rest.shift() : undefined;
  const wrapped = rest.shift();
  if (rest.length > 0 || (version === 0 && wrapped !== undefined)) throw unusable('it is malformed');
  const extensions = extensionsOf(wrapped);
  if (extensions.has(DELTA_INDICATOR)) throw unusable('it is a delta CRL, and delta CRLs are not read');
  if (extensions.has(FRESHEST_CRL)) throw unusable('it points to a delta CRL, and delta CRLs are not read');
  return { entries, scope: extensions.get(ISSUING_DISTRIBUTION_POINT), until };
}

function extensionsOf(wrapped: DerValue | undefined): ReadonlyMap<string, Uint8Array> {
  if (wrapped === undefined) return new Map();
  const [list, second] = derChildren(expectTag(wrapped, 0xa0));
  if (list === undefined || second !== undefined) throw unusable('it is malformed');
  return readStatusExtensions(list, LIST_EXTENSIONS);
}

/**
 * What a list says about a certificate of its issuer.
 * @param names of the distribution point in the certificate: a list for other names is about other certificates
 * @throws BullaError content-invalid where the list is not about this certificate, or not about it alone
 */
export function statusInList(
  { entries, scope, until }: RevocationList,
  certificate: Certificate,
  names: readonly string[],
): DatedStatus {
  if (scope !== undefined) checkScope(scope, certificate, names);
  const serial = fromHex(certificate.serialNumber) as Uint8Array;
  let found: DatedStatus | undefined;
  for (const entry of entries === undefined ? [] : eachDerChild(entries)) {
    const [number, at, extensions] = derChildren(entry, TAG.sequence);
    const isIt = equalBytes(expectTag(number, TAG.integer).content, serial);
    // Also of another certificate, a critical extension that is not understood makes the list unusable (§5.3).
    if (!isIt && !mayBeCritical(extensions)) continue;
    const read = readStatusExtensions(extensions, ENTRY_EXTENSIONS);
    if (!isIt) continue;
    const status = revocationOf(readDerTime(at, true), read);
    if (found !== undefined || status.reason === 'removed from CRL')
      throw unusable('what it says about this certificate is contradictory');
    found = { status, until };
  }
  return found ?? { status: { kind: 'good' }, until };
}

/** Whether there is a BOOLEAN that is true somewhere in the extensions. */
function mayBeCritical(extensions: DerValue | undefined): boolean {
  return extensions !== undefined && Buffer.from(extensions.content).includes(CRITICAL);
}

const CRITICAL = Buffer.of(TAG.boolean, 1, 0xff);

/** Which certificates a list is about (RFC 5280 §5.2.5, §6.3.3 (b)). */
function checkScope(scope: Uint8Array, { isCa }: Certificate, names: readonly string[]): void {
  for (const part of derChildren(readDer(scope, TAG.sequence))) {
    if (part.tag === 0xa0) {
      if (!pointNames(part).some((name) => names.includes(name)))
        throw unusable('it is for other certificates of its issuer');
      continue;
    }
    const isSet = part.tag === 0x83 || readBoolean({ ...part, tag: TAG.boolean });
    if (!isSet) continue;
    const [isOther, why] = OTHER_SCOPES.get(part.tag) ?? [() => true, 'its scope is not understood'];
    if (isOther(isCa)) throw unusable(why);
  }
}

const OTHER_SCOPES: ReadonlyMap<number, readonly [(isCa: boolean) => boolean, string]> = new Map([
  [0x81, [(isCa: boolean) => isCa, 'it is not about certificates of authorities']],
  [0x82, [(isCa: boolean) => !isCa, 'it is about certificates of authorities alone']],
  [0x83, [() => true, 'it is about some reasons only']],
  [0x84, [() => true, 'it is a list of several authorities']],
  [0x85, [() => true, 'it is about attribute certificates alone']],
] as const);

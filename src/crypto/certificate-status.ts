import { hex } from '../encoding/bytes.ts';
import { BullaError } from '../errors.ts';
import type { Certificate } from './certificate.ts';
import {
  type DerValue,
  derChildren,
  expectTag,
  readBoolean,
  readDer,
  readDerTime,
  readOid,
  TAG,
} from './der.ts';

/** What an authority says about one of its certificates (RFC 5280 §5, RFC 6960 §2.2). */
export type CertificateStatus =
  | { readonly kind: 'good' }
  | Revocation
  /** The responder does not know the certificate. */
  | { readonly kind: 'unknown' };

/** A certificate that was taken back. */
export interface Revocation {
  readonly kind: 'revoked';
  readonly at: Date;
  readonly reason: string | undefined;
  /** Since when the key is not to be trusted, if the authority says so: often before it was revoked. */
  readonly invaliditySince: Date | undefined;
}

/** What became of asking about one certificate. */
export interface StatusFinding {
  readonly certificate: Certificate;
  readonly outcome:
    | CertificateStatus
    /** It names neither a responder nor a list: its authority revokes nothing. */
    | { readonly kind: 'not-revocable' }
    /** Nothing may be asked now, and nothing is remembered. */
    | { readonly kind: 'not-asked' }
    /** The answer did not come, or cannot be used. */
    | { readonly kind: 'unavailable'; readonly error: BullaError };
  /** Who said it, and until when it counts. */
  readonly url?: URL;
  readonly until?: Date;
}

/** Asks authorities about their certificates. */
export interface StatusPort {
  /**
   * The status of each certificate of a chain but the last, the root, which nothing can revoke.
   * @param privateHosts hosts (with a port, where it matters) that may have private addresses
   * @throws BullaError interrupted, and nothing else
   */
  statusOf(
    chain: readonly Certificate[],
    privateHosts: readonly string[],
    signal: AbortSignal | undefined,
  ): Promise<readonly StatusFinding[]>;
}

/** A status, and until when it counts. */
export interface DatedStatus {
  readonly status: CertificateStatus;
  /** `nextUpdate`. */
  readonly until: Date;
}

/** Where the status of a certificate can be asked for. Only http and https: others cannot be reached. */
export interface StatusSources {
  readonly responders: readonly URL[];
  readonly lists: readonly DistributionPoint[];
}

/** One list of revoked certificates, at one of several places. */
export interface DistributionPoint {
  /** All its names, of whatever kind, as {@link pointNames} gives them. */
  readonly names: readonly string[];
  readonly urls: readonly URL[];
  /** Why it cannot be used, whatever is there. */
  readonly unsupported: string | undefined;
}

const AUTHORITY_INFORMATION_ACCESS = '1.3.6.1.5.5.7.1.1';
const CRL_DISTRIBUTION_POINTS = '2.5.29.31';
const FRESHEST_CRL = '2.5.29.46';
const OCSP = '1.3.6.1.5.5.7.48.1';
const INVALIDITY_DATE = '2.5.29.24';
const REASON_CODE = '2.5.29.21';

/** RFC 5280 §5.3.1, by number; 7 is not used. */
const REASONS: readonly (string | undefined)[] = [
  'unspecified',
  'key compromise',
  'CA compromise',
  'affiliation changed',
  'superseded',
  'cessation of operation',
  'certificate hold',
  undefined,
  'removed from CRL',
  'privilege withdrawn',
  'AA compromise',
];

/** Clocks of authorities may be ahead of ours by so much, in milliseconds. */
const CLOCK_SKEW_MS = 5 * 60_000;

/**
 * Responders and lists that a certificate names. @throws BullaError certificate-invalid where they cannot be read
 */
export function statusSources(certificate: Certificate, where: string): StatusSources {
  try {
    return { responders: respondersOf(certificate), lists: listsOf(certificate) };
  } catch (cause) {
    throw new BullaError(
      'certificate-invalid',
      `${where}: the places of its revocation status are unreadable`,
      {
        cause,
        hint: 'have the certificate issued again',
      },
    );
  }
}

function respondersOf({ extensions }: Certificate): URL[] {
  const access = extensions.get(AUTHORITY_INFORMATION_ACCESS);
  if (access === undefined) return [];
  return derChildren(readDer(access.value, TAG.sequence)).flatMap((description) => {
    const [method, location] = derChildren(description, TAG.sequence);
    return readOid(method) === OCSP && location !== undefined ? webUrls([location]) : [];
  });
}

function listsOf({ extensions }: Certificate): DistributionPoint[] {
  const points = extensions.get(CRL_DISTRIBUTION_POINTS);
  if (points === undefined) return [];
  const isDelta = extensions.has(FRESHEST_CRL);
  return derChildren(readDer(points.value, TAG.sequence)).map((point) => {
    const parts = derChildren(point, TAG.sequence);
    const name = parts.find(({ tag }) => tag === 0xa0);
    const urls = name === undefined ? [] : webUrls(generalNames(name));
    const names = name === undefined ? [] : pointNames(name);
    return { names, urls, unsupported: problemOf(parts, urls, isDelta) };
  });
}

function problemOf(parts: readonly DerValue[], urls: readonly URL[], isDelta: boolean): string | undefined {
  if (isDelta) return 'the certificate names a delta CRL, and delta CRLs are not read';
  if (parts.some(({ tag }) => tag === 0x81)) return 'its list is about some reasons only';
  if (parts.some(({ tag }) => tag === 0xa2)) return 'its list is signed by another authority';
  return urls.length === 0 ? 'its list is at no http or https URL' : undefined;
}

/** Names of a DistributionPointName (RFC 5280 §4.2.1.13) to be compared: what is equal here is the same in DER. */
export function pointNames(name: DerValue): string[] {
  return derChildren(name).flatMap((choice) =>
    choice.tag === 0xa0
      ? derChildren(choice).map(({ raw }) => hex(raw))
      : [`relative ${hex(choice.content)}`],
  );
}

function generalNames(name: DerValue): DerValue[] {
  const [choice] = derChildren(name);
  return choice?.tag === 0xa0 ? derChildren(choice) : [];
}

function webUrls(names: readonly DerValue[]): URL[] {
  return names.flatMap(({ tag, content }) => {
    const name = Buffer.from(content).toString('latin1');
    const url = tag === TAG.uri && URL.canParse(name) ? new URL(name) : undefined;
    return url !== undefined && /^https?:$/.test(url.protocol) && url.username === '' ? [url] : [];
  });
}

/**
 * Extensions of a CRL, its entries, and OCSP responses.
 * @param known those that are understood
 * @throws BullaError content-invalid where another one is critical, or one is there twice
 */
export function readStatusExtensions(
  list: DerValue | undefined,
  known: ReadonlySet<string>,
): ReadonlyMap<string, Uint8Array> {
  const found = new Map<string, Uint8Array>();
  for (const extension of list === undefined ? [] : derChildren(list, TAG.sequence)) {
    const parts = derChildren(extension, TAG.sequence);
    const oid = readOid(parts[0]);
    const isCritical = parts.length === 3 && readBoolean(parts[1]);
    if (parts.length < 2 || parts.length > 3 || found.has(oid))
      throw unusable(`the extension ${oid} is malformed`);
    if (isCritical && !known.has(oid)) throw unusable(`the critical extension ${oid} is not understood`);
    found.set(oid, expectTag(parts.at(-1), TAG.octetString).content);
  }
  return found;
}

/** Extensions of an entry about one certificate that are understood. */
export const ENTRY_EXTENSIONS: ReadonlySet<string> = new Set([INVALIDITY_DATE, REASON_CODE]);

/** A revocation with what the extensions of its entry say. @throws BullaError content-invalid */
export function revocationOf(at: Date, extensions: ReadonlyMap<string, Uint8Array>): Revocation {
  const since = extensions.get(INVALIDITY_DATE);
  const reason = extensions.get(REASON_CODE);
  return {
    kind: 'revoked',
    at,
    reason: reason && reasonOf(readDer(reason)),
    invaliditySince: since && readDerTime(readDer(since)),
  };
}

/** CRLReason. @throws BullaError content-invalid */
export function reasonOf(value: DerValue | undefined): string {
  const [code = REASONS.length, more] = expectTag(value, TAG.enumerated).content;
  const reason = more === undefined ? REASONS[code] : undefined;
  if (reason === undefined) throw unusable('the reason of the revocation is malformed');
  return reason;
}

/** Demands that something said at `thisUpdate` counts now. @throws BullaError content-invalid */
export function checkCurrent(thisUpdate: Date, nextUpdate: Date | undefined, now: Date): Date {
  if (thisUpdate.getTime() > now.getTime() + CLOCK_SKEW_MS)
    throw unusable(`it is from the future: ${thisUpdate.toISOString()}`);
  if (nextUpdate === undefined) throw unusable('it does not say until when it counts (nextUpdate)');
  if (nextUpdate <= now || nextUpdate < thisUpdate)
    throw unusable(`it counted until ${nextUpdate.toISOString()}`);
  return nextUpdate;
}

/** What makes a list or a response unusable: nothing is known about the certificate then. */
export function unusable(why: string): BullaError {
  return new BullaError('content-invalid', why, { hint: 'ask the operator of the certificate authority' });
}

import { createHash, sign } from 'node:crypto';
import type { Certificate } from '../../src/crypto/certificate.ts';
import { type DerValue, derChildren, readDer } from '../../src/crypto/der.ts';
import {
  DER_TRUE,
  der,
  derBitString,
  derInteger,
  derOid,
  derSequence,
  derTime,
} from '../../src/crypto/der-write.ts';
import { concatBytes, fromHex, utf8 } from '../../src/encoding/bytes.ts';
import { EKU, type Issued, type IssueOptions, issue } from './issue.ts';

/** An extension: identifier, value in DER, and whether it is critical. */
export type TestExtension = readonly [oid: string, value: Uint8Array, critical?: boolean];

export const REVOCATION_OID = {
  responder: '1.3.6.1.5.5.7.1.1',
  points: '2.5.29.31',
  freshest: '2.5.29.46',
  noCheck: '1.3.6.1.5.5.7.48.1.5',
  scope: '2.5.29.28',
  delta: '2.5.29.27',
  reason: '2.5.29.21',
  invalidity: '2.5.29.24',
} as const;

/** The moment at which the answers of this file are asked for. */
export const NOW: Date = new Date('2026-07-01T12:00:00Z');
export const hoursFromNow = (hours: number): Date => new Date(NOW.getTime() + hours * 3_600_000);

/** Extensions of a certificate that say where its status is to be had. */
export function statusExtensions(where: {
  readonly ocsp?: readonly string[];
  readonly crls?: readonly (readonly string[])[];
}): TestExtension[] {
  const uri = (url: string): Uint8Array => der(0x86, utf8(url));
  const { ocsp = [], crls = [] } = where;
  return [
    ...(ocsp.length === 0
      ? []
      : [
          [
            REVOCATION_OID.responder,
            derSequence(...ocsp.map((url) => derSequence(derOid('1.3.6.1.5.5.7.48.1'), uri(url)))),
          ] as const,
        ]),
    ...(crls.length === 0
      ? []
      : [
          [
            REVOCATION_OID.points,
            derSequence(...crls.map((names) => derSequence(der(0xa0, der(0xa0, ...names.map(uri)))))),
          ] as const,
        ]),
  ];
}

/** An authority whose certificates name responders and lists, and which signs both. */
export function statusAuthority(
  where: Parameters<typeof statusExtensions>[0] = {},
  options: Partial<IssueOptions> = {},
): { readonly root: Issued; readonly leaf: Issued; readonly chain: readonly Certificate[] } {
  const root = issue({ subject: { C: 'DE', ST: 'Berlin', O: 'Acme', CN: 'Root' }, ca: true, usages: [5, 6] });
  const leaf = issue({
    subject: { C: 'DE', ST: 'Berlin', O: 'Acme', CN: 'release' },
    issuer: root,
    usages: [0],
    extended: [EKU.codeSigning],
    more: statusExtensions(where),
    ...options,
  });
  return { root, leaf, chain: [leaf.certificate, root.certificate] };
}

const ALGORITHM = derSequence(derOid('1.2.840.10045.4.3.2'));
const EXTENSIONS = (list: readonly TestExtension[]): Uint8Array =>
  derSequence(
    ...list.map(([oid, value, critical = false]) =>
      derSequence(derOid(oid), ...(critical ? [DER_TRUE] : []), der(0x04, value)),
    ),
  );
/** GeneralizedTime, which OCSP has for all years. */
export const generalized = (time: Date): Uint8Array =>
  der(0x18, utf8(`${time.toISOString().replace(/[-:T]/g, '').slice(0, 14)}Z`));

function signed(
  body: Uint8Array,
  by: Issued,
  algorithm: Uint8Array,
  ...more: readonly Uint8Array[]
): Uint8Array {
  return derSequence(body, algorithm, derBitString(sign('sha256', body, by.privateKey)), ...more);
}

export interface ListEntry {
  readonly certificate: Certificate;
  readonly at?: Date;
  readonly extensions?: readonly TestExtension[];
}

export interface ListOptions {
  readonly by: Issued;
  readonly entries?: readonly ListEntry[];
  /** In DER; the authority's own name if left out. */
  readonly name?: Uint8Array;
  readonly thisUpdate?: Date;
  /** Null: none. */
  readonly nextUpdate?: Date | null;
  readonly extensions?: readonly TestExtension[];
  /** The algorithm that is named around the list, if another one than inside. */
  readonly algorithm?: Uint8Array;
}

/** A CRL, byte by byte (RFC 5280 §5.1). */
export function makeList(options: ListOptions): Uint8Array {
  const { by, entries = [], extensions = [], nextUpdate = hoursFromNow(24) } = options;
  const revoked = entries.map(({ certificate, at = hoursFromNow(-2), extensions: own = [] }) =>
    derSequence(
      der(0x02, fromHex(certificate.serialNumber) as Uint8Array),
      derTime(at),
      ...(own.length === 0 ? [] : [EXTENSIONS(own)]),
    ),
  );
  const body = derSequence(
    derInteger(1),
    ALGORITHM,
    options.name ?? by.certificate.subjectDer,
    derTime(options.thisUpdate ?? hoursFromNow(-1)),
    ...(nextUpdate === null ? [] : [derTime(nextUpdate)]),
    ...(revoked.length === 0 ? [] : [derSequence(...revoked)]),
    ...(extensions.length === 0 ? [] : [der(0xa0, EXTENSIONS(extensions))]),
  );
  return signed(body, by, options.algorithm ?? ALGORITHM);
}

export interface ResponseOptions {
  readonly about: Certificate;
  readonly issuer: Issued;
  /** Who signs; the issuer if left out. */
  readonly by?: Issued;
  readonly status?: 'good' | 'unknown' | { readonly revokedAt: Date; readonly reason?: number };
  readonly thisUpdate?: Date;
  /** Null: none. */
  readonly nextUpdate?: Date | null;
  /** Of the answer about the certificate. */
  readonly extensions?: readonly TestExtension[];
  readonly responseExtensions?: readonly TestExtension[];
  /** The hash of the names in the certificate's id: its name for node, and its identifier. */
  readonly hash?: readonly [name: string, oid: string];
  readonly byKey?: boolean;
  /** Certificates that come along; that of `by` if left out. */
  readonly certificates?: readonly Certificate[];
  /** Code of the whole response: 0 is success. */
  readonly code?: number;
  /** The answer is there so many times. */
  readonly times?: number;
  /** The certificate's id, changed. */
  readonly id?: (parts: Uint8Array[]) => Uint8Array[];
}

const keyBits = ({ publicKey }: Certificate): Uint8Array =>
  (derChildren(readDer(publicKey.spki))[1] as DerValue).content.subarray(1);
const digest = (name: string, bytes: Uint8Array): Uint8Array => createHash(name).update(bytes).digest();

/** A response of OCSP, byte by byte (RFC 6960 §4.2). */
export function makeResponse(options: ResponseOptions): Uint8Array {
  const { about, issuer, by = issuer, code = 0, nextUpdate = hoursFromNow(24), times = 1 } = options;
  const { extensions = [], responseExtensions = [], hash: [hash, oid] = ['sha1', '1.3.14.3.2.26'] } = options;
  if (code !== 0) return derSequence(der(0x0a, Uint8Array.of(code)));
  const { id = (parts: Uint8Array[]) => parts } = options;
  const single = derSequence(
    derSequence(
      ...id([
        derSequence(derOid(oid), Uint8Array.of(5, 0)),
        der(0x04, digest(hash, issuer.certificate.subjectDer)),
        der(0x04, digest(hash, keyBits(issuer.certificate))),
        der(0x02, fromHex(about.serialNumber) as Uint8Array),
      ]),
    ),
    certStatus(options.status ?? 'good'),
    generalized(options.thisUpdate ?? hoursFromNow(-1)),
    ...(nextUpdate === null ? [] : [der(0xa0, generalized(nextUpdate))]),
    ...(extensions.length === 0 ? [] : [der(0xa1, EXTENSIONS(extensions))]),
  );
  const signer = by.certificate;
  const body = derSequence(
    options.byKey === true
      ? der(0xa2, der(0x04, digest('sha1', keyBits(signer))))
      : der(0xa1, signer.subjectDer),
    generalized(hoursFromNow(-1)),
    derSequence(...Array.from({ length: times }, () => single)),
    ...(responseExtensions.length === 0 ? [] : [der(0xa1, EXTENSIONS(responseExtensions))]),
  );
  const listed = options.certificates ?? (by === issuer ? [] : [signer]);
  const certificates = listed.length === 0 ? [] : [der(0xa0, derSequence(...listed.map((one) => one.der)))];
  const basic = signed(body, by, ALGORITHM, ...certificates);
  return derSequence(
    der(0x0a, Uint8Array.of(0)),
    der(0xa0, derSequence(derOid('1.3.6.1.5.5.7.48.1.1'), der(0x04, basic))),
  );
}

function certStatus(status: NonNullable<ResponseOptions['status']>): Uint8Array {
  if (status === 'good') return Uint8Array.of(0x80, 0);
  if (status === 'unknown') return Uint8Array.of(0x82, 0);
  const { revokedAt, reason } = status;
  const why = reason === undefined ? [] : [der(0xa0, der(0x0a, Uint8Array.of(reason)))];
  return der(0xa1, concatBytes([generalized(revokedAt), ...why]));
}

/** A responder that the authority has certified. */
export function makeResponder(issuer: Issued, options: Partial<IssueOptions> = {}): Issued {
  return issue({
    subject: { C: 'DE', ST: 'Berlin', O: 'Acme', CN: 'responder' },
    issuer,
    usages: [0],
    extended: [EKU.ocspSigning],
    more: [[REVOCATION_OID.noCheck, Uint8Array.of(5, 0)]],
    ...options,
  });
}

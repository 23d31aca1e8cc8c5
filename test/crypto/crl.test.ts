import { describe, expect, it } from 'vitest';
import type { DatedStatus } from '../../src/crypto/certificate-status.ts';
import { readRevocationList, statusInList } from '../../src/crypto/crl.ts';
import { der, derInteger, derOid, derSequence } from '../../src/crypto/der-write.ts';
import { utf8 } from '../../src/encoding/bytes.ts';
import { walkDer } from '../support/field-walk.ts';
import { issue } from '../support/issue.ts';
import {
  generalized,
  hoursFromNow,
  type ListOptions,
  makeList,
  NOW,
  REVOCATION_OID,
  statusAuthority,
  type TestExtension,
} from '../support/revocation.ts';

const URL = 'http://ca.example.com/root.crl';
const { root, leaf } = statusAuthority();
const other = issue({ subject: { CN: 'other' }, issuer: root }).certificate;
const own = leaf.certificate;

const bytesOf = (changes: Partial<ListOptions> = {}): Uint8Array => makeList({ by: root, ...changes });
const read = (
  bytes: Uint8Array,
  certificate = own,
  names = [Buffer.from(der(0x86, utf8(URL))).toString('hex')],
): DatedStatus => statusInList(readRevocationList(bytes, root.certificate, NOW), certificate, names);

const flag = (tag: number): Uint8Array => der(tag, Uint8Array.of(0xff));
const scope = (...parts: readonly Uint8Array[]): TestExtension => [
  REVOCATION_OID.scope,
  derSequence(...parts),
  true,
];
const named = (...urls: readonly string[]): Uint8Array =>
  der(0xa0, der(0xa0, ...urls.map((url) => der(0x86, utf8(url)))));
const reason = (code: number): TestExtension => [REVOCATION_OID.reason, der(0x0a, Uint8Array.of(code))];

describe('what counts', () => {
  it.each<[string, Partial<ListOptions>, string]>([
    ['an empty list', {}, 'good'],
    ['a list with another certificate', { entries: [{ certificate: other }] }, 'good'],
    ['a list with the certificate', { entries: [{ certificate: other }, { certificate: own }] }, 'revoked'],
    ['a certificate on hold', { entries: [{ certificate: own, extensions: [reason(6)] }] }, 'revoked'],
    ['a list for its place', { extensions: [scope(named('http://x.example/', URL))] }, 'good'],
    ['a list about certificates of users', { extensions: [scope(flag(0x81))] }, 'good'],
    ['an extension that is not critical', { extensions: [['2.5.29.20', derInteger(7)]] }, 'good'],
  ])('%s', (_, changes, kind) => {
    expect(read(bytesOf(changes))).toMatchObject({ status: { kind }, until: hoursFromNow(24) });
  });

  it('says when, why and since when a certificate is invalid', () => {
    const extensions = [reason(1), [REVOCATION_OID.invalidity, generalized(hoursFromNow(-9))] as const];
    expect(
      read(bytesOf({ entries: [{ certificate: own, at: hoursFromNow(-3), extensions }] })).status,
    ).toEqual({
      kind: 'revoked',
      at: hoursFromNow(-3),
      reason: 'key compromise',
      invaliditySince: hoursFromNow(-9),
    });
  });

  it('a list about certificates of authorities, for one of an authority', () => {
    const bytes = bytesOf({ extensions: [scope(flag(0x82))] });
    expect(read(bytes, root.certificate).status.kind).toBe('good');
  });

  it('finds a certificate among 5,000 others', () => {
    const entries = Array.from({ length: 5_000 }, () => ({ certificate: other }));
    expect(read(bytesOf({ entries: [...entries, { certificate: own }] })).status.kind).toBe('revoked');
  });
});

describe('what says nothing about a certificate', () => {
  const critical = (oid: string): TestExtension => [oid, Uint8Array.of(5, 0), true];
  it.each<[string, Partial<ListOptions>]>([
    ['a list of another authority of the same name', { by: statusAuthority().root }],
    ['a list under another name', { name: own.subjectDer }],
    ['a list by the certificate itself', { by: leaf, name: root.certificate.subjectDer }],
    ['from yesterday', { thisUpdate: hoursFromNow(-48), nextUpdate: hoursFromNow(-24) }],
    ['that ends now', { nextUpdate: NOW }],
    ['from the future', { thisUpdate: hoursFromNow(1) }],
    ['that does not say until when it counts', { nextUpdate: null }],
    ['that names two algorithms', { algorithm: derSequence(derOid('1.2.840.10045.4.3.3')) }],
    ['a delta CRL', { extensions: [[REVOCATION_OID.delta, derInteger(3), true]] }],
    ['a delta CRL that hides it', { extensions: [[REVOCATION_OID.delta, derInteger(3)]] }],
    ['that points to a delta CRL', { extensions: [[REVOCATION_OID.freshest, derSequence()]] }],
    ['for another place', { extensions: [scope(named('http://ca.example.com/others.crl'))] }],
    ['about certificates of authorities', { extensions: [scope(flag(0x82))] }],
    ['about some reasons', { extensions: [scope(der(0x83, Uint8Array.of(1, 0x40)))] }],
    ['of several authorities', { extensions: [scope(flag(0x84))] }],
    ['about attribute certificates', { extensions: [scope(flag(0x85))] }],
    ['about what is not known', { extensions: [scope(flag(0x86))] }],
    ['with a critical extension', { extensions: [critical('1.2.3.4')] }],
    [
      'with a critical extension of its entry',
      { entries: [{ certificate: own, extensions: [critical('1.2.3.4')] }] },
    ],
    [
      'with a critical extension of another entry',
      { entries: [{ certificate: other, extensions: [critical('2.5.29.29')] }, { certificate: own }] },
    ],
    ['that takes the certificate off a list', { entries: [{ certificate: own, extensions: [reason(8)] }] }],
    ['with a reason that does not exist', { entries: [{ certificate: own, extensions: [reason(7)] }] }],
    ['that lists it twice', { entries: [{ certificate: own }, { certificate: own }] }],
  ])('%s', (_, changes) => {
    expect(() => read(bytesOf(changes))).toThrow(expect.objectContaining({ code: 'content-invalid' }));
  });

  it('a list about certificates of users, for one of an authority', () => {
    const bytes = bytesOf({ extensions: [scope(flag(0x81))] });
    expect(() => read(bytes, root.certificate)).toThrow(expect.objectContaining({ code: 'content-invalid' }));
  });

  it('a list of an authority that must not sign lists', () => {
    const by = issue({ subject: { CN: 'Root' }, ca: true, usages: [5] });
    const bytes = makeList({ by });
    expect(() => readRevocationList(bytes, by.certificate, NOW)).toThrow(
      expect.objectContaining({ code: 'content-invalid' }),
    );
  });

  it('a list of which any field is left out, altered, of another type or there twice', () => {
    const bytes = bytesOf({
      entries: [{ certificate: other, extensions: [reason(1)] }],
      extensions: [scope(flag(0x81))],
    });
    const counts = [...walkDer(bytes)].flatMap(({ path, change, made }) => {
      try {
        read(made);
        return [`${path} ${change}`];
      } catch {
        return [];
      }
    });
    expect(counts).toEqual([]);
  });

  it('a list of which any byte is another one, or that is cut off', () => {
    const bytes = bytesOf({ entries: [{ certificate: other, extensions: [reason(1)] }] });
    for (let at = 0; at < bytes.byteLength; at += 5) {
      const altered = bytes.map((byte, index) => (index === at ? byte ^ 0x41 : byte));
      expect(() => read(altered), `byte ${at}`).toThrow();
      expect(() => read(bytes.subarray(0, at))).toThrow();
    }
  });
});

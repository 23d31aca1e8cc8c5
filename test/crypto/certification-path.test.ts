import { beforeAll, describe, expect, it } from 'vitest';
import type { Certificate } from '../../src/crypto/certificate.ts';
import { checkCertificationPath, commonNameOf, urisOf } from '../../src/crypto/certification-path.ts';
import { derOid, derSequence } from '../../src/crypto/der-write.ts';
import { type Certified, certify, DURING, NOT_AFTER, NOT_BEFORE } from '../support/certificates.ts';

let root: Certified;
let issuing: Certified;
let leaf: Certified;
beforeAll(async () => {
  root = await certify('O=Acme, CN=Root', { authority: {} });
  issuing = await certify('O=Acme, CN=Issuing', { issuer: root, authority: { pathLength: 0 } });
  leaf = await certify('O=Acme, CN=app', {
    issuer: issuing,
    uris: ['oci://a.example/x', 'https://acme.example'],
  });
});

/** ecdsa-with-SHA1 */
const SHA1 = derSequence(derOid('1.2.840.10045.4.1'));
const critical = (oid: string) => new Map([[oid, { oid, critical: true, value: new Uint8Array() }]]);

describe('checkCertificationPath', () => {
  it('takes a chain to an authority, wherever in it that stands', () => {
    const chain = [leaf, issuing, root].map(({ certificate }) => certificate);
    for (const [from, authority] of [
      [chain, root],
      [chain.slice(0, 2), root],
      [chain, issuing],
      [chain.slice(0, 1), issuing],
    ] as const)
      expect(() => checkCertificationPath(from, [authority.certificate], DURING)).not.toThrow();
  });

  it.each<[string, string, () => [Certificate[], Certificate]]>([
    ['an empty chain', 'certificate-invalid', () => [[], root.certificate]],
    ['a chain that ends too early', 'certificate-invalid', () => [[leaf.certificate], root.certificate]],
    [
      'a chain in the wrong order',
      'certificate-invalid',
      () => [[issuing.certificate, leaf.certificate], root.certificate],
    ],
    ['the authority alone', 'certificate-invalid', () => [[root.certificate], root.certificate]],
    [
      'a certificate for web servers',
      'certificate-invalid',
      () => [[{ ...leaf.certificate, extKeyUsage: ['1.3.6.1.5.5.7.3.1'] }], issuing.certificate],
    ],
    [
      'an authority for web servers',
      'certificate-invalid',
      () => [[leaf.certificate], { ...issuing.certificate, extKeyUsage: ['1.3.6.1.5.5.7.3.1'] }],
    ],
    [
      'a key that is not for signing',
      'certificate-invalid',
      () => [[{ ...leaf.certificate, keyUsage: new Set(['keyEncipherment'] as const) }], issuing.certificate],
    ],
    [
      'an authority that may not sign certificates',
      'certificate-invalid',
      () => [[leaf.certificate], { ...issuing.certificate, keyUsage: new Set(['cRLSign'] as const) }],
    ],
    [
      'name constraints, which are not understood',
      'certificate-invalid',
      () => [[leaf.certificate], { ...issuing.certificate, extensions: critical('2.5.29.30') }],
    ],
    [
      'an authority as the end, whatever its key may do',
      'certificate-invalid',
      () => [
        [{ ...issuing.certificate, keyUsage: new Set(['digitalSignature', 'keyCertSign'] as const) }],
        root.certificate,
      ],
    ],
    [
      'a certificate that is signed with SHA-1',
      'certificate-invalid',
      () => [[{ ...leaf.certificate, signatureAlgorithmDer: SHA1 }], issuing.certificate],
    ],
    [
      'more authorities than one of them allows',
      'certificate-invalid',
      () => [[leaf.certificate, issuing.certificate], { ...root.certificate, pathLength: 0 }],
    ],
    [
      'another name for the issuer',
      'certificate-invalid',
      () => [[{ ...leaf.certificate, issuerDer: root.certificate.subjectDer }], issuing.certificate],
    ],
  ])('refuses %s', (_, code, make) => {
    const [chain, authority] = make();
    expect(() => checkCertificationPath(chain, [authority], DURING)).toThrowError(
      expect.objectContaining({ code }),
    );
  });

  it('looks at the time of all of them, ends included', () => {
    const check = (time: Date | undefined) => () =>
      checkCertificationPath([leaf.certificate, issuing.certificate], [root.certificate], time);
    for (const time of [NOT_BEFORE, NOT_AFTER, undefined]) expect(check(time)).not.toThrow();
    for (const time of [new Date(NOT_BEFORE.getTime() - 1), new Date(NOT_AFTER.getTime() + 1)])
      expect(check(time)).toThrowError(expect.objectContaining({ code: 'certificate-expired' }));
  });

  it('without a time, demands one at which all were valid', async () => {
    const late = { notBefore: new Date(NOT_AFTER.getTime() + 1000), notAfter: new Date('2030-01-01') };
    const { certificate } = await certify('CN=late', { issuer: root, ...late });
    expect(() => checkCertificationPath([certificate], [root.certificate], undefined)).toThrowError(
      expect.objectContaining({ code: 'certificate-expired' }),
    );
  });
});

describe('names in certificates', () => {
  it('are read', () => {
    expect(urisOf(leaf.certificate)).toEqual(['oci://a.example/x', 'https://acme.example']);
    expect(urisOf(root.certificate)).toEqual([]);
    expect(commonNameOf(leaf.certificate)).toBe('app');
  });

  it('are none where there are two common names, or what cannot be read', () => {
    const [name] = leaf.certificate.subject.slice(-1);
    expect(commonNameOf({ ...leaf.certificate, subject: [name!, name!] })).toBeUndefined();
    const value = Uint8Array.of(0x30, 0x05, 0x86);
    const extensions = new Map([['2.5.29.17', { oid: '2.5.29.17', critical: false, value }]]);
    expect(() => urisOf({ ...leaf.certificate, extensions })).toThrowError(
      expect.objectContaining({ code: 'certificate-invalid' }),
    );
  });
});

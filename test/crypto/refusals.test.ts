import { generateKeyPairSync } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { algorithm } from '../../src/crypto/algorithm.ts';
import { parseCertificate, parseCertificates } from '../../src/crypto/certificate.ts';
import { checkSignatureAlgorithm } from '../../src/crypto/certificate-profile.ts';
import {
  derChildren,
  expectTag,
  readBoolean,
  readDer,
  readOid,
  readSmallInteger,
  TAG,
} from '../../src/crypto/der.ts';
import {
  DER_NULL,
  DER_TRUE,
  der,
  derBitString,
  derInteger,
  derOid,
  derSequence,
} from '../../src/crypto/der-write.ts';
import { matchesIdentity, mayMatchIdentity, parseIdentity } from '../../src/crypto/identity.ts';
import { readName } from '../../src/crypto/name.ts';
import { formatPem, MAX_PEM_CHARACTERS, parsePem } from '../../src/crypto/pem.ts';
import { parsePublicKeyPem, parsePublicKeysPem, publicKeyOf } from '../../src/crypto/public-key.ts';
import { ecdsaFromDer, verifySignature } from '../../src/crypto/signature.ts';
import { readSpki } from '../../src/crypto/spki.ts';
import { concatBytes, fromHex, utf8 } from '../../src/encoding/bytes.ts';
import type { ErrorCode } from '../../src/errors.ts';
import { issue, issueChain } from '../support/issue.ts';

const bytes = (text: string) => fromHex(text.replaceAll(' ', '')) as Uint8Array;
const coded = (code: ErrorCode) => expect.objectContaining({ code, hint: expect.stringMatching(/\w/) });
const { leaf, root } = issueChain();

describe('SubjectPublicKeyInfo', () => {
  const EC = '1.2.840.10045.2.1';
  const curves = {
    'P-256': '1.2.840.10045.3.1.7',
    'P-384': '1.3.132.0.34',
    'P-521': '1.3.132.0.35',
  } as const;
  const point = (first: number, length: number) => Uint8Array.of(first, ...Array(length - 1).fill(1));
  const ec = (curve: string, key: Uint8Array) =>
    derSequence(derSequence(derOid(EC), derOid(curve)), derBitString(key));
  const number = derInteger(Uint8Array.of(1, 0, 1));
  const rsa = (key: Uint8Array, ...parameters: readonly Uint8Array[]) =>
    derSequence(derSequence(derOid('1.2.840.113549.1.1.1'), ...parameters), derBitString(key));
  const ed25519 = (key: Uint8Array, ...parameters: readonly Uint8Array[]) =>
    derSequence(derSequence(derOid('1.3.101.112'), ...parameters), derBitString(key));
  const pair = derSequence(number, number);

  it.each<[string, Uint8Array, object]>([
    ['P-256', ec(curves['P-256'], point(4, 65)), { type: 'P-256', isCompressed: false }],
    ['P-256, compressed', ec(curves['P-256'], point(2, 33)), { type: 'P-256', isCompressed: true }],
    ['P-384, compressed', ec(curves['P-384'], point(3, 49)), { type: 'P-384', isCompressed: true }],
    ['P-384, hybrid', ec(curves['P-384'], point(6, 97)), { type: 'P-384', isCompressed: false }],
    ['P-521, hybrid', ec(curves['P-521'], point(7, 133)), { type: 'P-521', isCompressed: false }],
    ['RSA', rsa(pair, DER_NULL), { type: 'RSA', modulus: 65_537n, exponent: 65_537n }],
    ['RSA without parameters', rsa(pair), { type: 'RSA' }],
    ['Ed25519', ed25519(new Uint8Array(32)), { type: 'Ed25519' }],
  ])('of %s is read', (_, spki, shape) => {
    expect(readSpki(spki)).toMatchObject(shape);
  });

  it.each<[string, ErrorCode, Uint8Array]>([
    ['nothing', 'content-invalid', new Uint8Array()],
    [
      'a third part',
      'content-invalid',
      derSequence(derSequence(derOid('1.3.101.112')), derBitString(new Uint8Array(32)), DER_NULL),
    ],
    ['one part', 'content-invalid', derSequence(derSequence(derOid('1.3.101.112')))],
    [
      'unused bits',
      'content-invalid',
      derSequence(derSequence(derOid('1.3.101.112')), derBitString(new Uint8Array(32), 1)),
    ],
    [
      'no bits at all',
      'content-invalid',
      derSequence(derSequence(derOid('1.3.101.112')), der(TAG.bitString)),
    ],
    [
      'octets instead of bits',
      'content-invalid',
      derSequence(derSequence(derOid('1.3.101.112')), der(TAG.octetString, new Uint8Array(33))),
    ],
    ['two parameters', 'content-invalid', rsa(pair, DER_NULL, DER_NULL)],
    ['parameters of RSA that are not NULL', 'content-invalid', rsa(pair, derSequence())],
    ['RSA of three numbers', 'content-invalid', rsa(derSequence(number, number, number), DER_NULL)],
    ['RSA of one number', 'content-invalid', rsa(derSequence(number), DER_NULL)],
    [
      'a negative modulus',
      'content-invalid',
      rsa(derSequence(der(TAG.integer, Uint8Array.of(0x80)), number), DER_NULL),
    ],
    ['an empty modulus', 'content-invalid', rsa(derSequence(der(TAG.integer), number), DER_NULL)],
    [
      'a modulus with a leading zero',
      'content-invalid',
      rsa(derSequence(der(TAG.integer, Uint8Array.of(0, 1)), number), DER_NULL),
    ],
    [
      'an exponent with leading zeros',
      'content-invalid',
      rsa(derSequence(number, der(TAG.integer, Uint8Array.of(0, 0, 0x81))), DER_NULL),
    ],
    ['Ed25519 with parameters', 'content-invalid', ed25519(new Uint8Array(32), DER_NULL)],
    ['Ed25519 of 31 bytes', 'content-invalid', ed25519(new Uint8Array(31))],
    ['Ed25519 of 33 bytes', 'content-invalid', ed25519(new Uint8Array(33))],
    ['another curve', 'key-invalid', ec('1.3.132.0.10', point(4, 65))],
    [
      'a curve that is not named',
      'key-invalid',
      derSequence(derSequence(derOid(EC)), derBitString(point(4, 65))),
    ],
    [
      'a curve by its parameters',
      'key-invalid',
      derSequence(derSequence(derOid(EC), derSequence(number)), derBitString(point(4, 65))),
    ],
    [
      'X25519',
      'key-invalid',
      derSequence(derSequence(derOid('1.3.101.110')), derBitString(new Uint8Array(32))),
    ],
    ['DSA', 'key-invalid', derSequence(derSequence(derOid('1.2.840.10040.4.1')), derBitString(number))],
    ['infinity', 'content-invalid', ec(curves['P-256'], Uint8Array.of(0))],
    ['infinity, padded', 'content-invalid', ec(curves['P-256'], point(0, 65))],
    ['an unknown form of point', 'content-invalid', ec(curves['P-256'], point(5, 65))],
    ['a form beyond', 'content-invalid', ec(curves['P-256'], point(8, 65))],
    ['a point that is cut off', 'content-invalid', ec(curves['P-256'], point(4, 64))],
    ['a compressed point that is too long', 'content-invalid', ec(curves['P-256'], point(2, 65))],
    ['a point of another curve', 'content-invalid', ec(curves['P-384'], point(4, 65))],
  ])('with %s: %s', (_, code, spki) => {
    expect(() => readSpki(spki)).toThrow(coded(code));
  });
});

describe('DER', () => {
  it.each<[string, () => unknown]>([
    ['a value that ends in its tag', () => readDer(bytes('30'))],
    ['a length that is cut off', () => readDer(bytes('3082'))],
    ['a tag of two octets', () => readDer(bytes('1f0100'))],
    ['the highest such tag', () => readDer(bytes('ff0100'))],
    ['an indefinite length', () => readDer(bytes('3080 0000'))],
    ['an indefinite length before as many octets', () => readDer(bytes(`3080${'00'.repeat(128)}`))],
    ['a length of five octets', () => readDer(bytes('30850000000001 00'))],
    ['a long length that is short', () => readDer(bytes('30817f'.concat('00'.repeat(127))))],
    ['a length with a leading zero', () => readDer(bytes('308200ff'.concat('00'.repeat(255))))],
    ['a length beyond the end', () => readDer(bytes('300201'))],
    ['something after it', () => readDer(bytes('300000'))],
    ['another tag', () => readDer(bytes('3000'), TAG.set)],
    ['children of another tag', () => derChildren(readDer(bytes('3000')), TAG.set)],
    ['nothing where a value is', () => expectTag(undefined, TAG.sequence)],
    ['an identifier with a padded arc', () => readOid(readDer(bytes('06022a80')))],
    ['an identifier whose arc begins with zeros', () => readOid(readDer(bytes('06032a8001')))],
    ['an identifier that is cut off', () => readOid(readDer(bytes('06022a81')))],
    ['an empty identifier', () => readOid(readDer(bytes('0600')))],
    ['an arc that no double holds', () => readOid(readDer(bytes('060a2a8fffffffffffffff7f')))],
    ['a negative integer', () => readSmallInteger(readDer(bytes('020180')))],
    ['an integer with a leading zero', () => readSmallInteger(readDer(bytes('0202007f')))],
    ['an empty integer', () => readSmallInteger(readDer(bytes('0200')))],
    ['an integer of eight octets', () => readSmallInteger(readDer(bytes('02080100000000000000')))],
    ['a boolean of two octets', () => readBoolean(readDer(bytes('0102ffff')))],
    ['an empty boolean', () => readBoolean(readDer(bytes('0100')))],
    ['a boolean that is neither', () => readBoolean(readDer(bytes('010101')))],
  ])('refuses %s', (_, read) => {
    expect(read).toThrow(coded('content-invalid'));
  });

  it('reads what stands at the bounds', () => {
    expect(readDer(bytes(`308180${'00'.repeat(128)}`)).content).toHaveLength(128);
    expect(readDer(bytes(`30820100${'00'.repeat(256)}`)).content).toHaveLength(256);
    expect(readDer(bytes(`30${'7f'}${'00'.repeat(127)}`)).content).toHaveLength(127);
    expect(readSmallInteger(readDer(bytes('020100')))).toBe(0);
    expect(readSmallInteger(readDer(bytes('02020080')))).toBe(128);
    expect(readSmallInteger(readDer(bytes('020701000000000001')))).toBe(2 ** 48 + 1);
    expect(readBoolean(readDer(DER_TRUE))).toBe(true);
    expect(readBoolean(readDer(bytes('010100')))).toBe(false);
    expect(
      ['2a', '7f', '8837', '27', '4f', '00'].map((oid) => readOid(readDer(der(TAG.oid, bytes(oid))))),
    ).toEqual(['1.2', '2.47', '2.999', '0.39', '1.39', '0.0']);
  });
});

describe('PEM', () => {
  const options = { where: 'it', code: 'key-invalid' } as const;
  const block = '-----BEGIN A-----\nAAAA\n-----END A-----\n';
  it.each<[string, string]>([
    ['an END without a BEGIN', '-----END A-----\n'],
    ['a BEGIN without an END', '-----BEGIN A-----\nAAAA\n'],
    ['a BEGIN inside', '-----BEGIN A-----\n-----BEGIN A-----\nAAAA\n-----END A-----\n'],
    ['another END', '-----BEGIN A-----\nAAAA\n-----END B-----\n'],
    ['an END that is a BEGIN', '-----BEGIN A-----\nAAAA\n-----BEGIN A-----\n'],
    ['nothing in it', '-----BEGIN A-----\n-----END A-----\n'],
    ['what is not base64', '-----BEGIN A-----\n!!!!\n-----END A-----\n'],
    ['a header twice', '-----BEGIN A-----\nX: 1\nx: 2\n\nAAAA\n-----END A-----\n'],
    ['text inside', '-----BEGIN A-----\nAAAA\nhello\n-----END A-----\n'],
    ['a byte too many', `${block}${' '.repeat(MAX_PEM_CHARACTERS - block.length)} `],
  ])('refuses %s', (_, text) => {
    expect(() => parsePem(text, options)).toThrow(coded('key-invalid'));
  });

  it('reads what is left', () => {
    expect(parsePem(`${block}${' '.repeat(MAX_PEM_CHARACTERS - block.length)}`, options)).toHaveLength(1);
    expect(parsePem('', options)).toEqual([]);
    const [only] = parsePem(
      'a\r\n-----BEGIN A B-----\r\nX: 1:2\r\nY:\r\n\r\nAAAA\r\n-----END A B-----',
      options,
    );
    expect(only).toEqual({
      label: 'A B',
      headers: new Map([
        ['x', '1:2'],
        ['y', ''],
      ]),
      bytes: new Uint8Array(3),
    });
  });

  it('holds one public key where one is asked for, and nothing else', () => {
    const key = String(leaf.signer.publicKey.keyObject.export({ type: 'spki', format: 'pem' }));
    const secret = String(leaf.privateKey.export({ type: 'pkcs8', format: 'pem' }));
    expect(parsePublicKeyPem(`\n${key}`, 'it').type).toBe('P-256');
    expect(parsePublicKeysPem(key + key, 'it')).toHaveLength(2);
    for (const text of [key + key, `x${key}`, secret, key + secret, '', key.repeat(400)])
      expect(() => parsePublicKeyPem(text, 'it')).toThrow(coded('key-invalid'));
    for (const text of ['', secret, key + secret])
      expect(() => parsePublicKeysPem(text, 'it')).toThrow(coded('key-invalid'));
    expect(() => publicKeyOf(generateKeyPairSync('x25519').publicKey)).toThrow(coded('key-invalid'));
  });
});

describe('a certificate', () => {
  const whole = leaf.certificate.der;
  const [body, algorithmOf, signature] = derChildren(readDer(whole)) as [
    ReturnType<typeof readDer>,
    ReturnType<typeof readDer>,
    ReturnType<typeof readDer>,
  ];
  const fields = derChildren(body).map(({ raw }) => raw);
  const rebuilt = (change: (all: Uint8Array[]) => Uint8Array[]) =>
    derSequence(derSequence(...change([...fields])), algorithmOf.raw, signature.raw);
  const extensions = (...list: readonly Uint8Array[]) => der(0xa3, derSequence(...list));
  const extension = (oid: string, ...parts: readonly Uint8Array[]) => derSequence(derOid(oid), ...parts);
  const octets = (...parts: readonly Uint8Array[]) => der(TAG.octetString, ...parts);
  const withExtensions = (...list: readonly Uint8Array[]) =>
    rebuilt((all) => all.with(-1, extensions(...list)));
  const usage = (bits: string) => extension('2.5.29.15', DER_TRUE, octets(bytes(bits)));
  const constraints = (...parts: readonly Uint8Array[]) =>
    extension('2.5.29.19', DER_TRUE, octets(derSequence(...parts)));
  const validity = (...times: readonly string[]) =>
    rebuilt((all) =>
      all.with(
        4,
        derSequence(
          ...times.map((text) => der(text.length > 13 ? TAG.generalizedTime : TAG.utcTime, utf8(text))),
        ),
      ),
    );
  const until = '280101000000Z';

  it.each<[string, Uint8Array]>([
    ['extensions, and version 1', rebuilt((all) => all.slice(1))],
    ['extensions, and version 2', rebuilt((all) => all.with(0, der(0xa0, derInteger(1))))],
    ['an extension twice', withExtensions(usage('03020780'), usage('03020780'))],
    ['an extension of one part', withExtensions(derSequence(derOid('2.5.29.15')))],
    [
      'an extension of four parts',
      withExtensions(extension('2.5.29.15', DER_TRUE, DER_TRUE, octets(bytes('03020780')))),
    ],
    ['an extension that is not octets', withExtensions(extension('2.5.29.15', DER_TRUE, bytes('03020780')))],
    [
      'criticality that is not a boolean',
      withExtensions(extension('2.5.29.15', DER_NULL, octets(bytes('03020780')))),
    ],
    ['a key usage of eight unused bits', withExtensions(usage('03020880'))],
    ['a key usage without bits', withExtensions(usage('030100'))],
    ['an empty key usage', withExtensions(usage('0300'))],
    ['a key usage that sets unused bits', withExtensions(usage('03020784'))],
    ['basic constraints of three parts', withExtensions(constraints(DER_TRUE, derInteger(0), derInteger(0)))],
    ['basic constraints in another order', withExtensions(constraints(derInteger(0), DER_TRUE))],
    ['a path length that is a boolean', withExtensions(constraints(DER_TRUE, DER_TRUE))],
    ['a negative path length', withExtensions(constraints(DER_TRUE, bytes('0201ff')))],
    ['no purposes', withExtensions(extension('2.5.29.37', octets(derSequence())))],
    [
      'a purpose that is not an identifier',
      withExtensions(extension('2.5.29.37', octets(derSequence(DER_NULL)))),
    ],
    ['one time', validity('260101000000Z')],
    ['a day that does not exist', validity('260230000000Z', until)],
    ['a month that does not exist', validity('261301000000Z', until)],
    ['no seconds', validity('2601010000Z', until)],
    ['a zone', validity('260101000000+0100', until)],
    ['no certificate at all', new Uint8Array()],
  ])('with %s is refused', (_, certificate) => {
    expect(() => parseCertificate(certificate, 'c')).toThrow(coded('certificate-invalid'));
  });

  it('is read at the bounds', () => {
    expect(
      parseCertificate(
        rebuilt((all) => all),
        'c',
      ).thumbprint,
    ).toBe(leaf.certificate.thumbprint);
    expect(
      parseCertificate(
        rebuilt((all) => all.slice(1, -1)),
        'c',
      ).extensions.size,
    ).toBe(0);
    expect([...(parseCertificate(withExtensions(usage('0303070080')), 'c').keyUsage ?? [])]).toEqual([
      'decipherOnly',
    ]);
    expect([...(parseCertificate(withExtensions(usage('030205a0')), 'c').keyUsage ?? [])]).toEqual([
      'digitalSignature',
      'keyEncipherment',
    ]);
    expect(parseCertificate(withExtensions(constraints(DER_TRUE, derInteger(3))), 'c')).toMatchObject({
      isCa: true,
      pathLength: 3,
    });
    expect(parseCertificate(withExtensions(constraints()), 'c')).toMatchObject({ isCa: false });
    const years = (from: string, to: string) => {
      const { notBefore, notAfter } = parseCertificate(validity(from, to), 'c');
      return [notBefore.getUTCFullYear(), notAfter.getUTCFullYear()];
    };
    expect(years('500101000000Z', '491231235959Z')).toEqual([1950, 2049]);
    expect(years('990101000000Z', '20500101000000Z')).toEqual([1999, 2050]);
  });

  it('comes with at most fifteen others', () => {
    const pem = formatPem('CERTIFICATE', whole);
    expect(parseCertificates(pem.repeat(16), 'c')).toHaveLength(16);
    expect(() => parseCertificates(pem.repeat(17), 'c')).toThrow(coded('certificate-invalid'));
    expect(() => parseCertificates([], 'c')).toThrow(coded('certificate-invalid'));
    for (const label of ['TRUSTED CERTIFICATE', 'PRIVATE KEY', 'X509 CRL'])
      expect(() => parseCertificates(pem + formatPem(label, whole), 'c')).toThrow(
        coded('certificate-invalid'),
      );
  });

  const signedWith = (...parts: readonly Uint8Array[]) => ({
    ...root.certificate,
    signatureAlgorithmDer: derSequence(...parts),
  });
  const pss = (...parts: readonly Uint8Array[]) => signedWith(derOid('1.2.840.113549.1.1.10'), ...parts);
  const hash = (oid: string) => derSequence(der(0xa0, derSequence(derOid(oid), DER_NULL)));
  it.each<[string, boolean, ReturnType<typeof signedWith>]>([
    ['ECDSA with SHA-256', true, signedWith(derOid('1.2.840.10045.4.3.2'))],
    ['ECDSA with SHA-384', true, signedWith(derOid('1.2.840.10045.4.3.3'))],
    ['ECDSA with SHA-512', true, signedWith(derOid('1.2.840.10045.4.3.4'))],
    ['RSA with SHA-256', true, signedWith(derOid('1.2.840.113549.1.1.11'), DER_NULL)],
    ['RSA with SHA-384', true, signedWith(derOid('1.2.840.113549.1.1.12'), DER_NULL)],
    ['RSA with SHA-512', true, signedWith(derOid('1.2.840.113549.1.1.13'), DER_NULL)],
    ['Ed25519', true, signedWith(derOid('1.3.101.112'))],
    ['PSS with SHA-256', true, pss(hash('2.16.840.1.101.3.4.2.1'))],
    ['PSS with SHA-384', true, pss(hash('2.16.840.1.101.3.4.2.2'))],
    ['PSS with SHA-512', true, pss(hash('2.16.840.1.101.3.4.2.3'))],
    ['PSS with SHA-224', false, pss(hash('2.16.840.1.101.3.4.2.4'))],
    ['PSS with SHA-1', false, pss(hash('1.3.14.3.2.26'))],
    ['PSS with the hash left out', false, pss(derSequence())],
    ['PSS without parameters', false, pss()],
    ['PSS with NULL', false, pss(DER_NULL)],
    [
      'PSS whose hash is not where it belongs',
      false,
      pss(derSequence(der(0xa1, derSequence(derOid('2.16.840.1.101.3.4.2.1'))))),
    ],
    ['ECDSA with SHA-1', false, signedWith(derOid('1.2.840.10045.4.1'))],
    ['RSA with SHA-1', false, signedWith(derOid('1.2.840.113549.1.1.5'), DER_NULL)],
    ['RSA with MD5', false, signedWith(derOid('1.2.840.113549.1.1.4'), DER_NULL)],
    [
      'RSA with SHA-1 and parameters like those of PSS',
      false,
      signedWith(derOid('1.2.840.113549.1.1.5'), hash('2.16.840.1.101.3.4.2.1')),
    ],
  ])('signed by %s is accepted: %s', (_, isAccepted, certificate) => {
    const check = () => checkSignatureAlgorithm(certificate);
    if (isAccepted) expect(check).not.toThrow();
    else expect(check).toThrow(coded('certificate-invalid'));
  });
});

describe('a name', () => {
  const name = (tag: number, content: Uint8Array) =>
    readName(readDer(derSequence(der(TAG.set, derSequence(derOid('2.5.4.3'), der(tag, content))))))[0]?.[0]
      ?.value;
  it.each<[string, number, string, string | undefined]>([
    ['UTF8String', TAG.utf8String, '4ac3b672', 'Jör'],
    ['PrintableString', TAG.printableString, '61', 'a'],
    ['IA5String', TAG.ia5String, '61', 'a'],
    ['TeletexString in ASCII', TAG.teletexString, '7f', '\u007f'],
    ['TeletexString beyond', TAG.teletexString, '80', undefined],
    ['BMPString', TAG.bmpString, '004a00f6', 'Jö'],
    ['UniversalString', TAG.universalString, '00000061', undefined],
    ['an integer', TAG.integer, '61', undefined],
  ])('in %s', (_, tag, content, value) => {
    expect(name(tag, bytes(content))).toBe(value);
  });

  it('that is not text where it says so is refused', () => {
    for (const [tag, content] of [
      [TAG.utf8String, 'ff'],
      [TAG.utf8String, 'eda080'],
      [TAG.bmpString, '00'],
      [TAG.bmpString, 'd800'],
    ] as const)
      expect(() => name(tag, bytes(content))).toThrow(coded('content-invalid'));
  });
});

describe('an ECDSA signature', () => {
  const one = concatBytes([new Uint8Array(31), Uint8Array.of(1)]);
  it.each<[string, string, boolean]>([
    ['as it must be', '3006 020101 020101', true],
    ['with another tag', '3106 020101 020101', false],
    ['with an s of another tag', '3006 020101 030101', false],
    ['with a long length', '308106 020101 020101', false],
    ['with a byte too many', '3006 020101 020101 00', false],
    ['with a byte too many inside', '3007 020101 020101 00', false],
    ['cut off', '3006 020101 0201', false],
    ['without s', '3003 020101', false],
    ['with an empty r', '3005 0200 020101', false],
    ['with a negative r', '3006 020180 020101', false],
    ['with a leading zero', '3007 02020001 020101', false],
    ['with a zero that is needed', '3007 02020080 020101', true],
    ['with an r of 33 bytes', `3026 0221${'01'.repeat(33)} 020101`, false],
    ['with an r of 32 bytes', `3025 0220${'01'.repeat(32)} 020101`, true],
    ['with an r of 32 bytes and a zero', `3026 022100${'81'.repeat(32)} 020101`, true],
    ['with lengths of an integer in the long form', '3007 02810101 020101', false],
    ['with nothing', '', false],
  ])('%s', (_, text, isRead) => {
    expect(ecdsaFromDer(bytes(text), 32) !== undefined).toBe(isRead);
  });

  it('is r and s at full length', () => {
    expect(ecdsaFromDer(bytes('3006 020101 020101'), 32)).toEqual(concatBytes([one, one]));
  });

  it('of another length verifies with nothing', async () => {
    const { publicKey } = leaf.signer;
    const signature = await leaf.signer.sign(utf8('x'));
    const check = (raw: Uint8Array) => verifySignature(publicKey, algorithm('ES256'), utf8('x'), raw, 'raw');
    expect(check(signature)).toBe(true);
    for (const raw of [
      signature.slice(1),
      concatBytes([signature, Uint8Array.of(0)]),
      new Uint8Array(),
      new Uint8Array(64),
    ])
      expect(check(raw)).toBe(false);
  });
});

describe('an identity that a certificate may match, for counting', () => {
  const subjectOf = (...relative: readonly (readonly [string, string])[]) =>
    issue({ subject: {}, relative: relative.map((attribute) => [attribute]) }).certificate;
  const alice = subjectOf(['O', 'Acme'], ['CN', 'Alice  B']);
  it.each<[string, ReturnType<typeof subjectOf>, boolean]>([
    ['*', alice, true],
    ['x509.subject: CN=alice b', alice, true],
    ['x509.subject: O=ACME, CN=ALICE B', alice, true],
    ['x509.subject: CN=alice', alice, false],
    ['x509.subject: O=Acme, OU=x', alice, false],
    ['x509.subject: OU=Acme', alice, false],
    ['x509.subject: CN=a', subjectOf(['CN', 'b'], ['CN', 'a']), true],
    ['x509.subject: CN=c', subjectOf(['CN', 'b'], ['CN', 'a']), false],
  ])('%s: %#', (text, certificate, may) => {
    expect(mayMatchIdentity(parseIdentity(text), certificate)).toBe(may);
  });

  it('is not one that it matches, where spelling is another', () => {
    expect(matchesIdentity(parseIdentity('x509.subject: CN=alice b'), alice)).toBe(false);
    expect(matchesIdentity(parseIdentity('*'), alice)).toBe(true);
  });
});

import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { algorithm } from '../../src/crypto/algorithm.ts';
import {
  type Certificate,
  OID,
  parseCertificate,
  parseCertificates,
  subjectOf,
} from '../../src/crypto/certificate.ts';
import { createCertificateRequest } from '../../src/crypto/certificate-build.ts';
import { checkSigningChain, checkValidAt } from '../../src/crypto/certificate-profile.ts';
import { checkChainOrder } from '../../src/crypto/chain.ts';
import { derChildren, readDer, readOid, readSmallInteger } from '../../src/crypto/der.ts';
import { der, derInteger, derOid } from '../../src/crypto/der-write.ts';
import { matchesIdentity, parseIdentity } from '../../src/crypto/identity.ts';
import { formatName, parseName } from '../../src/crypto/name.ts';
import { formatPem } from '../../src/crypto/pem.ts';
import { verifySignature } from '../../src/crypto/signature.ts';
import { createSigner } from '../../src/crypto/signer.ts';
import { fromHex, utf8 } from '../../src/encoding/bytes.ts';
import { certifiedChain, certify, DURING, NOT_AFTER, NOT_BEFORE } from '../support/certificates.ts';

const notationTest = readFileSync(
  new URL('../../testdata/certificates/notation-test.crt', import.meta.url),
  'utf8',
);
const rsaKey = createPrivateKey(readFileSync(new URL('../../testdata/keys/pkcs1.pem', import.meta.url)));
const pem = (...certificates: readonly Certificate[]): string =>
  certificates.map((certificate) => formatPem('CERTIFICATE', certificate.der)).join('');

let made: Awaited<ReturnType<typeof certifiedChain>>;
beforeAll(async () => {
  made = await certifiedChain();
});

describe('a certificate', () => {
  it('of stock notation is read, and fits the profile', () => {
    const [certificate] = parseCertificates(notationTest, 'notation-test.crt') as [Certificate];
    expect(subjectOf(certificate)).toBe('C=US, ST=WA, L=Seattle, O=Notary, CN=bulla-vector');
    expect(certificate).toMatchObject({
      isCa: false,
      extKeyUsage: [OID.codeSigning],
      publicKey: { type: 'RSA', modulusBits: 2048 },
      notBefore: new Date('2026-11-21T04:03:56Z'),
      notAfter: new Date('2026-11-22T04:03:56Z'),
      serialNumber: '60',
    });
    expect(certificate.keyUsage).toEqual(new Set(['digitalSignature']));
    expect(certificate.thumbprint).toBe(
      new X509Certificate(notationTest).fingerprint256.replaceAll(':', '').toLowerCase(),
    );
    expect(() => checkSigningChain([certificate])).not.toThrow();
  });

  it.each(['P-256', 'P-384', 'P-521', 'Ed25519'] as const)(
    'of a %s key is made and read by OpenSSL',
    async (key) => {
      const { certificate, signer } = await certify('C=DE, O=Acme\\, Inc., CN=Jörg', { key });
      expect(certificate.x509.verify(signer.publicKey.keyObject)).toBe(true);
      expect(certificate.x509.issuer).toBe(certificate.x509.subject);
      expect(subjectOf(certificate)).toBe('C=DE, O=Acme\\, Inc., CN=Jörg');
      expect(certificate).toMatchObject({ notBefore: NOT_BEFORE, notAfter: NOT_AFTER });
    },
  );

  it.each(['PS256', 'PS384', 'PS512', 'RS256'] as const)(
    'signed with %s is made and accepted',
    async (id) => {
      const { certificate } = await certify('C=DE, ST=Berlin, O=Acme', {
        key: createSigner(rsaKey, algorithm(id)),
      });
      expect(() => checkSigningChain([certificate])).not.toThrow();
    },
  );

  it('keeps a time after 2049', async () => {
    const notAfter = new Date('2061-05-04T03:02:01Z');
    expect((await certify('CN=x', { notAfter })).certificate.notAfter).toEqual(notAfter);
  });

  it.each(['C=DEU, O=x', 'C=de, O=x', 'O=', 'nonsense', 'EMAILADDRESS=jörg@example.com'])(
    'is not made for the subject %j',
    async (subject) => {
      await expect(certify(subject)).rejects.toMatchObject({ code: 'usage' });
    },
  );
});

describe('a certificate request', () => {
  it('holds subject, key and the wanted profile, signed with the key', async () => {
    const { signer } = made.leaf;
    const request = derChildren(readDer(await createCertificateRequest('C=DE, O=Acme, CN=x', signer)));
    expect(request).toHaveLength(3);
    const [version, , spki, attributes] = derChildren(request[0]!);
    expect(readSmallInteger(version)).toBe(0);
    expect(Buffer.from(spki!.raw)).toEqual(Buffer.from(signer.publicKey.spki));
    expect(readOid(derChildren(derChildren(attributes!)[0]!)[0])).toBe('1.2.840.113549.1.9.14');
    const signature = request[2]!.content.subarray(1);
    expect(verifySignature(signer.publicKey, signer.algorithm, request[0]!.raw, signature, 'der')).toBe(true);
  });
});

describe('files of certificates', () => {
  it('keep their order, and comments between them are skipped', () => {
    const text = made.chain.map((certificate) => `subject=whoever\n${pem(certificate)}`).join('\n');
    expect(parseCertificates(text, 'c').map(({ thumbprint }) => thumbprint)).toEqual(
      made.chain.map(({ thumbprint }) => thumbprint),
    );
  });

  it.each<[string, () => string | readonly Uint8Array[]]>([
    ['nothing', () => ''],
    ['no certificates', () => []],
    [
      'a private key beside the certificate',
      () => pem(made.leaf.certificate) + formatPem('PRIVATE KEY', utf8('x')),
    ],
    ['seventeen certificates', () => pem(...Array.from({ length: 17 }, () => made.leaf.certificate))],
    ['a truncated file', () => pem(made.leaf.certificate).slice(0, -40)],
    ['garbage in a block', () => formatPem('CERTIFICATE', utf8('garbage'))],
    ['a byte after the certificate', () => [Uint8Array.from([...made.leaf.certificate.der, 0])]],
    ['an absurdly large certificate', () => [new Uint8Array(100_000)]],
    ['DER of something else', () => [made.leaf.signer.publicKey.spki]],
    ['an indefinite length', () => [fromHex('30800201010000')!]],
  ])('are refused with %s', (_, input) => {
    expect(() => parseCertificates(input(), 'c')).toThrow(
      expect.objectContaining({ code: 'certificate-invalid', hint: expect.any(String) }),
    );
  });

  it('never throw anything else on flipped bits', () => {
    const { der: whole } = made.leaf.certificate;
    fc.assert(
      fc.property(fc.nat(whole.byteLength - 1), fc.integer({ min: 1, max: 255 }), (at, mask) => {
        const flipped = Uint8Array.from(whole);
        flipped[at]! ^= mask;
        try {
          const certificate = parseCertificate(flipped, 'c');
          expect(certificate.x509.verify(made.intermediate.signer.publicKey.keyObject)).toBe(false);
        } catch (error) {
          expect(error).toMatchObject({ code: 'certificate-invalid' });
        }
      }),
    );
  });
});

describe('a chain', () => {
  it('from leaf to root is accepted, and so is a self-signed leaf', async () => {
    expect(() => checkSigningChain(made.chain)).not.toThrow();
    expect(() => checkSigningChain([made.leaf.certificate, made.root.certificate])).toThrow();
    const alone = await certify('C=DE, ST=Berlin, O=Acme');
    expect(() => checkSigningChain([alone.certificate])).not.toThrow();
  });

  const attacks: [string, () => Promise<Certificate[]>][] = [
    ['nothing', async () => []],
    ['a leaf without its issuers', async () => made.chain.slice(0, 1)],
    ['no root', async () => made.chain.slice(0, 2)],
    ['the wrong order', async () => [...made.chain].reverse()],
    ['an authority as the signing certificate', async () => made.chain.slice(1)],
    ['a root that signs images itself', async () => [made.root.certificate]],
    [
      'a certificate that does not belong',
      async () => [
        made.chain[0]!,
        (await certify('CN=stranger', { authority: {} })).certificate,
        ...made.chain.slice(1),
      ],
    ],
    ['the root twice', async () => [...made.chain, made.root.certificate]],
    [
      'a leaf that issued another leaf',
      async () => [(await certify('C=DE, O=Evil', { issuer: made.leaf })).certificate, ...made.chain],
    ],
    [
      'more authorities than the path length allows',
      async () => {
        const below = await certify('CN=Below', { issuer: made.intermediate, authority: {} });
        return [
          (await certify('CN=x', { issuer: below })).certificate,
          below.certificate,
          ...made.chain.slice(1),
        ];
      },
    ],
    [
      'an issuer of the same name with another key',
      async () => {
        const forged = await certify(made.root.subject, { authority: {} });
        return [...made.chain.slice(0, 2), forged.certificate];
      },
    ],
    ['an Ed25519 leaf', async () => [(await certify('CN=x', { key: 'Ed25519' })).certificate]],
    ['a signature with SHA-1', async () => [withAlgorithm('1.2.840.113549.1.1.5')]],
    [
      'a PSS signature whose hash is left to the default, SHA-1',
      async () => [withAlgorithm('1.2.840.113549.1.1.10')],
    ],
    ['a leaf without key usage', async () => [without('keyUsage')]],
    [
      'a leaf for TLS servers',
      async () => [{ ...made.leaf.certificate, extKeyUsage: ['1.3.6.1.5.5.7.3.1'] }],
    ],
    [
      'a leaf for any purpose',
      async () => [{ ...made.leaf.certificate, extKeyUsage: [OID.codeSigning, '2.5.29.37.0'] }],
    ],
    [
      'a leaf that may also sign certificates',
      async () => [
        { ...made.leaf.certificate, keyUsage: new Set(['digitalSignature', 'keyCertSign'] as const) },
      ],
    ],
    ['a key usage that is not critical', async () => [notCritical()]],
  ];
  it.each(attacks)('with %s is refused', async (_, chain) => {
    const certificates = await chain();
    expect(() => checkSigningChain(certificates)).toThrow(
      expect.objectContaining({ code: 'certificate-invalid', hint: expect.any(String) }),
    );
  });

  function withAlgorithm(oid: string): Certificate {
    return { ...made.leaf.certificate, signatureAlgorithmDer: der(0x30, derOid(oid), der(0x30)) };
  }
  function without(name: 'keyUsage'): Certificate {
    const { keyUsage: _, ...rest } = made.leaf.certificate;
    const extensions = new Map(rest.extensions);
    extensions.delete(OID[name]);
    return { ...rest, extensions };
  }
  function notCritical(): Certificate {
    const extensions = new Map(made.leaf.certificate.extensions);
    extensions.set(OID.keyUsage, { ...extensions.get(OID.keyUsage)!, critical: false });
    return { ...made.leaf.certificate, extensions };
  }

  it('is valid between its times, both included, and not a second before or after', () => {
    for (const time of [NOT_BEFORE, DURING, NOT_AFTER])
      expect(() => checkValidAt(made.chain, time)).not.toThrow();
    for (const time of [new Date(NOT_BEFORE.getTime() - 1000), new Date(NOT_AFTER.getTime() + 1000)])
      expect(() => checkValidAt(made.chain, time)).toThrow(
        expect.objectContaining({ code: 'certificate-expired' }),
      );
  });

  it('must certify the key that signs, first', async () => {
    const { leaf, chain } = made;
    expect(() => checkChainOrder(chain, leaf.signer.publicKey, 'c')).not.toThrow();
    expect(() => checkChainOrder([...chain].reverse(), leaf.signer.publicKey, 'c')).toThrow(
      expect.objectContaining({ code: 'key-invalid', hint: expect.stringContaining('certificate 3 first') }),
    );
    expect(() => checkChainOrder(chain, made.root.signer.publicKey, 'c')).toThrow(
      expect.objectContaining({ code: 'key-invalid' }),
    );
    expect(() => checkChainOrder([chain[0]!, chain[2]!], leaf.signer.publicKey, 'c')).toThrow(
      expect.objectContaining({ code: 'certificate-invalid' }),
    );
  });
});

describe('identities', () => {
  it.each([
    'x509.subject: C=DE, ST=Berlin, O=Acme, CN=release',
    'x509.subject: C=DE, ST=Berlin, O=Acme',
    'x509.subject:CN=release,O=Acme',
    'x509.subject: S=Berlin, cn=release',
    'x509.subject: 2.5.4.3=release',
    '*',
  ])('%j matches C=DE, ST=Berlin, O=Acme, CN=release', (text) => {
    expect(matchesIdentity(parseIdentity(text), made.leaf.certificate)).toBe(true);
  });

  it.each([
    'x509.subject: CN=Release',
    'x509.subject: CN=release ltd',
    'x509.subject: CN=releas',
    'x509.subject: C=DE, ST=Berlin, O=Acme, OU=x, CN=release',
    'x509.subject: O=release',
    'x509.subject: 2.5.4.11=release',
  ])('%j does not', (text) => {
    expect(matchesIdentity(parseIdentity(text), made.leaf.certificate)).toBe(false);
  });

  it.each<[string, string]>([
    ['one that would fit everybody', 'x509.subject:'],
    ['one without an attribute', 'x509.subject: Acme'],
    ['an unknown attribute', 'x509.subject: FOO=x'],
    ['an attribute twice', 'x509.subject: CN=a, CN=b'],
    ['an attribute twice by two names', 'x509.subject: ST=a, S=b'],
    ['an empty value', 'x509.subject: CN='],
    ['a comma too many', 'x509.subject: CN=a,'],
    ['several attributes in one', 'x509.subject: CN=a+O=b'],
    ['a value in hexadecimal', 'x509.subject: CN=#0c0161'],
    ['a quoted value', 'x509.subject: CN="a"'],
    ['a backslash at the end', 'x509.subject: CN=a\\'],
    ['an escape that is not UTF-8', 'x509.subject: CN=\\ff'],
    ['another kind', 'x509.san: example.com'],
    ['nothing', ''],
  ])('refuses %s', (_, text) => {
    expect(() => parseIdentity(text)).toThrow(expect.objectContaining({ code: 'usage' }));
  });

  it('demands C, ST and O where Notation does', () => {
    expect(() => parseIdentity('x509.subject: C=DE, O=Acme', { notation: true })).toThrow();
    expect(parseIdentity('x509.subject: C=DE, S=x, O=Acme', { notation: true }).kind).toBe('subject');
  });

  it('does not choose between two values of one attribute', () => {
    const subject = [...made.leaf.certificate.subject, [{ oid: '2.5.4.3', value: 'other', der: utf8('') }]];
    expect(
      matchesIdentity(parseIdentity('x509.subject: CN=release'), { ...made.leaf.certificate, subject }),
    ).toBe(false);
  });

  it('is not fooled by a subject that looks like two attributes', async () => {
    const { certificate } = await certify('CN=release\\, O=Acme');
    expect(matchesIdentity(parseIdentity('x509.subject: O=Acme'), certificate)).toBe(false);
    expect(matchesIdentity(parseIdentity('x509.subject: CN=release'), certificate)).toBe(false);
    expect(matchesIdentity(parseIdentity('x509.subject: CN=release\\, O=Acme'), certificate)).toBe(true);
  });

  it('is not fooled by a NUL or by what is not text', async () => {
    const { certificate } = await certify('CN=release\\00.evil');
    expect(matchesIdentity(parseIdentity('x509.subject: CN=release'), certificate)).toBe(false);
    const subject = [[{ oid: '2.5.4.3', value: undefined, der: utf8('') }]];
    expect(matchesIdentity(parseIdentity('x509.subject: CN=release'), { ...certificate, subject })).toBe(
      false,
    );
  });

  it('writes every name so that it reads back', () => {
    fc.assert(
      fc.property(fc.string({ minLength: 1, maxLength: 20, unit: 'binary' }), (value) => {
        const name = [[{ oid: '2.5.4.3', value, der: utf8('') }]];
        expect(parseName(formatName(name))).toEqual(new Map([['2.5.4.3', value]]));
      }),
    );
    for (const value of ['  ', 'a\\ ', '\u2003 \u00a0', '#', ' #', 'a b ', '\\', '\ud83d\ude00 ']) {
      const name = [[{ oid: '2.5.4.3', value, der: utf8('') }]];
      expect(parseName(formatName(name))).toEqual(new Map([['2.5.4.3', value]]));
      expect(parseIdentity(`x509.subject: ${formatName(name)}  `)).toMatchObject({
        attributes: new Map([['2.5.4.3', value]]),
      });
    }
  });
});

describe('DER', () => {
  it('reads back the integers and object identifiers it writes', () => {
    fc.assert(
      fc.property(fc.nat(2 ** 31 - 1), fc.array(fc.nat(2 ** 31), { maxLength: 6 }), (number, arcs) => {
        const bytes = Buffer.alloc(4);
        bytes.writeUInt32BE(number);
        expect(readSmallInteger(readDer(derInteger(bytes)))).toBe(number);
        const dotted = ['2', '5', ...arcs].join('.');
        expect(readOid(readDer(derOid(dotted)))).toBe(dotted);
      }),
    );
  });

  it.each([
    '',
    '30',
    '3001',
    '3000ff',
    '30810100',
    '3082000100',
    '308000',
    '1f0100',
    '0202007f',
    '3085ffffffffff',
  ])('refuses %j', (text) => {
    const bytes = fromHex(text)!;
    expect(() => {
      const value = readDer(bytes);
      if (value.tag === 0x02) readSmallInteger(value);
    }).toThrow(expect.objectContaining({ code: 'content-invalid' }));
  });
});

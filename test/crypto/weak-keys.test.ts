import { createPublicKey, generateKeyPairSync } from 'node:crypto';
import { ed25519 } from '@noble/curves/ed25519.js';
import { describe, expect, it } from 'vitest';
import { parseCertificate } from '../../src/crypto/certificate.ts';
import { DER_NULL, der, derBitString, derInteger, derOid, derSequence } from '../../src/crypto/der-write.ts';
import { formatPem } from '../../src/crypto/pem.ts';
import { parsePrivateKey } from '../../src/crypto/private-key.ts';
import {
  parsePublicKeyPem,
  parsePublicKeysPem,
  publicKeyFromRawEd25519,
  publicKeyFromSpki,
  publicKeyOf,
} from '../../src/crypto/public-key.ts';
import { concatBytes, fromHex, utf8 } from '../../src/encoding/bytes.ts';
import type { JsonObject } from '../../src/encoding/json.ts';
import { parseNotaryKey } from '../../src/notary/keys.ts';
import { TufKey } from '../../src/tuf/keys.ts';
import { issueChain } from '../support/issue.ts';
import { rsaKeys } from '../support/rsa-keys.ts';

const RSA = derSequence(derOid('1.2.840.113549.1.1.1'), DER_NULL);
const honest = rsaKeys(2048).publicKey;
const n = new Uint8Array(Buffer.from(honest.export({ format: 'jwk' }).n ?? '', 'base64url'));
const F4 = Uint8Array.of(1, 0, 1);

/** PKCS #1, and around it the SubjectPublicKeyInfo. */
function rsa(modulus: Uint8Array, exponent: Uint8Array): { pkcs1: Uint8Array; spki: Uint8Array } {
  const pkcs1 = derSequence(derInteger(modulus), derInteger(exponent));
  return { pkcs1, spki: derSequence(RSA, derBitString(pkcs1)) };
}
const even = Uint8Array.from(n);
even[255] = (even[255] ?? 0) & 0xfe;
/** The modulus, rounded down to a multiple of an odd prime, and odd still. */
function multipleOf(prime: bigint): Uint8Array {
  const whole = BigInt(`0x${Buffer.from(n).toString('hex')}`);
  const rounded = whole - (whole % prime);
  return fromHex((rounded % 2n === 0n ? rounded - prime : rounded).toString(16)) as Uint8Array;
}

const ED25519_PREFIX = fromHex('302a300506032b6570032100') as Uint8Array;
const P = 2n ** 255n - 19n;
/** The 32 bytes of a y, little-endian, with the sign of x. */
function encoded(y: bigint, sign: 0 | 1 = 0): Uint8Array {
  const bytes = Buffer.from((y | (BigInt(sign) << 255n)).toString(16).padStart(64, '0'), 'hex');
  return new Uint8Array(bytes.reverse());
}
const y8 = 2707385501144840649318225287225658788936804267575313519463743609750303402022n;
const offCurve = Array.from({ length: 40 }, (_, y) => BigInt(y + 2)).filter((y) => {
  try {
    return ed25519.Point.fromHex(Buffer.from(encoded(y)).toString('hex')) === undefined;
  } catch {
    return true;
  }
});

const P256 = '301306072a8648ce3d020106082a8648ce3d030107';
function p256(point: string): Uint8Array {
  return derSequence(fromHex(P256) as Uint8Array, derBitString(fromHex(point) as Uint8Array));
}
const FIELD_256 = 'ffffffff00000001000000000000000000000000ffffffffffffffffffffffff';
const zero = '00'.repeat(32);

/** Every key that must not be taken in, as SubjectPublicKeyInfo. */
const weak: readonly (readonly [name: string, spki: Uint8Array])[] = [
  ['RSA with exponent 0', rsa(n, Uint8Array.of(0)).spki],
  ['RSA with exponent 1', rsa(n, Uint8Array.of(1)).spki],
  ['RSA with exponent 2', rsa(n, Uint8Array.of(2)).spki],
  ['RSA with exponent 65536', rsa(n, Uint8Array.of(1, 0, 0)).spki],
  ['RSA with exponent 2^31 + 1', rsa(n, Uint8Array.of(0x80, 0, 0, 1)).spki],
  ['RSA with an exponent of 33 bits', rsa(n, Uint8Array.of(1, 0, 0, 0, 1)).spki],
  ['RSA with an exponent of 17 bytes', rsa(n, Uint8Array.of(1, ...Array(15).fill(0), 1)).spki],
  ['RSA with an exponent as large as its modulus', rsa(n, n).spki],
  ['RSA with an even modulus', rsa(even, F4).spki],
  ['RSA with a modulus divisible by 3', rsa(multipleOf(3n), F4).spki],
  ['RSA with a modulus divisible by 101', rsa(multipleOf(101n), F4).spki],
  ['RSA with a modulus divisible by 751', rsa(multipleOf(751n), F4).spki],
  ['RSA with a power of two', rsa(Uint8Array.of(1, ...Array(256).fill(0)), F4).spki],
  ['RSA of 512 bits', rsa(n.slice(0, 64), F4).spki],
  ['RSA of 1024 bits', rsa(n.slice(0, 128).fill(0xff, 127), F4).spki],
  ['RSA of 2047 bits', rsa(Uint8Array.from([0x7f, ...n.slice(1)]), F4).spki],
  ['RSA of 16392 bits', rsa(Uint8Array.from([0x81, ...Array(2047).fill(0), 1]), F4).spki],
  ['RSA with modulus 0', rsa(Uint8Array.of(0), F4).spki],
  ...(
    [
      ['0', encoded(0n)],
      ['0 and x negative', encoded(0n, 1)],
      ['1, the identity', encoded(1n)],
      ['-1, of order 2', encoded(P - 1n)],
      ['of order 8', encoded(y8)],
      ['of order 8, x negative', encoded(y8, 1)],
      ['of order 8, negated', encoded(P - y8)],
      ['of order 8, both negated', encoded(P - y8, 1)],
      ['1, the identity, with the sign of a zero', encoded(1n, 1)],
      ['-1, with the sign of a zero', encoded(P - 1n, 1)],
      ['p, for 0', encoded(P)],
      ['p + 1, for the identity', encoded(P + 1n)],
      ['p + 1, for the identity, with a sign', encoded(P + 1n, 1)],
      ['p + 3, for 3', encoded(P + 3n)],
      ['p + 18, the largest there is', encoded(P + 18n, 1)],
      ...offCurve.slice(0, 3).map((y) => [`${y}, which no point has`, encoded(y)] as const),
    ] as const
  ).map(([name, raw]) => [`Ed25519 with y = ${name}`, concatBytes([ED25519_PREFIX, raw])] as const),
  ['P-256 at infinity', p256('00')],
  ['P-256 with x = y = 0', p256(`04${zero}${zero}`)],
  ['P-256 off the curve', p256(`04${'11'.repeat(32)}${'22'.repeat(32)}`)],
  ['P-256 with x = p', p256(`04${FIELD_256}${zero}`)],
  ['P-256 compressed, with an x that no point has', p256(`02${zero.slice(0, -2)}04`)],
  ['P-256 without a point', p256('')],
];

const pem = (spki: Uint8Array) => formatPem('PUBLIC KEY', spki);
const signed = issueChain();

/** A certificate with another key in it; its signature no longer matters, because it cannot be read. */
function certificateOf(spki: Uint8Array): Uint8Array {
  const { der: whole, publicKey } = signed.leaf.certificate;
  const at = Buffer.from(whole).indexOf(Buffer.from(publicKey.spki));
  const children = (bytes: Uint8Array, offset: number) => {
    const long = (bytes[offset + 1] ?? 0) & 0x80 ? (bytes[offset + 1] ?? 0) & 0x7f : 0;
    return offset + 2 + long;
  };
  const outer = children(whole, 0);
  const body = children(whole, outer);
  const bodyEnd = body + Buffer.from(whole).readUInt16BE(outer + 2);
  const tbs = der(
    0x30,
    concatBytes([whole.slice(body, at), spki, whole.slice(at + publicKey.spki.length, bodyEnd)]),
  );
  return der(0x30, tbs, whole.slice(bodyEnd));
}

function tufProblem(keytype: string, scheme: string, material: string): string | undefined {
  const json = { keytype, scheme, keyval: { public: material } } as unknown as JsonObject;
  const key = new TufKey('id', json);
  expect(key.verifier === undefined).toBe(key.problem !== undefined);
  return key.problem;
}

describe.each(weak)('a weak key, %s', (name, spki) => {
  const code = (expected: string) => expect.objectContaining({ code: expected });

  it.each<[string, () => unknown]>([
    ['SPKI in DER', () => publicKeyFromSpki(spki, 'k')],
    ['SPKI in PEM', () => parsePublicKeyPem(pem(spki), 'k')],
    ['a file of keys', () => parsePublicKeysPem(`comment\n${pem(spki)}`, 'k')],
  ])('is refused as %s', (_, read) => {
    expect(read).toThrow(code('key-invalid'));
  });

  it('is refused in a certificate', () => {
    expect(() => parseCertificate(certificateOf(spki), 'c')).toThrow(code('certificate-invalid'));
  });

  it('is refused as a key of TUF, in PEM and in hexadecimal', () => {
    if (name.startsWith('RSA')) {
      expect(tufProblem('rsa', 'rsassa-pss-sha256', pem(spki))).toBeDefined();
      expect(tufProblem('rsa', 'rsa-pkcs1v15-sha256', pem(spki))).toBeDefined();
    } else if (name.startsWith('Ed25519')) {
      expect(tufProblem('ed25519', 'ed25519', Buffer.from(spki.slice(-32)).toString('hex'))).toBeDefined();
    } else {
      expect(tufProblem('ecdsa', 'ecdsa-sha2-nistp256', pem(spki))).toBeDefined();
      const hex = Buffer.from(spki.slice(26)).toString('hex');
      expect(tufProblem('ecdsa', 'ecdsa-sha2-nistp256', hex)).toBeDefined();
    }
  });

  it('is refused as a key of Notary', () => {
    const [keytype, bytes] = name.startsWith('Ed25519')
      ? ['ed25519', spki.slice(-32)]
      : [name.startsWith('RSA') ? 'rsa' : 'ecdsa', spki];
    const json = { keytype, keyval: { private: null, public: Buffer.from(bytes).toString('base64') } };
    expect(() => parseNotaryKey('id', json as unknown as JsonObject)).toThrow(code('key-invalid'));
  });
});

describe('RSA in PKCS #1', () => {
  it.each<[string, Uint8Array]>([
    ['exponent 1', rsa(n, Uint8Array.of(1)).pkcs1],
    ['exponent 65536', rsa(n, Uint8Array.of(1, 0, 0)).pkcs1],
    ['an even modulus', rsa(even, F4).pkcs1],
    ['1024 bits', rsa(n.slice(0, 128).fill(0xff, 127), F4).pkcs1],
    ['a modulus divisible by 7', rsa(multipleOf(7n), F4).pkcs1],
  ])('is refused with %s', (_, pkcs1) => {
    const text = formatPem('RSA PUBLIC KEY', pkcs1);
    expect(() => parsePublicKeyPem(text, 'k')).toThrow(expect.objectContaining({ code: 'key-invalid' }));
    expect(() => parsePublicKeysPem(text, 'k')).toThrow(expect.objectContaining({ code: 'key-invalid' }));
  });

  it('of a JWK is refused as well', () => {
    const jwk = { kty: 'RSA', n: Buffer.from(n).toString('base64url'), e: 'AQ' };
    expect(() => publicKeyOf(createPublicKey({ key: jwk, format: 'jwk' }))).toThrow(
      expect.objectContaining({ code: 'key-invalid' }),
    );
  });
});

describe('a private key that is weak', () => {
  it.each<[string, () => string]>([
    ['RSA of 1024 bits', () => rsaPem(1024, 65_537)],
    ['RSA with an exponent over 31 bits', () => rsaPem(2048, 2 ** 31 + 11)],
  ])('is refused: %s', async (_, text) => {
    const file = parsePrivateKey(utf8(text()), 'k');
    await expect(file.unlock()).rejects.toMatchObject({ code: 'key-invalid' });
  });

  function rsaPem(modulusLength: number, publicExponent: number): string {
    const { privateKey } = generateKeyPairSync('rsa', { modulusLength, publicExponent });
    return String(privateKey.export({ type: 'pkcs8', format: 'pem' }));
  }
});

describe('what is not weak is taken', () => {
  it.each([3, 17, 257, 65_537, 2 ** 31 - 1])('RSA with exponent %i', (exponent) => {
    const e = fromHex(exponent.toString(16).padStart(8, '0')) as Uint8Array;
    expect(publicKeyFromSpki(rsa(n, e).spki, 'k')).toMatchObject({ type: 'RSA', modulusBits: 2048 });
  });

  it('Ed25519, as often as it is made', () => {
    for (let at = 0; at < 200; at++) {
      const { publicKey } = ed25519.keygen();
      expect(publicKeyFromRawEd25519(publicKey, 'k').type).toBe('Ed25519');
    }
  });

  it('every y that has a point of large order, and no other', () => {
    for (let y = 2n; y < 60n; y++) {
      const raw = encoded(y);
      const taken = (() => {
        try {
          return publicKeyFromRawEd25519(raw, 'k').type === 'Ed25519';
        } catch {
          return false;
        }
      })();
      expect(taken).toBe(!offCurve.includes(y) && isPoint(raw));
    }
  });

  function isPoint(raw: Uint8Array): boolean {
    try {
      return !ed25519.Point.fromHex(Buffer.from(raw).toString('hex')).isSmallOrder();
    } catch {
      return false;
    }
  }
});

describe('one key in several spellings has one fingerprint', () => {
  const { fingerprint } = publicKeyOf(honest);
  const padded = derSequence(der(0x02, Uint8Array.of(0, 0, 0), n), derInteger(F4));
  it.each<[string, Uint8Array]>([
    ['SPKI', rsa(n, F4).spki],
    [
      'without parameters',
      derSequence(derSequence(derOid('1.2.840.113549.1.1.1')), derBitString(rsa(n, F4).pkcs1)),
    ],
    ['a modulus with leading zeros', derSequence(RSA, derBitString(padded))],
    [
      'an exponent with a leading zero',
      derSequence(RSA, derBitString(derSequence(derInteger(n), der(0x02, Uint8Array.of(0), F4)))),
    ],
    [
      'a length in the long form',
      (() => {
        const { spki } = rsa(n, F4);
        return concatBytes([Uint8Array.of(0x30, 0x83, 0x00), spki.slice(2)]);
      })(),
    ],
  ])('RSA, %s, or is refused', (_, spki) => {
    let found: string | undefined;
    try {
      found = publicKeyFromSpki(spki, 'k').fingerprint;
    } catch (error) {
      expect(error).toMatchObject({ code: 'key-invalid' });
    }
    expect(found ?? fingerprint).toBe(fingerprint);
  });

  it('RSA, as PKCS #1 and in a file of keys', () => {
    const text = formatPem('RSA PUBLIC KEY', rsa(n, F4).pkcs1);
    expect(parsePublicKeyPem(text, 'k').fingerprint).toBe(fingerprint);
    expect(parsePublicKeysPem(text + pem(rsa(n, F4).spki), 'k').map((key) => key.fingerprint)).toEqual([
      fingerprint,
      fingerprint,
    ]);
  });

  it('RSA-PSS is another type of key, and refused', () => {
    const pss = derSequence(derSequence(derOid('1.2.840.113549.1.1.10')), derBitString(rsa(n, F4).pkcs1));
    expect(() => publicKeyFromSpki(pss, 'k')).toThrow(expect.objectContaining({ code: 'key-invalid' }));
  });

  it('P-256 with its parameters written out is that key, or refused', () => {
    const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256', paramEncoding: 'explicit' });
    const explicit = publicKey.export({ type: 'spki', format: 'der' });
    const point = explicit.subarray(-65);
    const named = publicKeyFromSpki(p256(point.toString('hex')), 'k').fingerprint;
    let found: string | undefined;
    try {
      found = publicKeyFromSpki(explicit, 'k').fingerprint;
    } catch (error) {
      expect(error).toMatchObject({ code: 'key-invalid' });
    }
    expect(found ?? named).toBe(named);
  });
});

import { createPrivateKey, generateKeyPairSync, verify as nodeVerify } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type AlgorithmId, algorithm } from '../../src/crypto/algorithm.ts';
import {
  parsePublicKeyPem,
  publicKeyFromRawEd25519,
  publicKeyFromRawPoint,
  publicKeyFromSpki,
  publicKeyOf,
  publicKeyPem,
  rawEd25519,
} from '../../src/crypto/public-key.ts';
import { ecdsaFromDer, ecdsaToDer, verifySignature } from '../../src/crypto/signature.ts';
import { createSigner } from '../../src/crypto/signer.ts';
import { fromHex, hex, utf8 } from '../../src/encoding/bytes.ts';
import { rsaKeys } from '../support/rsa-keys.ts';

const keys = {
  'P-256': generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  'P-384': generateKeyPairSync('ec', { namedCurve: 'P-384' }),
  'P-521': generateKeyPairSync('ec', { namedCurve: 'P-521' }),
  Ed25519: generateKeyPairSync('ed25519'),
  RSA: rsaKeys(2048),
};
const ALL: readonly AlgorithmId[] = [
  'ES256',
  'ES384',
  'ES512',
  'ES384-SHA256',
  'PS256',
  'PS384',
  'PS512',
  'RS256',
  'Ed25519',
];
const message = utf8('seal');

describe('public keys', () => {
  it.each(['P-256', 'P-384', 'P-521'] as const)('%s: every spelling of a point is one key', (type) => {
    const key = publicKeyOf(keys[type].publicKey);
    const bytes = { 'P-256': 32, 'P-384': 48, 'P-521': 66 }[type];
    const point = key.spki.slice(-1 - 2 * bytes);
    const x = point.slice(1, 1 + bytes);
    const odd = (point.at(-1) ?? 0) & 1;
    const hybrid = Uint8Array.of(6 + odd, ...point.slice(1));
    expect(publicKeyFromSpki(spkiOf(type, Uint8Array.of(2 + odd, ...x)), 'test').fingerprint).toBe(
      key.fingerprint,
    );
    expect(publicKeyFromSpki(spkiOf(type, hybrid), 'test').fingerprint).toBe(key.fingerprint);
    expect(publicKeyFromRawPoint(point, type, 'test').fingerprint).toBe(key.fingerprint);
    expect(() => publicKeyFromRawPoint(hybrid, type, 'test')).toThrow(
      expect.objectContaining({ code: 'key-invalid' }),
    );
    point[point.length - 1] = (point.at(-1) ?? 0) ^ 1;
    expect(() => publicKeyFromRawPoint(point, type, 'test')).toThrow(
      expect.objectContaining({ code: 'key-invalid' }),
    );
  });
});

/** SubjectPublicKeyInfo around a point in whatever spelling. */
function spkiOf(type: 'P-256' | 'P-384' | 'P-521', point: Uint8Array): Uint8Array {
  const oids = {
    'P-256': '301306072a8648ce3d020106082a8648ce3d030107',
    'P-384': '301006072a8648ce3d020106052b81040022',
    'P-521': '301006072a8648ce3d020106052b81040023',
  };
  const bits = der(0x03, Uint8Array.of(0, ...point));
  return der(0x30, Uint8Array.of(...(fromHex(oids[type]) ?? []), ...bits));
}

function der(tag: number, content: Uint8Array): Uint8Array {
  const length = content.length < 0x80 ? [content.length] : [0x81, content.length];
  return Uint8Array.of(tag, ...length, ...content);
}

describe('signing and verifying', () => {
  it.each(ALL)('%s: signs what it verifies, and OpenSSL agrees', async (id) => {
    const { privateKey, publicKey } = keys[algorithm(id).keyType as keyof typeof keys];
    const signature = await createSigner(privateKey, algorithm(id)).sign(message);
    expect(verifySignature(publicKeyOf(publicKey), algorithm(id), message, signature, 'raw')).toBe(true);
    expect(verifySignature(publicKeyOf(publicKey), algorithm(id), utf8('seel'), signature, 'raw')).toBe(
      false,
    );
    if (algorithm(id).scalarBytes !== undefined) {
      expect(nodeVerify(algorithm(id).hash, message, publicKey, ecdsaToDer(signature))).toBe(true);
      expect(
        verifySignature(publicKeyOf(publicKey), algorithm(id), message, ecdsaToDer(signature), 'der'),
      ).toBe(true);
    }
  });

  it('takes the algorithm from the caller: a key of another type never verifies', async () => {
    const signature = await createSigner(keys.RSA.privateKey, algorithm('RS256')).sign(message);
    for (const id of ALL) {
      if (id === 'RS256') continue;
      expect(verifySignature(publicKeyOf(keys.RSA.publicKey), algorithm(id), message, signature, 'raw')).toBe(
        false,
      );
      expect(
        verifySignature(publicKeyOf(keys['P-256'].publicKey), algorithm(id), message, signature, 'der'),
      ).toBe(false);
    }
  });

  // RFC 6979 appendix A.2.5, P-256 with SHA-256, message "sample".
  it('signs ECDSA as RFC 6979 says', async () => {
    const d = fromHex('C9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721')!;
    const x = fromHex('60FED4BA255A9D31C961EB74C6356D68C049B8923B61FA6CE669622E60F29FB6')!;
    const y = fromHex('7903FE1008B8BC99A41AE9E95628BC64F2F1B20C2D7E9F5177A3C294D4462299')!;
    const b64 = (bytes: Uint8Array) => Buffer.from(bytes).toString('base64url');
    const key = createPrivateKey({
      format: 'jwk',
      key: { kty: 'EC', crv: 'P-256', d: b64(d), x: b64(x), y: b64(y) },
    });
    expect(hex(await createSigner(key).sign(utf8('sample')))).toBe(
      'efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716' +
        'f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8',
    );
  });
});

describe('DER of ECDSA signatures', () => {
  it('turns every r and s there and back', () => {
    for (const size of [32, 48, 66]) {
      fc.assert(
        fc.property(fc.uint8Array({ minLength: 2 * size, maxLength: 2 * size }), (raw) => {
          expect(ecdsaFromDer(ecdsaToDer(raw), size)).toEqual(raw);
        }),
      );
    }
  });

  it.each([
    ['trailing byte', '300602010102010100'],
    ['padded integer', '30070202000102 0101'],
    ['negative integer', '3006020181020101'],
    ['long form of a short length', '308106020101020101'],
    ['empty integer', '30050200020101'],
    ['wrong tag', '3106020101020101'],
    ['length beyond the end', '3007020101020101'],
    ['nothing', ''],
  ])('refuses %s', (_, text) => {
    expect(ecdsaFromDer(fromHex(text.replaceAll(' ', ''))!, 32)).toBeUndefined();
  });

  it('never throws on noise', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 80 }), (noise) => void ecdsaFromDer(noise, 32)));
  });
});

describe('public keys', () => {
  it('have one fingerprint whatever they are read from', () => {
    const key = publicKeyOf(keys['P-256'].privateKey);
    expect(parsePublicKeyPem(publicKeyPem(key), 'k').fingerprint).toBe(key.fingerprint);
    const ed = publicKeyOf(keys.Ed25519.publicKey);
    expect(publicKeyFromRawEd25519(rawEd25519(ed), 'k').fingerprint).toBe(ed.fingerprint);
  });

  it.each([
    ['a private key', String(keys['P-256'].privateKey.export({ type: 'pkcs8', format: 'pem' }))],
    [
      'another curve',
      String(
        generateKeyPairSync('ec', { namedCurve: 'secp256k1' }).publicKey.export({
          type: 'spki',
          format: 'pem',
        }),
      ),
    ],
    ['a small RSA key', String(rsaKeys(1024).publicKey.export({ type: 'spki', format: 'pem' }))],
    ['text', 'hello'],
  ])('refuse %s', (_, pem) => {
    expect(() => parsePublicKeyPem(pem, 'k')).toThrow(expect.objectContaining({ code: 'key-invalid' }));
  });
});

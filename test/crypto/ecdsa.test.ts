import { createPrivateKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { p256, p384, p521 } from '@noble/curves/nist.js';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type AlgorithmId, algorithm } from '../../src/crypto/algorithm.ts';
import { createSigner } from '../../src/crypto/signer.ts';
import { fromHex, hex, utf8 } from '../../src/encoding/bytes.ts';

const CURVES = { 'P-256': p256, 'P-384': p384, 'P-521': p521 } as const;
type Curve = keyof typeof CURVES;

function keyOf(curve: Curve, d: Uint8Array): KeyObject {
  const size = CURVES[curve].Point.Fn.BYTES;
  const point = CURVES[curve].getPublicKey(d, false);
  const text = (bytes: Uint8Array) => Buffer.from(bytes).toString('base64url');
  const [x, y] = [point.slice(1, 1 + size), point.slice(1 + size)];
  return createPrivateKey({
    format: 'jwk',
    key: { kty: 'EC', crv: curve, d: text(d), x: text(x), y: text(y) },
  });
}

describe('deterministic ECDSA', () => {
  // RFC 6979 appendices A.2.5 to A.2.7: private key, and r and s of "sample" and "test" with the curve's own hash.
  it.each([
    [
      'P-256',
      'sample',
      'C9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721',
      'EFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716' +
        'F7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8',
    ],
    [
      'P-256',
      'test',
      'C9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721',
      'F1ABB023518351CD71D881567B1EA663ED3EFCF6C5132B354F28D3B0B7D38367' +
        '019F4113742A2B14BD25926B49C649155F267E60D3814B4C0CC84250E46F0083',
    ],
    [
      'P-384',
      'sample',
      '6B9D3DAD2E1B8C1C05B19875B6659F4DE23C3B667BF297BA9AA47740787137D896D5724E4C70A825F872C9EA60D2EDF5',
      '94EDBB92A5ECB8AAD4736E56C691916B3F88140666CE9FA73D64C4EA95AD133C81A648152E44ACF96E36DD1E80FABE46' +
        '99EF4AEB15F178CEA1FE40DB2603138F130E740A19624526203B6351D0A3A94FA329C145786E679E7B82C71A38628AC8',
    ],
    [
      'P-521',
      'sample',
      '00FAD06DAA62BA3B25D2FB40133DA757205DE67F5BB0018FEE8C86E1B68C7E75CAA896EB32F1F47C70855836A6D16FCC1466' +
        'F6D8FBEC67DB89EC0C08B0E996B83538',
      '00C328FAFCBD79DD77850370C46325D987CB525569FB63C5D3BC53950E6D4C5F174E25A1EE9017B5D450606ADD152B534931' +
        'D7D4E8455CC91F9B15BF05EC36E377FA' +
        '00617CCE7CF5064806C467F678D3B4080D6F1CC50AF26CA209417308281B68AF282623EAA63E5B5C0723D8B8C37FF0777B1A' +
        '20F8CCB1DCCC43997F1EE0E44DA4A67A',
    ],
  ] as const)('signs on %s what RFC 6979 has for "%s"', async (curve, message, d, expected) => {
    const signature = await createSigner(keyOf(curve, fromHex(d)!)).sign(utf8(message));
    expect(hex(signature)).toBe(expected.toLowerCase());
  });

  it.each(['ES256', 'ES384', 'ES512', 'ES384-SHA256', 'ES512-SHA256'] as const satisfies AlgorithmId[])(
    '%s: has the bytes of another implementation, for any key and message',
    async (id) => {
      const { keyType, hash } = algorithm(id);
      const curve = CURVES[keyType as Curve];
      const isMixed = id.endsWith('-SHA256');
      await fc.assert(
        fc.asyncProperty(fc.uint8Array({ maxLength: 300 }), async (message) => {
          const { privateKey } = generateKeyPairSync('ec', { namedCurve: keyType });
          const d = Buffer.from(privateKey.export({ format: 'jwk' }).d!, 'base64url');
          const input = isMixed ? new Uint8Array(await crypto.subtle.digest('SHA-256', message)) : message;
          expect(hash).toBeDefined();
          expect(hex(await createSigner(privateKey, algorithm(id)).sign(message))).toBe(
            hex(curve.sign(input, d, { prehash: !isMixed, lowS: false, format: 'compact' })),
          );
        }),
        { numRuns: keyType === 'P-256' ? 100 : 20 },
      );
    },
  );

  it.each(['P-256', 'P-384', 'P-521'] as const)(
    '%s: signs with the smallest and the largest scalar',
    async (type) => {
      const curve = CURVES[type];
      const { ORDER, BYTES } = curve.Point.Fn;
      for (const scalar of [1n, 2n, ORDER - 2n, ORDER - 1n]) {
        const d = new Uint8Array(Buffer.from(scalar.toString(16).padStart(2 * BYTES, '0'), 'hex'));
        expect(hex(await createSigner(keyOf(type, d)).sign(utf8('seal')))).toBe(
          hex(curve.sign(utf8('seal'), d, { lowS: false, format: 'compact' })),
        );
      }
    },
  );
});

import { createPublicKey } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { algorithm } from '../../src/crypto/algorithm.ts';
import { publicKeyOf } from '../../src/crypto/public-key.ts';
import { verifySignature } from '../../src/crypto/signature.ts';
import { fromBase64url, fromHex, utf8 } from '../../src/encoding/bytes.ts';
import { signatureStructure } from '../../src/signatures/notation-cose.ts';
import { preAuthEncoding } from '../../src/sigstore/dsse.ts';

const es256 = algorithm('ES256');
const ecKey = (x: string, y: string) =>
  publicKeyOf(createPublicKey({ format: 'jwk', key: { kty: 'EC', crv: 'P-256', x, y } }));
const fromHexUrl = (digits: string) => Buffer.from(digits, 'hex').toString('base64url');

describe('vectors of the specifications', () => {
  // RFC 7515, appendix A.3.
  it('JWS with ES256', () => {
    const input =
      'eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ';
    const signature = fromBase64url(
      'DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q',
    )!;
    const key = ecKey(
      'f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU',
      'x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0',
    );
    expect(verifySignature(key, es256, utf8(input), signature, 'raw')).toBe(true);
    expect(verifySignature(key, es256, utf8(`${input}A`), signature, 'raw')).toBe(false);
  });

  // RFC 9052, appendix C.2.1, with the key "11" of appendix C.7.1.
  it('COSE_Sign1 with ES256', () => {
    const signature = fromHex(
      '8eb33e4ca31d1c465ab05aac34cc6b23d58fef5c083106c4d25a91aef0b0117e' +
        '2af9a291aa32e14ab834dc56ed2a223444547e01f11d3b0916e5a4c345cacb36',
    )!;
    const key = ecKey(
      fromHexUrl('bac5b11cad8f99f9c72b05cf4b9e26d244dc189f745228255a219a86d6a09eff'),
      fromHexUrl('20138bf82dc1b6d562be0fa54ab7804a3a64b6d72ccfed6b6fb6ed28bbfc117e'),
    );
    const message = signatureStructure(fromHex('a10126')!, utf8('This is the content.'));
    expect(verifySignature(key, es256, message, signature, 'raw')).toBe(true);
  });

  // DSSE, protocol.md, "Test Vectors".
  it("DSSE's pre-authentication encoding", () => {
    expect(preAuthEncoding('http://example.com/HelloWorld', utf8('hello world'))).toEqual(
      utf8('DSSEv1 29 http://example.com/HelloWorld 11 hello world'),
    );
    // Lengths are of bytes, not of characters.
    expect(preAuthEncoding('é', utf8(''))).toEqual(utf8('DSSEv1 2 é 0 '));
  });
});

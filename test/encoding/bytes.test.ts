import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  base64,
  base64url,
  decodeUtf8,
  fromBase64,
  fromBase64url,
  fromHex,
  hex,
  utf8,
} from '../../src/encoding/bytes.ts';

describe('encodings of bytes', () => {
  it('turn every byte string there and back', () => {
    fc.assert(
      fc.property(fc.uint8Array(), (bytes) => {
        expect(fromHex(hex(bytes))).toEqual(bytes);
        expect(fromBase64(base64(bytes))).toEqual(bytes);
        expect(fromBase64url(base64url(bytes))).toEqual(bytes);
      }),
    );
  });

  it.each(['YQ', 'YQ=', 'YR==', 'YQ==\n', ' YQ==', 'Y_==', 'YQ==YQ==', '===='])(
    'base64 has one spelling: %j is none',
    (text) => {
      expect(fromBase64(text)).toBeUndefined();
    },
  );

  it.each(['YQ==', 'YR', 'Y', 'Y+', 'YQ\n'])('base64url has one spelling: %j is none', (text) => {
    expect(fromBase64url(text)).toBeUndefined();
  });

  it('are read at any length: no stack overflows', () => {
    const bytes = new Uint8Array(24 * 1024 * 1024);
    expect(fromBase64(base64(bytes))?.byteLength).toBe(bytes.byteLength);
    expect(fromBase64(`${base64(bytes)}*`)).toBeUndefined();
    expect(fromHex(hex(bytes))?.byteLength).toBe(bytes.byteLength);
  });

  it.each(['a', 'zz', '0x00', 'ab '])('%j is not hexadecimal', (text) => {
    expect(fromHex(text)).toBeUndefined();
  });

  it('replaces nothing in bad UTF-8', () => {
    expect(() => decodeUtf8(Uint8Array.of(0xc3, 0x28), 'file')).toThrow(
      expect.objectContaining({ code: 'content-invalid' }),
    );
    expect(decodeUtf8(utf8('ü'), 'file')).toBe('ü');
  });
});

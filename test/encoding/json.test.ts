import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { utf8 } from '../../src/encoding/bytes.ts';
import { parseJson, parseJsonObject } from '../../src/encoding/json.ts';

const parse = (text: string, limits = {}) => parseJson(utf8(text), { what: 'document', ...limits });
const invalid = expect.objectContaining({ code: 'content-invalid', hint: expect.any(String) });

describe('parseJson', () => {
  it('reads whatever JSON.stringify writes', () => {
    const value = fc.jsonValue({ noUnicodeString: false });
    fc.assert(
      fc.property(value, (original) => {
        const text = JSON.stringify(original);
        fc.pre(!/[0-9]{16}/.test(text));
        expect(JSON.stringify(parse(text, { floats: true }))).toBe(text);
      }),
      { examples: [[{ a: [1, 'é\n"', null, true] }]] },
    );
  });

  it('agrees with JSON.parse wherever it accepts, and never throws anything but content-invalid', () => {
    const noise = fc.string({
      unit: fc.constantFrom(
        '{',
        '}',
        '[',
        ']',
        '"',
        ':',
        ',',
        '1',
        '-',
        '.',
        'e',
        't',
        'true',
        ' ',
        '\\',
        'u',
        'n',
        'a',
      ),
    });
    fc.assert(
      fc.property(noise, (text) => {
        let value: unknown;
        try {
          value = parse(text, { floats: true });
        } catch (error) {
          expect(error).toEqual(invalid);
          return;
        }
        expect(JSON.stringify(value)).toBe(JSON.stringify(JSON.parse(text)));
      }),
      { numRuns: 2000 },
    );
  });

  it.each([
    ['duplicate keys', '{"a":1,"a":2}'],
    ['duplicate keys, one escaped', '{"a":1,"\\u0061":2}'],
    ['an integer that a double cannot hold', '{"v":9007199254740993}'],
    ['a float', '1.0'],
    ['an exponent', '1e3'],
    ['minus zero', '-0'],
    ['a leading zero', '01'],
    ['a lone surrogate', '"\\ud800"'],
    ['a trailing value', '{} {}'],
    ['a trailing comma', '[1,]'],
    ['a control character', '"a\u0001"'],
    ['a byte order mark', '\ufeff{}'],
    ['a bad escape', '"\\x"'],
    ['a bad unicode escape', '"\\u12g4"'],
    ['an end inside a string', '"abc'],
    ['nothing', ''],
    ['NaN', 'NaN'],
    ['a single quote', "{'a':1}"],
    ['a comment', '/* */ {}'],
    ['depth 10,000', `${'['.repeat(10_000)}${']'.repeat(10_000)}`],
    ['depth 10,000 in objects', `${'{"a":'.repeat(10_000)}1${'}'.repeat(10_000)}`],
  ])('refuses %s', (_, text) => {
    expect(() => parse(text)).toThrow(invalid);
  });

  it('refuses what is not UTF-8', () => {
    expect(() => parseJson(Uint8Array.of(0x22, 0xff, 0x22), { what: 'document' })).toThrow(invalid);
  });

  it('refuses a document larger than allowed before reading it', () => {
    expect(() => parse('"aaaaaaaaaa"', { maxBytes: 5 })).toThrow(/12 bytes, more than the 5/);
  });

  it('refuses what would take a hundred times its size in memory', () => {
    const many = (count: number) => `[${'{},'.repeat(count)}{}]`;
    expect(parse(many(50_000))).toHaveLength(50_001);
    expect(() => parse(many(100_000), { maxBytes: 1_000_000 })).toThrow(/too many values/);
  });

  it('takes __proto__, constructor and integers for keys like any other', () => {
    const object = parseJsonObject(utf8('{"__proto__":{"x":1},"constructor":2,"10":3}'), {
      what: 'document',
    });
    expect(Object.keys(object).sort()).toEqual(['10', '__proto__', 'constructor']);
    expect(Object.getPrototypeOf(object)).toBeNull();
    expect('x' in object).toBe(false);
    expect(({} as Record<string, unknown>)['x']).toBeUndefined();
  });

  it('says where and what, without repeating a hostile document', () => {
    expect(() => parse(`{"${'k'.repeat(10_000)}":1,"${'k'.repeat(10_000)}":1}`)).toThrow(
      expect.objectContaining({ message: expect.stringMatching(/^.{0,220}$/) }),
    );
  });

  it('wants an object where an object is wanted', () => {
    expect(() => parseJsonObject(utf8('[]'), { what: 'document' })).toThrow(invalid);
  });
});

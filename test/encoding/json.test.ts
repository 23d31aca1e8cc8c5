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
    expect('x' in object).toBe(false);
    expect(({} as Record<string, unknown>)['x']).toBeUndefined();
  });

  it('makes objects that inherit nothing, and to which nothing can be added from afar', () => {
    const [object, other] = [
      parseJsonObject(utf8('{}'), { what: 'x' }),
      parseJsonObject(utf8('{}'), { what: 'x' }),
    ];
    for (const name of ['__proto__', 'constructor', 'hasOwnProperty', 'toString', 'valueOf', 'then']) {
      expect(name in object).toBe(false);
      expect(object[name]).toBeUndefined();
    }
    const name = '__proto__';
    object[name] = { x: 1 };
    expect([Object.keys(object), object['x'], other[name], other['x']]).toEqual([
      [name],
      undefined,
      undefined,
      undefined,
    ]);
    const shared = Object.getPrototypeOf(other) as object;
    expect([Object.getPrototypeOf(shared), Reflect.ownKeys(shared), Object.isFrozen(shared)]).toEqual([
      null,
      [],
      true,
    ]);
  });

  it.each([
    ['after keys in order', '{"a":1,"b":2,"c":3,"b":4}'],
    ['after keys out of order', '{"c":1,"b":2,"a":3,"b":4}'],
    ['right after itself, out of order', '{"c":1,"b":2,"b":3}'],
    ['that is __proto__', '{"__proto__":1,"a":2,"__proto__":3}'],
    ['that is empty', '{"":1,"":2}'],
    ['that is a number', '{"1":1,"1":2}'],
    ['in an object within an array', '[{"a":{"x":1,"a":2,"x":3}}]'],
  ])('finds a key twice %s', (_, text) => {
    expect(() => parse(text)).toThrow(invalid);
  });

  it.each([
    ['0', 0],
    ['999999999', 999_999_999],
    ['1000000000', 1_000_000_000],
    ['9007199254740991', Number.MAX_SAFE_INTEGER],
    ['-9007199254740991', Number.MIN_SAFE_INTEGER],
  ])('reads %s as it stands', (text, value) => {
    expect(parse(text)).toBe(value);
    expect(parse(`[${text},${text} ]`)).toEqual([value, value]);
    expect(parse(`{"a":${text}}`)).toMatchObject({ a: value });
  });

  it.each(['00', '01', '-01', '1a', '1-', '+1', '.1', '1.', '9007199254740992', '12345678901234567890'])(
    'refuses the number %s, wherever it stands',
    (text) => {
      for (const document of [text, `[${text}]`, `{"a":${text},"b":1}`, `[${text} ]`])
        expect(() => parse(document)).toThrow(invalid);
    },
  );

  it('says where and what, without repeating a hostile document', () => {
    expect(() => parse(`{"${'k'.repeat(10_000)}":1,"${'k'.repeat(10_000)}":1}`)).toThrow(
      expect.objectContaining({ message: expect.stringMatching(/^.{0,220}$/) }),
    );
  });

  it('wants an object where an object is wanted', () => {
    expect(() => parseJsonObject(utf8('[]'), { what: 'document' })).toThrow(invalid);
  });
});

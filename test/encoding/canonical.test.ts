import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { utf8 } from '../../src/encoding/bytes.ts';
import { canonicalOlpc, canonicalRfc8785, compareCodePoints } from '../../src/encoding/canonical.ts';
import { type JsonValue, parseJson } from '../../src/encoding/json.ts';

const text = (bytes: Uint8Array) => Buffer.from(bytes).toString();

describe('OLPC canonical JSON', () => {
  it('keeps newlines as they are, and escapes the quote and the backslash only', () => {
    expect(text(canonicalOlpc({ key: '-----BEGIN\n"\\\t' }))).toBe('{"key":"-----BEGIN\n\\"\\\\\t"}');
  });

  it('sorts keys by code point, not by UTF-16 unit', () => {
    const object = { '\uffee': 1, '\u{1f600}': 2, a: 3 };
    expect(text(canonicalOlpc(object))).toBe('{"a":3,"\uffee":1,"\u{1f600}":2}');
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), fc.string({ unit: 'binary' }), (a, b) => {
        expect(Math.sign(compareCodePoints(a, b))).toBe(
          Math.sign(Buffer.compare(Buffer.from(a), Buffer.from(b))),
        );
      }),
      { numRuns: 1000 },
    );
  });

  it('does not depend on the order or spelling of what it was given', () => {
    const spelled = parseJson(utf8('{ "b" : [ 1 , true ] , "a" : "\\u0026" }'), { what: 'document' });
    expect(text(canonicalOlpc(spelled))).toBe('{"a":"&","b":[1,true]}');
  });

  it('is its own canonical form', () => {
    const value = fc.letrec<{ value: JsonValue }>((tie) => ({
      value: fc.oneof(
        { maxDepth: 4 },
        fc.constant(null),
        fc.boolean(),
        fc.maxSafeInteger().map((n) => n + 0),
        fc.stringMatching(/^[ -~]*$/),
        fc.array(tie('value')),
        fc.dictionary(fc.stringMatching(/^[ -~]*$/), tie('value'), { noNullPrototype: false }),
      ),
    })).value;
    fc.assert(
      fc.property(value, (original) => {
        const once = canonicalOlpc(original);
        expect(canonicalOlpc(parseJson(once, { what: 'document' }))).toEqual(once);
      }),
    );
  });

  it('has no fractions', () => {
    expect(() => canonicalOlpc(1.5)).toThrow(expect.objectContaining({ code: 'content-invalid' }));
  });
});

describe('RFC 8785', () => {
  // The example of RFC 8785 §3.2.2 to §3.2.3.
  it('writes the example of the RFC', () => {
    const value = {
      // biome-ignore lint/correctness/noPrecisionLoss: the digits that the RFC writes
      numbers: [333333333.33333329, 1e30, 4.5, 2e-3, 0.000000000000000000000000001],
      string: '\u20ac$\u000F\u000aA\'\u0042\u0022\u005c\\"/',
      literals: [null, true, false],
    };
    expect(text(canonicalRfc8785(value))).toBe(
      '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}',
    );
  });

  it('leaves out what is undefined', () => {
    expect(text(canonicalRfc8785({ b: undefined, a: 1 }))).toBe('{"a":1}');
  });
});

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { utf8 } from '../../src/encoding/bytes.ts';
import { memberSpan } from '../../src/encoding/json-span.ts';

function found(text: string, name: string): string | undefined {
  const bytes = utf8(text);
  const span = memberSpan(bytes, name);
  return span && new TextDecoder().decode(bytes.subarray(span.start, span.end));
}

describe('the place of a member', () => {
  it.each([
    ['{}', undefined],
    [' {\n } ', undefined],
    ['{"b":1}', undefined],
    ['{"a":1}', '1'],
    ['{"a":1 }', '1'],
    ['{ "a" : "x,}\\"]" , "b":2}', '"x,}\\"]"'],
    ['{"b":{"a":0},"a":{"b":[1,"]}"]}}', '{"b":[1,"]}"]}'],
    ['{"b":"a","\\u0061":true}', 'true'],
    ['{"b":[{"a":5}],"a":[]}', '[]'],
    ['{"é":"é","a":"ü"}', '"ü"'],
    ['{"b\\\\":"\\\\","a":-1.5e3}', '-1.5e3'],
  ])('in %s is %s', (text, expected) => {
    expect(found(text, 'a')).toBe(expected);
  });

  it('is where the parser sees it, in any document and spelling', () => {
    fc.assert(
      fc.property(
        fc.dictionary(fc.string({ unit: 'grapheme', maxLength: 4 }), fc.jsonValue({ maxDepth: 2 }), {
          maxKeys: 5,
        }),
        fc.constantFrom('', ' ', '\n  '),
        (document, space) => {
          const text = JSON.stringify(document, undefined, space);
          for (const name of [...Object.keys(document), 'not there']) {
            const value = Object.hasOwn(document, name) ? JSON.stringify(document[name]) : undefined;
            const seen = found(text, name);
            expect(seen === undefined ? undefined : JSON.stringify(JSON.parse(seen))).toBe(value);
          }
        },
      ),
    );
  });
});

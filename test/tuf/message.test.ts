import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { utf8 } from '../../src/encoding/bytes.ts';
import { canonicalOlpc } from '../../src/encoding/canonical.ts';
import { type JsonValue, parseJsonMembers } from '../../src/encoding/json.ts';
import { parseMetadataFile } from '../../src/tuf/metadata-file.ts';

/** One of the ways to write a value: with white space or without, keys in any order, characters escaped or not. */
function write(value: JsonValue, choose: () => number): string {
  const space = () => (choose() % 7 === 0 ? ([' ', '\n', '\t', '\r'][choose() % 4] as string) : '');
  if (Array.isArray(value))
    return `[${space()}${value.map((one) => write(one, choose)).join(`${space()},`)}${space()}]`;
  if (typeof value === 'string') return writeString(value, choose);
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const keys = Object.keys(value);
  if (choose() % 3 !== 0) keys.sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  const members = keys.map(
    (key) => `${writeString(key, choose)}${space()}:${space()}${write(value[key]!, choose)}`,
  );
  return `{${space()}${members.join(`,${space()}`)}${space()}}`;
}

function writeString(text: string, choose: () => number): string {
  if (choose() % 9 !== 0) return JSON.stringify(text);
  const escaped = [...JSON.stringify(text).slice(1, -1)].map((character) =>
    /[a-zA-Z]/.test(character) || character === '\\' || character === '"'
      ? character
      : [...Array(character.length).keys()]
          .map((index) => `\\u${character.charCodeAt(index).toString(16).padStart(4, '0')}`)
          .join(''),
  );
  const joined = `"${escaped.join('')}"`;
  try {
    return JSON.parse(joined) === text ? joined : JSON.stringify(text);
  } catch {
    return JSON.stringify(text);
  }
}

const key = fc.oneof(
  fc.string({ unit: 'grapheme', maxLength: 4 }),
  fc.constantFrom(
    '1',
    '10',
    '9',
    'a',
    'b',
    '__proto__',
    '\ufffd',
    '😀',
    '"',
    '\\',
    'signed',
    'signatures',
    '\n',
  ),
);
const { tree } = fc.letrec<{ tree: JsonValue }>((tie) => ({
  tree: fc.oneof(
    { maxDepth: 4 },
    fc.constantFrom<JsonValue>(null, true, false, 0, -1, 9007199254740991),
    fc.maxSafeInteger().filter((number) => !Object.is(number, -0)),
    key,
    fc.array(tie('tree'), { maxLength: 4 }),
    fc.dictionary(key, tie('tree'), { maxKeys: 5 }) as fc.Arbitrary<JsonValue>,
  ),
}));

describe('the message that is verified', () => {
  it('is the canonical form of what is read, also where it is taken from the file as it stands', () => {
    let taken = 0;
    let made = 0;
    fc.assert(
      fc.property(
        fc.dictionary(key, tree, { maxKeys: 4 }),
        fc.array(fc.nat(1000), { minLength: 1, maxLength: 40 }),
        fc.boolean(),
        (signed, choices, compact) => {
          let at = 0;
          const choose = compact ? () => 1 : () => choices[at++ % choices.length]!;
          const text = `{"signatures":[{"keyid":"k","sig":"","signed":{"a":1}}],"signed":${write(signed as JsonValue, choose)} , "x":{"signed":{}}}`;
          const file = parseMetadataFile(utf8(text), 'targets', 1_000_000);
          expect(Buffer.from(file.message)).toEqual(Buffer.from(canonicalOlpc(file.signed)));
          const member = parseJsonMembers(utf8(text), { what: 'test' }).get('signed');
          if (member?.isCanonical) taken++;
          else made++;
        },
      ),
      { numRuns: 2000 },
    );
    expect(Math.min(taken, made)).toBeGreaterThan(100);
  });

  it.each([
    ['white space', '{"a": 1}'],
    ['a newline at the end of an object', '{"a":1\n}'],
    ['keys out of order', '{"b":1,"a":2}'],
    ['keys in the order of UTF-16', '{"😀":1,"\ufffd":2}'],
    ['an escape that need not be', '{"a":"\\/"}'],
    ['an escaped newline', '{"a":"\\n"}'],
    ['a letter by its number', '{"a":"\\u0062"}'],
    ['an escape in a key', '{"\\u0061":1}'],
    ['depth', '{"a":{"b":[{"d":1,"c":2}]}}'],
  ])('is made anew where the file has %s', (_name, signed) => {
    const members = parseJsonMembers(utf8(`{"signed":${signed}}`), { what: 'test' });
    expect(members.get('signed')?.isCanonical).toBe(false);
  });

  it.each([
    '{}',
    '{"a":1,"b":[],"c":{"d":"\\"\\\\"}}',
    '{"10":1,"9":2}',
    '{"\ufffd":1,"😀":2}',
    '{"a":"é\u007f"}',
  ])('is taken from the file where that has %s', (signed) => {
    const members = parseJsonMembers(utf8(` { "x" : 1 ,"signed" :${signed} } `), { what: 'test' });
    expect(members.get('signed')).toMatchObject({ isCanonical: true, source: signed });
    expect(canonicalOlpc(members.get('signed')!.value)).toEqual(utf8(signed));
  });
});

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseChallenges } from '../../src/registry/challenge.ts';

function read(...headers: string[]): [string, Record<string, string>][] {
  return parseChallenges(headers).map(({ scheme, parameters }) => [scheme, Object.fromEntries(parameters)]);
}

describe('parseChallenges', () => {
  it.each([
    ['Basic realm="Registry"', [['basic', { realm: 'Registry' }]]],
    [
      'Bearer realm="https://auth.example.com/token",service="registry.example.com",scope="repository:app:pull,push"',
      [
        [
          'bearer',
          {
            realm: 'https://auth.example.com/token',
            service: 'registry.example.com',
            scope: 'repository:app:pull,push',
          },
        ],
      ],
    ],
    ['BEARER Realm = "a" ,  SERVICE=b', [['bearer', { realm: 'a', service: 'b' }]]],
    ['Bearer realm="say \\"hi\\", now"', [['bearer', { realm: 'say "hi", now' }]]],
    [
      'Basic realm="a", Bearer realm="b"',
      [
        ['basic', { realm: 'a' }],
        ['bearer', { realm: 'b' }],
      ],
    ],
    [
      'Negotiate, Basic realm="a"',
      [
        ['negotiate', {}],
        ['basic', { realm: 'a' }],
      ],
    ],
    [
      'Negotiate dG9rZW4=, Bearer realm="b"',
      [
        ['negotiate', {}],
        ['bearer', { realm: 'b' }],
      ],
    ],
    ['Basic', [['basic', {}]]],
    ['', []],
    [',,,', []],
    ['"quoted"', []],
    ['Bearer realm="unterminated', [['bearer', {}]]],
    ['Bearer realm=', [['bearer', {}]]],
    ['Bearer realm="first",realm="second"', [['bearer', { realm: 'first' }]]],
    ['Bearer __proto__="x",realm="r"', [['bearer', { ['__proto__']: 'x', realm: 'r' }]]],
  ])('reads %s', (header, expected) => {
    expect(read(header)).toEqual(expected);
  });

  it('reads several headers', () => {
    expect(read('Basic realm="a"', 'Bearer realm="b"').map(([scheme]) => scheme)).toEqual([
      'basic',
      'bearer',
    ]);
  });

  it('reads back what it is given, whatever is in the quotes', () => {
    fc.assert(
      fc.property(
        fc.stringMatching(/^[\x20-\x7e]{0,60}$/),
        fc.stringMatching(/^[a-z]{1,10}$/),
        (value, name) => {
          const quoted = value.replace(/["\\]/g, '\\$&');
          expect(read(`Bearer ${name}="${quoted}", other=x`)).toEqual([
            ['bearer', name === 'other' ? { other: value } : { [name]: value, other: 'x' }],
          ]);
        },
      ),
    );
  });

  it('ends, soon, on whatever it is sent', () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom(...'aB="\\, \t;/'), maxLength: 3000 }), (header) => {
        expect(parseChallenges([header]).length).toBeLessThanOrEqual(16);
      }),
      { numRuns: 300 },
    );
    for (const header of [
      'Bearer '.repeat(20_000),
      `Bearer ${'a="\\'.repeat(5000)}`,
      'a'.repeat(100_000),
      ','.repeat(100_000),
    ]) {
      expect(parseChallenges([header]).length).toBeLessThanOrEqual(16);
    }
  });
});

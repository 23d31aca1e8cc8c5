import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { binCount, binFor, binName, binNames, isBin } from '../../src/tuf/hash-bins.ts';
import { matchesPathPattern } from '../../src/tuf/path-pattern.ts';
import {
  assertRelativePath,
  decodeRoleName,
  encodeRoleName,
  metadataFileName,
  targetFilePath,
} from '../../src/tuf/role-name.ts';

describe('path patterns', () => {
  it.each([
    ['*', 'v1', true],
    ['*', '', true],
    ['*', '.hidden', true],
    ['*', 'a/b', false],
    ['a/*', 'a/.hidden', true],
    ['a/*', 'a/b/c', false],
    ['*/b', 'a/b', true],
    ['**', 'a/b', false],
    ['**/b', 'x/a/b', false],
    ['foo-?.tgz', 'foo-1.tgz', true],
    ['foo-?.tgz', 'foo-.tgz', false],
    ['foo-?.tgz', 'foo-12.tgz', false],
    ['?', '/', false],
    ['?', '😀', true],
    ['*.md', 'README.MD', false],
    ['{a,b}', 'a', false],
    ['{a,b}', '{a,b}', true],
    ['!a', 'b', false],
    ['[ab]', 'a', false],
    ['[ab]', '[ab]', true],
    ['\\*', 'a', false],
    ['\\*', '\\a', true],
    ['+(a)', 'aa', false],
    ['#a', '#a', true],
    ['a', 'a/', false],
    ['a', '/a', false],
    ['*a*b*', 'xxaxxbxx', true],
    ['*a*b', 'xxaxxbx', false],
    ['constructor', 'constructor', true],
  ])('%j on %j: %s', (pattern, path, expected) => {
    expect(matchesPathPattern(pattern, path)).toBe(expected);
  });

  it('does not run away on a hostile pattern', () => {
    expect(matchesPathPattern(`${'*a'.repeat(2000)}b`, 'a'.repeat(5000))).toBe(false);
  });

  it('agrees with the regular expression that says the same', () => {
    const text = fc.string({ unit: fc.constantFrom('a', 'b', '/', '*', '?', '.'), maxLength: 8 });
    fc.assert(
      fc.property(text, text, (pattern, path) => {
        const source = pattern.replace(/[.]/g, '\\.').replace(/\*/g, '[^/]*').replace(/\?/g, '[^/]');
        expect(matchesPathPattern(pattern, path)).toBe(new RegExp(`^${source}$`, 'u').test(path));
      }),
      { numRuns: 1000 },
    );
  });
});

describe('role names', () => {
  it.each([
    ['?', '%3F'],
    ['#', '%23'],
    ['/delegatedrole', '%2Fdelegatedrole'],
    ['../delegatedrole', '..%2Fdelegatedrole'],
    ["it's (a) *!", 'it%27s%20%28a%29%20%2A%21'],
    ['a_b.c-d~e', 'a_b.c-d~e'],
    ['é', '%C3%A9'],
    ['100%', '100%25'],
  ])('%j is written %j', (name, encoded) => {
    expect(encodeRoleName(name)).toBe(encoded);
    expect(decodeRoleName(encoded)).toBe(name);
  });

  it.each(['%2f', '%41', '%', '%ff', '(', 'a/b'])('%j is no spelling of a role', (text) => {
    expect(decodeRoleName(text)).toBeUndefined();
  });

  it('every name has one spelling, which holds no separator', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (name) => {
        expect(decodeRoleName(encodeRoleName(name))).toBe(name);
        expect(encodeRoleName(name)).toMatch(/^[A-Za-z0-9_.~%-]*$/);
      }),
    );
  });

  it('names files as TUF 1.0.34 §6.2 does', () => {
    expect(metadataFileName('timestamp')).toBe('timestamp.json');
    expect(metadataFileName('a/b', 7)).toBe('7.a%2Fb.json');
    expect(targetFilePath('a/b/c.txt', 'ff')).toBe('a/b/ff.c.txt');
    expect(targetFilePath('c.txt', 'ff')).toBe('ff.c.txt');
    expect(targetFilePath('c.txt')).toBe('c.txt');
  });

  it.each(['', '/a', 'a/', 'a//b', '.', '..', 'a/../b', 'a\\b', 'a\0b'])(
    'target path %j is refused',
    (path) => {
      expect(() => assertRelativePath(path)).toThrow(expect.objectContaining({ code: 'content-invalid' }));
    },
  );
});

describe('hash bins', () => {
  it.each([1, 2, 4, 5, 8, 10, 11, 16])('%i bits: each path has one bin, of its hash', (bitLength) => {
    const layout = { bitLength, namePrefix: 'names' };
    const hash = createHash('sha256').update('v1.2.3').digest('hex');
    const leading = BigInt(`0x${hash}`) >> BigInt(256 - bitLength);
    expect(binFor(layout, 'v1.2.3')).toBe(binName(layout, Number(leading)));
    expect(isBin(layout, binFor(layout, 'v1.2.3'))).toBe(true);
  });

  it('names bins as TAP 15 does', () => {
    expect([...binNames({ bitLength: 2, namePrefix: 'b' })]).toEqual(['b-0', 'b-1', 'b-2', 'b-3']);
    expect(binName({ bitLength: 8, namePrefix: 'b' }, 10)).toBe('b-0a');
    expect(binName({ bitLength: 32, namePrefix: 'b' }, 2 ** 32 - 1)).toBe('b-ffffffff');
    expect(binCount({ bitLength: 32, namePrefix: 'b' })).toBe(4294967296);
    expect(binFor({ bitLength: 32, namePrefix: 'b' }, 'x')).toMatch(/^b-[0-9a-f]{8}$/);
  });

  it.each(['b-100', 'b-0A', 'b-a', 'b-00a', 'c-0a', 'b-', 'b', 'b-0x', 'b--1'])('%j is no bin', (name) => {
    expect(isBin({ bitLength: 8, namePrefix: 'b' }, name)).toBe(false);
  });
});

import { describe, expect, it } from 'vitest';
import { mutantsOf, sample } from './mutants.ts';

/** Every source that one change makes of a body, in a function that refuses something. */
function changed(body: string): string[] {
  const before = 'function check(a: number, b: string[]): boolean {\n';
  const source = `${before}${body}\n}`;
  return mutantsOf('x.ts', source).map(({ start, end, replacement }) =>
    (source.slice(0, start) + replacement + source.slice(end)).slice(before.length, -2),
  );
}

describe('mutants', () => {
  it.each<[string, string, readonly string[]]>([
    ['a refusal', "throw new Error('a < b');", [';']],
    ['a condition', 'if (f(a)) return a;', ['if (!(f(a))) return a;', 'if (false) return a;']],
    ['a negated condition', 'if (!f(a)) return a;', ['if (false) return a;', 'if ((f(a))) return a;']],
    ['a boundary', 'return a < 3;', ['return a <= 3;', 'return a >= 3;', 'return a < 4;']],
    ['a comparison', 'return a === b;', ['return a !== b;']],
    ['both of two', 'return f(a) && f(b);', ['return ((f(a)) || (f(b)));']],
    ['an answer', 'return true;', ['return false;']],
    ['some of many', 'return b.some(f);', ['return b.every(f);']],
    ['no method of objects', 'return b.toString();', []],
    ['a check of its own', 'check(a);', [';']],
    [
      'what is not ASCII before',
      "const § = '‖😀'; return a === b;".replace('§', 'c'),
      ["const c = '‖😀'; return a !== b;"],
    ],
    ['nothing in words for people', "throw malformed(a < 3 ? 'few' : 'many');", [';']],
    [
      'nothing in the head of a loop',
      'for (let i = 0; i < 9; i++) f(i === a);',
      ['for (let i = 0; i < 9; i++) ;', 'for (let i = 0; i < 9; i++) f(i !== a);'],
    ],
  ])('of %s', (_, body, expected) => {
    expect(changed(body)).toEqual(expected);
  });

  it('of lists, one element less', () => {
    const source = "const FORBIDDEN: readonly string[] = ['a', 'b'];";
    expect(mutantsOf('x.ts', source).map(({ replacement }) => replacement)).toEqual(["['b']", "['a']"]);
  });

  it('leave types alone, and functions that refuse nothing', () => {
    const source =
      'type T = { a: 1 | 2 };\nfunction f(a: number): number {\n  if (a > 3) return a;\n  return 0;\n}';
    expect(mutantsOf('x.ts', source)).toEqual([]);
  });

  it('say in which line they are, and are chosen alike for one seed', () => {
    const all = mutantsOf('x.ts', 'function f(a: number): boolean {\n  return a > 1 &&\n    a < 9;\n}');
    expect(all.map(({ line }) => line)).toEqual([2, 2, 2, 2, 3, 3, 3]);
    expect(sample(all, 3, 7)).toEqual(sample(all, 3, 7));
    expect(new Set(sample(all, 99, 7))).toEqual(new Set(all));
  });
});

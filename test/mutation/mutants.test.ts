import { describe, expect, it } from 'vitest';
import { mutantsOf, sample } from './mutants.ts';
import { SWITCH, switched } from './switched.ts';

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
    [
      'a comparison of brackets',
      'return (a === b) !== (a);',
      ['return (a === b) === (a);', 'return (a !== b) !== (a);'],
    ],
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

  it('all stand behind switches in one source, and each of them does there what it does alone', () => {
    const source = `const check = (a, b) => {
      if (a < 3 && b.length === 2) throw new Error('few');
      else if (b.every((x) => x > a)) return true;
      return b.some((x) => x === 1) ? a >= 9 : false;
    };`;
    const all = mutantsOf('x.js', source);
    const together = switched(source, new Map(all.entries())) ?? '';
    const inputs = [2, 3, 4, 8, 9, 10].flatMap((a) =>
      [[], [1], [2], [3], [4, 1], [1, 1], [9, 10], [1, 9, 11]].map((b) => [a, b]),
    );
    const behaviour = (text: string, active: number): unknown[] => {
      const check = new Function(SWITCH, `${text} return check;`)((id: number) => id === active);
      return inputs.map((input) => {
        try {
          return check(...input);
        } catch {
          return 'refused';
        }
      });
    };
    expect(all.length).toBeGreaterThan(15);
    expect(behaviour(together, -1)).toEqual(behaviour(source, -1));
    for (const [id, { start, end, replacement }] of all.entries()) {
      const alone = source.slice(0, start) + replacement + source.slice(end);
      expect(behaviour(together, id)).toEqual(behaviour(alone, -1));
      expect(behaviour(together, id)).not.toEqual(behaviour(source, -1));
    }
  });
});

import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { judgeBySwitches } from './judge-by-switches.ts';
import type { Mutant } from './mutants.ts';
import { missingFiles, root } from './rooms.ts';

const file = 'test/mutation/endless/count.ts';
const source = readFileSync(`${root}${file}`, 'utf8');

/** Mutants of both functions: one replacement at each place where the text stands. */
function mutantsOf(text: string, replacement: string): Mutant[] {
  return [source.indexOf(text), source.lastIndexOf(text)].map((start) => {
    const end = start + text.length;
    const line = source.slice(0, start).split('\n').length;
    return {
      file,
      line,
      operator: 'test',
      start,
      end,
      replacement,
      span: { start, end, isStatement: false },
    };
  });
}

it('leaves a test that a mutant keeps from ending, and goes on with the others', {
  timeout: 120_000,
}, async () => {
  const mutants = [
    ...mutantsOf('count < limit', 'true'),
    ...mutantsOf('count < limit', 'count <= limit'),
    ...mutantsOf('count < limit', 'limit > count'),
  ];
  const { fates, asked } = await judgeBySwitches(['test/mutation/endless/count.fixture.ts'], mutants, {
    test: 1000,
    silence: 5000,
  });
  expect(mutants.map((_, id) => fates.get(id))).toEqual([
    'timeout',
    'timeout',
    expect.objectContaining({ isKilled: true }),
    expect.objectContaining({ isKilled: true }),
    undefined,
    undefined,
  ]);
  expect([...asked].sort()).toEqual([0, 1, 2, 3, 4, 5]);
});

it('names only files that are there', () => {
  expect(missingFiles()).toEqual([]);
});

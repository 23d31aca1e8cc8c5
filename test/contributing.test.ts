import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { arrowsInside, biomeConfig, circles, contributing, violations } from './support/import-table.ts';

const read = (name: string): string => readFileSync(new URL(`../${name}`, import.meta.url), 'utf8');

describe('the import table', () => {
  it('is what .biome.jsonc enforces (npx tsx test/support/import-table.ts writes it)', () => {
    expect(JSON.parse(read('.biome.jsonc'))).toEqual(JSON.parse(biomeConfig()));
  });

  it('is what CONTRIBUTING.md shows (npx tsx test/support/import-table.ts writes it)', () => {
    expect(read('CONTRIBUTING.md')).toBe(contributing());
  });

  it('is kept by every import in src, dynamic ones and types included', () => {
    expect(violations()).toEqual([]);
  });

  it('leaves no circle between files of src', () => {
    expect(circles()).toEqual([]);
  });

  it.each([
    [
      'two files',
      [
        ['a', 'b'],
        ['b', 'a'],
      ],
      [['a', 'b']],
    ],
    [
      'three files',
      [
        ['a', 'b'],
        ['b', 'c'],
        ['c', 'a'],
        ['d', 'a'],
      ],
      [['a', 'b', 'c']],
    ],
    [
      'no circle',
      [
        ['a', 'b'],
        ['b', 'c'],
        ['a', 'c'],
      ],
      [],
    ],
  ])('finds a circle of %s', (_, pairs, expected) => {
    const imports = new Map<string, string[]>();
    for (const [from = '', to = ''] of pairs) imports.set(from, [...(imports.get(from) ?? []), to]);
    expect(circles(imports)).toEqual(expected);
  });

  it.each([
    ['trust', 25],
    ['cli', 60],
  ])('has few arrows between the rooms of %s', (around, most) => {
    const arrows = arrowsInside(around);
    expect(arrows.length).toBeGreaterThan(5);
    expect(arrows.length).toBeLessThanOrEqual(most);
  });
});

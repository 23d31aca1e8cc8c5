import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { attempt } from './support/fuzz/attempt.ts';
import { inputFrom, randomFor } from './support/fuzz/mutate.ts';
import { PARSERS } from './support/fuzz/parsers.ts';

/** Inputs that fuzzing found, by parser; `make fuzz` adds to them. */
function keptFor(name: string): readonly Uint8Array[] {
  const folder = new URL(`../testdata/fuzz/${name}/`, import.meta.url);
  return existsSync(folder)
    ? readdirSync(folder).map((file) => new Uint8Array(readFileSync(new URL(file, folder))))
    : [];
}

describe('parsers of what strangers write', () => {
  it.each(PARSERS.map((parser) => [parser.name, parser] as const))('%s', async (name, parser) => {
    expect(parser.seeds.length).toBeGreaterThan(0);
    for (const input of [...keptFor(name), ...parser.seeds, new Uint8Array()]) await attempt(parser, input);
    for (let index = 0; index < 100; index++)
      await attempt(parser, inputFrom(randomFor(1, index), parser.seeds));
  });

  it('have names of their own, and no input is kept for one that is gone', () => {
    const names = PARSERS.map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
    const kept = new URL('../testdata/fuzz/', import.meta.url);
    for (const folder of readdirSync(kept, { withFileTypes: true }))
      if (folder.isDirectory()) expect(names).toContain(folder.name);
  });
});

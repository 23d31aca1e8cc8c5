import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';

const root = new URL('../../', import.meta.url);
const page = await readFile(new URL('docs/parity.md', root), 'utf8');

/** Rows of all tables, without the head. */
const rows = page
  .split(/^## /m)
  .slice(1)
  .flatMap((section) =>
    [...section.matchAll(/^\| (.*?) ?\|$/gm)].slice(1).map(([, row = '']) => row.split(/ \| ?/)),
  );
const SHOWN = /^`([\w/.-]+\.test\.ts)`: '([^|]+)'$/;

describe('docs/parity.md', () => {
  it('says yes, different or no, and a yes names a test', () => {
    expect(rows.length).toBeGreaterThan(50);
    for (const [there, here, test] of rows.filter((row) => row.length === 3)) {
      expect(here, there).toMatch(/^(?:yes|different|no)(?:$|[:;,])/);
      if (here?.startsWith('yes') === true) expect(test, there).toMatch(SHOWN);
      // What is not so has a reason, in words.
      else expect(here?.length, there).toBeGreaterThan(here?.startsWith('no') === true ? 1 : 20);
    }
  });

  it('names only tests that exist', async () => {
    const named = rows
      .map((row) => row.at(-1) ?? '')
      .filter((cell) => cell.startsWith('`') && cell.includes('.test.ts'));
    expect(named.length).toBeGreaterThan(45);
    for (const cell of named) {
      const [, file = '', title = ''] = SHOWN.exec(cell) ?? [];
      expect(await readFile(new URL(`test/${file}`, root), 'utf8'), cell).toContain(title);
    }
  });
});

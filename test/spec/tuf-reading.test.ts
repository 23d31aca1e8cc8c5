import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { stateFileName } from '../../src/state/trusted-directory.ts';
import { matchesPathPattern } from '../../src/tuf/path-pattern.ts';

const page = readFileSync(new URL('../../spec/tuf.md', import.meta.url), 'utf8');

/** Rows of the table whose first heading is given; code spans without their marks. */
function table(heading: string): string[][] {
  const lines = page.split('\n');
  const start = lines.findIndex((line) => line.startsWith(`| ${heading} |`));
  const rows = lines.slice(start + 2, lines.indexOf('', start));
  return rows.map((row) =>
    row
      .slice(2, -2)
      .split(' | ')
      .map((cell) => cell.replace(/^`|`$/g, '')),
  );
}

describe('spec/tuf.md', () => {
  it.each(table('Pattern'))('%j on %j: %s', (pattern, path, matches) => {
    expect(matchesPathPattern(pattern!, path!)).toBe(matches === 'yes');
  });

  it.each(table('Role'))('the trusted state of %j is in %s', (role, file) => {
    expect(stateFileName(role!)).toBe(file);
  });
});

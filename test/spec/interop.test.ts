import { readFile } from 'node:fs/promises';
import { expect, it } from 'vitest';
import { MATRIX, matrixText } from '../interop/matrix.ts';

it('lists in the specification what is tested with stock tools', async () => {
  const page = await readFile(new URL('../../spec/signatures.md', import.meta.url), 'utf8');
  const [, table] = /<!-- from test\/interop\/matrix\.ts -->\n\n([\s\S]*?)\n\n<!-- end -->/.exec(page) ?? [];
  expect(table).toBe(matrixText());
});

it('has each test that it lists', async () => {
  const cells = MATRIX.flatMap(({ ours, theirs }) => [...Object.values(ours), ...Object.values(theirs)]);
  const missing: string[] = [];
  for (const cell of cells) {
    if ('impossible' in cell) continue;
    const text = await readFile(new URL(`../interop/${cell.file}`, import.meta.url), 'utf8');
    if (!text.includes(`'${cell.title}'`)) missing.push(`${cell.file}: ${cell.title}`);
  }
  expect(missing).toEqual([]);
});

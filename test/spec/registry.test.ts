import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { decodeRecord, encodeRecord } from '../../src/servers/registry/store/journal.ts';
import { directoryOf, repositoryAt } from '../../src/servers/registry/store/names.ts';

const page = readFile(new URL('../../spec/registry.md', import.meta.url), 'utf8');

describe('spec/registry.md', () => {
  it('puts repositories into the directories that it says', async () => {
    const rows = [...(await page).matchAll(/^\| `([^`]+)` \| `([^`]+)` \|$/gm)];
    expect(rows.length).toBeGreaterThan(4);
    for (const [, repository = '', directory = ''] of rows) {
      expect(directoryOf(repository)).toBe(directory);
      expect(repositoryAt(directory)).toBe(repository);
    }
  });

  it('has lines of a journal that are read, and written just so', async () => {
    const lines = [...(await page).matchAll(/^[0-9a-f]{8} \{.*\}$/gm)].map(([line]) => line);
    expect(lines.map((line) => decodeRecord(line)?.['op'])).toEqual(['put', 'untag', 'remove']);
    for (const line of lines) expect(encodeRecord(decodeRecord(line) ?? {})).toBe(`${line}\n`);
  });
});

import { readdir, readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';

const directory = new URL('../../spec/decisions/', import.meta.url);
const names = (await readdir(directory)).filter((name) => name.endsWith('.md'));
const records = await Promise.all(
  names.map(async (name) => ({ name, text: await readFile(new URL(name, directory), 'utf8') })),
);

describe('spec/decisions', () => {
  it('has one heading style: a number and a title, then context, decision and consequences', () => {
    expect(records.length).toBeGreaterThan(100);
    for (const { name, text } of records) {
      expect(text, name).toMatch(new RegExp(`^# ${Number(name.slice(0, 4))}\\. [^\\n]{5,100}\\n\\n\\*\\*`));
      const sections = [...text.matchAll(/^\*\*(Status|Context|Decision|Consequences)\.\*\*/gm)].map(
        ([, section]) => section,
      );
      expect(sections[0] === 'Status' ? sections.slice(1) : sections, name).toEqual([
        'Context',
        'Decision',
        'Consequences',
      ]);
    }
  });

  it('numbers each record once', () => {
    expect(new Set(names.map((name) => name.slice(0, 4))).size).toBe(names.length);
  });

  it('has no link to a page that is not there', async () => {
    for (const { name, text } of records)
      for (const [, target = ''] of text.matchAll(/\]\((?!https?:)([^)#]+)/g))
        await expect(readFile(new URL(target, directory)), `${name}: ${target}`).resolves.toBeDefined();
  });
});

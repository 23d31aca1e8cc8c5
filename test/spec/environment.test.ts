import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { environmentName } from '../../src/cli/shell/settings.ts';

const root = new URL('../../', import.meta.url);
const read = (path: string): string => readFileSync(new URL(path, root), 'utf8');

/** What the build puts in, and no variable of an environment. */
const DEFINED = new Set(['BULLA_VERSION']);

const sources = readdirSync(new URL('src/', root), { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.ts'))
  .map((name) => read(`src/${name}`));
const named = sources.flatMap((text) => text.match(/\bBULLA_[A-Z0-9_]*[A-Z0-9]\b/g) ?? []);
/** Settings are looked up by the names of their flags. */
const settings = [...read('src/cli/shell/settings.ts').matchAll(/\b(?:find|flag|text)\('([a-zA-Z]+)'/g)].map(
  ([, name = '']) => environmentName(name),
);
/** A passphrase may be in a file as well. */
const files = [...read('src/cli/shell/passphrase.ts').matchAll(/variable: '(BULLA_\w+)'/g)].map(
  ([, name]) => `${name}_FILE`,
);
const table = [...read('spec/configuration.md').matchAll(/^\| `(BULLA_[A-Z0-9_]+)` \| (.*?) \|/gm)].map(
  ([, name = '', instead = '']) => ({ name, instead }),
);

describe('the table of variables in spec/configuration.md', () => {
  it('has each variable that the code knows, once, and no other', () => {
    expect(settings.length).toBeGreaterThan(15);
    expect(files).toEqual(['BULLA_NEW_PASSPHRASE_FILE', 'BULLA_PASSPHRASE_FILE']);
    const known = new Set([...named, ...settings, ...files].filter((name) => !DEFINED.has(name)));
    expect(table.map(({ name }) => name).sort()).toEqual([...known].sort());
  });

  it('names flags that there are', () => {
    const flags = table.flatMap(({ instead }) => instead.match(/--[a-z-]+/g) ?? []);
    expect(flags.length).toBeGreaterThan(20);
    for (const flag of flags)
      expect(
        sources.some((text) => new RegExp(`${flag}\\b`).test(text)),
        flag,
      ).toBe(true);
  });

  it('has each variable that the other pages name', () => {
    const pages = [
      'README.md',
      'deploy/README.md',
      'deploy/Containerfile',
      'spec/keys.md',
      'spec/resigner.md',
    ];
    for (const folder of ['docs/', 'docs/ci/', 'deploy/kubernetes/', 'deploy/systemd/'])
      pages.push(
        ...readdirSync(new URL(folder, root))
          .filter((name) => /\.\w+$/.test(name))
          .map((name) => `${folder}${name}`),
      );
    const all = new Set(table.map(({ name }) => name));
    for (const page of pages)
      for (const [name] of read(page).matchAll(/\bBULLA_[A-Z0-9_]*[A-Z0-9]\b/g))
        expect(all, `${page}: ${name}`).toContain(name);
  });
});

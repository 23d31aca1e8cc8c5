import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';

interface Override {
  readonly includes: readonly string[];
  readonly linter: {
    readonly rules: {
      readonly style: {
        readonly noRestrictedImports?: {
          readonly options: {
            readonly patterns: readonly { readonly group: readonly string[] }[];
            readonly paths?: Readonly<Record<string, string>>;
          };
        };
      };
    };
  };
}

const read = (name: string): string => readFileSync(new URL(`../${name}`, import.meta.url), 'utf8');

describe('CONTRIBUTING.md', () => {
  const rows = [...read('CONTRIBUTING.md').matchAll(/^\| `([\w-]+)\/` \| (.*) \| (yes|no) \|$/gm)];
  const rooms = rows.map(([, room]) => room ?? '');
  const { overrides } = JSON.parse(read('.biome.jsonc')) as { overrides: readonly Override[] };

  it('shows the import table that .biome.jsonc enforces', () => {
    const enforced = overrides.flatMap(({ includes, linter }) => {
      const room = /^src\/([\w-]+)\/\*\*$/.exec(includes[0] ?? '')?.[1];
      const options = linter.rules.style.noRestrictedImports?.options;
      if (room === undefined || options === undefined) return [];
      const forbidden = options.patterns.flatMap(({ group }) => group.map((glob) => glob.split('/')[1]));
      const may = rooms.filter((other) => other !== room && !forbidden.includes(other));
      const io = options.paths !== undefined && 'node:fs' in options.paths ? 'no' : 'yes';
      return [[room, may.join(', ') || '–', io]];
    });
    expect(enforced.length).toBeGreaterThan(10);
    const shown = rows.map(([, room, may, io]) => [room, may, io]);
    expect(shown).toEqual([...enforced, ['cli', 'everything', 'yes']]);
  });
});

import { readdir, readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { HAS_REFERRERS_API } from '../interop/registries.ts';
import { EMULATED } from '../support/emulators/table.ts';

const root = new URL('../../', import.meta.url);
const NAMES = [
  'distribution 2.8',
  'distribution 3',
  'zot',
  'olareg',
  'ocimem',
  'crane',
  'Pulp',
  'GitLab',
  'Gitea, Forgejo',
  'Harbor',
  'Quay',
  'Artifactory',
  'Nexus',
  'Amazon ECR',
  'Google Artifact Registry',
  'Azure (ACR)',
  'GHCR',
  'Docker Hub',
  'Cloudflare',
];

async function sections(): Promise<readonly string[]> {
  return (await readFile(new URL('docs/registries.md', root), 'utf8')).split(/^## /m);
}

function rowsOf(section: string | undefined): readonly (readonly string[])[] {
  return [...(section ?? '').matchAll(/^\| (.*) \|$/gm)]
    .slice(1)
    .map(([, row = '']) => row.split(/(?<!\\)\| ?/));
}

describe('docs/registries.md', () => {
  it('says of each registry what is known, and of each what keeps trust data alive', async () => {
    const [, , known, retention] = await sections();
    for (const name of NAMES) {
      expect(
        rowsOf(known).filter(([registry]) => registry?.includes(name)),
        name,
      ).toHaveLength(1);
      expect(
        rowsOf(retention).filter(([registry]) => registry?.includes(name)),
        name,
      ).toHaveLength(1);
    }
    for (const [registry, state] of rowsOf(known))
      expect(state, registry).toMatch(/^(?:tested|unknown|emulated(?: \(.*\))?) $/);
  });

  it('calls tested what runs in make interop, and nothing else', async () => {
    const [, , known] = await sections();
    const tested = rowsOf(known).filter(([, state]) => state === 'tested ');
    const rows = new Map([
      ['docker-registry', 'distribution 2.8'],
      ['registry3', 'distribution 3'],
      ['registry3-s3', 'distribution 3'],
      ['olareg', 'olareg'],
      ['crane', 'crane'],
      ['ocimem', 'ocimem'],
      ['embedded', "bulla's own"],
    ]);
    expect([...rows.keys()].sort()).toEqual(Object.keys(HAS_REFERRERS_API).sort());
    const api = (row: string): boolean | undefined =>
      tested.find(([registry]) => registry?.startsWith(row))?.[2]?.startsWith('API');
    for (const [kind, row] of rows)
      expect(api(row), kind).toBe(new Map(Object.entries(HAS_REFERRERS_API)).get(kind));
    expect(tested).toHaveLength(new Set(rows.values()).size);
  });

  it('calls emulated what there is an emulator of, and nothing else', async () => {
    const [, , known] = await sections();
    const emulated = rowsOf(known).filter(([, state]) => state?.startsWith('emulated '));
    const names = Object.values(EMULATED).map(({ row }) => row);
    expect(emulated.map(([registry]) => registry?.trim()).sort()).toEqual(names.sort());
    for (const [registry, state] of emulated) expect(state, registry).toMatch(/^emulated \(.{5,}\) $/);
    const files = (await readdir(new URL('test/support/emulators', root))).filter(
      (file) => !['proxy.ts', 'table.ts'].includes(file),
    );
    expect(files).toHaveLength(names.length);
    for (const file of files) {
      const text = await readFile(new URL(`test/support/emulators/${file}`, root), 'utf8');
      expect(text, file).toMatch(/ \* .*(?:\w+\/\w+|#\d+|docs?\.\w+)/);
    }
  });

  it('is found from the README', async () => {
    expect(await readFile(new URL('README.md', root), 'utf8')).toContain('](docs/registries.md)');
  });
});

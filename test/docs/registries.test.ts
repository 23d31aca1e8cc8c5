import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { HAS_REFERRERS_API } from '../interop/registries.ts';

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
    const api = (name: string): boolean | undefined =>
      tested.find(([registry]) => registry?.includes(name))?.[2]?.startsWith('API');
    const rows = new Map([
      ['docker-registry', 'docker-registry'],
      ['registry3', 'distribution 3'],
      ['olareg', 'olareg'],
      ['embedded', "bulla's own"],
    ]);
    for (const [kind, row] of rows)
      expect(api(row), kind).toBe(new Map(Object.entries(HAS_REFERRERS_API)).get(kind));
    expect(tested.length).toBeLessThanOrEqual(Object.keys(HAS_REFERRERS_API).length);
  });

  it('is found from the README', async () => {
    expect(await readFile(new URL('README.md', root), 'utf8')).toContain('](docs/registries.md)');
  });
});

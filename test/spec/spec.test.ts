import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { parseConfigFile } from '../../src/cli/shell/config-schema.ts';
import { EXIT_CODES } from '../../src/errors.ts';
import { parseReference } from '../../src/oci/reference.ts';

const page = async (name: string) => readFile(new URL(`../../spec/${name}`, import.meta.url), 'utf8');
const rows = (text: string) =>
  text
    .split('\n')
    .filter((line) => line.startsWith('| '))
    .map((line) =>
      line
        .slice(1, -1)
        .split('|')
        .map((cell) => cell.trim().replaceAll('`', '')),
    );

describe('spec/outcomes.md', () => {
  it('lists every code with its exit status, and no other', async () => {
    const listed = rows(await page('outcomes.md'))
      .slice(2)
      .map(([exit, code]) => [code, Number(exit)]);
    expect(Object.fromEntries(listed)).toEqual(EXIT_CODES);
  });
});

describe('spec/references.md', () => {
  it('reads its examples as it says', async () => {
    const examples = rows(await page('references.md')).slice(1);
    expect(examples.length).toBeGreaterThan(5);
    for (const [text = '', host, path, tag] of examples) {
      const reference = parseReference(text);
      const found =
        reference.kind === 'registry' ? [reference.registry, reference.repository] : ['', reference.path];
      expect([...found, reference.tag ?? '']).toEqual([host, path, tag]);
    }
  });
});

describe('spec/configuration.md', () => {
  it('has an example that is accepted', async () => {
    const example = /```yaml\n([\s\S]*?)```/.exec(await page('configuration.md'))?.[1] ?? '';
    const config = await parseConfigFile(example, 'config.yaml');
    expect(config.settings.get('key')).toBe('release');
    expect(config.registries.get('registry.example.com:5000')).toEqual({ plainHttp: true });
  });
});

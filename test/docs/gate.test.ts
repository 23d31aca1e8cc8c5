import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { parse, parseAllDocuments } from 'yaml';
import { parseImage, withoutAsking } from '../../src/actions/gate/verdict.ts';
import { parsePolicy } from '../../src/policy/file/parse.ts';
import { policyOf } from '../../src/policy/file/policy.ts';
import { bulla } from '../support/cli.ts';

const root = new URL('../../', import.meta.url);
const read = (path: string): Promise<string> => readFile(new URL(path, root), 'utf8');
const [gate, kubernetes] = await Promise.all([read('docs/gate.md'), read('docs/kubernetes.md')]);
const blocks = (page: string, kind: string): string[] =>
  [...page.matchAll(new RegExp(`^\`\`\`${kind}\\n([\\s\\S]*?)^\`\`\``, 'gm'))].map(([, text = '']) => text);

/** Policies that are shipped or shown, whole or in part. */
async function policies(): Promise<readonly (readonly [string, string])[]> {
  const shipped = async (path: string): Promise<string> => {
    const documents = parseAllDocuments(await read(path)).map((one) => one.toJS());
    return documents.find(({ kind }) => kind === 'ConfigMap').data['policy.yaml'];
  };
  const values = parse(await read('deploy/helm/bulla-gate/values.yaml'));
  const shown = [...blocks(gate, 'yaml'), ...blocks(kubernetes, 'yaml')].filter((text) =>
    text.includes('rules:'),
  );
  return [
    ['kustomize', await shipped('deploy/kustomize/gate/policy.yaml')],
    ['nodes', await shipped('deploy/kubernetes/node-hook.yaml')],
    ['Helm', values.policy.files['policy.yaml']],
    ...shown.map((text, at) => [`shown ${at + 1}`, text] as const),
  ];
}

/** What a policy says of an image that no rule but the last is about; undefined if a registry must be asked. */
async function saysOf(policy: string, image: string): Promise<string | undefined> {
  const material = {
    keys: async () => [{}],
    certificates: async () => [],
    trustedRoot: async () => undefined,
  };
  const verdict = withoutAsking(
    parseImage(image),
    await policyOf(parsePolicy(policy, 'policy.yaml'), material as never),
  );
  if (verdict === undefined) return undefined;
  return verdict.outcome === 'refused' && verdict.mode === 'audit' ? 'audited' : verdict.outcome;
}

describe('policies that are shipped with the gate, or shown', () => {
  it('are valid', async () => {
    const all = await policies();
    expect(all.length).toBeGreaterThan(4);
    for (const [name, text] of all) expect(parsePolicy(text, name).rules.length, name).toBeGreaterThan(0);
  });

  it('block nothing before the user has changed them, where they are shipped', async () => {
    const shipped = (await policies()).filter(([name]) => !name.startsWith('shown'));
    expect(shipped).toHaveLength(3);
    for (const [name, text] of shipped) {
      expect(await saysOf(text, 'registry.k8s.io/pause:3'), name).toBe('allowed');
      for (const image of ['nginx', 'r.example/app:1', `r.example/app@sha256:${'a'.repeat(64)}`])
        expect(await saysOf(text, image), name).toBe('audited');
    }
  });
});

describe('docs/gate.md', () => {
  it('names commands and flags that there are', async () => {
    const lines = [...gate.matchAll(/(?:^\$ |`)(bulla [^`\n]+)/gm)].map(([, line = '']) =>
      line.split(' ').slice(1),
    );
    expect(lines.length).toBeGreaterThan(5);
    for (const words of lines) {
      const end = words.findIndex((word) => /^[-A-Z]|[./*]/.test(word));
      const command = end === -1 ? words : words.slice(0, end);
      const named = command.filter((word) => /^[a-z]+$/.test(word)).slice(0, 2);
      const { stdout, code } = await bulla([...named, '--help']);
      expect(code, words.join(' ')).toBe(0);
      for (const flag of words.filter((word) => word.startsWith('--'))) expect(stdout).toContain(flag);
    }
  });

  it('names values of the chart that there are', async () => {
    const values = parse(await read('deploy/helm/bulla-gate/values.yaml'));
    const named = [
      ...[...gate.matchAll(/--set(?:-file)? '?([A-Za-z]+(?:\.[A-Za-z]+)?)/g)].map(([, name = '']) => name),
      ...[...gate.matchAll(/`([a-z][A-Za-z]+(?:\.[a-z][A-Za-z]+)?)`/g)]
        .map(([, name = '']) => name)
        .filter((name) => name in values || Object.keys(values).includes(name.split('.')[0] ?? '')),
    ];
    expect(named.length).toBeGreaterThan(12);
    for (const name of named) {
      const value = name
        .split('.')
        .reduce((of: unknown, member) => (of as Record<string, unknown>)?.[member], values);
      expect(value, name).not.toBe(undefined);
    }
  });

  it('has an overlay for kustomize that changes what there is', async () => {
    const overlay = blocks(gate, 'yaml')
      .map((text) => parse(text))
      .find((one) => one.resources !== undefined);
    const [, path = ''] = /[^:]\/\/(.*)\?/.exec(overlay.resources[0]) ?? [];
    const base = parse(await read(`${path}/kustomization.yaml`));
    expect(base.resources).toContain('policy.yaml');
    expect(await read(`${path}/gate.yaml`)).toContain(`image: ${overlay.images[0].name}@`);
    expect(await read(`${path}/policy.yaml`)).toContain('name: bulla-gate-policy');
  });

  it('has no link to a page or a heading that is missing', async () => {
    for (const [page, text] of [
      ['gate', gate],
      ['kubernetes', kubernetes],
      ...(await Promise.all(
        ['gate-blocks', 'scale', 'parity', 'nodes'].map(async (name) => [
          name,
          await read(`docs/${name}.md`),
        ]),
      )),
    ] as [string, string][])
      for (const [, target = '', heading] of text.matchAll(/\]\((?!https?:)([^)#]*)(?:#([^)]+))?\)/g)) {
        const url =
          target === '' ? new URL(`docs/${page}.md`, root) : new URL(target, new URL('docs/', root));
        if (/\.(?:md|yaml|json)$/.test(url.pathname)) {
          const found = await readFile(url, 'utf8');
          const headings = [...found.matchAll(/^#+ (.*)$/gm)].map(([, line = '']) =>
            line
              .toLowerCase()
              .replace(/[^a-z0-9 -]/g, '')
              .replaceAll(' ', '-'),
          );
          if (heading !== undefined) expect(headings, `${page}: ${target}`).toContain(heading);
        }
      }
  });
});

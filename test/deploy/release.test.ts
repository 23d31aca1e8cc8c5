import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { bulla } from '../support/cli.ts';

const read = (path: string): string => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8');
const WORKFLOWS = ['.github/workflows/release.yml'];

interface Step {
  readonly uses?: string;
  readonly run?: string;
}
interface Workflow {
  readonly permissions: object;
  readonly jobs: Readonly<
    Record<string, { readonly permissions: Record<string, string>; readonly steps: Step[] }>
  >;
}

describe.each(WORKFLOWS)('%s', (path) => {
  const text = read(path);
  const workflow = parse(text) as Workflow;

  it('uses actions by their commits only, and says which versions these are', () => {
    const uses = [...text.matchAll(/uses: (.*)$/gm)].map(([, used]) => used);
    expect(uses.length).toBeGreaterThan(0);
    for (const used of uses) expect(used).toMatch(/^[\w.-]+\/[\w.-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$/);
  });

  it('grants nothing to all jobs, and writing to the one that releases', () => {
    expect(workflow.permissions).toEqual({});
    expect(
      Object.fromEntries(Object.entries(workflow.jobs).map(([name, job]) => [name, job.permissions])),
    ).toEqual({
      test: { contents: 'read' },
      release: { contents: 'write', packages: 'write', 'id-token': 'write' },
    });
  });

  it('runs nothing that an event or an input could have written', () => {
    for (const { steps } of Object.values(workflow.jobs))
      for (const { run } of steps) expect(run ?? '').not.toContain('${{');
  });
});

describe('action.yml', () => {
  const action = parse(read('action.yml')) as {
    readonly inputs: Readonly<Record<string, { readonly required?: boolean; readonly description: string }>>;
    readonly runs: {
      readonly steps: readonly { readonly run: string; readonly env: Record<string, string> }[];
    };
  };

  it('cannot be used without a checksum, and runs nothing that an input could have written', () => {
    expect(action.inputs['sha256']?.required).toBe(true);
    for (const { run } of action.runs.steps) {
      expect(run).not.toContain('${{');
      expect(run).toMatch(/^set -euo pipefail$/m);
    }
  });

  it('reads inputs that it has, and runs commands with flags that there are', async () => {
    const text = read('action.yml');
    for (const [, name = ''] of text.matchAll(/inputs\.([a-z0-9-]+)/g))
      expect(action.inputs).toHaveProperty(name);
    const commands = [...text.matchAll(/bulla (verify|sign) (--[a-z]+)/g)];
    expect(commands).toHaveLength(2);
    for (const [, command = '', flag] of commands)
      expect((await bulla([command, '--help'])).stdout).toContain(flag);
  });
});

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { bulla, temporaryDirectory } from '../support/cli.ts';
import { assembleImage } from '../support/release/image.ts';
import type { RootEntry } from '../support/release/root-files.ts';
import { billOfMaterials } from '../support/release/sbom.ts';

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

describe('an image that is assembled', () => {
  const file = (path: string, text = path): RootEntry => ({ path, bytes: Buffer.from(text), mode: 0o644 });
  const entries = [
    file('usr/bin/b'),
    file('usr/bin/a'),
    { path: 'lib', link: 'usr/lib' },
    { path: 'tmp', mode: 0o1777 },
  ];
  const labels = { version: '1.0.0', sourceDate: 1_700_000_000, revision: 'c0ffee' };
  const digest = async (layer: readonly RootEntry[], own = labels, architecture = 'amd64'): Promise<string> =>
    await assembleImage(join(await temporaryDirectory(), 'image'), [layer], own, architecture);

  it('is the same whatever the order of its files and the zone, and another one for anything that it says', async () => {
    const made = await digest(entries);
    const zone = process.env['TZ'];
    process.env['TZ'] = 'Pacific/Kiritimati';
    expect(await digest([...entries].reverse())).toBe(made);
    if (zone === undefined) delete process.env['TZ'];
    else process.env['TZ'] = zone;
    const others = [
      digest([...entries, file('etc/passwd')]),
      digest([...entries.slice(1), file('usr/bin/b', 'other')]),
      digest([...entries.slice(1), { path: 'usr/bin/b', bytes: Buffer.from('usr/bin/b'), mode: 0o755 }]),
      digest(entries, { ...labels, sourceDate: 1_700_000_001 }),
      digest(entries, { ...labels, version: '1.0.1' }),
      digest(entries, { ...labels, revision: 'decaf' }),
      digest(entries, labels, 'arm64'),
    ];
    expect(new Set([made, ...(await Promise.all(others))]).size).toBe(others.length + 1);
  });
});

describe('a bill of materials', () => {
  const lock = {
    packages: {
      '': { version: '1.0.0', license: 'Apache-2.0' },
      'node_modules/@scope/a': { version: '1.2.3', license: 'MIT', integrity: `sha512-${'A'.repeat(86)}==` },
      'node_modules/b': { version: '2.0.0' },
      'node_modules/b/node_modules/c': { version: '3.0.0' },
      'node_modules/d/node_modules/c': { version: '3.0.0' },
      'node_modules/c': { version: '4.0.0' },
      'node_modules/tool': { version: '9.9.9', dev: true },
    },
  };
  const debian = [
    { name: 'libstdc++6', version: '12.2.0-14+deb12u1', architecture: 'amd64', distribution: 'debian' },
  ];
  const contents = { node: process.execPath, debian };
  const labels = { version: '1.0.0', sourceDate: 1_700_000_000 };
  interface Package {
    readonly SPDXID: string;
    readonly externalRefs: readonly [{ readonly referenceLocator: string }];
    readonly checksums?: readonly object[];
  }

  it('has each package once, with its purl, and none that is only for development', () => {
    const bill = JSON.parse(billOfMaterials(lock, contents, labels)) as { packages: Package[] };
    const purls = bill.packages.map(({ externalRefs }) => externalRefs[0].referenceLocator);
    expect(purls.filter((purl) => !purl.startsWith('pkg:generic/'))).toEqual([
      ...[
        'pkg:npm/bulla@1.0.0',
        'pkg:npm/%40scope/a@1.2.3',
        'pkg:npm/b@2.0.0',
        'pkg:npm/c@3.0.0',
        'pkg:npm/c@4.0.0',
      ],
      'pkg:deb/debian/libstdc%2B%2B6@12.2.0-14%2Bdeb12u1?arch=amd64',
    ]);
    expect(purls).toContain(`pkg:generic/node@${process.versions.node}`);
    expect(new Set(bill.packages.map(({ SPDXID }) => SPDXID)).size).toBe(purls.length);
    expect(bill.packages[1]?.checksums).toEqual([{ algorithm: 'SHA512', checksumValue: '0'.repeat(128) }]);
  });

  it('is the same for the same contents, and has another namespace for others', () => {
    const made = billOfMaterials(lock, contents, labels);
    expect(billOfMaterials(lock, contents, labels)).toBe(made);
    const namespace = (text: string): string =>
      (JSON.parse(text) as { documentNamespace: string }).documentNamespace;
    expect(namespace(billOfMaterials(lock, { ...contents, debian: [] }, labels))).not.toBe(namespace(made));
  });
});

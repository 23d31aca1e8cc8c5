import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { examples, functionsOfReferences } from '../support/examples.ts';
import { compile, packedProject, runExample } from '../support/packed-project.ts';

// By the Node at hand; test/interop/node-versions.test.ts has the others.
describe('the library, installed from the packed package', () => {
  let project: string;

  beforeAll(async () => {
    project = await packedProject();
  });

  afterAll(() => rm(project, { recursive: true }));

  it('compiles in a strict project', async () => {
    expect(await compile(project)).toBe('');
    expect(await readdir(join(project, 'out'))).toContain('every-path.js');
  });

  it('has an example of each function that takes a reference', () => {
    const shown = examples().map(({ of }) => of);
    expect(functionsOfReferences()).toEqual(
      expect.arrayContaining([
        'copy',
        'copyAll',
        'init',
        'pull',
        'push',
        'resign',
        'revoke',
        'sign',
        'status',
        'verify',
      ]),
    );
    expect(functionsOfReferences().filter((name) => !shown.includes(name))).toEqual([]);
  });

  it.each(examples())('runs the example of $of', async ({ of, source }) => {
    expect(source).toContain('registry.example.com');
    const { stdout, stderr } = await runExample(project, of, process.execPath);
    expect(stderr).toBe('');
    expect(stdout).not.toBe('');
  });
});

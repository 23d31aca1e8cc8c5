import { access, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { type CliOptions, type CliResult, bulla as run, temporaryDirectory } from '../support/cli.ts';
import { pushImage } from '../support/content.ts';
import { storePlainKeys } from '../support/plain-keys.ts';
import { registryFor, repositoryOf } from '../support/registry/open.ts';
import type { FaultyRegistry } from '../support/registry/server.ts';

let home: string;
let registry: FaultyRegistry;
beforeEach(async () => {
  home = await temporaryDirectory();
  await storePlainKeys(home, 'publisher');
  registry = await registryFor();
  for (const name of ['team/app', 'team/web', 'other/app'])
    for (const tag of ['v1', 'v2']) await pushImage(repositoryOf(registry, {}, name), `${name} ${tag}`, tag);
});

const bulla = (line: string, options: CliOptions = {}): Promise<CliResult> =>
  run(line.replaceAll('HOST', registry.host).split(' '), {
    cwd: home,
    env: { BULLA_HOME: home, BULLA_PASSPHRASE: 'x' },
    ...options,
  });

const lines = (text: string): readonly string[] => text.split('\n').filter((line) => line !== '');
const objects = ({ stdout }: CliResult): readonly Record<string, unknown>[] =>
  lines(stdout).map((line) => JSON.parse(line) as Record<string, unknown>);

async function tagsOf(name: string): Promise<readonly string[]> {
  return await repositoryOf(registry, {}, name).listTags();
}

describe('copying several images', () => {
  it('brings them to one repository, where they keep their tags', async () => {
    const { code, stdout, stderr } = await bulla('copy HOST/team/app:v1 HOST/team/app:v2 HOST/mirror/app');
    expect(code, stderr).toBe(0);
    expect(lines(stdout)).toEqual([
      expect.stringMatching(/\/mirror\/app@sha256:/),
      expect.stringMatching(/\/mirror\/app@sha256:/),
    ]);
    expect(await tagsOf('mirror/app')).toEqual(['v1', 'v2']);
    expect(stderr).toContain('2 of 2 copied');
  });

  it('brings them below a prefix, where they keep the last part of their names', async () => {
    await writeFile(join(home, 'list'), `${registry.host}/team/web:v1\n# no more\n`);
    const { code, stderr } = await bulla('copy HOST/team/app:v1 --from list HOST/mirror/');
    expect(code, stderr).toBe(0);
    expect([await tagsOf('mirror/app'), await tagsOf('mirror/web')]).toEqual([['v1'], ['v1']]);
  });

  it('goes on after a failure, and names what failed', async () => {
    const result = await bulla(
      'copy HOST/team/app:v1 HOST/team/app:gone HOST/team/app:v2 HOST/mirror -o json',
    );
    expect(result.code).toBe(11);
    const [first, second, third, last] = objects(result);
    expect(first).toMatchObject({ ok: true, given: `${registry.host}/team/app:v1`, tag: 'v1' });
    expect(second).toMatchObject({ ok: false, given: `${registry.host}/team/app:gone`, code: 'not-found' });
    expect(third).toMatchObject({ ok: true, tag: 'v2' });
    expect(last).toMatchObject({ ok: false, code: 'not-found', details: { total: 3, done: 2, failed: 1 } });
    expect(await tagsOf('mirror')).toEqual(['v1', 'v2']);
  });

  it.each([
    ['two images that would become one', 'HOST/team/app:v1 HOST/team/web:v1 HOST/mirror'],
    ['two of the same name below a prefix', 'HOST/team/app:v1 HOST/other/app:v1 HOST/mirror/'],
    ['a tag for all', 'HOST/team/app:v1 HOST/team/app:v2 HOST/mirror:v3'],
    ['a digest for all', `HOST/team/app:v1 HOST/team/app:v2 HOST/mirror@sha256:${'0'.repeat(64)}`],
    ['tags of a repository beside', '--all-tags HOST/team/app:v1 HOST/team/app:v2 HOST/mirror'],
    ['a source alone', 'HOST/team/app:v1'],
  ])('refuses %s, and writes nothing', async (_, words) => {
    registry.forget();
    expect(await bulla(`copy ${words}`)).toMatchObject({ code: 2, stdout: '' });
    expect(registry.requests().filter((request) => !/^(GET|HEAD) /.test(request))).toEqual([]);
  });

  it('writes an archive of several as a whole, or not at all', async () => {
    const made = await bulla('copy HOST/team/app:v1 HOST/team/app:v2 oci-archive:all.tar');
    expect(made.code, made.stderr).toBe(0);
    expect(lines(made.stdout)).toHaveLength(2);
    expect((await bulla('inspect oci-archive:all.tar:v1 oci-archive:all.tar:v2')).code).toBe(0);
    const failed = await bulla('copy HOST/team/app:v1 HOST/team/app:gone oci-archive:half.tar');
    expect(failed).toMatchObject({ code: 11, stdout: '' });
    await expect(access(join(home, 'half.tar'))).rejects.toThrow();
  });

  it('says what is there where it is interrupted', async () => {
    const ending = new AbortController();
    const result = await bulla('copy HOST/team/app:v1 HOST/team/app:v2 HOST/mirror -o json --concurrency 1', {
      signal: ending.signal,
      onStdout: () => ending.abort(),
    });
    expect(result.code).toBe(130);
    expect(objects(result).at(-1)).toMatchObject({ code: 'interrupted', details: { done: 1, left: 1 } });
    expect(await tagsOf('mirror')).toEqual(['v1']);
  });
});

describe('pulling several images', () => {
  beforeEach(async () => {
    for (const name of ['team/app', 'team/web'])
      expect(await bulla(`sign HOST/${name}:v1`)).toMatchObject({ code: 0 });
  });

  it('brings each to a layout of its name', async () => {
    const { code, stdout, stderr } = await bulla('pull HOST/team/app:v1 HOST/team/web:v1');
    expect(code, stderr).toBe(0);
    expect(lines(stdout)).toEqual([
      expect.stringMatching(/^oci:app@sha256:/),
      expect.stringMatching(/^oci:web@sha256:/),
    ]);
  });

  it('brings nothing that does not verify, and the others', async () => {
    const { code, stdout, stderr } = await bulla('pull HOST/team/app:v1 HOST/team/app:v2 oci:here');
    expect(code, stderr).toBe(10);
    expect(lines(stdout)).toHaveLength(1);
    expect((await bulla('inspect oci:here:v2')).code).toBe(11);
  });

  it('refuses two that would become one', async () => {
    expect(await bulla('pull HOST/team/app:v1 HOST/team/web:v1 oci:here')).toMatchObject({ code: 2 });
    expect(await bulla('pull HOST/team/app:v1 HOST/other/app:v1')).toMatchObject({ code: 2 });
  });

  it('takes a list, and a destination beside it', async () => {
    const stdin = `${registry.host}/team/app:v1\n`;
    const { code, stdout, stderr } = await bulla('pull --from - oci:here', { stdin });
    expect(code, stderr).toBe(0);
    expect(lines(stdout)).toEqual([expect.stringMatching(/^oci:here@sha256:/)]);
  });
});

describe('looking at several images', () => {
  it.each(['inspect', 'tree'])('prints what %s says of each, and goes on', async (command) => {
    const text = await bulla(`${command} HOST/team/app:v1 HOST/team/app:gone HOST/team/web:v1`);
    expect(text.code).toBe(11);
    expect(text.stdout).toContain(`${registry.host}/team/web@sha256:`);
    expect(text.stderr).toContain('2 of 3 shown, 1 failed');
    const json = objects(
      await bulla(`${command} HOST/team/app:v1 HOST/team/app:gone HOST/team/web:v1 -o json`),
    );
    expect(json.map(({ ok }) => ok)).toEqual([true, false, true, false]);
    expect(json.map(({ given }) => given).slice(0, 3)).toEqual(
      ['app:v1', 'app:gone', 'web:v1'].map((name) => `${registry.host}/team/${name}`),
    );
  });

  it.each(['inspect', 'tree'])('prints one as before: %s', async (command) => {
    const { stdout, code } = await bulla(`${command} HOST/team/app:v1 -o json`);
    expect(code).toBe(0);
    expect(stdout).toContain('\n  "reference"');
    expect(await bulla(command)).toMatchObject({ code: 2, stdout: '' });
  });
});

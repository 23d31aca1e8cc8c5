import { describe, expect, it, onTestFinished } from 'vitest';
import type { Target } from '../../src/oci/target.ts';
import { openRepository } from '../../src/registry/client.ts';
import { bulla, temporaryDirectory } from '../support/cli.ts';
import { pushImage, pushReferrer } from '../support/content.ts';
import { type FaultyRegistry, type RegistryOptions, startRegistry } from '../support/registry/server.ts';

async function registry(options: RegistryOptions = {}): Promise<FaultyRegistry> {
  const server = await startRegistry(options);
  onTestFinished(() => server.close());
  return server;
}

async function repository({ host }: FaultyRegistry, tags: readonly string[]): Promise<Target> {
  const target = openRepository({ registry: host, repository: 'team/app' }, { settleMs: 5 });
  onTestFinished(() => target.close());
  for (const tag of tags) {
    const image = await pushImage(target, tag, tag);
    await pushReferrer(target, image.descriptor, `signature of ${tag}`);
  }
  return target;
}

const lines = (stdout: string): Record<string, unknown>[] =>
  stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);

describe('bulla copy --all-tags', () => {
  it('prints a line for each tag and one about all, to people and to programs', async () => {
    const [from, to] = [await registry(), await registry()];
    const source = await repository(from, ['v1.0.0', 'v1.1.0', 'v2.0.0', 'latest']);
    const argv = ['copy', '--all-tags', `${from.host}/team/app`, `${to.host}/mirror`];
    const first = await bulla([...argv, '--tags', 'v1.*']);
    expect(first, first.stderr).toMatchObject({ code: 0 });
    const { digest } = await source.resolve('v1.0.0' as never);
    expect(first.stdout.split('\n')).toContain(`${to.host}/mirror:v1.0.0@${digest}`);
    expect(first.stderr).toMatch(/2 tags: 2 copied \(.* sent\), 0 there already\n/);
    const again = lines((await bulla([...argv, '-o', 'json'])).stdout);
    expect(again).toHaveLength(5);
    expect(again.map(({ ok, tag, outcome }) => [ok, tag, outcome])).toEqual(
      expect.arrayContaining([
        [true, 'v1.0.0', 'present'],
        [true, 'latest', 'copied'],
        [true, undefined, undefined],
      ]),
    );
    expect(again.at(-1)).toMatchObject({
      details: { total: 4, copied: 2, present: 2, failed: 0, dryRun: false },
    });
  });

  it('goes on where one tag is refused, names it, and does not exit 0', async () => {
    const [from, to] = [await registry(), await registry({ immutableTags: /^v1$/ })];
    await repository(from, ['v1', 'v2']);
    await pushImage(await repository(to, []), 'other', 'v1');
    const argv = ['copy', '--all-tags', `${from.host}/team/app`, `${to.host}/team/app`];
    const text = await bulla(argv);
    expect(text).toMatchObject({ code: 30 });
    expect(text.stdout).toMatch(/^[^\n]*:v2@sha256:[0-9a-f]{64}\n$/);
    expect(text.stderr).toContain(`failed: ${to.host}/team/app:v1`);
    const json = await bulla([...argv, '-o', 'json']);
    expect(json.code).toBe(30);
    expect(lines(json.stdout)).toEqual([
      expect.objectContaining({ ok: false, code: 'conflict', reference: `${to.host}/team/app:v1` }),
      expect.objectContaining({ ok: true, tag: 'v2', outcome: 'present' }),
      expect.objectContaining({
        ok: false,
        code: 'conflict',
        details: expect.objectContaining({ total: 2, failed: 1 }),
      }),
    ]);
  });

  it('removes what was not selected when a person agrees, and asks before anything is copied if nobody can', async () => {
    const [from, to] = [await registry(), await registry()];
    await repository(from, ['v1']);
    const destination = await repository(to, ['v0']);
    const argv = ['copy', '--all-tags', '--prune', `${from.host}/team/app`, `${to.host}/team/app`];
    expect(await bulla(argv)).toMatchObject({ code: 2 });
    expect(await destination.listTags()).not.toContain('v1');
    const dry = await bulla([...argv, '--dry-run']);
    expect(dry, dry.stderr).toMatchObject({ code: 0 });
    expect(dry.stderr).toContain('Would remove');
    const no = await bulla(argv, { typed: true, stdin: 'n\n' });
    expect(no, no.stderr).toMatchObject({ code: 0 });
    expect(await destination.listTags()).toEqual(expect.arrayContaining(['v0', 'v1']));
    const yes = await bulla(argv, { typed: true, stdin: 'y\n' });
    expect(yes.stderr).toMatch(/ {2}v0\n/);
    expect(await destination.listTags()).not.toContain('v0');
    await repository(to, ['v0']);
    expect((await bulla([...argv, '--yes', '-o', 'json'])).stdout).toContain('"removed":["v0"]');
  });

  it('shows how far it is on a terminal, all images and each', async () => {
    const [from, to] = [await registry(), await registry()];
    await repository(from, ['v1', 'v2', 'v3']);
    const shown = await bulla(['copy', '--all-tags', `${from.host}/team/app`, `${to.host}/team/app`], {
      tty: true,
    });
    expect(shown.code).toBe(0);
    expect(shown.stderr).toMatch(/of 3 done/);
    expect(shown.stderr).toMatch(/v1 +[━─]{20}/);
  });

  it('copies to a layout and to an archive, and back', async () => {
    const [from, to] = [await registry(), await registry()];
    const source = await repository(from, ['v1', 'v2']);
    const cwd = await temporaryDirectory();
    const places = [`${from.host}/team/app`, 'oci:layout', 'oci-archive:all.tar', `${to.host}/team/app`];
    for (const [at, place] of places.slice(1).entries()) {
      const copied = await bulla(['copy', '--all-tags', places[at] as string, place], { cwd });
      expect(copied, copied.stderr).toMatchObject({ code: 0 });
    }
    const destination = await repository(to, []);
    for (const tag of ['v1', 'v2'] as never[]) {
      const { digest } = await source.resolve(tag);
      expect((await destination.resolve(tag)).digest).toBe(digest);
      expect(await destination.listReferrers(digest)).toHaveLength(1);
    }
  });

  it.each([
    ['a tag', ['--all-tags', 'HOST/team/app:v1', 'HOST/other']],
    ['one repository', ['--all-tags', 'HOST/team/app', 'HOST/team/app']],
    ['a selection of one image', ['--newest', '3', 'HOST/team/app:v1', 'HOST/other:v1']],
    ['pruning for one image', ['--prune', 'HOST/team/app:v1', 'HOST/other:v1']],
    ['a name to be signed', ['--all-tags', '--as', 'HOST/team/app', 'HOST/other']],
    ['a pattern that is none', ['--all-tags', '--tags', '^v1$', 'HOST/team/app', 'HOST/other']],
  ])('refuses %s', async (_, argv) => {
    const { host } = await registry();
    expect(await bulla(['copy', ...argv.map((word) => word.replace('HOST', host))])).toMatchObject({
      code: 2,
    });
  });
});

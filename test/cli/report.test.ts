import { mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { pageName } from '../../src/actions/report/page-name.ts';
import { NAMES_ROLE } from '../../src/trust/format/vocabulary.ts';
import { temporaryDirectory } from '../support/cli.ts';
import { changeHead, setting } from '../support/trust/changing.ts';
import { servedCollection } from '../support/trust/served.ts';
import { daysLater } from '../support/tuf/editing.ts';

describe('bulla report', () => {
  it('says that all is well, and what expires first', async () => {
    const { name, run, target } = await servedCollection();
    await changeHead(target, (edit) => edit.apply(NAMES_ROLE, [setting(['v1', 'v2'])]));
    const { stdout, stderr, code } = await run(['report', name, '--tofu', '--check']);
    expect(code, stderr).toBe(0);
    expect(stdout).toMatch(new RegExp(`^✓ ${name}  all is well  (snapshot|timestamp) expires in 14 days\n$`));
    const json = (await run(['report', name, '-o', 'json'])).json();
    expect(json).toMatchObject({
      ok: true,
      collections: [
        { place: name, state: 'fine', trusted: true, attention: [], waiting: [], page: pageName(name) },
      ],
    });
    const [collection] = json['collections'] as {
      names: { name: string; since: string }[];
      changes: { set: unknown[] }[];
    }[];
    expect(collection?.names.map((one) => one.name)).toEqual(['v1', 'v2']);
    expect(collection?.names[0]?.since).toMatch(/^20\d\d-.*Z$/);
    expect(collection?.changes[0]?.set).toHaveLength(2);
  });

  it('writes pages, replaces those of earlier runs, and removes those of collections that are gone', async () => {
    const { name, run, home } = await servedCollection();
    const html = join(home, 'pages');
    const other = await servedCollection();
    expect((await run(['report', name, other.name, '--tofu', '--html', html])).code).toBe(0);
    expect((await readdir(html)).sort()).toEqual(['index.html', pageName(name), pageName(other.name)].sort());
    await writeFile(join(html, 'notes.html'), 'mine');
    await writeFile(join(html, pageName('mine')), 'not a page of a report');
    expect((await run(['report', name, '--html', html])).code).toBe(0);
    expect((await readdir(html)).sort()).toEqual(
      ['index.html', 'notes.html', pageName(name), pageName('mine')].sort(),
    );
    const index = await readFile(join(html, 'index.html'), 'utf8');
    expect(index).toContain(`href="${pageName(name)}"`);
    expect(index).not.toContain(other.name);
    expect(await readFile(join(html, pageName(name)), 'utf8')).toContain('All is well');
  });

  it.each([
    [
      'a page of another author',
      async (path: string) => writeFile(path, '<!doctype html><title>My home page</title>'),
    ],
    ['a link', async (path: string) => symlink('/dev/null', path)],
    ['a directory', async (path: string) => void (await mkdir(path))],
  ])('does not replace %s', async (_, make) => {
    const { name, run, home } = await servedCollection();
    const html = join(home, 'pages');
    await mkdir(html);
    await make(join(html, 'index.html'));
    const { code, stderr } = await run(['report', name, '--tofu', '--html', html]);
    expect(code, stderr).toBe(30);
    expect(stderr).toContain('is not part of a report');
    expect(await readdir(html)).toEqual(['index.html']);
  });

  it('shows a collection that cannot be read, beside the others, and says so in its status', async () => {
    const { name, run, home } = await servedCollection();
    const html = join(home, 'pages');
    const missing = name.replace('/team/app', '/team/none');
    const away = 'localhost:1/team/app';
    await run(['report', name, '--tofu']);
    const { code, stdout } = await run(['report', missing, name, away, '--html', html]);
    expect(code).toBe(11);
    expect(stdout).toContain(`✕ ${missing}  could not be read`);
    expect(stdout).toContain('[not-found]');
    expect(stdout).toContain(`✓ ${name}  all is well`);
    expect(stdout).toContain('[registry-unreachable]');
    expect(await readFile(join(html, pageName(missing)), 'utf8')).toContain(
      'This collection could not be read',
    );
    expect(await readFile(join(html, 'index.html'), 'utf8')).toContain('2 collections need attention');
    expect((await run(['report', away, '-o', 'json'])).code).toBe(3);
  });

  it('shows what is not pinned or has expired in red, and with --check says so in its status', async () => {
    const { name, run } = await servedCollection();
    const unpinned = await run(['report', name, '--check']);
    expect(unpinned.code).toBe(25);
    expect(unpinned.stdout).toContain('1 thing needs attention');
    expect((await run(['report', name])).code).toBe(0);
    await run(['report', name, '--tofu']);
    const late = await run(['report', name, '--check'], { now: daysLater(20) });
    expect(late.code).toBe(20);
    expect(late.stdout).toContain('timestamp has expired 6 days ago');
    expect((await run(['report', name, '--check'], { now: daysLater(12) })).code).toBe(20);
    expect((await run(['report', name, '--check', '--warn-before', '1d'], { now: daysLater(12) })).code).toBe(
      0,
    );
  });

  it('takes collections and their pins from a configuration of the re-signer, and lists what cannot be listed', async () => {
    const { name, run } = await servedCollection();
    const cwd = await temporaryDirectory();
    const config = join(cwd, 'resigner.yaml');
    const { roles } = (await run(['inspect', name, '--tofu', '-o', 'json'])).json() as {
      roles: { role: string; keys: { keyid: string }[] }[];
    };
    const keyid = roles.find(({ role }) => role === 'root')?.keys[0]?.keyid;
    await writeFile(
      config,
      `collections:\n  - repositories: ${name.replace('/app', '/*')}\n    rootKeyIds: [${keyid}]\n  - repositories: localhost:1/*\n    rootKeyIds: [${keyid}]\nnotify: {secretFile: not-for-readers}\n`,
    );
    const env = { BULLA_HOME: await temporaryDirectory() };
    const { stdout, code } = await run(['report', '--config', config], { env });
    expect(stdout).toContain(`✓ ${name}  all is well`);
    expect(stdout).toContain('✕ localhost:1/*  could not be read');
    expect(code).toBe(3);
    expect((await run(['report'])).code).toBe(2);
  });
});

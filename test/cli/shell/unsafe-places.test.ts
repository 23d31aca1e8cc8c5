import { chmod, mkdir, readdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { problemWith, unsafePlaces } from '../../../src/cli/shell/unsafe-places.ts';
import { NotaryDumpDirectory } from '../../../src/notary-client/dump-directory.ts';
import { bulla, temporaryDirectory } from '../../support/cli.ts';
import { pushImage } from '../../support/content.ts';
import { servedCollection } from '../../support/trust/served.ts';
import { ROOT } from '../../support/tuf/editing.ts';
import { poolKey } from '../../support/tuf/keys.ts';
import { NOW, RepositorySimulator } from '../../support/tuf/repository.ts';

describe('places where others decide whom to believe are warned of', () => {
  const PLACES: Readonly<Record<string, string>> = {
    'the directory of everything': '',
    'the configuration file': 'config.yaml',
    'the pins': 'pins.json',
    'the state': 'state',
    'the memory of collections': 'state/trust',
  };

  async function home(): Promise<string> {
    const path = await temporaryDirectory();
    await mkdir(join(path, 'state', 'trust'), { recursive: true });
    await writeFile(join(path, 'config.yaml'), 'concurrency: 8');
    await writeFile(join(path, 'pins.json'), '{"version":1,"pins":[]}');
    return path;
  }

  it.each(Object.entries(PLACES))('%s, if all may write it', async (_, place) => {
    const path = await home();
    const run = () => bulla(['pin', 'ls', '-q', '-o', 'json'], { env: { BULLA_HOME: path } });
    expect((await run()).stderr).toBe('');
    await chmod(join(path, place), 0o777);
    const result = await run();
    expect(result.code).toBe(0);
    expect(result.stderr).toBe(
      `warning: ${join(path, place)} is writable by every user of this machine: that user controls what bulla trusts; make it yours alone\n`,
    );
  });

  it('a relative BULLA_HOME', async () => {
    for (const relative of ['bulla', './bulla', '../bulla', '.']) {
      const { stderr } = await bulla(['pin', 'ls'], { env: { BULLA_HOME: relative } });
      expect(stderr).toContain('a relative path');
    }
  });

  it.each([
    [0o600, 1000, undefined],
    [0o644, 0, undefined],
    [0o664, 1000, undefined],
    [0o646, 1000, 'is writable by every user of this machine'],
    [0o1777, 0, 'is writable by every user of this machine'],
    [0o600, 1001, 'belongs to another user (uid 1001)'],
    [0o644, 65_534, 'belongs to another user (uid 65534)'],
  ])('mode %o of user %d, for user 1000: %s', (mode, uid, problem) => {
    expect(problemWith({ mode, uid }, 1000)).toBe(problem);
  });

  it('and nothing where there is nothing', async () => {
    const path = join(await temporaryDirectory(), 'none');
    expect(unsafePlaces({ config: path, cache: path, state: path }, {}, 1000)).toEqual([]);
    expect(unsafePlaces({ config: path, cache: path, state: path }, { BULLA_HOME: path }, undefined)).toEqual(
      [],
    );
  });
});

describe('nothing is written through a link below the directory that is named', () => {
  it.each(['a', 'a/b', 'a/b/c'])('by tuf get, where %s is one', async (link) => {
    const repository = new RepositorySimulator();
    repository.addTarget('targets', 'a/b/c/file');
    repository.publishAll();
    const [home, victim] = [await temporaryDirectory(), await temporaryDirectory()];
    for (const [folder, files] of [
      ['metadata', repository.files],
      ['targets', repository.content],
    ] as const)
      for (const [name, bytes] of files) {
        await mkdir(join(home, 'repo', folder, name, '..'), { recursive: true });
        await writeFile(join(home, 'repo', folder, name), bytes);
      }
    const tuf = (...argv: string[]) =>
      bulla(['tuf', ...argv], { cwd: home, now: NOW, env: { BULLA_HOME: join(home, 'bulla') } });
    await tuf('init', 'repo/metadata', 'repo/metadata/1.root.json');
    await mkdir(join(home, 'out', link, '..'), { recursive: true });
    await symlink(victim, join(home, 'out', link));
    expect(await tuf('get', 'repo/metadata', 'a/b/c/file', '--dir', 'out')).toMatchObject({
      code: 5,
      stderr: expect.stringContaining('symbolic link'),
    });
    expect(await readdir(victim)).toEqual([]);
    await symlink(join(home, 'other'), join(home, 'chosen'));
    await mkdir(join(home, 'other'));
    expect(await tuf('get', 'repo/metadata', 'a/b/c/file', '--dir', 'chosen')).toMatchObject({ code: 0 });
  });

  it.each(['metadata', 'targets'])('by export tuf, where %s is one', async (link) => {
    const place = await servedCollection();
    await pushImage(place.target, 'one', 'v1');
    const victim = await temporaryDirectory();
    await mkdir(join(place.home, 'out'));
    await symlink(victim, join(place.home, 'out', link));
    const image = ['--root-key-id', poolKey(ROOT).key.keyid, '--targets'];
    const result = await place.run(['export', 'tuf', place.name, join(place.home, 'out'), ...image]);
    if (link === 'metadata') expect(result.code).toBe(5);
    expect(await readdir(victim)).toEqual([]);
  });

  it.each([
    'v2',
    'v2/docker.io',
    'v2/docker.io/library/x',
    'v2/docker.io/library/x/_trust',
    'v2/docker.io/library/x/_trust/tuf',
  ])('by export notary-dump, where %s is one', async (link) => {
    const [home, victim] = [await temporaryDirectory(), await temporaryDirectory()];
    await mkdir(join(home, link, '..'), { recursive: true });
    await symlink(victim, join(home, link));
    const dump = new NotaryDumpDirectory(home, 'docker.io/library/x');
    const refused = { code: 'storage-error', message: expect.stringContaining('symbolic link') };
    await expect(dump.current()).rejects.toMatchObject(refused);
    await expect(dump.replace(new Map(), {} as never)).rejects.toMatchObject(refused);
    expect(await readdir(victim)).toEqual([]);
  });

  it.each(['blobs', 'blobs/sha256'])('by pull, where %s is one', async (link) => {
    const place = await servedCollection();
    await pushImage(place.target, 'one', 'v1');
    const victim = await temporaryDirectory();
    const out = join(place.home, 'out');
    await mkdir(join(out, link, '..'), { recursive: true });
    await symlink(victim, join(out, link));
    const result = await place.run(['copy', `${place.name}:v1`, `oci:${out}:v1`]);
    expect([result.code === 0, await readdir(victim)]).toEqual([false, []]);
  });
});

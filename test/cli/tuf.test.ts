import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { utf8 } from '../../src/encoding/bytes.ts';
import { bulla, type CliResult, temporaryDirectory } from '../support/cli.ts';
import { inDays, NOW, RepositorySimulator } from '../support/tuf/repository.ts';

/** A repository in a directory, and a home for whoever reads it. */
class Rig {
  readonly repository: RepositorySimulator = new RepositorySimulator();
  readonly home: string;

  constructor(home: string) {
    this.home = home;
  }

  static async create(): Promise<Rig> {
    const rig = new Rig(await temporaryDirectory());
    await rig.write();
    return rig;
  }

  async write(): Promise<void> {
    for (const [folder, files] of [
      ['metadata', this.repository.files],
      ['targets', this.repository.content],
    ] as const) {
      await mkdir(join(this.home, 'repo', folder), { recursive: true });
      for (const [name, bytes] of files) await writeFile(join(this.home, 'repo', folder, name), bytes);
    }
  }

  tuf(...argv: string[]): Promise<CliResult> {
    return bulla(['tuf', ...argv], {
      cwd: this.home,
      now: NOW,
      env: { BULLA_HOME: join(this.home, 'bulla') },
    });
  }
}

/** A web server that has what a repository publishes, and wants the query `?key=a/b` of whoever asks. */
async function serve(
  repository: RepositorySimulator,
  wanted = '',
): Promise<{ url: string } & AsyncDisposable> {
  const requests = createServer(({ url = '' }, response) => {
    const { pathname, search } = new URL(url, 'http://localhost');
    const [, folder, name = ''] = /^\/tuf\/(metadata|targets)\/(.*)$/.exec(pathname) ?? [];
    const bytes = (folder === 'metadata' ? repository.files : repository.content).get(
      folder === 'metadata' ? name : decodeURIComponent(name),
    );
    if (search !== wanted) response.writeHead(403).end();
    else response.writeHead(bytes === undefined ? 404 : 200).end(bytes);
  });
  await new Promise<void>((resolve) => requests.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(requests.address() as AddressInfo).port}/tuf/metadata`,
    [Symbol.asyncDispose]: async () => {
      requests.closeAllConnections();
      await new Promise((resolve) => requests.close(resolve));
    },
  };
}

describe('bulla tuf', () => {
  it('gets target files that are named without their hashes, where it is told so', async () => {
    const rig = await Rig.create();
    rig.repository.addTarget('targets', 'v1', utf8('hello'));
    rig.repository.publishAll('targets');
    for (const path of rig.repository.content.keys()) {
      if (path !== 'v1') rig.repository.content.delete(path);
    }
    await using server = await serve(rig.repository);
    await rig.write();
    for (const [at, place] of [server.url, 'repo/metadata'].entries()) {
      expect(await rig.tuf('init', place, 'repo/metadata/1.root.json')).toMatchObject({ code: 0 });
      expect(await rig.tuf('get', place, 'v1', '-d', `out${at}`)).toMatchObject({ code: 22 });
      const got = await rig.tuf('get', place, 'v1', '-d', `out${at}`, '--no-hash-prefix');
      expect(got).toMatchObject({ code: 0, stderr: '' });
      expect(await readFile(join(rig.home, `out${at}`, 'v1'), 'utf8')).toBe('hello');
    }
  });

  it.each(['', '?key=a/b'])('init, refresh and get, from a web server (%s)', async (query) => {
    const rig = await Rig.create();
    rig.repository.delegate('targets', 'a/b rôle', { paths: ['dir/*'] });
    rig.repository.addTarget('a/b rôle', 'dir/v1', utf8('hello'));
    rig.repository.publishAll('a/b rôle');
    await using server = await serve(rig.repository, query);
    const url = `${server.url}${query}`;
    const targets = `${server.url.replace('metadata', 'targets')}${query}`;
    expect(await rig.tuf('init', url, 'repo/metadata/1.root.json')).toMatchObject({ code: 0 });
    expect(await rig.tuf('refresh', url)).toMatchObject({
      code: 0,
      stdout: expect.stringContaining('fresh until 2027'),
    });
    for (const more of query === '' ? [[], ['--targets', targets]] : [['--targets', targets]]) {
      const got = await rig.tuf('get', url, 'dir/v1', '-d', `out${more.length}`, ...more);
      expect(got).toMatchObject({ code: 0, stderr: '' });
      expect(await readFile(join(rig.home, `out${more.length}`, 'dir/v1'), 'utf8')).toBe('hello');
    }
    expect(
      await rig.tuf('get', url, 'dir/v2', ...(query === '' ? [] : ['--targets', targets])),
    ).toMatchObject({
      code: 23,
    });
  });

  it('init, refresh and get', async () => {
    const rig = await Rig.create();
    rig.repository.addTarget('targets', 'v1', utf8('hello'));
    rig.repository.publishAll();
    await rig.write();
    expect(await rig.tuf('init', 'repo/metadata', 'repo/metadata/1.root.json')).toMatchObject({ code: 0 });
    const refreshed = await rig.tuf('refresh', 'repo/metadata', '-o', 'json');
    expect(refreshed.json()).toMatchObject({
      ok: true,
      versions: { root: 1, timestamp: 2, snapshot: 2, targets: 2 },
      expires: inDays(365),
    });
    const got = await rig.tuf('get', 'repo/metadata', 'v1', '-d', 'out');
    expect(got).toMatchObject({ code: 0, stdout: `${join(rig.home, 'out/v1')}\n` });
    expect(await readFile(join(rig.home, 'out/v1'), 'utf8')).toBe('hello');
    const again = await rig.tuf('get', 'repo/metadata', 'v1', '-d', 'out', '-o', 'json');
    expect(again.json()).toMatchObject({
      targets: [{ target: 'v1', role: 'targets', length: 5, fetched: false }],
    });
  });

  it('ends with the code of what is wrong', async () => {
    const rig = await Rig.create();
    expect(await rig.tuf('refresh', 'repo/metadata')).toMatchObject({ code: 25, stdout: '' });
    await rig.tuf('init', 'repo/metadata', 'repo/metadata/1.root.json');
    expect(await rig.tuf('get', 'repo/metadata', 'v9')).toMatchObject({ code: 23, stdout: '' });
    expect(await rig.tuf('get', 'repo/metadata', '../v9')).toMatchObject({ code: 40, stdout: '' });
    rig.repository.publish('timestamp');
    await rig.write();
    await rig.tuf('refresh', 'repo/metadata');
    rig.repository.restart('timestamp');
    rig.repository.publish('timestamp');
    await rig.write();
    const back = await rig.tuf('refresh', 'repo/metadata', '-o', 'json');
    expect(back.code).toBe(21);
    expect(back.json()).toMatchObject({
      code: 'trust-rollback',
      details: { role: 'timestamp', from: 2, to: 1 },
    });
    rig.repository.of('timestamp')['expires'] = inDays(-1);
    rig.repository.publish('timestamp').publish('timestamp');
    await rig.write();
    expect(await rig.tuf('refresh', 'repo/metadata')).toMatchObject({ code: 20 });
  });

  it('begins anew only when told to', async () => {
    const rig = await Rig.create();
    const init = (...more: string[]) => rig.tuf('init', 'repo/metadata', 'other.json', ...more);
    await writeFile(join(rig.home, 'other.json'), rig.repository.rootBytes());
    expect(await init()).toMatchObject({ code: 0 });
    expect(await init()).toMatchObject({ code: 0 });
    await writeFile(
      join(rig.home, 'other.json'),
      new RepositorySimulator({ consistentSnapshot: false }).rootBytes(),
    );
    expect(await init()).toMatchObject({ code: 30 });
    expect(await init('--force')).toMatchObject({ code: 0 });
    await writeFile(join(rig.home, 'other.json'), '{}');
    expect(await init()).toMatchObject({ code: 40 });
  });

  it('opens no socket with --offline, and takes only the web or a directory', async () => {
    const rig = await Rig.create();
    expect(await rig.tuf('refresh', 'http://127.0.0.1:1/metadata', '--offline')).toMatchObject({ code: 3 });
    expect(await rig.tuf('refresh', 'http://127.0.0.1:1/metadata', '--timeout', '2s')).toMatchObject({
      code: 25,
    });
    expect(await rig.tuf('get', 'http://127.0.0.1:1', 'v1', '--targets', 'folder')).toMatchObject({
      code: 2,
    });
  });
});

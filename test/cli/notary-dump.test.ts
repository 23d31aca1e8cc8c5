import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { JsonObject } from '../../src/encoding/json.ts';
import { bulla, temporaryDirectory } from '../support/cli.ts';
import {
  type ForgedFiles,
  type ForgedRepository,
  forgeKey,
  forgeRepository,
  publish,
  target,
} from '../support/notary/forge.ts';
import { type NotarySimulator, type NotarySimulatorOptions, startNotary } from '../support/notary/server.ts';
import { runChild } from '../support/processes.ts';

const now = new Date('2026-11-30T12:00:00Z');
const gunOf = (name: string): string => `registry.example.com/team/${name}`;

/** A repository with two rotated roots, signers, and one of them nested. */
async function repositoryOf(name: string): Promise<{ repository: ForgedRepository; files: ForgedFiles }> {
  const repository = await forgeRepository(gunOf(name));
  const first = publish(repository);
  const key = await forgeKey('P-256', { cn: gunOf(name) });
  Object.assign(repository, { rootVersion: 2, version: 2, oldRoot: repository.root, root: [key] });
  for (const role of ['targets/releases', 'targets/alice', 'targets/alice/ci'])
    repository.delegations.set(role, { keys: [await forgeKey()], targets: { v2: target('two') } });
  return { repository, files: publish(repository, first) };
}

async function serving(names: readonly string[], options: NotarySimulatorOptions = {}) {
  const simulator = await startNotary(options);
  const repositories = new Map<string, ForgedRepository>();
  for (const name of names) {
    const { repository, files } = await repositoryOf(name);
    repositories.set(gunOf(name), repository);
    simulator.repositories.set(gunOf(name), files);
  }
  return { simulator, repositories, directory: join(await temporaryDirectory(), 'dump') };
}

const dump = (
  simulator: NotarySimulator,
  directory: string,
  names: readonly string[],
  more: readonly string[] = [],
) =>
  bulla(
    [
      'export',
      'notary-dump',
      directory,
      ...names.map(gunOf),
      '--server',
      simulator.url,
      '-o',
      'json',
      ...more,
    ],
    { now },
  );

/** Files of a dump, without indexes, by name. */
async function saved(directory: string, name: string): Promise<Map<string, Buffer>> {
  const path = join(directory, 'v2', gunOf(name), '_trust', 'tuf');
  const files = (await readdir(path, { recursive: true })).filter((file) => /\.(json|key)$/.test(file));
  return new Map(
    await Promise.all(files.map(async (file) => [file, await readFile(join(path, file))] as const)),
  );
}

async function expectComplete(
  simulator: NotarySimulator,
  directory: string,
  names: readonly string[],
): Promise<void> {
  for (const name of names) {
    const served = simulator.repositories.get(gunOf(name))!;
    const files = await saved(directory, name);
    for (const [file, bytes] of served) expect(files.get(`${file}.json`)?.equals(bytes), file).toBe(true);
    const index = JSON.parse(files.get('index.json')!.toString()) as {
      files: { name: string; sha256: string; length: number; headers: Record<string, string> }[];
    };
    expect(index.files.map((file) => file.name).sort()).toEqual(
      [...[...served.keys()].map((file) => `${file}.json`), 'snapshot.key', 'timestamp.key'].sort(),
    );
    for (const file of index.files) {
      const bytes = files.get(file.name)!;
      expect(file.sha256).toBe(createHash('sha256').update(bytes).digest('hex'));
      expect(file.length).toBe(bytes.byteLength);
    }
    expect(index.files.find((file) => file.name === 'root.json')?.headers['last-modified']).toContain('2026');
  }
}

describe('bulla export notary-dump', () => {
  it('saves every file byte for byte, and asks for next to nothing the second time', async () => {
    const names = ['a', 'b', 'c'];
    const { simulator, directory } = await serving(names);
    const first = await dump(simulator, directory, names);
    expect(first, first.stdout).toMatchObject({ code: 0 });
    expect(first.json()['repositories']).toEqual(
      names.map((name) =>
        expect.objectContaining({
          gun: gunOf(name),
          outcome: 'saved',
          rootVersion: 2,
          names: 2,
          problem: null,
          files: 11,
        }),
      ),
    );
    await expectComplete(simulator, directory, names);
    simulator.requests.length = 0;
    expect((await dump(simulator, directory, names)).json()['repositories']).toEqual(
      names.map(() => expect.objectContaining({ outcome: 'unchanged', names: 2 })),
    );
    expect(simulator.requests).toHaveLength(6);
  });

  it('takes a list, and brings a dump up to date', async () => {
    const { simulator, repositories, directory } = await serving(['a', 'b']);
    const list = join(await temporaryDirectory(), 'list');
    await writeFile(list, `# ours\n${gunOf('a')}\n\n${gunOf('b')}\r\n${gunOf('a')}\n`);
    expect(await dump(simulator, directory, [], ['--from', list])).toMatchObject({ code: 0 });
    const repository = repositories.get(gunOf('a'))!;
    repository.version = 3;
    repository.delegations.delete('targets/alice/ci');
    simulator.repositories.set(gunOf('a'), publish(repository, simulator.repositories.get(gunOf('a'))));
    const second = await dump(simulator, directory, [], ['--from', list]);
    expect(second.json()['repositories']).toMatchObject([{ outcome: 'saved' }, { outcome: 'unchanged' }]);
    await expectComplete(simulator, directory, ['a', 'b']);
    expect((await saved(directory, 'a')).has('targets/alice/ci.json')).toBe(false);
  });

  it('is read again, by a web server’s rules and as a directory', async () => {
    const { simulator, directory } = await serving(['a']);
    await dump(simulator, directory, ['a']);
    await simulator.stop();
    const { findNotaryDirectory } = await import('../../src/notary-client/directory.ts');
    expect(findNotaryDirectory(directory, gunOf('a')).place).toContain('_trust/tuf');
  });

  it('goes on with the others where one fails, and says which', async () => {
    const { simulator, directory } = await serving(['a', 'b'], {
      fault: (path, response) => {
        if (!path.includes('/team/forbidden/')) return false;
        response.writeHead(403).end();
        return true;
      },
    });
    const result = await dump(simulator, directory, ['a', 'absent', 'forbidden', 'b']);
    expect(result.code).toBe(11);
    expect((result.json()['details'] as JsonObject)['repositories']).toMatchObject([
      { outcome: 'saved' },
      { outcome: 'absent' },
      { outcome: 'failed', problem: { code: 'forbidden' } },
      { outcome: 'saved' },
    ]);
    await expectComplete(simulator, directory, ['a', 'b']);
  });

  it('keeps what was saved where the server has it no more', async () => {
    const { simulator, directory } = await serving(['a']);
    await dump(simulator, directory, ['a']);
    const before = await saved(directory, 'a');
    simulator.repositories.clear();
    const result = await dump(simulator, directory, ['a']);
    expect(result.code).toBe(11);
    expect((result.json()['details'] as JsonObject)['repositories']).toMatchObject([
      { outcome: 'gone', names: 2 },
    ]);
    expect(await saved(directory, 'a')).toEqual(before);
  });

  it('saves what does not verify too, and fails with the reason', async () => {
    const { simulator, directory } = await serving(['a', 'b', 'c', 'd']);
    simulator.repositories.get(gunOf('a'))!.delete('1.root');
    simulator.repositories.get(gunOf('b'))!.set('targets', Buffer.from('no JSON'));
    simulator.repositories.get(gunOf('c'))!.delete('timestamp');
    simulator.repositories.set(
      gunOf('d'),
      new Map([
        ['root', Buffer.from('{}')],
        ['timestamp', Buffer.from('[]')],
      ]),
    );
    const result = await dump(simulator, directory, ['a', 'b', 'c', 'd']);
    expect((result.json()['details'] as JsonObject)['repositories']).toMatchObject([
      // From the root that is there on, it holds together.
      { outcome: 'saved', problem: null },
      { outcome: 'saved', problem: { code: 'content-invalid' } },
      { outcome: 'saved', problem: { code: 'trust-invalid' } },
      { outcome: 'saved', problem: { code: 'content-invalid' } },
    ]);
    expect(result.code).toBe(40);
    expect((await saved(directory, 'b')).get('targets.json')?.toString()).toBe('no JSON');
    expect((await saved(directory, 'c')).has('targets/alice/ci.json')).toBe(true);
  });

  it.each([
    'targets/../../../../../escape',
    'targets/..',
    '../escape',
    '/etc/escape',
    'targets/a\0b',
    'targets/A',
    'targets/a\\..\\b',
    'index',
    '__proto__',
  ])('writes nothing for a role called %j', async (name) => {
    const { simulator, repositories, directory } = await serving(['a']);
    const repository = repositories.get(gunOf('a'))!;
    repository.tamper = new Map([
      [
        'snapshot',
        (signed) => {
          const meta = signed['meta'] as JsonObject;
          Object.defineProperty(meta, name, { value: meta['targets'], enumerable: true });
        },
      ],
    ]);
    simulator.repositories.set(gunOf('a'), publish(repository, simulator.repositories.get(gunOf('a'))));
    expect(await dump(simulator, directory, ['a'])).toMatchObject({ code: 0 });
    await expectComplete(simulator, directory, ['a']);
    expect(await readdir(join(directory, '..'))).toEqual(['dump']);
    expect(await readdir(join(directory, 'v2', gunOf('a'), '_trust', 'tuf'))).not.toContain('A.json');
  });

  it('reads everything again where a publish comes between', async () => {
    let next: ForgedFiles | undefined;
    const { simulator, repositories, directory } = await serving(['a'], {
      isPlain: true,
      fault: (path) => {
        if (path.endsWith('/snapshot.json') && next !== undefined) {
          simulator.repositories.set(gunOf('a'), next);
          next = undefined;
        }
        return false;
      },
    });
    next = publish({ ...repositories.get(gunOf('a'))!, version: 3 }, simulator.repositories.get(gunOf('a')));
    expect((await dump(simulator, directory, ['a'])).json()['repositories']).toMatchObject([
      { outcome: 'saved', problem: null },
    ]);
    await expectComplete(simulator, directory, ['a']);
  });

  it('is polite: no more requests at once than allowed, and all wait when one is told to', async () => {
    const names = Array.from({ length: 12 }, (_, index) => `r${index}`);
    let refusals = 0;
    const { simulator, directory } = await serving(names, {
      delayMs: 2,
      fault: (path, response) => {
        if (!path.endsWith('/r3/_trust/tuf/timestamp.json') || refusals >= 2) return false;
        refusals++;
        response.writeHead(429, { 'retry-after': '1' }).end();
        return true;
      },
    });
    expect(await dump(simulator, directory, names, ['--concurrency', '3'])).toMatchObject({ code: 0 });
    expect(refusals).toBe(2);
    expect(simulator.state.most).toBeLessThanOrEqual(3);
    await expectComplete(simulator, directory, names);
  });

  it('repairs what is damaged, and what a kill left between two names', async () => {
    const { simulator, directory } = await serving(['a', 'b', 'c']);
    await dump(simulator, directory, ['a', 'b', 'c']);
    const trust = (name: string): string => join(directory, 'v2', gunOf(name), '_trust');
    await writeFile(join(trust('a'), 'tuf', 'targets.json'), 'x');
    await rename(join(trust('b'), 'tuf'), join(trust('b'), 'tuf.old'));
    await mkdir(join(trust('c'), 'tuf.old'));
    await rm(join(trust('c'), 'tuf', 'index.json'));
    const result = await dump(simulator, directory, ['a', 'b', 'c']);
    expect(result.json()['repositories']).toMatchObject([
      { outcome: 'saved' },
      { outcome: 'unchanged' },
      { outcome: 'saved' },
    ]);
    await expectComplete(simulator, directory, ['a', 'b', 'c']);
    for (const name of ['a', 'b', 'c']) expect(await readdir(trust(name))).toEqual(['tuf']);
  });

  it('killed anywhere and run again: complete', { timeout: 120_000 }, async () => {
    const names = Array.from({ length: 16 }, (_, index) => `k${index}`);
    const { simulator, directory } = await serving(names, { delayMs: 3 });
    const argv = ['export', 'notary-dump', directory, ...names.map(gunOf), '--server', simulator.url];
    for (const after of [1, 3, 7, 12]) {
      const child = runChild('support/notary/dump-child.ts', [...argv, '--concurrency', '4']);
      let seen = 0;
      const wait = new Promise<void>((resolve) => {
        child.process.stderr?.on('data', (data: Buffer) => {
          seen += data.toString().split('\n').length - 1;
          if (seen >= after) resolve();
        });
        void child.ended.then(() => resolve());
      });
      await wait;
      child.process.kill('SIGKILL');
      expect(await child.ended).toMatchObject({ status: 'SIGKILL' });
    }
    expect(await dump(simulator, directory, names)).toMatchObject({ code: 0 });
    await expectComplete(simulator, directory, names);
    for (const name of names)
      expect(await readdir(join(directory, 'v2', gunOf(name), '_trust'))).toEqual(['tuf']);
  });

  it.each([
    [['DIR'], 'usage'],
    [['DIR', 'registry.example.com/team/a:v1'], 'usage'],
    [['DIR', 'oci:layout'], 'usage'],
    [['DIR', 'registry.example.com/../a'], 'usage'],
    [['DIR', 'registry.example.com/team/a', '--server', 'http://notary.example.com'], 'usage'],
    [['DIR', 'registry.example.com/team/a', '--server', 'https://u:p@notary.example.com'], 'usage'],
    [['DIR', 'registry.example.com/team/a', '--offline'], 'registry-unreachable'],
  ])('%j is %s', async (argv, code) => {
    const result = await bulla(['export', 'notary-dump', ...argv, '-o', 'json'], { now });
    expect(result.json()).toMatchObject({ ok: false, code });
  });
});

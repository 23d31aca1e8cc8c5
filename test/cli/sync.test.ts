import { chmod, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { Target } from '../../src/oci/target.ts';
import { openRepository } from '../../src/registry/client.ts';
import { bulla, temporaryDirectory } from '../support/cli.ts';
import { pushImage, pushReferrer } from '../support/content.ts';
import { type FaultyRegistry, type RegistryOptions, startRegistry } from '../support/registry/server.ts';

const USERS = { auth: { mode: 'basic', users: { robot: 'Pa55w0rd-of-robot' } } } as const;

async function registry(options: RegistryOptions = {}): Promise<FaultyRegistry> {
  const server = await startRegistry(options);
  onTestFinished(() => server.close());
  return server;
}

async function repository({ host }: FaultyRegistry, name: string, ...tags: string[]): Promise<Target> {
  const target = openRepository({ registry: host, repository: name }, { settleMs: 5 });
  onTestFinished(() => target.close());
  for (const tag of tags) {
    const image = await pushImage(target, `${name} ${tag}`, tag);
    await pushReferrer(target, image.descriptor, `signature of ${tag}`);
  }
  return target;
}

const lines = (stdout: string): Record<string, unknown>[] =>
  stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);

async function file(text: string, mode = 0o600): Promise<string> {
  const path = join(await temporaryDirectory(), 'sync.yaml');
  await writeFile(path, text);
  await chmod(path, mode);
  return path;
}

describe('bulla sync', () => {
  it('copies what the file names, with its credentials, and prints a report', async () => {
    const [from, to] = [await registry(), await registry(USERS)];
    await repository(from, 'team/app', 'v1', 'v2', 'nightly');
    await repository(from, 'team/lib', 'v1');
    const config = await file(`
creds:
  - registry: ${to.host}
    user: robot
    pass: '{{env "ROBOT"}}'
defaults: { interval: 1h }
sync:
  - { source: ${from.host}/team/app, target: ${to.host}/app, type: repository, tags: { allow: ["v.*"] } }
  - { source: ${from.host}/team/lib, target: ${to.host}/lib, type: repository }
`);
    const env = { ROBOT: 'Pa55w0rd-of-robot' };
    const dry = await bulla(['sync', '--config', config, '--once', '--dry-run'], { env });
    expect(dry, dry.stderr).toMatchObject({ code: 0 });
    expect(to.requests(/manifests/).filter((line) => line.startsWith('PUT'))).toEqual([]);
    const first = await bulla(['sync', '--config', config, '--once'], { env });
    expect(first, first.stderr).toMatchObject({ code: 0 });
    expect(first.stdout).toContain(`${to.host}/app: 2 tags: 2 copied (`);
    expect(first.stderr).toMatch(/2 repositories; 3 tags: 3 copied/);
    const again = lines((await bulla(['sync', '--config', config, '--once', '-o', 'json'], { env })).stdout);
    // A line is printed as soon as its repository is done with.
    expect(
      again.sort((a, b) => String(a['target'] ?? 'zz').localeCompare(String(b['target'] ?? 'zz'))),
    ).toEqual([
      expect.objectContaining({
        ok: true,
        target: `${to.host}/app`,
        present: 2,
        copied: 0,
        isComplete: true,
      }),
      expect.objectContaining({ ok: true, target: `${to.host}/lib`, present: 1 }),
      {
        ok: true,
        details: expect.objectContaining({ repositories: 2, incomplete: 0, total: 3, present: 3 }),
      },
    ]);
  });

  it('goes on where one entry fails, says which, does not exit 0, and shows no password', async () => {
    const [from, to] = [await registry(), await registry(USERS)];
    await repository(from, 'good', 'v1');
    await repository(from, 'bad', 'v1');
    const other = await registry();
    const config = await file(
      `
creds: [{ registry: ${to.host}, user: robot, pass: wrong-secret-0815 }]
sync:
  - { source: ${from.host}/bad, target: ${to.host}/bad, type: repository }
  - { source: ${from.host}/good, target: ${other.host}/good, type: repository }
`,
      0o644,
    );
    const text = await bulla(['sync', '--config', config, '--once', '--trace']);
    expect(text.code).toBe(4);
    expect(text.stdout).toContain(`${other.host}/good: 1 tag: 1 copied`);
    expect(text.stderr).toContain('[unauthorized]');
    expect(text.stderr).toContain('others can read it');
    expect(text.stdout + text.stderr).not.toContain('wrong-secret-0815');
    const json = await bulla(['sync', '--config', config, '-o', 'json']);
    expect(json.code).toBe(4);
    expect(
      lines(json.stdout).sort((a, b) => Number(a['isComplete'] ?? 2) - Number(b['isComplete'] ?? 2)),
    ).toEqual([
      expect.objectContaining({
        isComplete: false,
        failures: [expect.objectContaining({ code: 'unauthorized' })],
      }),
      expect.objectContaining({ isComplete: true, present: 1 }),
      expect.objectContaining({
        ok: false,
        code: 'unauthorized',
        details: expect.objectContaining({ incomplete: 1 }),
      }),
    ]);
  });

  it('stays with an interval, serves metrics, and ends well when it is asked to', async () => {
    const [from, to] = [await registry(), await registry()];
    await repository(from, 'app', 'v1');
    const config = await file(
      `defaults: { interval: 1s }\nsync: [{ source: ${from.host}/app, target: ${to.host}/app, type: repository }]`,
    );
    const ending = new AbortController();
    let metrics = '';
    let rounds = 0;
    const run = bulla(['sync', '--config', config, '--listen', '127.0.0.1:0', '-o', 'json'], {
      signal: ending.signal,
      onStderr: (line) => {
        if (!line.includes('"synced"') || ++rounds < 2) return;
        const url = /http:[^"]+/.exec(printed)?.[0];
        void fetch(`${url}/metrics`)
          .then(async (answer) => (metrics = await answer.text()))
          .finally(() => ending.abort());
      },
      onStdout: (text) => (printed += text),
    });
    let printed = '';
    const { code, stderr } = await run;
    expect(code, stderr).toBe(0);
    expect(metrics).toContain('bulla_sync_tags_total{outcome="copied"} 1\n');
    expect(metrics).toContain('bulla_sync_failing{');
  });

  it.each([
    ['no file', []],
    ['both ways of running', ['--config', 'CONFIG', '--once', '--every', '1m']],
    ['a duration that is none', ['--config', 'CONFIG', '--every', 'often']],
    ['a dry run that stays', ['--config', 'CONFIG', '--every', '1m', '--dry-run']],
    ['a listener of a single run', ['--config', 'CONFIG', '--once', '--listen', '127.0.0.1:0']],
  ])('refuses %s', async (_, argv) => {
    const config = await file(
      'sync: [{ source: a.example.com/a, target: b.example.com/a, type: repository }]',
    );
    expect(await bulla(['sync', ...argv.map((word) => word.replace('CONFIG', config))])).toMatchObject({
      code: 2,
    });
  });

  it.each([
    ['a variable that is not set', `{{env "NOT_SET"}}`, /NOT_SET/],
    ['a file that is not there', `{{file "secret"}}`, /secret/],
    ['a template of another kind', `{{.Ref.Tag}}`, /braces/],
  ])('says what is missing where a password is %s', async (_, pass, said) => {
    const config = await file(
      `creds: [{ registry: a.example.com, user: me, pass: '${pass}' }]\nsync: [{ source: a.example.com/a, target: b.example.com/a, type: repository }]`,
    );
    const { code, stderr } = await bulla(['sync', '--config', config, '--once']);
    expect(code).toBe(2);
    expect(stderr).toMatch(said);
  });
});

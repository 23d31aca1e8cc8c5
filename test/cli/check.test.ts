import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { bulla, type CliOptions, type CliResult, temporaryDirectory } from '../support/cli.ts';
import { pushImage } from '../support/content.ts';
import { registryFor, repositoryOf } from '../support/registry/open.ts';
import type { FaultyRegistry, RegistryOptions } from '../support/registry/server.ts';
import { certificateForLoopback } from '../support/registry/tls.ts';

const SECRET = 'wonderland-of-secrets';

interface Check {
  readonly check: string;
  readonly state: string;
  readonly found: string;
  readonly facts: Readonly<Record<string, unknown>>;
}

function checksOf(json: Record<string, unknown>): ReadonlyMap<string, Check> {
  const details = (json['ok'] === true ? json : json['details']) as { readonly checks: readonly Check[] };
  return new Map(details.checks.map((one) => [one.check, one]));
}

async function filled(options: RegistryOptions = {}): Promise<FaultyRegistry> {
  const { auth, ...rest } = options;
  const registry = await registryFor(rest);
  for (const tag of ['v1', 'v2']) await pushImage(repositoryOf(registry), tag, tag);
  Object.assign(registry.behaviour, { auth });
  return registry;
}

async function checkJson(
  argv: readonly string[],
  options: CliOptions = {},
): Promise<{ readonly result: CliResult; readonly checks: ReadonlyMap<string, Check> }> {
  const result = await bulla(['check', ...argv, '-o', 'json'], options);
  return { result, checks: checksOf(result.json()) };
}

describe('bulla check', () => {
  it('draws a table, and says what it did not try', async () => {
    const registry = await filled({ referrersApi: false });
    const { code, stdout, stderr } = await bulla(['check', `${registry.host}/team/app`]);
    expect(stderr).toBe('');
    expect(code).toBe(0);
    expect(stdout).toMatch(/^referrers +adapts +no referrers API\n +→ .*sha256-/m);
    expect(stdout).toMatch(/^HEAD +ok/m);
    expect(stdout).toMatch(/^unknown: push, types, .*--write tries/m);
    expect(stdout).toMatch(/^verifying: yes {3}signing: unknown {3}collections: unknown$/m);
  });

  it('tells programs everything, with --write', async () => {
    const registry = await filled();
    const { result, checks } = await checkJson([`${registry.host}/team/app`, '--write']);
    expect(result.code).toBe(0);
    expect(result.json()).toMatchObject({
      ok: true,
      registry: registry.host,
      repository: 'team/app',
      works: { verifying: 'yes', signing: 'yes', collections: 'yes' },
      left: [],
    });
    expect([...checks.keys()]).toHaveLength(16);
    expect(checks.get('delete-tags')).toMatchObject({ state: 'good', facts: { works: true } });
  });

  it.each([
    ['conflict', 30, { immutableTags: /./ }],
    ['registry-error', 3, { referrersApi: false, gitlabTags: true }],
  ] as const)('prints the table and fails with %s', async (code, status, behaviour) => {
    const registry = await registryFor(behaviour);
    const text = await bulla(['check', `${registry.host}/team/app`, '--write']);
    expect(text.code).toBe(status);
    expect(text.stdout).toMatch(/ fails /);
    expect(text.stderr).toMatch(new RegExp(`\\[${code}\\]\\nhint: `));
    const { result, checks } = await checkJson([`${registry.host}/team/app`, '--write']);
    expect(result.code).toBe(status);
    expect(result.json()).toMatchObject({ ok: false, code });
    expect([...checks.values()].filter(({ state }) => state === 'bad')).toHaveLength(1);
  });

  it('fails where no registry answers', async () => {
    const registry = await registryFor();
    const { host } = registry;
    await registry.close();
    const { result, checks } = await checkJson([host]);
    expect(result.code).toBe(3);
    expect(result.json()).toMatchObject({ ok: false, code: 'registry-unreachable' });
    expect(checks.get('api')?.state).toBe('bad');
  }, 30_000);

  it('leaves what it learnt to the commands that follow', async () => {
    const registry = await filled({ etag: false });
    registry.fault({ method: 'HEAD', path: /manifests/, times: 1_000, action: { status: 405 } });
    const home = await temporaryDirectory();
    const env = { BULLA_HOME: home };
    expect((await bulla(['check', `${registry.host}/team/app`], { env })).code).toBe(0);
    expect(JSON.parse(await readFile(join(home, 'cache', 'registries.json'), 'utf8'))).toMatchObject({
      [registry.host]: { head: 'get', conditional: 'head', referrers: 'api', tags: 'after' },
    });
    registry.forget();
    expect((await bulla(['copy', `${registry.host}/team/app:v1`, 'oci:here'], { env })).code).toBe(0);
    expect(registry.requests().filter((line) => line.startsWith('HEAD'))).toEqual([]);
  });

  it.each(['oci:dir', 'oci-archive:file.tar', 'Not A Host', ''])('refuses %j as a registry', async (text) => {
    expect((await bulla(['check', text])).code).toBe(2);
  });

  it('opens no socket with --offline', async () => {
    expect((await bulla(['check', 'registry.example.com', '--offline'])).code).toBe(3);
  });
});

describe('credentials that bulla check tells of', () => {
  const auth = { mode: 'basic', users: { alice: SECRET } } as const;
  const entry = Buffer.from(`alice:${SECRET}`).toString('base64');

  it('are found in a file, and never shown', async () => {
    const registry = await filled({ auth });
    const docker = await temporaryDirectory();
    const path = join(docker, 'config.json');
    await writeFile(path, JSON.stringify({ auths: { [registry.host]: { auth: entry } } }));
    const env = { DOCKER_CONFIG: docker };
    const { result, checks } = await checkJson([`${registry.host}/team/app`], { env });
    expect(result.code).toBe(0);
    expect(checks.get('credentials')).toMatchObject({
      state: 'good',
      facts: { source: 'file', where: path, form: 'password', asked: 'basic' },
    });
    const text = await bulla(['check', `${registry.host}/team/app`, '--trace', '--write'], { env });
    for (const output of [result.stdout, result.stderr, text.stdout, text.stderr]) {
      expect(output).not.toContain(SECRET);
      expect(output).not.toContain(entry);
    }
  });

  it('are found in a helper, and never shown', async () => {
    const registry = await filled({ auth });
    const directory = await temporaryDirectory();
    await mkdir(join(directory, 'bin'));
    const helper = join(directory, 'bin', 'docker-credential-vault');
    await writeFile(
      helper,
      `#!/bin/sh\nread host\necho '{"ServerURL":"x","Username":"alice","Secret":"${SECRET}"}'\n`,
    );
    await chmod(helper, 0o755);
    await writeFile(join(directory, 'config.json'), JSON.stringify({ credsStore: 'vault' }));
    const env = {
      DOCKER_CONFIG: directory,
      PATH: `${join(directory, 'bin')}:${process.env['PATH'] ?? ''}`,
    };
    const { result, checks } = await checkJson([`${registry.host}/team/app`], { env });
    expect(result.code).toBe(0);
    expect(checks.get('credentials')?.facts).toMatchObject({
      source: 'helper',
      where: 'docker-credential-vault',
    });
    expect(result.stdout + result.stderr).not.toContain(SECRET);
  });

  it('come from the command line', async () => {
    const registry = await filled({ auth });
    const { result, checks } = await checkJson(
      [`${registry.host}/team/app`, '--username', 'alice', '--password-stdin'],
      { stdin: SECRET },
    );
    expect(result.code).toBe(0);
    expect(checks.get('credentials')?.facts).toMatchObject({ source: 'command-line', asked: 'basic' });
    expect(result.stdout).not.toContain(SECRET);
  });

  it.each([
    ['are missing', undefined],
    ['are wrong', Buffer.from('alice:other').toString('base64')],
  ])('%s: the exit status says so', async (_, wrong) => {
    const registry = await filled({ auth });
    const docker = await temporaryDirectory();
    if (wrong !== undefined)
      await writeFile(
        join(docker, 'config.json'),
        JSON.stringify({ auths: { [registry.host]: { auth: wrong } } }),
      );
    const { result, checks } = await checkJson([`${registry.host}/team/app`], {
      env: { DOCKER_CONFIG: docker },
    });
    expect(result.code).toBe(4);
    expect(result.json()).toMatchObject({ code: 'unauthorized' });
    expect(checks.get('credentials')).toMatchObject({ state: 'warn', facts: { refused: true } });
  });

  it('stand in a broken file, which is named', async () => {
    const registry = await filled();
    const docker = await temporaryDirectory();
    await writeFile(join(docker, 'config.json'), '{');
    const { result, checks } = await checkJson([`${registry.host}/team/app`], {
      env: { DOCKER_CONFIG: docker },
    });
    // Without a login the registry asks for none, and the file is not needed.
    expect(result.code).toBe(0);
    expect(checks.get('credentials')).toMatchObject({ state: 'warn', facts: { code: 'config-invalid' } });
  });
});

describe('TLS that bulla check tells of', () => {
  it('is named with its certificate and how long that lasts', async () => {
    const tls = certificateForLoopback('field registry');
    const registry = await registryFor({ tls });
    const directory = await temporaryDirectory();
    const ca = join(directory, 'ca.pem');
    await writeFile(ca, tls.cert);
    const { result, checks } = await checkJson([registry.host, '--ca-file', ca]);
    expect(result.code, result.stdout).toBe(0);
    // It is valid for a day.
    expect(checks.get('tls')).toMatchObject({
      state: 'warn',
      facts: { kind: 'tls', protocol: 'TLSv1.3', subject: 'field registry', trusted: true, daysLeft: 0 },
    });
    const late = await checkJson([registry.host, '--ca-file', ca], {
      now: new Date(Date.now() + 3 * 86_400_000),
    });
    expect(late.checks.get('tls')).toMatchObject({
      state: 'warn',
      found: expect.stringContaining('expired'),
    });
  });

  it.each([[[]], [['--insecure']]])('is told of where it is not trusted (%j)', async (flags) => {
    const tls = certificateForLoopback();
    const registry = await registryFor({ tls });
    const other = join(await temporaryDirectory(), 'other.pem');
    await writeFile(other, certificateForLoopback('another').cert);
    const { result, checks } = await checkJson([registry.host, '--ca-file', other, ...flags]);
    expect(checks.get('tls')?.facts).toMatchObject({ kind: 'tls', trusted: false });
    expect(result.code).toBe(flags.length === 0 ? 3 : 0);
  });

  it('is not spoken', async () => {
    const registry = await registryFor();
    const { checks } = await checkJson([registry.host]);
    expect(checks.get('tls')).toMatchObject({ state: 'around', facts: { kind: 'plain' } });
  });
});

import { mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { hash } from 'bcryptjs';
import { describe, expect, it, onTestFinished } from 'vitest';
import { parseReference, type RegistryReference } from '../../src/oci/reference.ts';
import { openRepository } from '../../src/registry/client.ts';
import { fixedCredentials } from '../../src/registry/credentials.ts';
import { serveRegistry } from '../../src/servers/registry/server.ts';
import { bulla, temporaryDirectory } from '../support/cli.ts';
import { pushImage } from '../support/content.ts';

const PASSWORD = 'sesame-9!';

/** A registry with one user, and a directory that docker's configuration goes to. */
async function guarded(): Promise<{
  readonly host: string;
  readonly env: Record<string, string>;
  readonly config: string;
}> {
  const dir = await temporaryDirectory();
  await writeFile(join(dir, 'htpasswd'), `alice:${await hash(PASSWORD, 4)}\n`);
  const server = await serveRegistry({ dir: join(dir, 'registry'), htpasswd: join(dir, 'htpasswd') });
  onTestFinished(() => server.close());
  const target = openRepository(parseReference(`${server.address}/app`) as RegistryReference, {
    credentials: fixedCredentials(server.address, { kind: 'basic', username: 'alice', password: PASSWORD }),
  });
  onTestFinished(() => target.close());
  await pushImage(target, 'app', 'v1');
  await mkdir(join(dir, 'docker'));
  return {
    host: server.address,
    env: { DOCKER_CONFIG: join(dir, 'docker') },
    config: join(dir, 'docker', 'config.json'),
  };
}

describe('bulla login and logout', () => {
  it('stores what works, uses it, and forgets it', async () => {
    const { host, env, config } = await guarded();
    expect(await bulla(['ls', `${host}/app`], { env })).toMatchObject({ code: 4, stdout: '' });
    const login = await bulla(['login', host, '-u', 'alice', '--password-stdin'], {
      env,
      stdin: `${PASSWORD}\n`,
    });
    expect(login, login.stderr).toMatchObject({ code: 0, stdout: '' });
    expect(login.stderr).toContain(config);
    expect((await stat(config)).mode & 0o777).toBe(0o600);
    expect((await bulla(['ls', `${host}/app`], { env })).stdout).toBe('v1\n');
    expect(await bulla(['logout', host], { env })).toMatchObject({ code: 0 });
    expect(await bulla(['ls', `${host}/app`], { env })).toMatchObject({ code: 4 });
    expect(await readFile(config, 'utf8')).not.toContain(host);
  });

  it('stores nothing that the registry refuses', async () => {
    const { host, env, config } = await guarded();
    const login = await bulla(['login', host, '-u', 'alice', '--password-stdin'], { env, stdin: 'wrong' });
    expect(login).toMatchObject({ code: 4, stdout: '' });
    await expect(stat(config)).rejects.toThrow('ENOENT');
  });

  it('takes name and password for one command, and shows them to nobody', async () => {
    const { host, env } = await guarded();
    const argv = ['ls', `${host}/app`, '-u', 'alice', '--password-stdin', '--trace', '-v'];
    const { stdout, stderr } = await bulla(argv, { env, stdin: PASSWORD });
    expect(stdout).toBe('v1\n');
    expect(stderr).toMatch(/GET/);
    for (const secret of [PASSWORD, Buffer.from(`alice:${PASSWORD}`).toString('base64')])
      expect(stderr).not.toContain(secret);
  });

  it('takes them for a push and a pull, which have one registry', async () => {
    const { host, env } = await guarded();
    const cwd = await temporaryDirectory();
    const login = ['-u', 'alice', '--password-stdin'];
    const pulled = await bulla(['pull', `${host}/app:v1`, 'oci:here', '--no-verify', ...login], {
      env,
      cwd,
      stdin: PASSWORD,
    });
    expect(pulled, pulled.stderr).toMatchObject({ code: 0 });
    const pushed = await bulla(['push', 'oci:here:v1', `${host}/again:v1`, ...login], {
      env,
      cwd,
      stdin: PASSWORD,
    });
    expect(pushed, pushed.stderr).toMatchObject({ code: 0 });
  });

  it.each([
    ['a name without a password', ['ls', 'HOST/app', '-u', 'alice'], /password-stdin/],
    ['a password without a name', ['ls', 'HOST/app', '--password-stdin'], /user name/],
    ['an empty password', ['login', 'HOST', '-u', 'a', '--password-stdin'], /no password/],
    ['nobody to ask', ['login', 'HOST'], /no terminal to prompt/],
    ['no registry', ['login', 'https://r.io'], /not a registry/],
    [
      'a password for either side',
      ['copy', 'HOST/app:v1', 'HOST/b', '-u', 'a', '--password-stdin'],
      /source or the destination/,
    ],
    [
      'two passwords on one input',
      [
        'copy',
        'HOST/app:v1',
        'HOST/b',
        '--from-username',
        'a',
        '--from-password-stdin',
        '--to-username',
        'b',
        '--to-password-stdin',
      ],
      /one password/,
    ],
  ])('refuses %s', async (_, argv, message) => {
    const { host, env } = await guarded();
    const result = await bulla(
      argv.map((word) => word.replace('HOST', host)),
      { env },
    );
    expect(result).toMatchObject({ code: 2, stdout: '' });
    expect(result.stderr).toMatch(message);
  });
});

import { execFileSync, spawnSync } from 'node:child_process';
import { mkdir, readlink, realpath, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { isPlugin, metadataFor, pluginCall } from '../../../src/cli/docker-trust/plugin.ts';
import { temporaryDirectory } from '../../support/cli.ts';

const BULLA = new URL('../../../dist/bulla.js', import.meta.url).pathname;

describe('the plug-in of docker', () => {
  it.each([
    ['/home/a/.docker/cli-plugins/docker-trust', true],
    ['C/docker-trust.exe', true],
    ['/usr/bin/bulla', false],
    ['/usr/bin/docker-trusted', false],
    ['/docker-trust/bulla.js', false],
  ])('is told by its name: %s', (program, expected) => {
    expect(isPlugin(program)).toBe(expected);
  });

  it.each<[string[], string[], string | undefined]>([
    [['trust', 'sign', 'app:v1'], ['docker-trust', 'sign', 'app:v1'], undefined],
    [['trust'], ['docker-trust'], undefined],
    [['trust', '--help'], ['docker-trust', '--help'], undefined],
    [['--config', '/c', 'trust', 'inspect', 'a'], ['docker-trust', 'inspect', 'a'], '/c'],
    [['--config=/c', '-D', 'trust', 'inspect', 'a'], ['docker-trust', 'inspect', 'a'], '/c'],
    [
      ['-H', 'tcp://x', '--tls', 'trust', 'revoke', '-y', 'a'],
      ['docker-trust', 'revoke', '-y', 'a'],
      undefined,
    ],
    [['--context', 'trust', 'trust', 'inspect', 'trust'], ['docker-trust', 'inspect', 'trust'], undefined],
    [['help', 'trust'], ['docker-trust', 'help'], undefined],
    [['help', 'trust', 'sign'], ['docker-trust', 'help', 'sign'], undefined],
    [['inspect', 'a'], ['docker-trust', 'inspect', 'a'], undefined],
  ])('takes %j as docker hands it over', (argv, expected, dockerConfig) => {
    expect(pluginCall(argv)).toEqual({ argv: expected, dockerConfig });
  });

  it('says what docker asks first', () => {
    expect(metadataFor(['trust', 'docker-cli-plugin-metadata'], '1')).toBeUndefined();
    expect(JSON.parse(metadataFor(['docker-cli-plugin-metadata'], '1.2.3') ?? '')).toEqual({
      SchemaVersion: '0.1.0',
      Vendor: 'bulla',
      Version: '1.2.3',
      ShortDescription: 'Manage trust on Docker images',
    });
  });
});

describe('bulla docker-trust install-plugin', () => {
  let home: string;
  let env: Record<string, string>;
  beforeEach(async () => {
    home = await temporaryDirectory();
    env = { PATH: process.env['PATH'] ?? '', HOME: home, BULLA_HOME: join(home, 'state') };
  });
  const install = (...flags: string[]) =>
    spawnSync(process.execPath, [BULLA, 'docker-trust', 'install-plugin', ...flags], {
      cwd: home,
      env,
      encoding: 'utf8',
    });

  it('puts a link where docker looks, which runs as docker runs it', async () => {
    // As npm does it: the command on PATH is a link itself.
    await symlink(BULLA, join(home, 'bulla'));
    const told = execFileSync(process.execPath, [join(home, 'bulla'), 'docker-trust', 'install-plugin'], {
      env,
      encoding: 'utf8',
    });
    const plugin = join(home, '.docker/cli-plugins/docker-trust');
    expect(told).toBe(`${plugin}\n`);
    expect(await readlink(plugin)).toBe(await realpath(BULLA));
    const run = (...args: string[]) => spawnSync(plugin, args, { env, encoding: 'utf8' });
    expect(JSON.parse(run('docker-cli-plugin-metadata').stdout)).toMatchObject({ SchemaVersion: '0.1.0' });
    expect(run('trust', 'inspect', '127.0.0.1:1/app')).toMatchObject({ status: 3, stdout: '[]\n' });
    expect(run('trust', '--help')).toMatchObject({ status: 0, stdout: expect.stringContaining('signer') });
    const made = run('trust', 'key', 'generate', 'alice', '--dir', home);
    expect(made).toMatchObject({ status: 2, stderr: expect.stringContaining('BULLA_PASSPHRASE') });
  });

  it('takes the directory of DOCKER_CONFIG or of --dir, and is the same a second time', async () => {
    env['DOCKER_CONFIG'] = join(home, 'config');
    for (const _ of [1, 2]) expect(install()).toMatchObject({ status: 0 });
    expect(await readlink(join(home, 'config/cli-plugins/docker-trust'))).toBe(await realpath(BULLA));
    expect(install('--dir', 'plugins')).toMatchObject({ status: 0 });
    expect(await readlink(join(home, 'plugins/docker-trust'))).toBe(await realpath(BULLA));
  });

  it('does not replace another plug-in, unless told to', async () => {
    const directory = join(home, 'plugins');
    await mkdir(directory);
    await writeFile(join(directory, 'docker-trust'), 'another');
    expect(install('--dir', 'plugins')).toMatchObject({ status: 30 });
    expect(install('--dir', 'plugins', '--force')).toMatchObject({ status: 0 });
    expect(await readlink(join(directory, 'docker-trust'))).toBe(await realpath(BULLA));
  });
});

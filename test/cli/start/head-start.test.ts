import { execFile } from 'node:child_process';
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { Cli } from '../../../src/cli/shell/context.ts';
import { headStart } from '../../../src/cli/start/head-start.ts';
import { buildProgram } from '../../../src/cli/start/run.ts';
import { temporaryDirectory } from '../../support/cli.ts';
import { emptyRegistry } from '../../support/empty-registry.ts';

const BULLA = new URL('../../../dist/bulla.js', import.meta.url).pathname;

let home: string;
beforeEach(async () => {
  home = await temporaryDirectory();
});

/** Whether `bulla LINE` is connected before it is known for certain what it means. */
function begins(line: string, env: Readonly<Record<string, string>> = {}): boolean {
  const begun = headStart(line.split(' '), { env, home });
  begun?.drop();
  return begun !== undefined;
}

describe('a head start', () => {
  it.each([
    'verify localhost:1/app:v1',
    'verify -q localhost:1/app:v1 --ca ca.crt -o json',
    '--quiet --insecure verify --plain-http localhost:1/app:v1',
    `verify localhost:1/app@sha256:${'0'.repeat(64)}`,
    'verify docker://localhost:1/app:v1 --key k',
  ])('has %s', (line) => {
    expect(begins(line)).toBe(true);
  });

  it.each([
    ['a socket is forbidden', 'verify localhost:1/app:v1 --offline'],
    ['a socket is forbidden, first of all', '--offline verify localhost:1/app:v1'],
    ['it might be forbidden', 'verify localhost:1/app:v1 --key --offline'],
    ['help is asked for', 'verify localhost:1/app:v1 --help'],
    ['help is asked for in short', 'verify -h localhost:1/app:v1'],
    ['the image may be the value of a flag', 'verify --key localhost:1/app:v1'],
    ['the command may be the value of a flag', '-u verify localhost:1/app:v1'],
    ['flags end', 'verify -- localhost:1/app:v1'],
    ['no image is named', 'verify localhost:1/app'],
    ['no reference is one', 'verify localhost:1/APP:v1'],
    ['it is a URL', 'verify http://localhost:1/app:v1'],
    ['it is a layout', 'verify oci:localhost:1/app:v1'],
    ['there is nothing else', 'verify'],
    ['it is another command', 'copy localhost:1/app:v1 localhost:1/app:v2'],
  ])('is not had where %s', (_, line) => {
    expect(begins(line)).toBe(false);
  });

  it.each(['BULLA_OFFLINE', 'BULLA_PLAIN_HTTP', 'HTTPS_PROXY', 'http_proxy'])(
    'is not had where the environment says %s',
    (name) => {
      expect(begins('verify localhost:1/app:v1', { [name]: '1' })).toBe(false);
    },
  );

  it('is not had where there is a configuration file, or may be one', () => {
    mkdirSync(join(home, '.config/bulla'), { recursive: true });
    expect(begins('verify localhost:1/app:v1')).toBe(true);
    writeFileSync(join(home, '.config/bulla/config.yaml'), 'quiet: true\n');
    expect(begins('verify localhost:1/app:v1')).toBe(false);
    symlinkSync('loop', join(home, 'loop'));
    expect(begins('verify localhost:1/app:v1', { BULLA_HOME: join(home, 'loop') })).toBe(false);
    expect(begins('verify localhost:1/app:v1', { BULLA_HOME: join(home, 'none') })).toBe(true);
  });

  it('knows which flags of verify have no value', async () => {
    const io = { env: {}, cwd: home, home } as unknown as ConstructorParameters<typeof Cli>[0];
    const program = await buildProgram(['verify'], new Cli(io));
    const options = [program, ...program.commands].flatMap((command) => command.options);
    for (const { short, long, required, optional } of options) {
      for (const flag of [short, long]) {
        if (flag == null || flag === '--offline' || !(required || optional)) continue;
        expect(begins(`verify ${flag} localhost:1/app:v1`), flag).toBe(false);
      }
    }
  });
});

describe('the connection of a head start', () => {
  it('is one of those that the program would open itself: for the manifest, and for what refers to it', async () => {
    const { host, connections } = await emptyRegistry(2);
    expect(await verify(`${host}/app:v1`)).toBe(11);
    // One that is not used would have come before the others.
    expect(connections()).toBe(2);
  });

  it.each([
    ['by a flag', ['--offline'], {}, ''],
    ['by the environment', [], { BULLA_OFFLINE: '1' }, ''],
    ['by the configuration file', [], {}, 'offline: true\n'],
  ])('is not begun where sockets are forbidden %s', async (_, flags, env, config) => {
    const { host, connections } = await emptyRegistry();
    if (config !== '') writeFileSync(join(home, 'config.yaml'), config);
    expect(await verify(`${host}/app:v1`, flags, env)).toBe(3);
    expect(connections()).toBe(0);
  });

  /** The command as it is built; its exit status. */
  async function verify(
    image: string,
    flags: readonly string[] = [],
    more: Readonly<Record<string, string>> = {},
  ): Promise<number> {
    const ended = new AbortController();
    onTestFinished(() => ended.abort());
    const env = { PATH: process.env['PATH'], BULLA_HOME: home, ...more };
    const args = [BULLA, 'verify', image, '--key', 'k', ...flags];
    const failed = await promisify(execFile)(process.execPath, args, { env, signal: ended.signal }).then(
      () => ({ code: 0 }),
      (error: { code: number }) => error,
    );
    return failed.code;
  }
});

import { execFileSync, spawn } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { bulla, temporaryDirectory } from '../support/cli.ts';

const DIGEST = `sha256:${'a'.repeat(64)}`;
const command = new URL('../../dist/bulla.js', import.meta.url).pathname;

interface Ended {
  readonly code: number | null;
  readonly signal: string | null;
  readonly stderr: string;
  readonly ms: number;
}

/** Runs the built command; ended by `signal` after `afterMs`, if it is given. */
async function run(
  argv: readonly string[],
  { home, signal, afterMs = 3_000, shell = false }: RunOptions,
): Promise<Ended> {
  const began = performance.now();
  const words = [process.execPath, command, ...argv];
  const child = spawn(shell ? 'bash' : process.execPath, shell ? ['-c', words.join(' ')] : words.slice(1), {
    env: { ...process.env, BULLA_HOME: home, HOME: home },
    stdio: ['pipe', 'pipe', 'pipe'],
    cwd: home,
  });
  let stderr = '';
  child.stderr.on('data', (piece) => (stderr += String(piece)));
  child.stdout.resume();
  const timers = [setTimeout(() => child.kill('SIGKILL'), 40_000)];
  if (signal !== undefined) timers.push(setTimeout(() => child.kill(signal), afterMs));
  return await new Promise((resolve) => {
    child.on('close', (code, ended) => {
      timers.forEach(clearTimeout);
      resolve({ code, signal: ended, stderr, ms: performance.now() - began });
    });
  });
}

interface RunOptions {
  readonly home: string;
  readonly signal?: NodeJS.Signals;
  readonly afterMs?: number;
  readonly shell?: boolean;
}

async function place(): Promise<{ home: string; fifo: string }> {
  const home = await temporaryDirectory();
  const fifo = join(home, 'fifo');
  execFileSync('mkfifo', [fifo]);
  return { home, fifo };
}

/** Where a file may be named, and what a pipe there is: refused at once, or waited for within a time. */
const PLACES: readonly [string, (path: string) => string[]][] = [
  ['an archive', (path) => ['inspect', `oci-archive:${path}`]],
  ['a docker archive', (path) => ['inspect', `docker-archive:${path}`]],
  ['a layout', (path) => ['inspect', `oci:${path}:v1`]],
  ['a key', (path) => ['verify', `127.0.0.1:1/app@${DIGEST}`, '--key', path]],
  ['a CA', (path) => ['verify', `127.0.0.1:1/app@${DIGEST}`, '--ca', path]],
  ['a root', (path) => ['verify', '127.0.0.1:1/app:v1', '--root', path]],
  ['a root CA', (path) => ['verify', '127.0.0.1:1/app:v1', '--root-ca', path]],
  ['a TLS CA', (path) => ['ls', '127.0.0.1:1/app', '--ca-file', path]],
  ['a list', (path) => ['sign', '--from', path]],
  ['credentials', (path) => ['login', '127.0.0.1:1', '--registry-config', path]],
  ['a change', (path) => ['approve', '127.0.0.1:1/app', path]],
];

describe('a file that never ends', () => {
  it.each(PLACES)('is refused as %s: /dev/zero', async (_, argv) => {
    const { code, stderr } = await bulla(argv('/dev/zero'));
    expect([code, stderr]).not.toEqual([0, '']);
    expect(stderr).not.toContain('[internal]');
  });

  it.each(PLACES)('is refused as %s: a directory, a socket', async (_, argv) => {
    const home = await temporaryDirectory();
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(join(home, 'socket'), resolve));
    onTestFinished(() => void server.close());
    mkdirSync(join(home, 'directory'));
    for (const name of ['socket', 'directory']) {
      const { code, stderr } = await bulla(argv(join(home, name)));
      expect(code, stderr).not.toBe(0);
      expect(stderr).not.toContain('[internal]');
    }
  });

  it.each(PLACES)(
    'is not waited for without an end as %s: a pipe to which nobody writes',
    async (_, argv) => {
      const { fifo } = await place();
      const { code, stderr } = await bulla(argv(fifo));
      expect(code, stderr).not.toBe(0);
      expect(stderr).not.toContain('[internal]');
    },
    30_000,
  );

  it('is not read as the configuration', async () => {
    const { home } = await place();
    execFileSync('mkfifo', [join(home, 'config.yaml')]);
    const { code } = await bulla(['key', 'ls'], { env: { BULLA_HOME: home } });
    expect(code).toBe(5);
  });

  it('is not read as a passphrase', async () => {
    const { fifo } = await place();
    const { code, stderr } = await bulla(['key', 'generate', 'k'], { env: { BULLA_PASSPHRASE_FILE: fifo } });
    expect(code, stderr).not.toBe(0);
  }, 30_000);
});

describe('an empty file by its usual name', () => {
  it('is no configuration of credentials', async () => {
    const { stderr } = await bulla(['logout', '127.0.0.1:1', '--registry-config', '/dev/null']);
    expect(stderr).not.toContain('[storage-error]');
  });
});

describe('the built command', () => {
  it('reads a key from <(command)', async () => {
    const { home } = await place();
    const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    writeFileSync(join(home, 'k.pub'), publicKey.export({ type: 'spki', format: 'pem' }));
    // The server is not there: the key was read, or the command would end before it is asked.
    const argv = ['verify', `127.0.0.1:1/app@${DIGEST}`, '--key', '<(sleep 0.3; cat k.pub)'];
    const ended = await run(argv, { home, shell: true });
    expect(ended.stderr).toContain('[registry-unreachable]');
  }, 60_000);

  it.concurrent.each(['SIGINT', 'SIGTERM', 'SIGHUP'] as const)(
    'ends by %s while it waits for a pipe',
    async (signal) => {
      const { home, fifo } = await place();
      const ended = await run(['verify', `127.0.0.1:1/app@${DIGEST}`, '--key', fifo], { home, signal });
      expect(ended.code === 130 || ended.signal === 'SIGINT').toBe(true);
      expect(ended.ms).toBeLessThan(30_000);
    },
    60_000,
  );

  it.concurrent.each([
    ['standard input', ['login', '127.0.0.1:1', '-u', 'me', '--password-stdin']],
    ['a list on standard input', ['sign', '--from', '-']],
    ['a registry that says nothing', ['inspect', 'SILENT/app:v1']],
  ])(
    'ends by SIGTERM while it waits for %s',
    async (_, argv) => {
      const { home } = await place();
      const server = createServer(() => undefined);
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      const { port } = server.address() as { port: number };
      const words = argv.map((word) => word.replace('SILENT', `127.0.0.1:${port}`));
      const ended = await run(words, { home, signal: 'SIGTERM' });
      server.close();
      expect(ended.code === 130 || ended.signal === 'SIGINT', JSON.stringify(ended)).toBe(true);
    },
    60_000,
  );
});

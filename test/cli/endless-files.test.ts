import { execFileSync, spawn } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { createServer as createHttpServer, type RequestListener } from 'node:http';
import { type AddressInfo, createServer, type Socket } from 'node:net';
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
  { home, signal, afterMs = 3_000, shell = false, env = {}, reached }: RunOptions,
): Promise<Ended> {
  const began = performance.now();
  const words = [process.execPath, command, ...argv];
  const child = spawn(shell ? 'bash' : process.execPath, shell ? ['-c', words.join(' ')] : words.slice(1), {
    env: { ...process.env, BULLA_HOME: home, HOME: home, ...env },
    stdio: ['pipe', 'pipe', 'pipe'],
    cwd: home,
  });
  let stderr = '';
  child.stderr.on('data', (piece) => (stderr += String(piece)));
  child.stdout.resume();
  const timers = [setTimeout(() => child.kill('SIGKILL'), 40_000)];
  if (reached !== undefined) void reached.then(() => child.kill(signal));
  else if (signal !== undefined) timers.push(setTimeout(() => child.kill(signal), afterMs));
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
  readonly env?: Readonly<Record<string, string>>;
  /** Instead of `afterMs`: when the signal is sent. */
  readonly reached?: Promise<unknown> | undefined;
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

  it('is not waited for without an end: a pipe to which nobody writes', async () => {
    const { fifo } = await place();
    // All at once: each waits for a writer for as long as one may take.
    const ended = await Promise.all(PLACES.map(([, argv]) => bulla(argv(fifo))));
    for (const [at, { code, stderr }] of ended.entries()) {
      expect(code, `${PLACES[at]?.[0]}: ${stderr}`).not.toBe(0);
      expect(stderr, PLACES[at]?.[0]).not.toContain('[internal]');
    }
  }, 60_000);

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

  it.each([
    ['a password on standard input', ['login', '127.0.0.1:1', '-u', 'me', '--password-stdin']],
    ['a list on standard input', ['sign', '--from', '-']],
    ['a passphrase on standard input', ['key', 'generate', 'k', '--passphrase-fd', '0']],
    ['a registry that says nothing', ['inspect', 'SILENT/app:v1']],
    ['a handshake of TLS', ['inspect', 'SILENT/app:v1', '--ca-file', 'ca.pem']],
    ['a token server', ['ls', 'LOCKED/app']],
    ['a credential helper', ['ls', 'HELPED/app']],
    ['the rest of a body', ['ls', 'ENDLESS/app']],
    ['an end of early hints', ['ls', 'HINTING/app']],
    ['an upload to be taken', ['push', LAYOUT, 'SINK/app:v1']],
    ['a Notary server', ['verify', '127.0.0.1:1/app:v1', '--notary', 'http://SILENT']],
    ['a collection to be exported', ['export', 'tuf', 'SILENT/app', 'out']],
  ])(
    'ends by SIGTERM while it waits for %s',
    async (_, argv) => {
      const { home } = await place();
      const env = await helped(home);
      writeFileSync(join(home, 'ca.pem'), '-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n');
      const words: string[] = [];
      let reached: Promise<unknown> | undefined;
      for (const word of argv) {
        const name = /[A-Z]{4,}/.exec(word)?.[0] ?? '';
        const answer = ANSWERS[name];
        const server = answer === undefined ? undefined : await hung(answer, home);
        reached ??= server?.reached;
        words.push(server === undefined ? word : word.replace(name, server.host));
      }
      const ended = await run(words, { home, signal: 'SIGTERM', env, reached });
      expect(ended.code === 130 || ended.signal === 'SIGINT', JSON.stringify(ended)).toBe(true);
      expect(ended.stderr).toContain('[interrupted]');
    },
    60_000,
  );
});

const LAYOUT = new URL('../../testdata/demo-image/layout', import.meta.url).pathname;
const BASIC = { 'www-authenticate': 'Basic realm="r"' };

/** Servers that keep a client waiting, each in a way of its own. */
const ANSWERS: Readonly<Record<string, RequestListener | 'silent' | 'hints'>> = {
  SILENT: 'silent',
  HINTING: 'hints',
  LOCKED: (request, response) => {
    const realm = `Bearer realm="http://${request.headers.host}/token",service="s"`;
    if (request.url?.startsWith('/token') !== true)
      response.writeHead(401, { 'www-authenticate': realm }).end();
  },
  HELPED: (_, response) => void response.writeHead(401, BASIC).end(),
  ENDLESS: (_, response) => {
    response.writeHead(200, { 'content-type': 'application/json' });
    const timer = setInterval(() => response.write(' '), 50);
    response.on('close', () => clearInterval(timer));
  },
  SINK: ({ method }, response) => {
    if (method === 'POST') response.writeHead(202, { location: '/v2/app/blobs/uploads/1' }).end();
    else if (method === 'GET' || method === 'HEAD') response.writeHead(404).end();
  },
};

interface Hung {
  readonly host: string;
  /** Settled once a client waits. */
  readonly reached: Promise<void>;
}

/** Starts one of them. */
async function hung(answer: RequestListener | 'silent' | 'hints', home: string): Promise<Hung> {
  const sockets = new Set<Socket>();
  const server =
    typeof answer === 'function'
      ? createHttpServer(answer)
      : createServer((socket) => {
          const hint = (): void => void socket.write('HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n');
          const timer = answer === 'hints' ? setInterval(hint, 50) : undefined;
          socket.on('error', () => undefined);
          socket.on('close', () => clearInterval(timer));
        });
  let isReached = (): void => undefined;
  const reached = new Promise<void>((resolve) => {
    isReached = resolve;
  });
  server.on('connection', (socket: Socket) => {
    // Long enough for what follows the first request.
    setTimeout(isReached, 500);
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  writeFileSync(join(home, 'docker', 'config.json'), JSON.stringify({ credHelpers: { [host]: 'slow' } }));
  return { host, reached };
}

/** The environment of a person whose credential helper takes its time, and no notice of signals. */
async function helped(home: string): Promise<Record<string, string>> {
  mkdirSync(join(home, 'docker'));
  const helper = join(home, 'docker-credential-slow');
  writeFileSync(helper, "#!/bin/sh\ntrap '' TERM INT HUP\nexec sleep 8\n", { mode: 0o755 });
  return { DOCKER_CONFIG: join(home, 'docker'), PATH: `${home}:${process.env['PATH']}` };
}

import { spawn } from 'node:child_process';
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Server, startServer } from '../support/process.ts';

/**
 * `make demo`: the main job on a real image, between two registries that it starts itself. It prints
 * each command as one would type it and what it answers, and fails where one ends otherwise than it
 * should.
 */
const BULLA = new URL('../../dist/bulla.js', import.meta.url).pathname;
const IMAGE = new URL('../../testdata/demo-image/layout', import.meta.url).pathname;
const colour = process.stdout.isTTY === true && process.env['NO_COLOR'] === undefined;
const paint = (code: number, text: string): string => (colour ? `\x1b[${code}m${text}\x1b[0m` : text);

const work = mkdtempSync(join(tmpdir(), 'bulla-demo-'));
const env: NodeJS.ProcessEnv = {
  ...Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^BULLA_|proxy$/i.test(name))),
  BULLA_HOME: join(work, '.bulla'),
  BULLA_PASSPHRASE: 'correct horse battery staple',
  DOCKER_CONFIG: join(work, '.docker'),
  REGISTRY_AUTH_FILE: join(work, '.auth.json'),
};
let steps = 0;

/** What a command has to end with: its exit status, and its code where it is refused. */
interface Expected {
  readonly status: number;
  readonly code: string;
}

function say(text: string): void {
  process.stdout.write(`\n${paint(1, `# ${text}`)}\n`);
}

/** Shows and runs `bulla ARGS`, and checks how it ends. */
async function bulla(line: string, expected?: Expected): Promise<string> {
  steps += 1;
  process.stdout.write(`${paint(36, `$ bulla ${line}`)}\n`);
  const child = spawn(process.execPath, [BULLA, ...line.split(' ')], {
    cwd: work,
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (chunk: Buffer) => {
    stdout += chunk.toString();
    process.stdout.write(chunk);
  });
  child.stderr.on('data', (chunk: Buffer) => {
    stderr += chunk.toString();
    process.stdout.write(chunk);
  });
  const status = await new Promise<number>((resolve) => child.once('close', (code) => resolve(code ?? 1)));
  const wanted = expected?.status ?? 0;
  if (wanted !== 0) process.stdout.write(`${paint(33, `exit status ${status}`)}\n`);
  if (status !== wanted || (expected !== undefined && !stderr.includes(expected.code))) {
    const what = expected === undefined ? 'status 0' : `status ${wanted} and the code ${expected.code}`;
    throw new Error(`bulla ${line} should have ended with ${what}, and ended with ${status}`);
  }
  return stdout;
}

async function startRegistry(name: string): Promise<Server> {
  process.stdout.write(`${paint(36, `$ bulla serve registry --dir ${name} --addr 127.0.0.1:0 &`)}\n`);
  const server = await startServer({
    file: process.execPath,
    args: () => [BULLA, 'serve', 'registry', '--dir', join(work, name), '--addr', '127.0.0.1:0'],
    env,
    announces: /127\.0\.0\.1:(\d+)/,
  });
  process.stdout.write(`${name} listens on ${server.host}\n`);
  return server;
}

/** Changes one byte in the middle of the largest blob of an OCI layout. */
function flipByte(layout: string): void {
  const directory = join(layout, 'blobs/sha256');
  const [largest = ''] = readdirSync(directory)
    .map((name) => join(directory, name))
    .sort((a, b) => statSync(b).size - statSync(a).size);
  const bytes = readFileSync(largest);
  const middle = Math.floor(bytes.length / 2);
  bytes[middle] = (bytes[middle] ?? 0) ^ 1;
  writeFileSync(largest, bytes);
}

async function story(development: string, production: string): Promise<void> {
  say('Push a real image, for two platforms, and sign it (the passphrase is in BULLA_PASSPHRASE)');
  await bulla(`push oci:image:v1 ${development}/team/hello:v1`);
  await bulla('key generate alice');
  await bulla(`sign ${development}/team/hello:v1 --key alice`);
  await bulla(`tree ${development}/team/hello:v1`);

  say('Copy it with its signature to another registry, and into an archive');
  await bulla(`copy ${development}/team/hello:v1 ${production}/mirror/hello:v1`);
  await bulla(`copy -q ${production}/mirror/hello:v1 oci-archive:hello.tar:v1`);

  say('Verify it there');
  await bulla(`verify ${production}/mirror/hello:v1 --key alice`);
  await bulla('verify oci-archive:hello.tar:v1 --key alice');

  say('A byte of a layer is flipped: refused');
  await bulla(`pull -q ${production}/mirror/hello:v1 oci:tampered:v1 --key alice`);
  flipByte(join(work, 'tampered'));
  process.stdout.write(`${paint(36, '(one bit of a layer in ./tampered was changed)')}\n`);
  await bulla(`push oci:tampered:v1 ${production}/mirror/tampered:v1`, {
    status: 40,
    code: 'content-invalid',
  });

  say('A signature by somebody else: refused');
  await bulla(`push -q oci:image:v1 ${development}/team/other:v1`);
  await bulla('key generate mallory');
  await bulla(`sign ${development}/team/other:v1 --key mallory`);
  await bulla(`verify ${development}/team/other:v1 --key alice`, {
    status: 12,
    code: 'signature-mismatch',
  });

  say('No signature at all: refused');
  await bulla(`push -q oci:image:v1 ${development}/team/unsigned:v1`);
  await bulla(`verify ${development}/team/unsigned:v1 --key alice`, { status: 10, code: 'unsigned' });
}

const servers: Server[] = [];
try {
  cpSync(IMAGE, join(work, 'image'), { recursive: true });
  say('Two registries, each a directory');
  servers.push(await startRegistry('development'), await startRegistry('production'));
  const [development, production] = servers;
  await story(development?.host ?? '', production?.host ?? '');
  const seconds = Math.round(performance.now() / 1000);
  process.stdout.write(`\nAll ${steps} commands ended as they should, in ${seconds} s.\n`);
} catch (error) {
  process.stdout.write(`\n${paint(31, error instanceof Error ? error.message : String(error))}\n`);
  process.exitCode = 1;
} finally {
  for (const server of servers) await server.stop();
  rmSync(work, { recursive: true, force: true });
}

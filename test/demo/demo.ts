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

/** Changes one bit in the middle of the largest layer of an OCI layout: they are gzip, and nothing else is. */
function flipBit(layout: string): void {
  const directory = join(layout, 'blobs/sha256');
  const [largest = ''] = readdirSync(directory)
    .map((name) => join(directory, name))
    .filter((path) => readFileSync(path).readUInt16BE(0) === 0x1f8b)
    .sort((a, b) => statSync(b).size - statSync(a).size);
  const bytes = readFileSync(largest);
  const middle = Math.floor(bytes.length / 2);
  bytes[middle] = (bytes[middle] ?? 0) ^ 1;
  writeFileSync(largest, bytes);
}

const HEAD_TYPE = 'application/vnd.oci.image.manifest.v1+json';

/** What somebody does who may push, but has no key: GET or PUT of a tag. */
async function tag(
  method: 'GET' | 'PUT',
  url: string,
  body?: Uint8Array<ArrayBuffer>,
): Promise<Uint8Array<ArrayBuffer>> {
  const headers = { 'content-type': HEAD_TYPE, accept: HEAD_TYPE };
  const response = await fetch(`http://${url}`, { method, headers, ...(body !== undefined && { body }) });
  if (!response.ok) throw new Error(`${method} ${url} was answered with ${response.status}`);
  return new Uint8Array(await response.arrayBuffer());
}

async function story(development: string, production: string): Promise<void> {
  const [app, mirror] = [`${development}/team/hello`, `${production}/mirror/hello`];
  say('Push a real image, for two platforms; make the keys and the trust collection of its repository');
  await bulla(`push oci:image:v1 ${app}:v1`);
  await bulla(`init ${app}`);

  say('Sign it, and that it is v1 (the passphrase is in BULLA_PASSPHRASE)');
  await bulla('key generate alice');
  await bulla(`sign ${app}:v1 --key alice`);
  await bulla(`tree ${app}`);
  await bulla(`tree ${app}:v1`);

  say('Copy it with its signature and its signed name to another registry, and into an archive');
  await bulla(`copy ${app}:v1 ${mirror}:v1`);
  await bulla(`copy -q ${mirror}:v1 oci-archive:hello.tar:v1`);

  say('Verify it there: the name is signed, and so is the image');
  await bulla(`verify ${app}:v1 --key alice`);
  await bulla(`verify ${mirror}:v1 --collection ${app} --key alice`);
  await bulla(`verify oci-archive:hello.tar:v1 --collection ${app} --key alice`);
  await forgeNames(app);
  await forgeImages(development, production);
}

async function forgeNames(app: string): Promise<void> {
  say('Somebody moves the tag to another image: what was signed is the answer, and the move is noticed');
  await bulla('copy -q oci:image:v1 oci:other:v1 --platform linux/amd64');
  await bulla(`push -q oci:other:v1 ${app}:v1`);
  await bulla(`verify ${app}:v1`);
  await bulla(`verify ${app}:v1 --drift reject`, { status: 24, code: 'digest-mismatch' });

  say('The name is revoked, and somebody puts the old trust metadata back: it stays revoked');
  const url = app.replace('/', '/v2/');
  const old = await tag('GET', `${url}/manifests/_trust`);
  await bulla(`revoke ${app}:v1`);
  await tag('PUT', `${url}/manifests/_trust`, old);
  process.stdout.write(`${paint(36, '(the tag _trust was moved back to where it was before)')}\n`);
  await bulla(`verify ${app}:v1`, { status: 23, code: 'name-not-signed' });
}

async function forgeImages(development: string, production: string): Promise<void> {
  const mirror = `${production}/mirror/hello`;
  say('A bit of a layer is flipped: refused');
  await bulla(`pull -q ${mirror}:v1 oci:tampered:v1 --key alice --no-name`);
  flipBit(join(work, 'tampered'));
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

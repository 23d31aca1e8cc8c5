import { spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/**
 * Memory of the embedded registry while clients push and pull large blobs at the same time.
 * `tsx test/bench/registry-memory.ts [clients] [MiB]`; needs the built command.
 */
const CLIENTS = Number(process.argv[2] ?? 8);
const MEBIBYTES = Number(process.argv[3] ?? 1024);
const MIB = 1024 * 1024;
const LIMIT_KIB = 150 * 1024;

const BULLA = new URL('../../dist/bulla.js', import.meta.url).pathname;
const filler = randomBytes(MIB);

/** A blob of its own for each client: its number, then the same mebibyte again and again. */
function* piecesOf(client: number): Generator<Buffer> {
  yield Buffer.from(`client ${client}\n`);
  for (let i = 0; i < MEBIBYTES; i++) yield filler;
}

function digestOf(client: number): string {
  const hash = createHash('sha256');
  for (const piece of piecesOf(client)) hash.update(piece);
  return `sha256:${hash.digest('hex')}`;
}

async function push(port: number, client: number, digest: string): Promise<void> {
  const sent = request({
    port,
    host: '127.0.0.1',
    method: 'POST',
    path: `/v2/bench/blobs/uploads/?digest=${digest}`,
  });
  const answered = once(sent, 'response');
  for (const piece of piecesOf(client)) if (!sent.write(piece)) await once(sent, 'drain');
  sent.end();
  const [response] = await answered;
  response.resume();
  if (response.statusCode !== 201) throw new Error(`the push was answered with ${response.statusCode}`);
}

async function pull(port: number, digest: string): Promise<void> {
  const sent = request({ port, host: '127.0.0.1', path: `/v2/bench/blobs/${digest}` }).end();
  const [response] = await once(sent, 'response');
  const hash = createHash('sha256');
  for await (const chunk of response) hash.update(chunk);
  if (`sha256:${hash.digest('hex')}` !== digest) throw new Error('another blob came back');
}

function memoryOf(pid: number, field: 'VmRSS' | 'VmHWM'): number {
  return Number(
    new RegExp(`^${field}:\\s+([0-9]+)`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1],
  );
}

async function main(): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), 'bulla-memory-'));
  const args = [BULLA, 'serve', 'registry', '--dir', dir, '--addr', '127.0.0.1:0', '--no-access-log'];
  const server = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  try {
    const [line] = await once(server.stdout, 'data');
    const port = Number(/:([0-9]+)\s*$/.exec(String(line))?.[1]);
    const pid = server.pid ?? 0;
    const idle = memoryOf(pid, 'VmRSS');
    const clients = [...Array(CLIENTS).keys()];
    const digests = clients.map(digestOf);
    const seconds = async (work: (client: number) => Promise<void>): Promise<number> => {
      const started = performance.now();
      await Promise.all(clients.map(work));
      return (performance.now() - started) / 1000;
    };
    const pushing = await seconds((client) => push(port, client, digests[client] ?? ''));
    const afterPush = memoryOf(pid, 'VmHWM');
    const pulling = await seconds((client) => pull(port, digests[client] ?? ''));
    // Both at once, the pushes of content that is there already, so that room for it is needed once.
    const both = await seconds((client) =>
      client % 2 === 0 ? push(port, client, digests[client] ?? '') : pull(port, digests[client] ?? ''),
    );
    const peak = memoryOf(pid, 'VmHWM');
    const rate = (time: number): string => `${Math.round((CLIENTS * MEBIBYTES) / time)} MiB/s`;
    console.log(
      JSON.stringify({
        clients: CLIENTS,
        mebibytes: MEBIBYTES,
        push: rate(pushing),
        pull: rate(pulling),
        both: rate(both),
        idleMiB: Math.round(idle / 1024),
        afterPushMiB: Math.round(afterPush / 1024),
        peakMiB: Math.round(peak / 1024),
      }),
    );
    if (peak > LIMIT_KIB) process.exitCode = 1;
  } finally {
    server.kill('SIGTERM');
    await once(server, 'exit');
    rmSync(dir, { recursive: true, force: true });
  }
}

await main();

import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { chmod, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { isBullaError } from '../../src/errors.ts';
import { HttpPool } from '../../src/http/pool.ts';
import type { Descriptor } from '../../src/oci/descriptor.ts';
import { MemoryStore } from '../../src/oci/memory.ts';
import type { Tag } from '../../src/oci/reference.ts';
import type { Target } from '../../src/oci/target.ts';
import { RegistryClient } from '../../src/registry/client.ts';
import { SYSTEM_CHANCE, SYSTEM_CLOCK } from '../../src/servers/system.ts';
import { HEAD_TAG } from '../../src/trust/format/vocabulary.ts';
import { publishNames } from '../../src/trust/publish/publish.ts';
import { ProcessSignerState } from '../../src/trust/publish/signer-state.ts';
import { listen } from '../support/listen.ts';
import { freePort, type Server, startServer } from '../support/process.ts';
import { newCollection, pushHead } from '../support/trust/collection.ts';
import { naming, reading } from '../support/trust/publishing.ts';
import { ONLINE, PUBLISHER, ROOT, signersOf } from '../support/tuf/editing.ts';
import { poolKey } from '../support/tuf/keys.ts';
import { type Bench, median } from './report.ts';

const BULLA = new URL('../../dist/bulla.js', import.meta.url).pathname;
const SECRET = 'a-secret-for-measuring';
/** Asked rarely while something is measured: the metrics of ten thousand are megabytes of text themselves. */
const SELDOM_MS = 2_000;
const run = promisify(execFile);

/** A registry with collections, and what a re-signer needs to serve them. */
export interface Rig {
  readonly dir: string;
  readonly host: string;
  readonly places: readonly string[];
  readonly port: number;
  readonly client: RegistryClient;
}

/** How much, how fast and how soon the re-signer serves, through the built command. */
export const bench: Bench = async ({ size }) => {
  const count = size === 'full' ? 10_000 : 300;
  const rounds = size === 'full' ? 40 : 12;
  const dir = mkdtempSync(join(tmpdir(), 'bulla-resigner-'));
  const port = await freePort();
  const registry = await startRegistry(dir, port);
  const pool = new HttpPool();
  try {
    const client = new RegistryClient({ pool });
    const rig: Rig = {
      dir,
      host: registry.host,
      port,
      client,
      places: await fill(client, registry.host, count),
    };
    await writeFile(join(dir, 'secret'), SECRET);
    const key = join(dir, 'online.pem');
    await writeFile(key, poolKey(ONLINE).privateKey.export({ type: 'pkcs8', format: 'pem' }));
    await chmod(key, 0o600);
    const renewed = await renewAll(rig);
    const idle = await serving(rig, 'schedule: {poll: 1ms, concurrency: 16}', (url) =>
      idleRate(url, size === 'full' ? 20_000 : 5_000),
    );
    const polled = await serving(rig, '', (url) => waits(rig, url, rounds));
    const memory = await memoryOf(dir, size === 'full' ? 10_000 : 1_000);
    const told = await serving(rig, 'notify: {secretFile: secret}', (url) => waits(rig, url, rounds));
    return [
      {
        title: `The re-signer with ${count} collections in one registry on loopback`,
        columns: ['', 'measured'],
        rows: [
          ['idle collections looked at, per second', idle.perSecond],
          ['collections signed anew, per second', renewed],
          ['memory, MiB', idle.mebibytes],
          [`memory with ${memory.count} repositories, MiB`, memory.mebibytes],
          ['memory later, MiB', memory.laterMebibytes],
          ['ms from stage to head, polling', median(polled)],
          ['ms from stage to head, notified', median(told)],
        ],
        goals: [
          { what: 'ms for each idle collection', measured: 1000 / idle.perSecond, atMost: 2 },
          { what: 'MiB of memory, later', measured: memory.laterMebibytes, atMost: 200 },
          { what: 'ms from stage to head, polling, median', measured: median(polled), atMost: 2_000 },
          { what: 'ms from stage to head, notified, median', measured: median(told), atMost: 300 },
        ],
      },
    ];
  } finally {
    await pool.close();
    await registry.stop();
    rmSync(dir, { recursive: true, force: true });
  }
};

export async function startRegistry(dir: string, port: number): Promise<Server> {
  await writeFile(join(dir, 'headers'), `Authorization: Bearer ${SECRET}\n`);
  const notify = ['--notify', `http://127.0.0.1:${port}/notify`, '--notify-headers', join(dir, 'headers')];
  return await startServer({
    file: process.execPath,
    args: () =>
      [BULLA, 'serve', 'registry', '--dir', join(dir, 'registry'), '--listen', '127.0.0.1:0'].concat(
        ['--no-access-log'],
        notify,
      ),
    announces: /http:\/\/127\.0\.0\.1:([0-9]+)/,
  });
}

export async function fill(client: RegistryClient, host: string, count: number): Promise<readonly string[]> {
  const names = Array.from({ length: count }, (_, n) => `team/app${n}`);
  const waiting = [...names];
  const worker = async (): Promise<void> => {
    for (let name = waiting.pop(); name !== undefined; name = waiting.pop()) {
      const made = await newCollection(`${host}/${name}`, new Date());
      await pushHead(client.repository({ registry: host, repository: name }), made);
    }
  };
  await Promise.all(Array.from({ length: 8 }, worker));
  return names.map((name) => `${host}/${name}`);
}

export async function configure({ dir, host, port }: Rig, more: string): Promise<string> {
  const path = join(dir, 'resigner.yaml');
  const entry = { repositories: `${host}/*`, rootKeyIds: [poolKey(ROOT).key.keyid] };
  const lines = [
    `collections: [${JSON.stringify(entry)}]`,
    'key: online.pem',
    'state: {directory: state}',
    `listen: 127.0.0.1:${port}`,
    more,
  ];
  await writeFile(
    path,
    `${lines.join('\n').replace('key: online.pem', `key: ${join(dir, 'online.pem')}`)}\n`,
  );
  return path;
}

/** @returns collections signed anew per second */
async function renewAll(rig: Rig): Promise<number> {
  const config = await configure(rig, '');
  const env = { ...process.env, BULLA_HOME: join(rig.dir, 'home') };
  const began = performance.now();
  await run(process.execPath, [BULLA, 'resign', '--config', config, '--all', '--renew', '-q'], {
    env,
    maxBuffer: 64 * 1024 * 1024,
  });
  return (rig.places.length * 1000) / (performance.now() - began);
}

export async function serving<T>(
  rig: Rig,
  more: string,
  use: (url: string, pid: number) => Promise<T>,
  command: string = BULLA,
): Promise<T> {
  const config = await configure(rig, more);
  const server = await startServer({
    file: process.execPath,
    args: () => [command, 'serve', 'resigner', '--config', config],
    env: { ...process.env, BULLA_HOME: join(rig.dir, 'home') },
    announces: /http:\/\/127\.0\.0\.1:([0-9]+)/,
  });
  try {
    const url = `http://${server.host}`;
    await until(
      async () => (await sample(url, 'bulla_resigner_passes_total{work="none"}')) >= rig.places.length,
      SELDOM_MS,
    );
    return await use(url, server.pid);
  } finally {
    await server.stop();
  }
}

/**
 * What a thousand looks at collections that need nothing cost the re-signer, by the command that serves it: each in
 * turn, and the median of the rounds.
 */
export async function idleCpu(
  commands: readonly string[],
  count: number,
  rounds: number,
): Promise<readonly { readonly cpu: number; readonly wall: number }[]> {
  const dir = mkdtempSync(join(tmpdir(), 'bulla-resigner-'));
  const port = await freePort();
  const registry = await startRegistry(dir, port);
  const pool = new HttpPool();
  try {
    const client = new RegistryClient({ pool });
    const { host } = registry;
    const rig: Rig = { dir, host, port, client, places: await fill(client, host, count) };
    await writeFile(join(dir, 'secret'), SECRET);
    await writeFile(
      join(dir, 'online.pem'),
      poolKey(ONLINE).privateKey.export({ type: 'pkcs8', format: 'pem' }),
    );
    await chmod(join(dir, 'online.pem'), 0o600);
    await renewAll(rig);
    const costs = commands.map(() => ({ cpu: [] as number[], wall: [] as number[] }));
    for (let round = 0; round < rounds; round++) {
      for (const [at, command] of commands.entries()) {
        const cost = await serving(rig, 'schedule: {poll: 1ms, concurrency: 16}', costOfLooks, command);
        costs[at]?.cpu.push(cost.cpu);
        costs[at]?.wall.push(cost.wall);
      }
    }
    return costs.map(({ cpu, wall }) => ({ cpu: median(cpu), wall: median(wall) }));
  } finally {
    await pool.close();
    await registry.stop();
    rmSync(dir, { recursive: true, force: true });
  }
}

const LOOKS = 5_000;

async function costOfLooks(
  url: string,
  pid: number,
): Promise<{ readonly cpu: number; readonly wall: number }> {
  const looks = (): Promise<number> =>
    sample(url, 'bulla_resigner_step_duration_seconds_count{outcome="idle"}');
  const from = { looks: await looks(), cpu: cpuOf(pid), wall: performance.now() };
  await until(async () => (await looks()) >= from.looks + LOOKS);
  const thousands = ((await looks()) - from.looks) / 1000;
  return { cpu: (cpuOf(pid) - from.cpu) / thousands, wall: (performance.now() - from.wall) / thousands };
}

/** Milliseconds of processor time that a process has had. */
export function cpuOf(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return 10 * (Number(fields[11]) + Number(fields[12]));
}

async function idleRate(url: string, forMs: number): Promise<{ perSecond: number; mebibytes: number }> {
  const looks = (): Promise<number> =>
    sample(url, 'bulla_resigner_step_duration_seconds_count{outcome="idle"}');
  const from = await looks();
  const began = performance.now();
  await new Promise((resolve) => setTimeout(resolve, forMs));
  const perSecond = (((await looks()) - from) * 1000) / (performance.now() - began);
  const text = await (await fetch(`${url}/metrics`)).text();
  const bytes = Number(/^process_resident_memory_bytes (\d+)/m.exec(text)?.[1]);
  return { perSecond, mebibytes: bytes / 2 ** 20 };
}

interface Memory {
  readonly count: number;
  readonly mebibytes: number;
  readonly laterMebibytes: number;
}

/** Memory of a re-signer for many repositories, that all hold the same collection: making them would take hours. */
async function memoryOf(dir: string, count: number): Promise<Memory> {
  const store = new MemoryStore();
  await pushHead(store, await newCollection('registry.example.com/team/app', new Date()));
  const { host, stop } = await listen(sameEverywhere(store));
  const config = join(dir, 'many.yaml');
  const scopes = Array.from({ length: count }, (_, n) => `${host}/team/app${n}`);
  const entry = {
    repositories: scopes,
    rootKeyIds: [poolKey(ROOT).key.keyid],
    collection: 'registry.example.com/team/app',
  };
  const lines = [`collections: [${JSON.stringify(entry)}]`, `key: ${join(dir, 'online.pem')}`];
  await writeFile(config, `${lines.join('\n')}\nstate: {directory: many}\nlisten: 127.0.0.1:0\n`);
  const server = await startServer({
    file: process.execPath,
    args: () => [BULLA, 'serve', 'resigner', '--config', config],
    env: { ...process.env, BULLA_HOME: join(dir, 'home') },
    announces: /http:\/\/127\.0\.0\.1:([0-9]+)/,
  });
  try {
    const url = `http://${server.host}`;
    const mebibytes = async (): Promise<number> =>
      (await sample(url, 'process_resident_memory_bytes')) / 2 ** 20;
    await until(async () => (await sample(url, 'bulla_resigner_passes_total{work="none"}')) >= count, 5_000);
    const first = await mebibytes();
    const looks = (): Promise<number> =>
      sample(url, 'bulla_resigner_step_duration_seconds_count{outcome="idle"}');
    const target = (await looks()) + count;
    await until(async () => (await looks()) >= target, 5_000);
    return { count, mebibytes: first, laterMebibytes: await mebibytes() };
  } finally {
    await server.stop();
    await stop();
  }
}

/** A registry that shows one repository under every name. */
function sameEverywhere(store: MemoryStore): ReturnType<typeof createServer> {
  return createServer((request, response) => {
    const [, kind = '', reference = ''] = /\/(manifests|blobs|tags)\/([^/?]+)/.exec(request.url ?? '') ?? [];
    void answerOf(store, kind, reference).then(({ body, type, digest }) => {
      const etag = `"${digest}"`;
      const isSame = request.headers['if-none-match'] === etag;
      response.writeHead(isSame ? 304 : 200, {
        'content-type': type,
        ...(digest !== '' && { etag, 'docker-content-digest': digest }),
        ...(!isSame && { 'content-length': body.byteLength }),
      });
      response.end(isSame || request.method === 'HEAD' ? undefined : body);
    });
  });
}

async function answerOf(
  store: MemoryStore,
  kind: string,
  reference: string,
): Promise<{ readonly body: Uint8Array; readonly type: string; readonly digest: string }> {
  if (kind === 'tags')
    return { body: Buffer.from('{"name":"x","tags":["_trust"]}'), type: 'application/json', digest: '' };
  if (kind === 'manifests') {
    const { bytes, descriptor } = await store.fetchManifest(reference as Tag);
    return { body: bytes, type: descriptor.mediaType, digest: descriptor.digest };
  }
  const { bytes } = await store.fetchManifest(HEAD_TAG);
  const manifest = JSON.parse(Buffer.from(bytes).toString('utf8')) as { layers: Descriptor[] };
  const layer = manifest.layers.find(({ digest }) => digest === reference) as Descriptor;
  return { body: await store.fetchBlob(layer, 2 ** 24), type: 'application/octet-stream', digest: reference };
}

/** Milliseconds from when a stage is there to when the head is another. */
async function waits(
  { client, host, places }: Rig,
  _url: string,
  rounds: number,
): Promise<readonly number[]> {
  const times: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const place = places[round % places.length] as string;
    const target = client.repository({ registry: host, repository: place.slice(host.length + 1) });
    const before = (await target.resolve(HEAD_TAG)).digest;
    await stage(target, place, `v${Date.now()}`);
    const began = performance.now();
    await until(async () => (await target.resolve(HEAD_TAG)).digest !== before, 10);
    times.push(performance.now() - began);
    // Not in step with whoever polls.
    await new Promise((resolve) => setTimeout(resolve, (round * 397) % 1_100));
  }
  return times;
}

export async function stage(target: Target, place: string, name: string): Promise<void> {
  const read = reading({ place, now: new Date(), isNamed: (other) => other === place });
  try {
    await publishNames(target, read, naming({ [name]: name }), {
      clock: SYSTEM_CLOCK,
      chance: SYSTEM_CHANCE,
      signers: signersOf(poolKey(PUBLISHER)),
      state: new ProcessSignerState(true),
      wait: 0,
    });
  } catch (error) {
    if (!isBullaError(error, 'staged')) throw error;
  }
}

export async function sample(url: string, name: string): Promise<number> {
  const text = await (await fetch(`${url}/metrics`)).text();
  const line = text.split('\n').find((one) => one.startsWith(`${name} `));
  return Number(line?.split(' ').at(-1) ?? 0);
}

export async function until(isSo: () => Promise<boolean>, pauseMs = 200): Promise<void> {
  while (!(await isSo())) await new Promise((resolve) => setTimeout(resolve, pauseMs));
}

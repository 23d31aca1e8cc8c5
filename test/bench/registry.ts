import { createHash } from 'node:crypto';
import { Agent, type IncomingMessage, request } from 'node:http';
import { type Registry, type RegistryKind, startRegistry } from '../interop/registries.ts';
import { noise } from './content.ts';
import { type Bench, median, type Section } from './report.ts';

const KINDS: readonly RegistryKind[] = ['embedded', 'docker-registry', 'olareg'];
const MANIFEST = 'application/vnd.oci.image.manifest.v1+json';
const EMPTY = Buffer.from('{}');
const EMPTY_DESCRIPTOR = {
  mediaType: 'application/vnd.oci.empty.v1+json',
  digest: `sha256:${createHash('sha256').update(EMPTY).digest('hex')}`,
  size: EMPTY.length,
};

/** A client that does nothing but send and receive, the same for all registries. */
class Client {
  readonly #agent = new Agent({ keepAlive: true });
  readonly #base: string;

  constructor(host: string) {
    this.#base = `http://${host}`;
  }

  close(): void {
    this.#agent.destroy();
  }

  /** Pushes a blob in one stream. */
  async pushBlob(repository: string, digest: string, size: number, pieces: Iterable<Buffer>): Promise<void> {
    const started = await this.#send('POST', `/v2/${repository}/blobs/uploads/`, {}, []);
    const location = new URL(started.headers.location ?? '', this.#base);
    location.searchParams.set('digest', digest);
    const headers = { 'content-type': 'application/octet-stream', 'content-length': String(size) };
    await this.#send('PUT', location.href, headers, pieces);
  }

  /** @returns how many bytes came */
  async pull(path: string): Promise<number> {
    return (await this.#send('GET', path, { accept: MANIFEST }, [])).bytes;
  }

  async pushManifest(repository: string, tag: string, bytes: Buffer): Promise<void> {
    const headers = { 'content-type': MANIFEST };
    await this.#send('PUT', `/v2/${repository}/manifests/${tag}`, headers, [bytes]);
  }

  async #send(
    method: string,
    path: string,
    headers: Readonly<Record<string, string>>,
    body: Iterable<Buffer>,
  ): Promise<{ headers: IncomingMessage['headers']; bytes: number }> {
    const url = new URL(path, this.#base);
    const outgoing = request(url, { method, agent: this.#agent, headers });
    const answered = new Promise<IncomingMessage>((resolve, reject) => {
      outgoing.once('response', resolve);
      outgoing.once('error', reject);
    });
    for (const piece of body) {
      if (!outgoing.write(piece)) await new Promise((resolve) => outgoing.once('drain', resolve));
    }
    outgoing.end();
    const response = await answered;
    let bytes = 0;
    for await (const chunk of response) bytes += (chunk as Buffer).length;
    if ((response.statusCode ?? 0) >= 300) throw new Error(`${method} ${url.href}: ${response.statusCode}`);
    return { headers: response.headers, bytes };
  }
}

interface Throughput {
  readonly pushSeconds: number;
  readonly pullSeconds: number;
}

async function throughput(client: Client, mib: number, run: number): Promise<Throughput> {
  const size = mib * 2 ** 20;
  // Made beforehand: making noise and its digest is not what is measured.
  const pieces = [...noise(run, size)];
  const hash = createHash('sha256');
  for (const piece of pieces) hash.update(piece);
  const digest = `sha256:${hash.digest('hex')}`;
  const start = performance.now();
  await client.pushBlob('large', digest, size, pieces);
  const pushed = performance.now();
  const received = await client.pull(`/v2/large/blobs/${digest}`);
  const pulled = performance.now();
  if (received !== size) throw new Error(`${received} of ${size} bytes came back`);
  return { pushSeconds: (pushed - start) / 1000, pullSeconds: (pulled - pushed) / 1000 };
}

interface Rates {
  /** Manifests per second, pushed and pulled, among the first tenth and among the last. */
  readonly first: number;
  readonly last: number;
  readonly pull: number;
}

async function manifests(client: Client, count: number): Promise<Rates> {
  await client.pushBlob('small', EMPTY_DESCRIPTOR.digest, EMPTY.length, [EMPTY]);
  const tenth = Math.floor(count / 10);
  const rate = async (from: number, to: number, one: (n: number) => Promise<unknown>): Promise<number> => {
    const start = performance.now();
    let next = from;
    const worker = async (): Promise<void> => {
      while (next < to) {
        const mine = next;
        next += 1;
        await one(mine);
      }
    };
    await Promise.all(Array.from({ length: 8 }, worker));
    return ((to - from) * 1000) / (performance.now() - start);
  };
  const push = (n: number): Promise<void> => client.pushManifest('small', `v${n}`, manifest(n));
  const first = await rate(0, tenth, push);
  await rate(tenth, count - tenth, push);
  const last = await rate(count - tenth, count, push);
  const pull = await rate(0, tenth, (n) => client.pull(`/v2/small/manifests/v${n * 7}`));
  return { first, last, pull };
}

function manifest(n: number): Buffer {
  return Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: MANIFEST,
      artifactType: 'application/vnd.example.note',
      config: EMPTY_DESCRIPTOR,
      layers: [EMPTY_DESCRIPTOR],
      annotations: { n: String(n) },
    }),
  );
}

/** What the embedded registry and others take and give. */
export const bench: Bench = async ({ size, runs }) => {
  const mib = size === 'full' ? 1024 : 64;
  const count = size === 'full' ? 20_000 : 500;
  const rows: Record<string, { push: number; pull: number; rates: Rates }> = {};
  for (const kind of KINDS) {
    let registry: Registry | undefined;
    let client: Client | undefined;
    try {
      registry = await startRegistry(kind);
      client = new Client(registry.host);
      const measured: Throughput[] = [];
      for (let run = 0; run < Math.min(runs, 3); run += 1) measured.push(await throughput(client, mib, run));
      rows[kind] = {
        push: median(measured.map(({ pushSeconds }) => pushSeconds)),
        pull: median(measured.map(({ pullSeconds }) => pullSeconds)),
        rates: await manifests(client, count),
      };
    } finally {
      client?.close();
      await registry?.stop();
    }
  }
  return sections(rows, mib, count);
};

function sections(
  rows: Readonly<Record<string, { push: number; pull: number; rates: Rates }>>,
  mib: number,
  count: number,
): readonly Section[] {
  const of = (kind: RegistryKind) =>
    rows[kind] ?? { push: NaN, pull: NaN, rates: { first: NaN, last: NaN, pull: NaN } };
  return [
    {
      title: `One blob of ${mib} MiB, pushed and pulled`,
      columns: ['registry', 'push s', 'pull s'],
      rows: KINDS.map((kind) => [kind, of(kind).push, of(kind).pull]),
      goals: [
        {
          what: 's to push, docker-registry',
          measured: of('embedded').push,
          atMost: of('docker-registry').push,
        },
        {
          what: 's to pull, docker-registry',
          measured: of('embedded').pull,
          atMost: of('docker-registry').pull,
        },
      ],
    },
    {
      title: `${count} small manifests with a tag each in one repository, 8 at a time`,
      columns: ['registry', 'first tenth /s', 'last tenth /s', 'pulls /s'],
      rows: KINDS.map((kind) => [kind, of(kind).rates.first, of(kind).rates.last, of(kind).rates.pull]),
      goals: [
        {
          what: 'ms per manifest among the last tenth, docker-registry',
          measured: 1000 / of('embedded').rates.last,
          atMost: 1000 / of('docker-registry').rates.last,
        },
      ],
    },
  ];
}

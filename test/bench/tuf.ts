import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { build } from 'esbuild';
import { ok, peer } from '../interop/peers.ts';
import { type Bench, type Goal, median, type Section } from './report.ts';
import { type RepositorySize, SOUGHT, writeRepository } from './tuf-repository.ts';

const SIZES: Readonly<Record<'small' | 'full', readonly RepositorySize[]>> = {
  small: [{ targets: 2_000, bitLength: 4 }],
  full: [
    { targets: 10_000, bitLength: 8 },
    { targets: 100_000, bitLength: 10 },
    { targets: 1_000_000, bitLength: 10 },
    { targets: 1_000_000, bitLength: 11 },
  ],
};

/** Milliseconds of each run. */
interface Times {
  readonly cold: readonly number[];
  readonly warm: readonly number[];
}

/** Processes of each client. */
const ROUNDS = 4;

const CLIENTS = [
  'bulla, directory',
  'python-tuf, directory',
  'bulla, HTTP',
  'tuf-js, HTTP',
  'no TUF, HTTP',
] as const;
type Client = (typeof CLIENTS)[number];

// The same work as tuf-client.ts; files are read by Python itself, as quickly as it can.
const PYTHON = `
import json, os, shutil, sys, tempfile, time
from tuf.api.exceptions import DownloadHTTPError
from tuf.ngclient import FetcherInterface, Updater
class Files(FetcherInterface):
    def _fetch(self, url):
        try:
            with open(url.removeprefix('file://'), 'rb') as file:
                return [file.read()]
        except FileNotFoundError:
            raise DownloadHTTPError('not found', 404)
directory, root, target, runs = sys.argv[1:]
with open(root, 'rb') as file:
    bootstrap = file.read()
times = {'cold': [], 'warm': []}
for _ in range(int(runs)):
    state = tempfile.mkdtemp(dir=os.environ['SCRATCH'])
    for kind in times:
        start = time.perf_counter()
        updater = Updater(state, f'file://{directory}/', fetcher=Files(), bootstrap=bootstrap)
        updater.refresh()
        assert updater.get_targetinfo(target) is not None
        times[kind].append((time.perf_counter() - start) * 1000)
    shutil.rmtree(state)
print(json.dumps(times))
`;

/** Bundled as users have it; tuf-js stays what npm installed. */
async function bundle(scratch: string): Promise<string> {
  const root = new URL('../..', import.meta.url).pathname;
  const outfile = join(root, 'node_modules/.cache/bulla-bench/tuf-client.mjs');
  mkdirSync(join(outfile, '..'), { recursive: true });
  await build({
    entryPoints: [new URL('tuf-client.ts', import.meta.url).pathname],
    outfile,
    bundle: true,
    platform: 'node',
    format: 'esm',
    external: ['tuf-js', '@tufjs/models'],
    logLevel: 'error',
    banner: { js: "import{createRequire}from'node:module';const require=createRequire(import.meta.url);" },
  });
  mkdirSync(join(scratch, 'state'));
  return outfile;
}

/**
 * Serves a directory on loopback, from memory and from this process, which has nothing else to do
 * meanwhile: the server is not what is measured.
 */
async function serve(directory: string): Promise<Server> {
  const files = new Map<string, Buffer | undefined>();
  const read = (name: string): Buffer | undefined => {
    const file = join(directory, name.replaceAll('..', ''));
    const isThere = statSync(file, { throwIfNoEntry: false })?.isFile() === true;
    files.set(name, isThere ? readFileSync(file) : undefined);
    return files.get(name);
  };
  const server = createServer(({ url = '' }, response) => {
    const bytes = files.has(url) ? files.get(url) : read(url);
    response.writeHead(bytes === undefined ? 404 : 200, { 'content-length': bytes?.byteLength ?? 0 });
    response.end(bytes);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return server;
}

/** Runs one client in a process of its own. */
async function time(
  client: Client,
  script: string,
  directory: string,
  url: string,
  scratch: string,
  runs: number,
  bin: string,
): Promise<Times> {
  const root = join(directory, '1.root.json');
  if (client === 'python-tuf, directory') {
    const env = { SCRATCH: join(scratch, 'state') };
    return JSON.parse(
      await ok(peer('python'), ['-c', PYTHON, directory, root, SOUGHT, String(runs)], { env }),
    ) as Times;
  }
  const place = client === 'bulla, directory' ? directory : url;
  const { stdout } = await promisify(execFile)(process.execPath, [
    script,
    client,
    place,
    root,
    SOUGHT,
    String(runs),
    ['2.root.json', 'timestamp.json', '1.snapshot.json', '1.targets.json', bin].join(','),
  ]);
  return JSON.parse(stdout) as Times;
}

/** Bytes that a new client reads for one target, root included. */
function bytesRead(directory: string, bin: string): number {
  return ['1.root.json', 'timestamp.json', '1.snapshot.json', '1.targets.json', bin]
    .map((name) => readFileSync(join(directory, name)).byteLength)
    .reduce((sum, size) => sum + size, 0);
}

async function measureSize(
  size: RepositorySize,
  scratch: string,
  script: string,
  runs: number,
): Promise<Section> {
  const directory = join(scratch, `${size.targets}-${size.bitLength}`);
  const { bin } = writeRepository(directory, size);
  const server = await serve(directory);
  try {
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
    const times = new Map<Client, { readonly cold: number[]; readonly warm: number[] }>(
      CLIENTS.map((client) => [client, { cold: [], warm: [] }]),
    );
    // In turns, so that a slow minute of the machine hits all of them.
    for (let round = 0; round < ROUNDS; round++) {
      for (const client of CLIENTS) {
        const { cold, warm } = await time(client, script, directory, url, scratch, runs, bin);
        times.get(client)?.cold.push(...cold);
        times.get(client)?.warm.push(...warm);
      }
    }
    const of = (client: Client, kind: keyof Times): number => median(times.get(client)?.[kind] ?? []);
    const goals: Goal[] = (['cold', 'warm'] as const).flatMap((kind) => [
      {
        what: `ms ${kind} from files, python-tuf`,
        measured: of('bulla, directory', kind),
        atMost: of('python-tuf, directory', kind),
      },
      {
        what: `ms ${kind} over HTTP, 0.1 × tuf-js`,
        measured: of('bulla, HTTP', kind),
        atMost: 0.1 * of('tuf-js, HTTP', kind),
      },
    ]);
    return {
      title: `TUF: refresh and one of ${size.targets} targets in ${2 ** size.bitLength} bins`,
      columns: ['', 'first ms', 'cold ms', 'warm ms'],
      rows: CLIENTS.map((client) => [
        client,
        times.get(client)?.cold[0] ?? Number.NaN,
        of(client, 'cold'),
        of(client, 'warm'),
      ]),
      goals,
      notes: [
        `a new client reads ${bytesRead(directory, bin)} bytes`,
        `in-process; first: the first run of a process; cold: no trusted state but root; warm: all of it, nothing new; ${ROUNDS} processes of ${runs} runs each`,
        'no TUF: the same requests by undici alone, as many signatures verified, as many files written, nothing parsed',
      ],
    };
  } finally {
    server.closeAllConnections();
    await new Promise<void>((resolve) => void server.close(() => resolve()));
    rmSync(directory, { recursive: true, force: true });
  }
}

/** Refresh and one target against python-tuf from the same files and tuf-js over the same HTTP. */
export const bench: Bench = async ({ size, runs }) => {
  const scratch = mkdtempSync(join(tmpdir(), 'bulla-bench-tuf-'));
  try {
    const script = await bundle(scratch);
    const sections: Section[] = [];
    for (const one of SIZES[size]) sections.push(await measureSize(one, scratch, script, 4 * runs));
    sections.push(await measureVerification(script));
    return sections;
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
};

/** Verified files per second: parse and check one small and one large file again and again. */
async function measureVerification(script: string): Promise<Section> {
  const { stdout } = await promisify(execFile)(process.execPath, [script, 'verify']);
  const rows = JSON.parse(stdout) as readonly {
    readonly file: string;
    readonly bulla: number;
    readonly tufJs: number;
  }[];
  return {
    title: 'TUF: metadata files parsed and verified per second',
    columns: ['', 'bulla', 'tuf-js'],
    rows: rows.map(({ file, bulla, tufJs }) => [file, bulla, tufJs]),
    goals: rows.map(({ file, bulla, tufJs }) => ({
      what: `µs a file, tuf-js (${file})`,
      measured: 1e6 / bulla,
      atMost: 1e6 / tufJs,
    })),
  };
}

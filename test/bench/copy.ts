import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BULLA, ok, peer } from '../interop/peers.ts';
import { type Registry, startRegistry } from '../interop/registries.ts';
import { writeImage } from './content.ts';
import { type Command, type Cost, inTurns, measure } from './measure.ts';
import type { Bench, Goal, Section } from './report.ts';

const TOOLS = ['bulla', 'oras', 'skopeo', 'crane', 'regctl'] as const;
type Tool = (typeof TOOLS)[number];

function copyCommand(tool: Tool, from: string, to: string): Command {
  switch (tool) {
    case 'bulla':
      return { argv: [process.execPath, BULLA, 'copy', '-q', from, to] };
    case 'oras':
      return { argv: [peer(tool), 'cp', '--no-tty', '--from-plain-http', '--to-plain-http', from, to] };
    case 'skopeo':
      return {
        argv: [
          peer(tool),
          ...[
            'copy',
            '--all',
            '--preserve-digests',
            '--quiet',
            '--src-tls-verify=false',
            '--dest-tls-verify=false',
          ],
          ...[`docker://${from}`, `docker://${to}`],
        ],
      };
    case 'crane':
      return { argv: [peer(tool), 'copy', '--insecure', from, to] };
    case 'regctl': {
      const plain = [from, to].flatMap((ref) => ['--host', `reg=${ref.split('/')[0]},tls=disabled`]);
      return { argv: [peer(tool), '--verbosity', 'error', 'image', 'copy', ...plain, from, to] };
    }
  }
}

/** Copies one image from one docker-registry 2.8.2 into another that is new and empty each time. */
async function compare(layers: number, size: number, runs: number): Promise<ReadonlyMap<Tool, Cost>> {
  const work = mkdtempSync(join(tmpdir(), 'bulla-bench-'));
  let source: Registry | undefined;
  try {
    source = await startRegistry('docker-registry');
    const layout = join(work, 'layout');
    const digest = await writeImage(layout, layers, size);
    const from = `${source.host}/app:v1`;
    await ok(peer('oras'), ['cp', '--from-oci-layout', '--to-plain-http', `${layout}:v1`, from], {
      timeout: 600_000,
    });
    rmSync(layout, { recursive: true });
    return await inTurns(TOOLS, runs, async (tool) => {
      const destination = await startRegistry('docker-registry');
      try {
        const to = `${destination.host}/app:v1`;
        const cost = await measure(copyCommand(tool, from, to));
        const arrived = (await ok(peer('oras'), ['resolve', '--plain-http', to])).trim();
        if (arrived !== digest) throw new Error(`${tool} copied ${arrived} instead of ${digest}`);
        return cost;
      } finally {
        await destination.stop();
      }
    });
  } finally {
    await source?.stop();
    rmSync(work, { recursive: true, force: true });
  }
}

function section(title: string, costs: ReadonlyMap<Tool, Cost>, goals: readonly Goal[]): Section {
  const rows = TOOLS.map((tool) => {
    const { wall, cpu, rss } = costs.get(tool) ?? { wall: Number.NaN, cpu: Number.NaN, rss: Number.NaN };
    return [tool, wall / 1000, cpu / 1000, rss];
  });
  return { title, columns: ['', 's', 'CPU s', 'RSS MiB'], rows, goals };
}

const wall = (costs: ReadonlyMap<Tool, Cost>, tool: Tool): number =>
  (costs.get(tool)?.wall ?? Number.NaN) / 1000;
const fastestPeer = (costs: ReadonlyMap<Tool, Cost>): number =>
  Math.min(...TOOLS.filter((tool) => tool !== 'bulla').map((tool) => wall(costs, tool)));

/** 200 small layers, and one of 1 GiB. */
export const bench: Bench = async ({ size, runs }) => {
  const layers = size === 'full' ? 200 : 20;
  const mib = size === 'full' ? 1024 : 64;
  const small = await compare(layers, 20 * 1024, runs);
  const large = await compare(1, mib * 2 ** 20, Math.min(runs, 3));
  return [
    section(`Copy of ${layers} layers of 20 KiB between two docker-registry`, small, [
      { what: 's, the fastest of the others', measured: wall(small, 'bulla'), atMost: fastestPeer(small) },
    ]),
    section(`Copy of one layer of ${mib} MiB between two docker-registry`, large, [
      {
        what: 's, the fastest of the others + 10 %',
        measured: wall(large, 'bulla'),
        atMost: 1.1 * fastestPeer(large),
      },
      { what: 'MiB of memory', measured: large.get('bulla')?.rss ?? Number.NaN, atMost: 150 },
    ]),
  ];
};

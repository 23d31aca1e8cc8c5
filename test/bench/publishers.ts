import { spawn } from 'node:child_process';
import { Ground } from '../interop/crowd/ground.ts';
import { BULLA, peer } from '../interop/peers.ts';
import { type RegistryKind, startRegistry } from '../interop/registries.ts';
import { startStallProxy } from '../support/stall-proxy.ts';
import { type Bench, figure, type Goal, median, type Section } from './report.ts';

/**
 * Processes that sign one name each of one repository, all at once: with `PUBLISHERS_BEFORE=FILE`, dist/bulla.js of another
 * commit, both in turns, and the goal that this one needs at most 0.6 of its time and requests.
 * PUBLISHERS_SIZES and PUBLISHERS_REGISTRIES choose others than the usual.
 */
const BEFORE = process.env['PUBLISHERS_BEFORE'];
const GOAL = 0.6;
const KINDS = (process.env['PUBLISHERS_REGISTRIES'] ?? 'docker-registry,olareg').split(',') as RegistryKind[];
const SIZES: Readonly<Record<'small' | 'full', string>> = { small: '16', full: '16,64' };
/** Of one crowd, in milliseconds: a crowd that takes longer fails. */
const PATIENCE_MS = 600_000;

interface Cost {
  readonly requests: number;
  readonly seconds: number;
  readonly cpu: number;
  readonly heads: number;
  readonly candidates: number;
}

export const bench: Bench = async ({ size, runs }) => {
  const sizes = (process.env['PUBLISHERS_SIZES'] ?? SIZES[size]).split(',').map(Number);
  const programs = [...(BEFORE === undefined ? [] : [['before', BEFORE] as const]), ['now', BULLA] as const];
  const sections: Section[] = [];
  for (const kind of KINDS) {
    const rows: (string | number)[][] = [];
    const goals: Goal[] = [];
    for (const count of sizes) {
      const costs = new Map<string, Cost[]>(programs.map(([name]) => [name, []]));
      for (let run = 0; run < runs; run++)
        for (const [name, program] of programs) costs.get(name)?.push(await crowd(kind, count, program));
      for (const [name, all] of costs) {
        const of = (field: keyof Cost) => median(all.map((cost) => cost[field]));
        const figures = (['seconds', 'cpu', 'requests', 'candidates', 'heads'] as const).map(of);
        rows.push([count, name, ...figures.map(figure), all.map(({ requests }) => requests).join(' ')]);
      }
      const [before = [], now = []] = BEFORE === undefined ? [] : [...costs.values()];
      for (const field of ['requests', 'seconds'] as const) {
        const [old, own] = [before, now].map((all) => median(all.map((cost) => cost[field])));
        if (old === undefined || own === undefined || before.length === 0) continue;
        goals.push({ what: `${field} of ${count} on ${kind}, of before`, measured: own / old, atMost: GOAL });
      }
    }
    sections.push({
      title: `Publishers that sign a name each at once, on ${kind}`,
      columns: [
        'publishers',
        'commit',
        's',
        'CPU s',
        'requests',
        'candidates',
        'heads',
        'requests of each run',
      ],
      rows,
      goals,
    });
  }
  return sections;
};

/** @throws Error where one of them fails, or a name is missing afterwards */
async function crowd(kind: RegistryKind, count: number, program: string): Promise<Cost> {
  const registry = await startRegistry(kind);
  let [requests, heads, candidates] = [0, 0, 0];
  const onRequest = (_: number, method: string, path: string): void => {
    requests += 1;
    if (method === 'PUT' && path.endsWith('/manifests/_trust')) heads += 1;
    if (method === 'PUT' && path.includes('/manifests/_trust.next.')) candidates += 1;
  };
  const proxy = await startStallProxy(registry.host, { onRequest });
  const tags = Array.from({ length: count }, (_, at) => `v${at}`);
  const ground = await Ground.make(`${proxy.host}/crowd`, ['first', ...tags]);
  try {
    await ground.succeed(['sign', '--name-only', `${ground.name}:first`]);
    const environments = tags.map(() => ({ ...ground.environment(false), BULLA_KEY: ground.key('online') }));
    [requests, heads, candidates] = [0, 0, 0];
    const begun = performance.now();
    const ended = await Promise.all(
      tags.map((tag, at) =>
        timed(
          [program, 'sign', '--name-only', '--key', ground.key('publisher'), `${ground.name}:${tag}`],
          environments[at] ?? {},
        ),
      ),
    );
    const seconds = (performance.now() - begun) / 1000;
    const used = { requests, heads, candidates };
    const names = await ground.signedNames();
    const lost = tags.filter((tag) => names.get(tag) !== ground.digests.get(tag));
    if (lost.length > 0) throw new Error(`not in the head of ${kind}: ${lost.join(', ')}`);
    const cpu = ended.reduce((sum, one) => sum + one, 0);
    process.stderr.write(
      `${kind}, ${count}, ${program}: ${figure(seconds)} s, ${figure(cpu)} CPU s, ${requests} requests, ${candidates} candidates, ${heads} heads\n`,
    );
    return { ...used, seconds, cpu };
  } finally {
    ground.remove();
    await proxy.stop();
    await registry.stop();
  }
}

/** The processor time of a child alone is told by wait4(), which Node does not have. */
const WAIT = `
import os, sys
pid = os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, 2, 1)])
_, status, usage = os.wait4(pid, 0)
print(usage.ru_utime + usage.ru_stime, flush=True)
sys.exit(os.waitstatus_to_exitcode(status))
`;

/** @returns seconds of processor time */
async function timed(args: readonly string[], env: NodeJS.ProcessEnv): Promise<number> {
  const child = spawn(peer('python'), ['-c', WAIT, process.execPath, ...args], {
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: PATIENCE_MS,
  });
  const said = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const)
    child[name].on('data', (piece: Buffer) => {
      said[name] += piece.toString();
    });
  const status = await new Promise((resolve) => child.once('close', resolve));
  if (status !== 0) throw new Error(`bulla ${args[1]} ended with ${status}: ${said.stderr}`);
  return Number(said.stdout);
}

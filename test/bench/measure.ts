import { ok, peer } from '../interop/peers.ts';
import { median } from './report.ts';

/** What one run of a program took. */
export interface Cost {
  /** Milliseconds from its start to its end. */
  readonly wall: number;
  /** Milliseconds of processor time, user and system, of it and its children. */
  readonly cpu: number;
  /** MiB of memory at most. */
  readonly rss: number;
}

/** A program with its arguments, and what its environment has beside the usual. */
export interface Command {
  readonly argv: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

// wait4() alone tells the peak of a single child; Node has no such call.
const WAIT = `
import json, os, sys, time
out = os.open(os.devnull, os.O_WRONLY)
start = time.monotonic()
pid = os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, out, 1)])
_, status, usage = os.wait4(pid, 0)
end = time.monotonic()
print(json.dumps({'status': os.waitstatus_to_exitcode(status), 'wall': (end - start) * 1000,
  'cpu': (usage.ru_utime + usage.ru_stime) * 1000, 'rss': usage.ru_maxrss / 1024}))
`;

/**
 * Runs a program and measures it.
 * @throws Error with what it printed, where it fails
 */
export async function measure(command: Command): Promise<Cost> {
  const options = { timeout: 900_000, ...(command.env === undefined ? {} : { env: command.env }) };
  const cost = JSON.parse(await ok(peer('python'), ['-c', WAIT, ...command.argv], options)) as Cost & {
    readonly status: number;
  };
  if (cost.status !== 0) {
    // Once more, to see what it has to say.
    await ok(command.argv[0] ?? '', command.argv.slice(1), options);
    throw new Error(`${command.argv.join(' ')} failed once (${cost.status}) and then did not`);
  }
  return cost;
}

/** The median of each figure. */
export function medianCost(costs: readonly Cost[]): Cost {
  return {
    wall: median(costs.map((cost) => cost.wall)),
    cpu: median(costs.map((cost) => cost.cpu)),
    rss: median(costs.map((cost) => cost.rss)),
  };
}

/**
 * Measures several things in turns, so that a slow minute of the machine hits all of them, after one
 * round that does not count.
 */
export async function inTurns<Name extends string>(
  names: readonly Name[],
  runs: number,
  once: (name: Name, run: number) => Promise<Cost>,
): Promise<ReadonlyMap<Name, Cost>> {
  const costs = new Map<Name, Cost[]>(names.map((name) => [name, []]));
  for (let run = 0; run <= runs; run += 1) {
    for (const name of names) {
      const cost = await once(name, run);
      if (run > 0) costs.get(name)?.push(cost);
    }
  }
  return new Map(names.map((name) => [name, medianCost(costs.get(name) ?? [])]));
}

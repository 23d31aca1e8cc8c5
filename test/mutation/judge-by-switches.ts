import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { end } from './end.ts';
import type { Mutant } from './mutants.ts';
import type { Event } from './runner.ts';
import type { SwitchedJob } from './switched-worker.ts';
import type { Verdict } from './worker.ts';

export interface Switched {
  readonly fates: ReadonlyMap<number, Verdict | 'timeout'>;
  /** Mutants that some test met. */
  readonly asked: ReadonlySet<number>;
  readonly unsure: ReadonlySet<number>;
}

/** How long things may take, in milliseconds. */
export interface Patience {
  /** One test, as vitest takes the time. */
  readonly test: number;
  /** The process that tests run in, without beginning another run. */
  readonly silence: number;
}

/** How long a process may load modules, in milliseconds. */
const LOADS_FOR = 120_000;

const PATIENCE: Patience = { test: 30_000, silence: 40_000 };

/**
 * Runs each test file once, and each test again with every mutant that it meets. A process in which a mutant does not
 * end is left: what a test began may go on there for ever, and would keep all that follows from ending.
 */
export async function judgeBySwitches(
  tests: readonly string[],
  mutants: readonly Mutant[],
  patience: Patience = PATIENCE,
): Promise<Switched> {
  const folder = await mkdtemp(join(tmpdir(), 'bulla-mutation-'));
  const state = join(folder, 'state');
  const jobFile = join(folder, 'job');
  const fates = new Map<number, Verdict | 'timeout'>();
  const [unsure, asked, done] = [new Set<number>(), new Set<number>(), new Set<string>()];
  try {
    await writeFile(state, '');
    for (;;) {
      const job: SwitchedJob = {
        mutants,
        ids: [...mutants.keys()].filter(
          (id) => fates.get(id) !== 'timeout' && mutants[id]?.span !== undefined,
        ),
        tests: tests.filter((test) => !done.has(test)),
        testTimeout: patience.test,
      };
      await writeFile(jobFile, JSON.stringify(job));
      const isEnded = await runSwitched(jobFile, state, patience.silence);
      let last: Event | undefined;
      for (const line of (await readFile(state, 'utf8')).split('\n')) {
        if (line === '') continue;
        last = JSON.parse(line) as Event;
        if (last.kind === 'killed') fates.set(last.id, { isKilled: true, by: last.by, milliseconds: 0 });
        if (last.kind === 'unsure') for (const id of last.ids) unsure.add(id);
        if (last.kind === 'asked') for (const id of last.ids) asked.add(id);
        if (last.kind === 'done') done.add(last.file);
      }
      if (isEnded) break;
      if (last?.kind !== 'run' && last?.kind !== 'endless')
        throw new Error(`the tests hang without a mutant: ${JSON.stringify(last)}`);
      fates.set(last.id, 'timeout');
    }
    return { fates, asked, unsure };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** @returns whether it came to its end, and did not stand still */
async function runSwitched(jobFile: string, state: string, silence: number): Promise<boolean> {
  const worker = fork(new URL('switched-worker.ts', import.meta.url), [jobFile], {
    execArgv: ['--import', 'tsx'],
    detached: true,
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    env: { ...process.env, MUTATION_STATE: state },
  });
  const began = (await readFile(state, 'utf8')).length;
  const ended = once(worker, 'exit').then(([code]) => code as number | null);
  try {
    for (let before = -1, quiet = 0; ; ) {
      const code = await Promise.race([ended, new Promise((done) => setTimeout(done, 1000, 'waiting'))]);
      if (code === 0) return true;
      if (code !== 'waiting') throw new Error(`the runner of the tests ended with ${String(code)}`);
      const text = await readFile(state, 'utf8');
      quiet = text.length === before ? quiet + 1000 : 0;
      before = text.length;
      // Until its first run, it loads.
      const limit = text.length === began ? Math.max(silence, LOADS_FOR) : silence;
      if (quiet >= limit || /\{"kind":"endless"[^\n]*\n$/.test(text.slice(began))) return false;
    }
  } finally {
    end(worker);
  }
}

import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Mutant, mutantsOf, sample } from './mutants.ts';
import { roomOf, root } from './rooms.ts';
import type { Event } from './runner.ts';
import type { SwitchedJob } from './switched-worker.ts';
import type { Job, Verdict } from './worker.ts';

/**
 * What `make mutation ROOM=…` runs: changes the code that refuses something in one place at a time, and
 * counts how many changes the tests of the room notice. MUTATION_SEED chooses which, MUTATION_COUNT (150) how
 * many, MUTATION_FILE only those of a file, MUTATION_REPORT writes all verdicts as JSON.
 */
async function main(): Promise<void> {
  const name = process.env['ROOM'] ?? 'signatures';
  const seed = Number(process.env['MUTATION_SEED'] ?? 1);
  const count = Number(process.env['MUTATION_COUNT'] ?? 150);
  const only = process.env['MUTATION_FILE'] ?? '';
  const { sources } = roomOf(name);
  const all: Mutant[] = [];
  for (const file of sources)
    if (file.includes(only)) all.push(...mutantsOf(file, await readFile(`${root}${file}`, 'utf8')));
  const chosen = sample(all, count, seed);
  say(`${name}: ${chosen.length} of ${all.length} mutants, MUTATION_SEED=${seed}`);
  const verdicts = await judgeAll(name, chosen);
  const survivors = verdicts.filter(({ verdict }) => verdict !== 'timeout' && !verdict.isKilled);
  for (const { mutant } of survivors) say(`survived  ${describe(mutant)}`);
  const killed = verdicts.length - survivors.length;
  const score = ((100 * killed) / Math.max(verdicts.length, 1)).toFixed(1);
  say(`${name}: ${killed} of ${verdicts.length} killed, ${score} %, MUTATION_SEED=${seed}`);
  const report = process.env['MUTATION_REPORT'];
  if (report !== undefined) await writeFile(report, `${JSON.stringify(verdicts, undefined, 1)}\n`);
  if (killed * 100 < 85 * verdicts.length) process.exitCode = 1;
}

interface Judged {
  readonly mutant: Mutant;
  /** A mutant that does not end is killed by time. */
  readonly verdict: Verdict | 'timeout';
}

/**
 * Judges by switches first: each test file is loaded once and runs with every mutant that it meets. What that
 * cannot decide is run in a fresh process, one mutant after the other.
 */
async function judgeAll(name: string, mutants: readonly Mutant[]): Promise<Judged[]> {
  const { fates, unsure } = await judgeBySwitches(roomOf(name).switched, mutants);
  const again = mutants.filter(
    (mutant, id) => !fates.has(id) && (unsure.has(id) || mutant.span === undefined),
  );
  const alone = again.length > 0 ? await judgeOneByOne(name, again) : [];
  return mutants.map((mutant, id) => {
    const verdict = fates.get(id) ?? alone.find((judged) => judged.mutant === mutant)?.verdict;
    return { mutant, verdict: verdict ?? { isKilled: false, milliseconds: 0 } };
  });
}

/** How long a test may take with one mutant before that one counts as endless. */
const HANGS_AFTER = 40_000;

interface Switched {
  readonly fates: ReadonlyMap<number, Verdict | 'timeout'>;
  readonly unsure: ReadonlySet<number>;
}

async function judgeBySwitches(tests: readonly string[], mutants: readonly Mutant[]): Promise<Switched> {
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
      };
      await writeFile(jobFile, JSON.stringify(job));
      const isEnded = await runSwitched(jobFile, state);
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
      if (last?.kind !== 'run') throw new Error(`the tests hang without a mutant: ${JSON.stringify(last)}`);
      fates.set(last.id, 'timeout');
    }
    const reached = mutants.filter((_, id) => asked.has(id) || unsure.has(id)).length;
    say(`${reached} are met by tests, ${fates.size} are killed, ${unsure.size} may need a run of their own`);
    for (const [id, mutant] of mutants.entries()) {
      const how = unsure.has(id) ? 'unsure' : asked.has(id) ? 'met' : 'not met';
      if (!fates.has(id)) say(`alive     ${describe(mutant)} (${how})`);
    }
    return { fates, unsure };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** @returns whether it came to its end, and did not stand still */
async function runSwitched(jobFile: string, state: string): Promise<boolean> {
  const worker = fork(new URL('switched-worker.ts', import.meta.url), [jobFile], {
    execArgv: process.execArgv,
    detached: true,
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    env: { ...process.env, MUTATION_STATE: state },
  });
  const ended = once(worker, 'exit').then(([code]) => code as number | null);
  try {
    for (let before = -1, quiet = 0; ; ) {
      const code = await Promise.race([ended, new Promise((done) => setTimeout(done, 1000, 'waiting'))]);
      if (code === 0) return true;
      if (code !== 'waiting') throw new Error(`the runner of the tests ended with ${String(code)}`);
      const { length } = await readFile(state);
      quiet = length === before ? quiet + 1000 : 0;
      before = length;
      if (quiet >= HANGS_AFTER) return false;
    }
  } finally {
    end(worker);
  }
}

async function judgeOneByOne(name: string, mutants: readonly Mutant[]): Promise<Judged[]> {
  let worker = await start(name);
  const judged: Judged[] = [];
  try {
    const baseline = await ask(worker, {}, 600_000);
    if (baseline === 'timeout' || baseline.isKilled)
      throw new Error(`without a mutant, the tests fail: ${JSON.stringify(baseline)}`);
    say(`without a mutant, the tests take ${Math.round(baseline.milliseconds)} ms`);
    const patience = 30_000 + 5 * baseline.milliseconds;
    for (const [at, mutant] of mutants.entries()) {
      if (at % CONTROL_EVERY === 0) await control(worker, mutant);
      const verdict = await ask(worker, { mutant }, patience);
      if (verdict === 'timeout') {
        end(worker);
        worker = await start(name);
        await ask(worker, {}, 600_000);
      }
      judged.push({ mutant, verdict });
      const what = verdict === 'timeout' ? 'timeout ' : verdict.isKilled ? 'killed  ' : 'SURVIVED';
      const by = verdict === 'timeout' ? '' : (verdict.by ?? '');
      say(`${String(judged.length).padStart(4)}/${mutants.length} ${what} ${describe(mutant)} ${by}`);
    }
    if (mutants[0] !== undefined) await control(worker, mutants[0]);
    return judged;
  } finally {
    end(worker);
  }
}

const CONTROL_EVERY = 20;

/** What is killed must be killed by what was changed: the same file, read again and unchanged, lives. */
async function control(worker: ChildProcess, mutant: Mutant): Promise<void> {
  const verdict = await ask(worker, { mutant: { ...mutant, end: mutant.start, replacement: '' } }, 600_000);
  if (verdict === 'timeout' || verdict.isKilled)
    throw new Error(`the tests fail without a mutant: ${JSON.stringify(verdict)}`);
}

/** A worker with a process group of its own: what hangs in it is ended with it. */
async function start(name: string): Promise<ChildProcess> {
  const worker = fork(new URL('worker.ts', import.meta.url), [name], {
    execArgv: process.execArgv,
    detached: true,
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  await once(worker, 'message');
  return worker;
}

async function ask(worker: ChildProcess, job: Job, milliseconds: number): Promise<Verdict | 'timeout'> {
  const answered = once(worker, 'message', { signal: AbortSignal.timeout(Math.round(milliseconds)) });
  worker.send(job);
  try {
    const [verdict] = (await answered) as [Verdict | { readonly error: string }];
    if ('error' in verdict) throw new Error(verdict.error);
    return verdict;
  } catch (error) {
    if ((error as Error).name === 'AbortError') return 'timeout';
    throw error;
  }
}

function end(worker: ChildProcess): void {
  if (worker.pid === undefined) return;
  try {
    process.kill(-worker.pid, 'SIGKILL');
  } catch {
    // It has ended by itself.
  }
}

function describe({ file, line, operator, replacement }: Mutant): string {
  return `${file}:${line} ${operator}: ${replacement.replaceAll(/\s+/g, ' ').slice(0, 90)}`;
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

await main();

import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { end } from './end.ts';
import { judgeBySwitches } from './judge-by-switches.ts';
import { type Mutant, mutantsOf, sample } from './mutants.ts';
import { roomOf, root } from './rooms.ts';
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
  const { fates, asked, unsure } = await judgeBySwitches(roomOf(name).switched, mutants);
  const reached = mutants.filter((_, id) => asked.has(id) || unsure.has(id)).length;
  say(`${reached} are met by tests, ${fates.size} are killed, ${unsure.size} may need a run of their own`);
  for (const [id, mutant] of mutants.entries()) {
    const how = unsure.has(id) ? 'unsure' : asked.has(id) ? 'met' : 'not met';
    if (!fates.has(id)) say(`alive     ${describe(mutant)} (${how})`);
  }
  const again = mutants.filter(
    (mutant, id) => !fates.has(id) && (unsure.has(id) || mutant.span === undefined),
  );
  const alone = again.length > 0 ? await judgeOneByOne(name, again) : [];
  return mutants.map((mutant, id) => {
    const verdict = fates.get(id) ?? alone.find((judged) => judged.mutant === mutant)?.verdict;
    return { mutant, verdict: verdict ?? { isKilled: false, milliseconds: 0 } };
  });
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
    execArgv: ['--import', 'tsx'],
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
    const [verdict] = (await answered) as [Verdict | { readonly error: string } | 'timeout'];
    if (verdict !== 'timeout' && 'error' in verdict) throw new Error(verdict.error);
    return verdict;
  } catch (error) {
    if ((error as Error).name === 'AbortError') return 'timeout';
    throw error;
  }
}

function describe({ file, line, operator, replacement }: Mutant): string {
  return `${file}:${line} ${operator}: ${replacement.replaceAll(/\s+/g, ' ').slice(0, 90)}`;
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

await main();

import { spawn } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';

/** One process of a crowd. */
export interface Member {
  readonly name: string;
  readonly file: string;
  readonly args: readonly string[];
  readonly env: NodeJS.ProcessEnv;
  /** When it is killed with SIGKILL; never if left out. */
  readonly doom?: Promise<void> | undefined;
}

/** How a process of a crowd ended. */
export interface Ended {
  readonly name: string;
  /** Exit status; undefined where it was killed. */
  readonly status: number | undefined;
  readonly output: string;
  readonly milliseconds: number;
}

/**
 * Runs processes to their ends, all at once.
 * @param patience milliseconds after which one that has not ended is taken for one that never does
 * @throws Error naming the processes that never end, with what they printed
 */
export async function runAll(members: readonly Member[], patience: number): Promise<readonly Ended[]> {
  const ended = await Promise.all(members.map((member) => runOne(member, patience)));
  const endless = ended.filter(({ milliseconds }) => milliseconds >= patience);
  if (endless.length === 0) return ended;
  throw new Error(
    `not ended after ${patience} ms: ${endless.map(({ name, output }) => `${name}\n${output}`).join('\n')}`,
  );
}

function runOne({ name, file, args, env, doom }: Member, patience: number): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const begun = performance.now();
    const child = spawn(file, args, { env, stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    const keep = (chunk: Buffer): void => {
      output = (output + chunk.toString('utf8')).slice(-64 * 1024);
    };
    child.stdout.on('data', keep);
    child.stderr.on('data', keep);
    const limit = setTimeout(() => child.kill('SIGKILL'), patience);
    doom?.then(() => child.kill('SIGKILL'), reject);
    child.once('error', reject);
    child.once('close', (status) => {
      clearTimeout(limit);
      resolve({ name, status: status ?? undefined, output, milliseconds: performance.now() - begun });
    });
  });
}

/** Runs a process again and again until `stop` is called. */
export interface Loop {
  /** @returns how often it ran, and every run that did not end with 0 */
  stop(): Promise<{ readonly runs: number; readonly failures: readonly Ended[] }>;
}

/** @param pause milliseconds between two runs, drawn anew each time */
export function keepRunning(member: Member, pause: () => number, patience: number): Loop {
  let isStopped = false;
  let runs = 0;
  const failures: Ended[] = [];
  const loop = (async () => {
    while (!isStopped) {
      const [ended] = await runAll([member], patience);
      runs += 1;
      if (ended !== undefined && ended.status !== 0) failures.push(ended);
      await sleep(pause());
    }
  })();
  // It is awaited when it is stopped; until then a failure waits.
  loop.catch(() => {});
  return {
    stop: async () => {
      isStopped = true;
      await loop;
      return { runs, failures };
    },
  };
}

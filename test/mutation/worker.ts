import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { createVitest, type Reporter, type TestModule, type Vitest } from 'vitest/node';
import { suite } from '../support/suite.ts';
import type { Mutant } from './mutants.ts';
import { type Room, roomOf, root } from './rooms.ts';

/** What the parent asks for: a run without a mutant (the baseline), or with one. */
export interface Job {
  readonly mutant?: Mutant;
}

/** What becomes of it. */
export interface Verdict {
  readonly isKilled: boolean;
  /** The first test file that noticed. */
  readonly by?: string;
  readonly milliseconds: number;
}

/** Runs the tests of a room in one vitest, again for each mutant; what a mutant does not touch stays transformed. */
class Runner {
  private current: Mutant | undefined;
  private readonly room: Room;
  private readonly milliseconds = new Map<string, number>();
  /** By source file, the test file that last noticed a change to it: it will most likely notice the next. */
  private readonly noticed = new Map<string, string>();
  private vitest: Vitest | undefined;

  constructor(room: Room) {
    this.room = room;
  }

  async start(): Promise<void> {
    const modules = new Modules(this.milliseconds);
    this.vitest = await createVitest(
      'test',
      {
        ...suite({
          include: [...this.room.tests, ...this.room.more],
          reporters: [modules],
          // One mutant at a time, one test file at a time: others may be using this machine.
          fileParallelism: false,
          testTimeout: 30_000,
        }).test,
        config: false,
        watch: false,
      },
      {
        plugins: [
          {
            name: 'mutant',
            enforce: 'pre',
            transform: async (_: string, id: string) => {
              const { current } = this;
              if (current === undefined || id.split('?')[0] !== `${root}${current.file}`) return undefined;
              const source = await readFile(`${root}${current.file}`, 'utf8');
              return source.slice(0, current.start) + current.replacement + source.slice(current.end);
            },
          },
        ],
      },
    );
    await this.vitest.standalone();
  }

  /** @returns 'timeout' where a test file does not end; this process is of no use then */
  async judge(mutant: Mutant | undefined): Promise<Verdict | 'timeout'> {
    const { vitest } = this;
    if (vitest === undefined) throw new Error('not started');
    const began = performance.now();
    this.current = mutant;
    if (mutant !== undefined) vitest.invalidateFile(`${root}${mutant.file}`);
    try {
      for (const files of [this.room.tests, this.room.more]) {
        const by = await this.failing(vitest, this.soonestFirst(files, mutant));
        if (by === undefined) continue;
        if (by === 'timeout') return by;
        if (mutant !== undefined) this.noticed.set(mutant.file, by);
        return { isKilled: true, by, milliseconds: performance.now() - began };
      }
      return { isKilled: false, milliseconds: performance.now() - began };
    } finally {
      this.current = undefined;
      if (mutant !== undefined) vitest.invalidateFile(`${root}${mutant.file}`);
    }
  }

  private async failing(vitest: Vitest, files: readonly string[]): Promise<string | undefined> {
    for (const file of files) {
      const specifications = await vitest.globTestSpecifications([`${root}${file}`]);
      vitest.state.clearErrors();
      const running = vitest.runTestSpecifications(specifications, false);
      // A file that never ends is known by what it takes itself, and not only by what all of them take.
      const usual = this.milliseconds.get(file);
      const ended = await Promise.race([
        running,
        sleep(usual === undefined ? 600_000 : 60_000 + 5 * usual, undefined, { ref: false }),
      ]);
      if (ended === undefined) return 'timeout';
      const { testModules, unhandledErrors } = ended;
      // Those of earlier runs are still among them, with what became of them then.
      const own = testModules.filter(({ moduleId }) => moduleId === `${root}${file}`);
      const states = new Set(own.map((module) => module.state()));
      if (states.has('failed') || unhandledErrors.length > 0) return file;
      // What was not run has noticed nothing.
      if (states.size !== 1 || !states.has('passed')) throw new Error(`${file} was not run`);
    }
    return undefined;
  }

  /** By what the baseline took; what noticed the last change to this file comes first. */
  private soonestFirst(files: readonly string[], mutant: Mutant | undefined): readonly string[] {
    const first = this.noticed.get(mutant?.file ?? '');
    const cost = (file: string): number => (file === first ? -1 : (this.milliseconds.get(file) ?? 0));
    return [...files].sort((a, b) => cost(a) - cost(b));
  }
}

/** Notes how long each file takes. */
class Modules implements Reporter {
  private readonly milliseconds: Map<string, number>;
  constructor(milliseconds: Map<string, number>) {
    this.milliseconds = milliseconds;
  }
  onTestModuleEnd(module: TestModule): void {
    const { duration, collectDuration } = module.diagnostic();
    const file = module.moduleId.slice(root.length);
    if (!this.milliseconds.has(file)) this.milliseconds.set(file, duration + collectDuration);
  }
}

const runner = new Runner(roomOf(process.argv[2] ?? ''));
await runner.start();
process.on('message', (job: Job) => {
  runner.judge(job.mutant).then(
    (verdict) => process.send?.(verdict),
    (error: unknown) => process.send?.({ error: String(error) }),
  );
});
// Without its parent it has nothing to do, and no one to answer.
process.on('disconnect', () => process.exit(1));
process.send?.('ready');

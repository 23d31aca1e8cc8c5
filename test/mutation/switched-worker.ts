import { appendFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { createVitest } from 'vitest/node';
import { suite } from '../support/suite.ts';
import type { Mutant } from './mutants.ts';
import { root } from './rooms.ts';
import type { Event } from './runner.ts';
import { switched } from './switched.ts';

/** What is to be run: these test files, each once, with all these mutants behind switches. */
export interface SwitchedJob {
  readonly mutants: readonly Mutant[];
  /** The numbers of those that are judged. */
  readonly ids: readonly number[];
  readonly tests: readonly string[];
  /** In milliseconds. */
  readonly testTimeout: number;
}

const statePath = process.env['MUTATION_STATE'] ?? '';
const job = JSON.parse(await readFile(process.argv[2] ?? '', 'utf8')) as SwitchedJob;
const byFile = new Map<string, Map<number, Mutant>>();
for (const id of job.ids) {
  const mutant = job.mutants[id];
  if (mutant === undefined) continue;
  const those = byFile.get(`${root}${mutant.file}`) ?? new Map<number, Mutant>();
  byFile.set(`${root}${mutant.file}`, those.set(id, mutant));
}

const vitest = await createVitest(
  'test',
  {
    ...suite({
      include: [...job.tests],
      runner: `${root}test/mutation/runner.ts`,
      fileParallelism: false,
      testTimeout: job.testTimeout,
      reporters: [{}],
    }).test,
    config: false,
    watch: false,
  },
  {
    plugins: [
      {
        name: 'switches',
        enforce: 'pre',
        transform: async (_: string, id: string) => {
          const file = id.split('?')[0] ?? '';
          const mutants = byFile.get(file);
          if (mutants === undefined) return undefined;
          return switched(await readFile(file, 'utf8'), mutants);
        },
      },
    ],
  },
);
await vitest.standalone();
for (const file of job.tests) {
  const { testModules } = await vitest.runTestSpecifications(
    await vitest.globTestSpecifications([`${root}${file}`]),
    false,
  );
  const own = testModules.filter(({ moduleId }) => moduleId === `${root}${file}`);
  const failed = own.flatMap((module) => [...module.children.allTests('failed')]);
  if (own.length === 0 || own.some((module) => module.state() !== 'passed'))
    process.stderr.write(`${file} fails without a mutant: ${failed.map(({ name }) => name).join('; ')}\n`);
  const event: Event = { kind: 'done', file };
  appendFileSync(statePath, `${JSON.stringify(event)}\n`);
}
await vitest.close();
process.exit(0);

import { setMaxListeners } from 'node:events';
import { appendFileSync, readFileSync } from 'node:fs';
import { type RunnerTestCase, TestRunner } from 'vitest';
import { SWITCH } from './switched.ts';

/** A line of the state file, that runs add to. */
export type Event =
  /** Begins to run a test with a mutant: what is last when nothing more comes, hangs. */
  | { readonly kind: 'run'; readonly id: number; readonly test: string }
  | { readonly kind: 'killed'; readonly id: number; readonly by: string }
  /** A test did not end with this mutant: its process is left, since what it began goes on. */
  | { readonly kind: 'endless'; readonly id: number }
  /** Nothing can be said by switching: asked while modules load, or in a test that cannot run twice. */
  | { readonly kind: 'unsure'; readonly ids: readonly number[]; readonly test: string }
  | { readonly kind: 'asked'; readonly ids: readonly number[] }
  | { readonly kind: 'done'; readonly file: string };

const path = process.env['MUTATION_STATE'] ?? '';
const note = (event: Event): void => appendFileSync(path, `${JSON.stringify(event)}\n`);

const settled = new Set<number>();
const asked = new Set<number>();
let active = -1;

for (const line of readFileSync(path, 'utf8').split('\n')) {
  if (line === '') continue;
  const event = JSON.parse(line) as Event;
  if (event.kind === 'killed') settled.add(event.id);
}
(globalThis as Record<string, unknown>)[SWITCH] = (id: number): boolean => {
  if (active === -1) asked.add(id);
  return id === active;
};

/**
 * Runs each test as it is, notes which mutants it meets, and runs it again with each that still lives. A test
 * counts only where it passes again without a mutant after that.
 */
// biome-ignore lint/style/noDefaultExport: vitest takes a runner only so.
export default class MutationRunner extends TestRunner {
  override onBeforeRunTask(test: RunnerTestCase): Promise<void> {
    this.noteUnsure('while modules load');
    return super.onBeforeRunTask(test);
  }

  async runTask(test: RunnerTestCase): Promise<void> {
    const run = TestRunner.getTestFn(test);
    const name = `${test.file.name} > ${test.name}`;
    // Each run adds a listener of vitest's to the signal of the test.
    setMaxListeners(0, test.context.signal);
    asked.clear();
    await run();
    const met = [...asked];
    asked.clear();
    note({ kind: 'asked', ids: met });
    const killed: number[] = [];
    for (const id of met) {
      if (settled.has(id)) continue;
      note({ kind: 'run', id, test: name });
      active = id;
      try {
        await run();
      } catch (error) {
        if (!isTimeout(error)) {
          killed.push(id);
          continue;
        }
        // Told at once: what was killed before it in this test is found again in the next process.
        note({ kind: 'endless', id });
        await new Promise<never>(() => {});
      } finally {
        active = -1;
      }
    }
    if (killed.length === 0) return;
    try {
      await run();
    } catch {
      note({ kind: 'unsure', ids: killed, test: name });
      return;
    } finally {
      asked.clear();
    }
    for (const id of killed) {
      settled.add(id);
      note({ kind: 'killed', id, by: name });
    }
  }

  private noteUnsure(test: string): void {
    if (asked.size > 0) note({ kind: 'unsure', ids: [...asked], test });
    asked.clear();
  }
}

/** Whether vitest ended it, and not the test itself. */
function isTimeout(error: unknown): boolean {
  return error instanceof Error && /^Test timed out in /.test(error.message);
}

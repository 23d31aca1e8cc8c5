import type { ChildProcess } from 'node:child_process';

/** Ends a worker that was started detached, and all that it started. */
export function end(worker: ChildProcess): void {
  if (worker.pid === undefined) return;
  try {
    process.kill(-worker.pid, 'SIGKILL');
  } catch {
    // It has ended by itself.
  }
}

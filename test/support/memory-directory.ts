import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const MEMORY = '/dev/shm';
const MIN_BYTES = 4 * 1024 ** 3;

/**
 * Has temporary files of this process and its children made in memory where the system has a directory for that with
 * enough room: tests write many small files, and wait for each to be durable. A TMPDIR that is set stays.
 */
export function useMemoryDirectory(): void {
  if (process.env['TMPDIR'] !== undefined) return;
  let directory: string;
  try {
    const { bavail, bsize } = statfsSync(MEMORY);
    if (bavail * bsize < MIN_BYTES) return;
    directory = mkdtempSync(join(MEMORY, 'bulla-tests-'));
  } catch {
    return;
  }
  process.on('exit', () => rmSync(directory, { recursive: true, force: true }));
  if (canExecute(directory)) process.env['TMPDIR'] = directory;
}

/** Whether programs may be started there, as tests do with some that they write. */
function canExecute(directory: string): boolean {
  const program = join(directory, 'program');
  try {
    writeFileSync(program, '#!/bin/sh\n', { mode: 0o755 });
    execFileSync(program);
    return true;
  } catch {
    return false;
  } finally {
    rmSync(program, { force: true });
  }
}

import { randomUUID } from 'node:crypto';
import { constants } from 'node:fs';
import { open, readFile, stat, unlink, utimes } from 'node:fs/promises';
import { hostname } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { BullaError } from '../errors.ts';
import { isErrno, storageError } from './atomic.ts';

export interface LockOptions {
  /** How long to wait for another holder, in milliseconds; 30 s if left out. */
  readonly waitMs?: number;
  readonly signal?: AbortSignal | undefined;
}

/** A lock that is held; release it in a `finally`. */
export interface Lock {
  release(): Promise<void>;
}

/** A holder that has not touched its lock for so long is taken for dead, in milliseconds. */
const STALE_MS = 20_000;
const TOUCH_MS = 5_000;

/**
 * Takes the lock file at `path`, so that one process at a time works on what it guards. A holder that
 * was killed loses it: at once where its process is seen to be gone on this machine, else when the
 * lock has not been touched for 20 s.
 * @throws BullaError storage-error where the wait was in vain
 */
export async function acquireLock(path: string, options: LockOptions = {}): Promise<Lock> {
  const deadline = performance.now() + (options.waitMs ?? 30_000);
  const token = `${process.pid}\n${hostname()}\n${randomUUID()}\n`;
  for (let tries = 0; ; tries++) {
    options.signal?.throwIfAborted();
    if (await create(path, token)) return hold(path, token);
    await breakIfDead(path);
    if (performance.now() > deadline) {
      throw new BullaError(
        'storage-error',
        `${path} is locked by another process (${await holderOf(path)})`,
        {
          hint: 'wait until the other command has ended; if there is none, remove the lock file',
        },
      );
    }
    await sleep(Math.min(2 ** tries, 50) * (0.5 + Math.random()), undefined, { signal: options.signal });
  }
}

/** Runs `work` while holding the lock at `path`. */
export async function withLock<T>(
  path: string,
  work: () => Promise<T>,
  options: LockOptions = {},
): Promise<T> {
  const lock = await acquireLock(path, options);
  try {
    return await work();
  } finally {
    await lock.release();
  }
}

async function create(path: string, token: string): Promise<boolean> {
  try {
    const file = await open(path, constants.O_CREAT | constants.O_EXCL | constants.O_WRONLY, 0o644);
    try {
      await file.writeFile(token);
    } finally {
      await file.close();
    }
    return true;
  } catch (error) {
    if (isErrno(error, 'EEXIST')) return false;
    throw storageError(`cannot create the lock ${path}`, error);
  }
}

function hold(path: string, token: string): Lock {
  const touch = setInterval(() => {
    const now = new Date();
    // A failed touch only makes the lock look older than it is.
    utimes(path, now, now).catch(() => undefined);
  }, TOUCH_MS);
  touch.unref();
  return {
    async release(): Promise<void> {
      clearInterval(touch);
      if ((await content(path)) === token) await remove(path);
    },
  };
}

async function breakIfDead(path: string): Promise<void> {
  const held = await content(path);
  if (held === undefined) return;
  const [pid, host] = held.split('\n');
  const age = Date.now() - (await modified(path));
  const gone = host === hostname() && pid !== undefined && /^\d+$/.test(pid) && !isAlive(Number(pid));
  if (!gone && age < STALE_MS) return;
  // Whoever looks again finds either the same dead token, or a live one that must stay.
  if ((await content(path)) === held) await remove(path);
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return !isErrno(error, 'ESRCH');
  }
}

async function content(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return undefined;
    throw storageError(`cannot read the lock ${path}`, error);
  }
}

async function modified(path: string): Promise<number> {
  try {
    return (await stat(path)).mtimeMs;
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return Date.now();
    throw storageError(`cannot read the lock ${path}`, error);
  }
}

async function remove(path: string): Promise<void> {
  try {
    await unlink(path);
  } catch (error) {
    if (!isErrno(error, 'ENOENT')) throw storageError(`cannot remove the lock ${path}`, error);
  }
}

async function holderOf(path: string): Promise<string> {
  const [pid, host] = ((await content(path)) ?? '').split('\n');
  return pid === undefined || pid === ''
    ? 'holder unknown'
    : `process ${pid} on ${host ?? 'an unknown host'}`;
}

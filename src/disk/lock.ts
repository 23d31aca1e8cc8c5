import { randomBytes } from 'node:crypto';
import {
  lstatSync,
  lutimesSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmdirSync,
  rmSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { BullaError, throwIfAborted } from '../errors.ts';
import { temporaryBeside } from './atomic.ts';
import { isErrno, storageError } from './errno.ts';
import { livenessOf, pidOf, processMark } from './identity.ts';

export interface LockOptions {
  /** How long to wait for another holder, in milliseconds; 30 s if left out. */
  readonly waitMs?: number;
  readonly signal?: AbortSignal | undefined;
}

/** A lock that is held; release it in a `finally`. */
export interface Lock {
  /**
   * Makes sure that the lock was not lost meanwhile (a holder that stood still for 20 s can lose it);
   * call it right before the step that the lock is there for.
   * @throws BullaError storage-error
   */
  assertHeld(): Promise<void>;
  release(): Promise<void>;
}

/** A holder whose process cannot be asked after is dead once it was seen not to touch its lock so long. */
const STALE_MS = 20_000;
const TOUCH_MS = 5_000;
const LONGEST_PAUSE_MS = 50;

/**
 * Takes the lock at `path`, so that one process at a time works on what it guards.
 *
 * The lock is a directory that holds one file, whose name says who holds it and is never used again.
 * Each step is one system call that succeeds for one process only, and only in the state that this
 * process saw: taking it renames a prepared directory to `path` (which fails while that has a file in
 * it), taking it from a dead holder renames the dead holder's file, releasing it unlinks one's own. So
 * a kill at any point leaves either no lock or one whose holder is known to be dead, and two that find
 * the same dead holder cannot both succeed. The steps are not handed to the thread pool, because handing one
 * over takes ten times as long as the step; only waiting for another holder is.
 *
 * A dead holder is replaced at once where its process is seen to be gone (same machine, boot and PID
 * namespace), else after the lock was watched for 20 s without being touched.
 * @throws BullaError storage-error where the wait was in vain; interrupted
 */
export async function acquireLock(path: string, options: LockOptions = {}): Promise<Lock> {
  const deadline = performance.now() + (options.waitMs ?? 30_000);
  const attempt = new Attempt(path);
  try {
    for (let tries = 0; ; tries++) {
      throwIfAborted(options.signal);
      if (attempt.take()) return hold(path, attempt.token);
      if (performance.now() > deadline) throw locked(path, holderOf(path));
      await pause(Math.min(2 ** tries, LONGEST_PAUSE_MS) * (0.5 + Math.random()), options.signal);
    }
  } catch (error) {
    throw storageError(`cannot take the lock ${path}`, error);
  } finally {
    attempt.cleanUp();
  }
}

/** Runs `work` while holding the lock at `path`. */
export async function withLock<T>(
  path: string,
  work: (lock: Lock) => Promise<T>,
  options: LockOptions = {},
): Promise<T> {
  const lock = await acquireLock(path, options);
  let result: T;
  try {
    result = await work(lock);
  } catch (error) {
    // The work's error is the one to report; a lock that stays is taken from us once we have ended.
    await lock.release().catch(() => undefined);
    throw error;
  }
  await lock.release();
  return result;
}

/** One wait for a lock: its token, the directory prepared for it, and who was seen holding it. */
class Attempt {
  readonly token: string = `${processMark()}-${randomBytes(8).toString('hex')}`;
  private readonly path: string;
  private readonly prepared: string;
  private isPrepared = false;
  private seen: { readonly holder: string; readonly touched: number; readonly since: number } | undefined;

  constructor(path: string) {
    this.path = path;
    this.prepared = temporaryBeside(path);
  }

  /** Tries once. */
  take(): boolean {
    const holder = holderOf(this.path);
    if (holder === undefined) return this.takeFree();
    return this.isDead(holder) && this.takeFrom(holder);
  }

  private takeFree(): boolean {
    if (!this.isPrepared) {
      mkdirSync(this.prepared);
      this.isPrepared = true;
      writeFileSync(join(this.prepared, this.token), `${hostname()}\n`);
    }
    try {
      renameSync(this.prepared, this.path);
    } catch (error) {
      if (isErrno(error, 'ENOTEMPTY', 'EEXIST')) return false;
      throw error;
    }
    this.isPrepared = false;
    return true;
  }

  private takeFrom(holder: string): boolean {
    const mine = join(this.path, this.token);
    try {
      renameSync(join(this.path, holder), mine);
    } catch (error) {
      if (isErrno(error, 'ENOENT')) return false;
      throw error;
    }
    touch(mine);
    return true;
  }

  private isDead(holder: string): boolean {
    const liveness = livenessOf(holder.slice(0, holder.lastIndexOf('-')));
    return liveness === 'dead' || (liveness === 'unknown' && this.isStale(holder));
  }

  /** Judged by watching, because the clocks of two machines need not agree. */
  private isStale(holder: string): boolean {
    const touched = touchedAt(join(this.path, holder));
    const now = performance.now();
    if (this.seen?.holder !== holder || this.seen.touched !== touched) {
      this.seen = { holder, touched, since: now };
    }
    return now - this.seen.since > STALE_MS;
  }

  cleanUp(): void {
    if (!this.isPrepared) return;
    try {
      rmSync(this.prepared, { recursive: true, force: true });
    } catch {
      // What stays behind is swept later; the lock itself is not in there.
    }
  }
}

function hold(path: string, token: string): Lock {
  const mine = join(path, token);
  const touching = setInterval(() => {
    try {
      touch(mine);
    } catch {
      // A failed touch only makes the lock look older than it is.
    }
  }, TOUCH_MS);
  touching.unref();
  return {
    async assertHeld(): Promise<void> {
      if (holderOf(path) === token) return;
      throw new BullaError('storage-error', `${path} was taken by another process meanwhile`, {
        hint: 'this process stood still for too long; nothing was written: run the command again',
      });
    },
    async release(): Promise<void> {
      clearInterval(touching);
      try {
        unlinkSync(mine);
        rmdirSync(path);
      } catch (error) {
        // Gone: it was taken for dead. Not empty: the next one has it already.
        if (!isErrno(error, 'ENOENT', 'ENOTEMPTY', 'EEXIST'))
          throw storageError(`cannot release the lock ${path}`, error);
      }
    },
  };
}

function touch(path: string): void {
  const now = new Date();
  try {
    lutimesSync(path, now, now);
  } catch (error) {
    if (!isErrno(error, 'ENOENT')) throw error;
  }
}

function touchedAt(path: string): number {
  try {
    return lstatSync(path).mtimeMs;
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return 0;
    throw error;
  }
}

const TOKEN = /^[0-9a-f]{16}-[0-9]{1,10}-[0-9]{1,20}-[0-9a-f]{1,32}$/;

/**
 * Token of the holder; undefined if there is none. A lock can be in a directory that another process
 * made: an entry that is not a lock of ours is left alone, because a dead holder's file is renamed and then removed.
 */
function holderOf(path: string): string | undefined {
  try {
    if (!lstatSync(path).isDirectory()) throw notALock(path);
    const [holder] = readdirSync(path);
    if (holder !== undefined && !TOKEN.test(holder)) throw notALock(path);
    return holder;
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return undefined;
    throw error;
  }
}

function notALock(path: string): BullaError {
  return new BullaError('storage-error', `${path} is not a lock, but has the name of one`, {
    hint: 'look at it and remove it: the owner of this directory may be trying to have one of your files deleted',
  });
}

async function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  try {
    await sleep(ms, undefined, { signal });
  } catch (error) {
    throwIfAborted(signal);
    throw error;
  }
}

function locked(path: string, holder: string | undefined): BullaError {
  const who = holder === undefined ? 'just released' : `process ${pidOf(holder)}`;
  return new BullaError('storage-error', `${path} is locked by another process (${who})`, {
    hint: 'wait until the other command has ended; if there is none, remove the lock',
  });
}

import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, rename, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { livenessOf, processMark } from '../../src/disk/identity.ts';
import { acquireLock, withLock } from '../../src/disk/lock.ts';
import { runChild, temporaryDirectory } from '../support/processes.ts';

let directory: Awaited<ReturnType<typeof temporaryDirectory>>;
let path: string;
beforeEach(async () => {
  directory = await temporaryDirectory();
  path = join(directory.path, 'the.lock');
});
afterEach(() => directory.remove());

/** Leaves a lock as a process that was killed would. */
async function plant(holder: string): Promise<void> {
  await mkdir(path);
  await writeFile(join(path, holder), 'somewhere\n');
}

/** A mark of this machine whose process is gone. */
function deadMark(): string {
  const [place] = processMark().split('-');
  return `${place}-${process.pid}-1`;
}

describe('identity', () => {
  it('knows this process, one that is gone, and what it cannot know', () => {
    expect(livenessOf(processMark())).toBe('alive');
    expect(livenessOf(deadMark())).toBe('dead');
    expect(livenessOf(processMark().replace(/^..../, '0000'))).toBe('unknown');
    expect(livenessOf('../../etc')).toBe('unknown');
  });
});

describe('lock', () => {
  it('lets one in at a time and leaves nothing behind', async () => {
    let inside = 0;
    let most = 0;
    await Promise.all(
      Array.from({ length: 12 }, () =>
        withLock(path, async () => {
          most = Math.max(most, ++inside);
          await new Promise((resolve) => setImmediate(resolve));
          inside--;
        }),
      ),
    );
    expect(most).toBe(1);
    expect(await readdir(directory.path)).toEqual([]);
  });

  it('is released when the work fails, and the failure is passed on', async () => {
    const failing = withLock(path, async () => {
      throw new Error('the work failed');
    });
    await expect(failing).rejects.toThrow('the work failed');
    expect(existsSync(path)).toBe(false);
  });

  it('says who holds it when the wait was in vain', async () => {
    const lock = await acquireLock(path);
    await expect(acquireLock(path, { waitMs: 20 })).rejects.toMatchObject({
      code: 'storage-error',
      message: expect.stringContaining(`process ${process.pid}`),
    });
    await lock.assertHeld();
    await lock.release();
    expect(await readdir(directory.path)).toEqual([]);
  });

  it('stops waiting when it is told to', async () => {
    const lock = await acquireLock(path);
    const controller = new AbortController();
    const waiting = acquireLock(path, { signal: controller.signal });
    controller.abort();
    await expect(waiting).rejects.toMatchObject({ code: 'interrupted' });
    await lock.release();
  });

  it('is taken at once from a holder that was killed', async () => {
    await plant(`${deadMark()}-aaaa`);
    const lock = await acquireLock(path, { waitMs: 0 });
    await lock.assertHeld();
    await lock.release();
  });

  it('is taken where a kill left it empty, between the two steps of a release', async () => {
    await mkdir(path);
    const lock = await acquireLock(path, { waitMs: 0 });
    await lock.release();
    expect(existsSync(path)).toBe(false);
  });

  it('is not taken from a holder on another machine that may be alive', async () => {
    await plant('0123456789abcdef-1-1-aaaa');
    await expect(acquireLock(path, { waitMs: 100 })).rejects.toMatchObject({ code: 'storage-error' });
  });

  it('leaves alone what a stranger put in its place, behind a link or not', async () => {
    const others = join(directory.path, 'others');
    await mkdir(others);
    // Named like a dead holder, which would be taken over at once.
    const holder = `${deadMark()}-aaaa`;
    await writeFile(join(others, holder), 'precious\n');
    await symlink(others, path);
    await expect(acquireLock(path, { waitMs: 0 })).rejects.toMatchObject({ code: 'storage-error' });
    expect(await readdir(others)).toEqual([holder]);

    path = join(directory.path, 'second.lock');
    await plant('authorized_keys');
    await expect(acquireLock(path, { waitMs: 0 })).rejects.toMatchObject({ code: 'storage-error' });
    expect(await readdir(path)).toEqual(['authorized_keys']);
  });

  it('goes to one only of many that find the same dead holder', async () => {
    for (let round = 0; round < 10; round++) {
      await plant(`${deadMark()}-aaaa`);
      const tries = await Promise.allSettled(
        Array.from({ length: 16 }, () => acquireLock(path, { waitMs: 0 })),
      );
      const winners = tries.filter((one) => one.status === 'fulfilled');
      expect(winners).toHaveLength(1);
      await winners[0]?.value.release();
    }
    expect(await readdir(directory.path)).toEqual([]);
  });

  it('tells a holder that it lost the lock, and leaves the new holder alone', async () => {
    const lock = await acquireLock(path);
    const [token] = await readdir(path);
    await rename(join(path, token as string), join(path, `${processMark()}-other`));
    await expect(lock.assertHeld()).rejects.toMatchObject({ code: 'storage-error' });
    await lock.release();
    expect(await readdir(path)).toEqual([`${processMark()}-other`]);
  });

  it('counts right in several processes while holders are killed', { timeout: 60_000 }, async () => {
    const file = join(directory.path, 'count');
    await writeFile(file, '0');
    const counters = [1, 2, 3].map(() => runChild('disk/lock-child.ts', ['count', path, file, '40']));
    for (let killed = 0; killed < 3; killed++) {
      const holder = runChild('disk/lock-child.ts', ['hold', path]);
      await holder.printed('held');
      holder.process.kill('SIGKILL');
      await holder.ended;
    }
    for (const counter of counters) expect(await counter.ended).toMatchObject({ status: 0 });
    expect(await readFile(file, 'utf8')).toBe('120');
    await withLock(path, async () => undefined, { waitMs: 0 });
    expect(existsSync(path)).toBe(false);
  });
});

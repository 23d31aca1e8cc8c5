import { execFileSync } from 'node:child_process';
import { mkdir, readdir, readFile, stat, symlink, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  createTemporary,
  readFileBounded,
  sweepTemporaries,
  TEMPORARY_PREFIX,
  temporaryBeside,
  writeFileAtomic,
} from '../../src/disk/atomic.ts';
import { utf8 } from '../../src/encoding/bytes.ts';
import { runChild, temporaryDirectory } from '../support/processes.ts';

let directory: Awaited<ReturnType<typeof temporaryDirectory>>;
let path: string;
beforeEach(async () => {
  directory = await temporaryDirectory();
  path = join(directory.path, 'file');
});
afterEach(() => directory.remove());

describe('writeFileAtomic', () => {
  it('writes and replaces, and leaves no temporary file', async () => {
    await writeFileAtomic(path, utf8('one'));
    await writeFileAtomic(path, utf8('two'));
    expect(await readFile(path, 'utf8')).toBe('two');
    expect(await readdir(directory.path)).toEqual(['file']);
  });

  it('keeps what is secret to its owner', async () => {
    await writeFileAtomic(path, utf8('secret'), { mode: 0o600 });
    expect((await stat(path)).mode & 0o777).toBe(0o600);
  });

  it('refuses to replace where that was asked for, and keeps the old content', async () => {
    await writeFileAtomic(path, utf8('one'), { exclusive: true });
    const second = writeFileAtomic(path, utf8('two'), { exclusive: true });
    await expect(second).rejects.toMatchObject({ code: 'conflict' });
    expect(await readFile(path, 'utf8')).toBe('one');
    expect(await readdir(directory.path)).toEqual(['file']);
  });

  it('replaces a symbolic link and not the file behind it', async () => {
    const outside = join(directory.path, 'outside');
    await writeFile(outside, 'outside');
    await symlink(outside, path);
    await writeFileAtomic(path, utf8('inside'));
    expect(await readFile(outside, 'utf8')).toBe('outside');
    expect(await readFile(path, 'utf8')).toBe('inside');
  });

  it('says what is wrong with the place', async () => {
    await expect(writeFileAtomic(join(path, 'below'), utf8('x'))).rejects.toMatchObject({
      code: 'storage-error',
      hint: expect.any(String),
    });
  });

  it('leaves old content and no temporary file where there is no room', async () => {
    await writeFileAtomic(path, utf8('old'));
    const child = runChild('disk/atomic-child.ts', [path, '3000000'], 'ulimit -f 1000;');
    expect((await child.ended).output).toMatch(/^storage-error: .*room/);
    expect(await readFile(path, 'utf8')).toBe('old');
    expect(await readdir(directory.path)).toEqual(['file']);
  });

  it('leaves whole content after kill -9, and the sweep removes the rest', async () => {
    for (let killed = 0; killed < 3; killed++) {
      const child = runChild('disk/atomic-child.ts', [path]);
      await child.printed('writing');
      child.process.kill('SIGKILL');
      await child.ended;
      const content = await readFile(path, 'utf8');
      expect(content).toHaveLength(200_000);
      expect(content).toBe((content[0] as string).repeat(200_000));
    }
    await sweepTemporaries(directory.path);
    expect(await readdir(directory.path)).toEqual(['file']);
  });
});

describe('createTemporary', () => {
  it('takes pieces, and removes itself when it is discarded', async () => {
    const file = await createTemporary(path);
    await file.write(utf8('one '));
    await file.write(utf8('two'));
    expect(await readFile(file.path, 'utf8')).toBe('one two');
    await file.discard();
    expect(await readdir(directory.path)).toEqual([]);
  });

  it('stays where it was committed to', async () => {
    const file = await createTemporary(path);
    await file.write(utf8('kept'));
    await file.commit(path);
    await file.discard();
    expect(await readFile(path, 'utf8')).toBe('kept');
  });
});

describe('sweepTemporaries', () => {
  it('removes what nobody owns any more, and nothing else', async () => {
    const old = new Date(Date.now() - 48 * 3600 * 1000);
    const mine = temporaryBeside(path);
    const foreign = join(directory.path, `${TEMPORARY_PREFIX}0123456789abcdef-1-1-young`);
    const foreignOld = join(directory.path, `${TEMPORARY_PREFIX}0123456789abcdef-1-1-old`);
    const dead = join(directory.path, `${TEMPORARY_PREFIX}${processMarkOfDead(mine)}-dead`);
    for (const one of [mine, foreign, path]) await writeFile(one, 'x');
    for (const one of [foreignOld, dead]) await mkdir(join(one, 'inside'), { recursive: true });
    for (const one of [foreignOld, mine, path]) await utimes(one, old, old);
    await sweepTemporaries(directory.path);
    const left = (await readdir(directory.path)).map((name) => join(directory.path, name));
    expect(left.sort()).toEqual([mine, foreign, path].sort());
  });

  it('has nothing to do in a directory that is not there', async () => {
    await sweepTemporaries(join(directory.path, 'nowhere'));
  });
});

function processMarkOfDead(temporary: string): string {
  const place = temporary
    .slice(temporary.lastIndexOf(TEMPORARY_PREFIX) + TEMPORARY_PREFIX.length)
    .slice(0, 16);
  return `${place}-${process.pid}-1`;
}

describe('readFileBounded', () => {
  it('reads up to the bound and not beyond', async () => {
    await writeFile(path, '0123456789');
    expect(await readFileBounded(path, 10)).toEqual(utf8('0123456789'));
    await expect(readFileBounded(path, 9)).rejects.toMatchObject({ code: 'content-invalid' });
  });

  it('says not-found', async () => {
    await expect(readFileBounded(path, 9)).rejects.toMatchObject({ code: 'not-found' });
  });

  it('stops at the bound where the size is not true', async () => {
    await expect(readFileBounded('/proc/self/environ', 10)).rejects.toMatchObject({
      code: 'content-invalid',
    });
  });

  it.each(['symbolic link', 'pipe', 'directory'])('does not read a %s in a foreign place', async (kind) => {
    if (kind === 'symbolic link') await symlink('/etc/hostname', path);
    if (kind === 'pipe') execFileSync('mkfifo', [path]);
    if (kind === 'directory') await mkdir(path);
    await expect(readFileBounded(path, 9, { noFollow: true })).rejects.toMatchObject({
      code: 'storage-error',
      hint: expect.any(String),
    });
  });
});

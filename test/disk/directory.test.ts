import { stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { makeDirectory } from '../../src/disk/atomic.ts';
import { temporaryDirectory } from '../support/cli.ts';

describe('making a directory', () => {
  it('makes its parents, and is content with one that is there', async () => {
    const path = join(await temporaryDirectory(), 'a', 'b', 'c');
    await makeDirectory(path, 0o700);
    await makeDirectory(path);
    expect((await stat(path)).mode & 0o777).toBe(0o700);
  });

  it('refuses a file in its place, or in the place of a parent', async () => {
    const file = join(await temporaryDirectory(), 'file');
    await writeFile(file, '');
    await expect(makeDirectory(file)).rejects.toMatchObject({ code: 'storage-error' });
    await expect(makeDirectory(join(file, 'a', 'b'))).rejects.toMatchObject({ code: 'storage-error' });
  });

  it.each(['/proc/none', '/proc/none/a/b'])(
    'ends where a file system makes no directories: %s',
    async (path) => {
      await expect(makeDirectory(path)).rejects.toMatchObject({
        code: 'storage-error',
        hint: expect.any(String),
      });
    },
  );
});

import { execFileSync } from 'node:child_process';
import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readSmallFile, writeSmallFile } from '../../src/disk/small-file.ts';
import { temporaryDirectory } from '../support/cli.ts';

const code = (name: string) => expect.objectContaining({ code: name });

describe('a small file', () => {
  it.each([0, 1, 4096, 100_000])('of %i bytes is read whole', async (size) => {
    const path = join(await temporaryDirectory(), 'file');
    const bytes = Buffer.alloc(size, 'x');
    await writeFile(path, bytes);
    expect(Buffer.from(readSmallFile(path, size) ?? [])).toEqual(bytes);
    if (size > 0) expect(() => readSmallFile(path, size - 1)).toThrow(code('content-invalid'));
  });

  it('whose size the system does not tell is read whole, within the bound', () => {
    expect(readSmallFile('/proc/self/status', 100_000)?.byteLength).toBeGreaterThan(100);
    expect(() => readSmallFile('/proc/self/status', 100)).toThrow(code('content-invalid'));
  });

  it('that is not there is nothing; what is no file is refused, and nobody is waited for', async () => {
    const directory = await temporaryDirectory();
    expect(readSmallFile(join(directory, 'none'), 10)).toBeUndefined();
    await mkdir(join(directory, 'folder'));
    expect(() => readSmallFile(join(directory, 'folder'), 10)).toThrow(code('storage-error'));
    execFileSync('mkfifo', [join(directory, 'pipe')]);
    expect(() => readSmallFile(join(directory, 'pipe'), 10)).toThrow(code('storage-error'));
    await writeFile(join(directory, 'file'), '');
    expect(() => readSmallFile(join(directory, 'file/below'), 10)).toThrow(code('storage-error'));
  });

  it('is written as a whole, over what was there, and leaves nothing beside it', async () => {
    const directory = await temporaryDirectory();
    for (const text of ['one', 'two']) {
      writeSmallFile(join(directory, 'file'), Buffer.from(text));
      expect(Buffer.from(readSmallFile(join(directory, 'file'), 10) ?? []).toString()).toBe(text);
    }
    await mkdir(join(directory, 'folder'));
    expect(() => writeSmallFile(join(directory, 'folder'), Buffer.from('x'))).toThrow(code('storage-error'));
    expect(() => writeSmallFile(join(directory, 'none/file'), Buffer.from('x'))).toThrow(
      code('storage-error'),
    );
    expect((await readdir(directory)).sort()).toEqual(['file', 'folder']);
  });
});

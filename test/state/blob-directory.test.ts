import { readdir, stat, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { utf8 } from '../../src/encoding/bytes.ts';
import { digestOf } from '../../src/oci/digest.ts';
import { BlobDirectory } from '../../src/state/blob-directory.ts';
import { temporaryDirectory } from '../support/cli.ts';

describe('BlobDirectory', () => {
  it('keeps content by digest, for its owner', async () => {
    const path = join(await temporaryDirectory(), 'cache', 'trust');
    const cache = new BlobDirectory(path);
    for (const algorithm of ['sha256', 'sha512'] as const) {
      const digest = digestOf(utf8('a'), algorithm);
      expect(await cache.load(digest)).toBeUndefined();
      await cache.keep(digest, utf8('a'));
      expect(await new BlobDirectory(path).load(digest)).toEqual(utf8('a'));
    }
    expect((await stat(path)).mode & 0o077).toBe(0);
  });

  it('takes what is damaged, too large or forged for missing', async () => {
    const path = await temporaryDirectory();
    const cache = new BlobDirectory(path);
    const digest = digestOf(utf8('a'));
    await cache.keep(digest, utf8('a'));
    const [name = ''] = await readdir(path);
    for (const bytes of [utf8('b'), utf8(''), new Uint8Array(8 * 1024 * 1024 + 1)]) {
      await writeFile(join(path, name), bytes);
      expect(await cache.load(digest)).toBeUndefined();
    }
  });

  it('makes room, the oldest first', async () => {
    const path = await temporaryDirectory();
    for (let n = 0; n < 8; n++) {
      await writeFile(join(path, `x${n}`), '');
      await utimes(join(path, `x${n}`), n, n);
    }
    await new BlobDirectory(path, 8).keep(digestOf(utf8('a')), utf8('a'));
    const left = (await readdir(path)).filter((name) => name.startsWith('x'));
    expect(left.sort()).toEqual(['x4', 'x5', 'x6', 'x7']);
  });
});

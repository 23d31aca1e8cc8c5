import { createHash } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseDigest } from '../../../src/oci/digest.ts';
import { Uploads } from '../../../src/servers/registry/store/uploads.ts';

describe('an upload', () => {
  let directory: string;
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'bulla-uploads-'));
  });
  afterAll(() => rm(directory, { recursive: true }));

  it.each([1, 7, 8, 9, 40, 512])('of %i pieces that come at once is stored whole', async (count) => {
    const uploads = new Uploads({ pathOf: (id) => join(directory, id), expiryMs: 60_000, maxUploads: 10 });
    const pieces = Array.from({ length: count }, (_, n) => Buffer.alloc(128 * 1024, n));
    const upload = uploads.start('app', 'sha256');
    if (upload === undefined) throw new Error('there is room for an upload');
    async function* source(): AsyncGenerator<Uint8Array> {
      yield* pieces;
    }
    try {
      expect(await uploads.append(upload, source())).toBe(true);
      const content = Buffer.concat(pieces);
      const digest = parseDigest(`sha256:${createHash('sha256').update(content).digest('hex')}`);
      const path = await uploads.finish(upload, digest);
      expect((await readFile(path ?? '')).equals(content)).toBe(true);
    } finally {
      await uploads.close();
    }
  });
});

import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { copy } from '../../src/actions/copy/copy.ts';
import { openLayout } from '../../src/layout/open.ts';
import { hexOf } from '../../src/oci/digest.ts';
import type { LayoutReference } from '../../src/oci/reference.ts';
import { pushIndex, pushReferrer, tagOf } from '../support/content.ts';
import { runChild, temporaryDirectory } from '../support/processes.ts';

const V1 = tagOf('v1');

describe('copy between layouts and archives', () => {
  it.each(['layout', 'archive'] as const)(
    'ends complete in %s when it is run again after kill -9 at different points',
    { timeout: 60_000 },
    async (kind) => {
      const directory = await temporaryDirectory();
      const from: LayoutReference = { kind: 'layout', path: join(directory.path, 'from') };
      const to: LayoutReference = { kind, path: join(directory.path, 'to') };
      const source = await openLayout(from, { create: true });
      const { index, images } = await pushIndex(source, 'app', 'v1');
      for (const { descriptor } of [index, ...images])
        await pushReferrer(source, descriptor, descriptor.digest);
      const args = [`layout:${from.path}`, `${kind}:${to.path}`];
      for (const point of [1, 6]) {
        const child = runChild('layout/copy-child.ts', args);
        // On a slow machine it may have ended before it could be killed.
        await child.printed(`done ${kind === 'archive' ? point : 1};`).catch(() => undefined);
        child.process.kill('SIGKILL');
        await child.ended;
      }
      expect(await runChild('layout/copy-child.ts', args).ended).toMatchObject({
        status: 0,
        output: expect.stringContaining('copied'),
      });
      const destination = await openLayout(to);
      expect((await destination.resolve(V1)).digest).toBe(index.descriptor.digest);
      const again = await copy({ source, reference: V1, destination, tag: V1 });
      expect(again).toMatchObject({ pushed: { content: 0 }, referrers: 3, tagMoved: false });
      await destination.close();
      const names = await readdir(directory.path, { recursive: true });
      expect(names.filter((name) => name.includes('.bulla-') || name.endsWith('.lock'))).toEqual([]);
      await directory.remove();
    },
  );

  it('repairs a layout that another tool left half-way', async () => {
    const directory = await temporaryDirectory();
    const source = await openLayout({ kind: 'layout', path: join(directory.path, 'from') }, { create: true });
    const { images } = await pushIndex(source, 'app', 'v1');
    const to: LayoutReference = { kind: 'layout', path: join(directory.path, 'to') };
    const destination = await openLayout(to, { create: true });
    await copy({ source, reference: V1, destination, tag: V1 });
    const [first] = images;
    await rm(join(to.path, 'blobs', 'sha256', hexOf(first?.descriptor.digest as never)));
    const result = await copy({ source, reference: V1, destination, tag: V1 });
    expect(result).toMatchObject({ pushed: { content: 1 }, tagMoved: false });
    await directory.remove();
  });
});

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { exportTuf } from '../../src/actions/export/tuf.ts';
import { DirectoryWriter } from '../../src/mirror/directory-writer.ts';
import { MemoryStore } from '../../src/oci/memory.ts';
import { NAMES_ROLE } from '../../src/trust/format/vocabulary.ts';
import { WorkingCopy } from '../../src/trust/read/working-copy.ts';
import { pushImage } from '../support/content.ts';
import { changeHead, readAny, setting } from '../support/trust/changing.ts';
import { newCollection, PLACE, pushHead } from '../support/trust/collection.ts';
import { anyOf, PUBLISHER, ROOT } from '../support/tuf/editing.ts';
import { poolKey } from '../support/tuf/keys.ts';
import { TUF_READERS } from './tuf-readers.ts';

/** The peers judge by their own clocks. */
const NOW = new Date();

let home: string;
const digests: Record<string, string> = {};
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'bulla-export-'));
  await write('small', ['v1', 'v1.2'], false);
  await write(
    'bins',
    Array.from({ length: 1100 }, (_, at) => `v${at}`),
    false,
  );
  await write('rotated', ['v1', 'v2'], true);
});
afterAll(() => rm(home, { recursive: true, force: true }));

/** A collection of one image under many names, exported with its manifests. */
async function write(directory: string, names: readonly string[], rotate: boolean): Promise<void> {
  const store = new MemoryStore();
  const image = await pushImage(store, 'one');
  const sha256 = image.descriptor.digest.slice(7);
  await pushHead(store, await newCollection(PLACE, NOW));
  const set = new Map(names.map((name) => [name, { length: image.descriptor.size, sha256 }]));
  await changeHead(store, (edit) => edit.apply(NAMES_ROLE, [{ ...setting([], NOW), set }]), NOW);
  if (rotate) {
    await changeHead(
      store,
      (edit) => void edit.root().setKeys('timestamp', anyOf(1, poolKey(PUBLISHER))),
      NOW,
    );
    await changeHead(
      store,
      (edit) => edit.addSigner({ name: 'ci', ...anyOf(1, poolKey(ROOT)), paths: ['*'] }),
      NOW,
    );
    await changeHead(store, (edit) => edit.rekeyNames(anyOf(1, poolKey(ROOT))), NOW);
  }
  const copy = await WorkingCopy.open(await readAny(store, { now: NOW }));
  await exportTuf(copy, new DirectoryWriter(join(home, directory)), { concurrency: 8, images: store });
  digests[directory] = sha256;
}

describe.each(TUF_READERS)('exported collections, read by %s', (_, isThere, read) => {
  it.runIf(isThere).each([
    ['small', ['v1', 'v1.2']],
    ['bins', ['v0', 'v500', 'v1099']],
    ['rotated', ['v1', 'v2']],
  ])('%s', async (directory, names) => {
    const found = await read(join(home, directory), names);
    expect(found).toEqual(Object.fromEntries(names.map((name) => [name, digests[directory]])));
  });
});

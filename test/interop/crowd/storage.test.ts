import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { storedMetadata } from './storage.ts';

it('finds files of one role and version with different bytes, in blobs and inside manifests', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'bulla-storage-'));
  try {
    const metadata = (role: string, version: number, sig: string): string =>
      JSON.stringify({ signatures: [{ sig }], signed: { _type: 'x', version, bulla: { root: 'a', role } } });
    const data = Buffer.from(metadata('names', 2, '02')).toString('base64');
    mkdirSync(join(directory, 'blobs'));
    for (const [name, text] of [
      ['one', metadata('names', 1, '01')],
      ['copy', metadata('names', 1, '01')],
      ['other', metadata('names', 2, '01')],
      ['timestamp', metadata('timestamp', 2, '01')],
      ['manifest', JSON.stringify({ layers: [{ data }, {}] })],
      ['nothing', '{'],
    ] as const)
      writeFileSync(join(directory, 'blobs', name), text);
    expect(await storedMetadata(directory)).toEqual({
      files: new Map([
        ['names', 3],
        ['timestamp', 1],
      ]),
      twins: ['a names 2'],
      crowding: 3,
    });
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});

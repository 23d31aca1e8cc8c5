import { mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Tag } from '../../src/oci/reference.ts';
import { SignerStateDirectory } from '../../src/state/signer-state.ts';
import { assembleHead } from '../../src/trust/format/assemble.ts';
import { announceHead } from '../../src/trust/format/candidate.ts';
import { withUsed } from '../../src/trust/publish/signer-state.ts';
import { newCollection } from '../support/trust/collection.ts';
import { NOW } from '../support/tuf/editing.ts';

let path: string;
beforeEach(async () => {
  path = await mkdtemp(join(tmpdir(), 'bulla-signer-state-'));
});
afterEach(() => rm(path, { recursive: true, force: true }));

const ID = 'ab'.repeat(32) as never;
const TAG = '_trust.next.0123456789ab' as Tag;

describe('SignerStateDirectory', () => {
  it('knows nothing at first, and makes no directory to find that out', async () => {
    const state = new SignerStateDirectory(join(path, 'state'));
    expect(await state.load(ID)).toBeUndefined();
    expect(await state.pending(ID)).toEqual([]);
    await state.drop(ID, TAG);
    expect(await readdir(path)).toEqual([]);
  });

  it('keeps what every one of many processes has used', async () => {
    const states = Array.from({ length: 8 }, () => new SignerStateDirectory(path));
    await Promise.all(
      states.map((state, index) =>
        state.update(ID, (present) =>
          withUsed(
            present,
            new Map([
              [`role${index}`, index + 1],
              ['names', index],
            ]),
          ),
        ),
      ),
    );
    const record = await new SignerStateDirectory(path).load(ID);
    expect(record?.used.size).toBe(9);
    expect(record?.used.get('names')).toBe(7);
  });

  it('gives back what was announced, byte for byte', async () => {
    const state = new SignerStateDirectory(path);
    const { files, logs } = await newCollection();
    const object = {
      tag: TAG,
      ids: ['0'.repeat(32)],
      madeAt: NOW,
      assembly: announceHead(assembleHead({ files, logs }), undefined),
    };
    await state.keep(ID, object);
    const [found] = await state.pending(ID);
    expect(found?.assembly.top).toEqual(object.assembly.top);
    expect(found?.assembly.blobs.map(({ bytes }) => bytes)).toEqual(
      object.assembly.blobs.map(({ bytes }) => bytes),
    );
    expect(found).toMatchObject({ tag: TAG, ids: object.ids, madeAt: NOW });
    await state.drop(ID, TAG);
    expect(await state.pending(ID)).toEqual([]);
  });

  it('lets nobody else write', async () => {
    const state = new SignerStateDirectory(path);
    await state.update(ID, (present) => present);
    expect((await stat(join(path, ID))).mode & 0o077).toBe(0);
    expect((await stat(join(path, ID, 'record.json'))).mode & 0o077).toBe(0);
  });

  it.each([
    ['no JSON', '{'],
    ['another version', '{"version":2,"collection":"x","used":[]}'],
    ['another collection', `{"version":1,"collection":"${'cd'.repeat(32)}","used":[]}`],
  ])('takes a damaged record for a failure, not for none: %s', async (_, text) => {
    const state = new SignerStateDirectory(path);
    await state.update(ID, (present) => present);
    await writeFile(join(path, ID, 'record.json'), text);
    await expect(state.load(ID)).rejects.toMatchObject({ code: 'storage-error' });
  });

  it('says which file of what was announced is damaged', async () => {
    const state = new SignerStateDirectory(path);
    const { files, logs } = await newCollection();
    await state.keep(ID, {
      tag: TAG,
      ids: [],
      madeAt: NOW,
      assembly: announceHead(assembleHead({ files, logs }), undefined),
    });
    await writeFile(join(path, ID, 'pending', `${TAG}.json`), '{}');
    await expect(state.pending(ID)).rejects.toMatchObject({ code: 'storage-error' });
  });
});

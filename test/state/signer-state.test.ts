import { mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { describe as describeBytes } from '../../src/oci/descriptor.ts';
import type { Tag } from '../../src/oci/reference.ts';
import { NotaryPinFile } from '../../src/state/notary-pins.ts';
import { PinFile } from '../../src/state/pins.ts';
import { SignerStateDirectory } from '../../src/state/signer-state.ts';
import { assembleHead } from '../../src/trust/format/assemble.ts';
import { announceHead } from '../../src/trust/format/candidate.ts';
import { type AnnouncedObject, withUsed } from '../../src/trust/publish/signer-state.ts';
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

describe('what is written can be read again', () => {
  const large = (bytes: number): AnnouncedObject => {
    const content = new Uint8Array(bytes);
    const blob = {
      descriptor: { ...describeBytes('application/json', new Uint8Array()), size: bytes },
      bytes: content,
    };
    const top = {
      descriptor: describeBytes('application/json', new Uint8Array(2)),
      bytes: new Uint8Array(2),
    };
    return { tag: TAG, ids: ['ab'.repeat(16)], madeAt: NOW, assembly: { blobs: [blob], children: [], top } };
  };

  it.each([
    ['one blob of 97 MiB', large(97 * 1024 * 1024)],
    ['200 MiB', large(200 * 1024 * 1024)],
    ['very many ids', { ...large(0), ids: Array.from({ length: 4_000_000 }, () => 'ab'.repeat(16)) }],
  ])('an object that is too large to be read is not kept: %s', async (_, object) => {
    const state = new SignerStateDirectory(path);
    expect(await state.keep(ID, object)).toBe(false);
    expect(await state.pending(ID)).toEqual([]);
  });

  it.each([0, 1, 2, 3, 1024 * 1024])('an object with a blob of %i bytes is kept', async (bytes) => {
    const state = new SignerStateDirectory(path);
    expect(await state.keep(ID, large(bytes))).toBe(true);
    expect((await state.pending(ID))[0]?.assembly.blobs[0]?.bytes.byteLength).toBe(bytes);
  });

  it.each([
    ['short names', 20_000, 4],
    ['long names', 5_000, 128],
    ['names that are escaped', 1_000, 0],
  ])(
    'a record of too many roles is refused before it replaces one that can be read: %s',
    async (_, count, length) => {
      const state = new SignerStateDirectory(path);
      await state.update(ID, (present) => withUsed(present, new Map([['names', 7]])));
      const roles = Array.from(
        { length: count },
        (__, at) =>
          [length === 0 ? `${at}${'\u0001'.repeat(100)}` : String(at).padStart(length, 'x'), at + 1] as const,
      );
      await expect(state.update(ID, (present) => withUsed(present, new Map(roles)))).rejects.toMatchObject({
        code: 'usage',
      });
      expect((await state.load(ID))?.used).toEqual(new Map([['names', 7]]));
    },
  );

  it('a record of as many roles as fit is read again', async () => {
    const state = new SignerStateDirectory(path);
    const roles = new Map(Array.from({ length: 12_000 }, (_, at) => [`r${at}`, 2 ** 40 + at]));
    await state.update(ID, (present) => withUsed(present, roles));
    expect((await state.load(ID))?.used).toEqual(roles);
  });

  it('pins that would not be read again are refused', async () => {
    const file = new PinFile(join(path, 'pins.json'));
    const notary = new NotaryPinFile(join(path, 'notary-pins.json'));
    const ids = Array.from({ length: 260_000 }, () => 'ab'.repeat(32));
    await expect(
      file.set({ scope: 'r.example/a', trust: { kind: 'key-ids', keyIds: ids } } as never),
    ).rejects.toMatchObject({ code: 'usage' });
    await expect(notary.set('r.example/a', { kind: 'key-ids', keyIds: ids })).rejects.toMatchObject({
      code: 'usage',
    });
    expect([(await file.list()).size, (await notary.list()).size]).toEqual([0, 0]);
  });
});

import { describe, expect, it } from 'vitest';
import { utf8 } from '../../../src/encoding/bytes.ts';
import { BullaError } from '../../../src/errors.ts';
import { MemoryStore } from '../../../src/oci/memory.ts';
import { isUnanswered } from '../../../src/trust/candidates/siblings.ts';
import type { CollectionId } from '../../../src/trust/format/binding.ts';
import { ProcessMemory } from '../../../src/trust/read/memory.ts';
import { ScratchMemory } from '../../../src/trust/read/scratch-memory.ts';
import { readAny } from '../../support/trust/changing.ts';
import { newCollection, PLACE, pushHead } from '../../support/trust/collection.ts';

const code = (name: string, details: object = {}) =>
  expect.objectContaining({ code: name, details: expect.objectContaining(details) });
const ID = 'a'.repeat(64) as CollectionId;
const OTHER = 'b'.repeat(64);

describe('a damaged memory', () => {
  class Memory extends ProcessMemory {
    private readonly load: (role: string) => Promise<Uint8Array | undefined>;
    constructor(load: (role: string) => Promise<Uint8Array | undefined>) {
      super();
      this.load = load;
    }
    override async open(id: CollectionId) {
      return Object.assign(await super.open(id), { load: this.load });
    }
  }
  const storage = (reason: string) =>
    new BullaError('storage-error', 'no', { hint: 'none', details: { reason } });
  const damaged = code('storage-error', { place: PLACE, reason: 'damaged-state' });

  it.each<[string, (role: string) => Promise<Uint8Array | undefined>]>([
    ['no root', async () => undefined],
    ['a root that cannot be read', async () => utf8('{}')],
    ['a root that the store calls damaged', () => Promise.reject(storage('damaged-state'))],
    [
      'a timestamp that the store calls damaged',
      (role) => (role === 'root' ? Promise.resolve(undefined) : Promise.reject(storage('damaged-state'))),
    ],
  ])('is never a place that was not seen: %s', async (_, load) => {
    const store = new MemoryStore(PLACE);
    const made = await newCollection();
    await pushHead(store, made);
    const memory = new Memory(load);
    const id = (await readAny(store)).id;
    await memory.note(PLACE, id);
    await expect(readAny(store, { memory })).rejects.toThrow(damaged);
  });

  it('is told from a disk that fails', async () => {
    const store = new MemoryStore(PLACE);
    await pushHead(store, await newCollection());
    const error = storage('full');
    const memory = new Memory(() => Promise.reject(error));
    await expect(readAny(store, { memory })).rejects.toBe(error);
  });
});

describe('what is looked at and not to be remembered', () => {
  it('is kept to itself, over what was known before', async () => {
    const behind = new ProcessMemory();
    await behind.note('a.example/x', ID);
    await (await behind.open(ID)).keep('root', utf8('old'));
    const scratch = new ScratchMemory(behind);
    expect(scratch.isLasting).toBe(false);
    expect(await scratch.seen('a.example/x')).toBe(ID);
    expect(await scratch.seen('a.example/y')).toBeUndefined();
    await scratch.note('a.example/y', OTHER as CollectionId);
    expect(await scratch.seen('a.example/y')).toBe(OTHER);
    expect(await behind.seen('a.example/y')).toBeUndefined();
    const state = await scratch.open(ID);
    expect(await state.load('root')).toEqual(utf8('old'));
    expect(await state.replace([{ role: 'root', expected: utf8('old'), bytes: utf8('new') }])).toBe(true);
    await state.replace([{ role: 'timestamp', expected: undefined, bytes: undefined }]);
    await state.keep('names', utf8('names'));
    expect(await state.load('root')).toEqual(utf8('new'));
    expect(await state.load('names')).toEqual(utf8('names'));
    expect(await state.loadHead('a.example/x')).toBeUndefined();
    const kept = await behind.open(ID);
    expect(await kept.load('root')).toEqual(utf8('old'));
    expect(await kept.load('names')).toBeUndefined();
  });
});

describe('a failure', () => {
  it.each([
    ['registry-unreachable', true],
    ['registry-throttled', true],
    ['registry-error', true],
    ['timeout', true],
    ['not-found', false],
    ['content-invalid', false],
    ['unauthorized', false],
    ['trust-invalid', false],
  ] as const)('%s passes or not: %s', (name, passes) => {
    expect(isUnanswered(new BullaError(name, 'no', { hint: 'none' }))).toBe(passes);
    expect(isUnanswered(Object.assign(new Error('no'), { code: name }))).toBe(false);
  });
});

import { describe, expect, it } from 'vitest';
import { BullaError, type ErrorCode } from '../../../src/errors.ts';
import { MemoryStore } from '../../../src/oci/memory.ts';
import { NAMES_ROLE } from '../../../src/trust/format/vocabulary.ts';
import {
  type HeadRelation,
  readCarriedHead,
  relateHeads,
} from '../../../src/trust/transfer/compare-heads.ts';
import { changeHead, setting } from '../../support/trust/changing.ts';
import { newCollection, PLACE, pushHead } from '../../support/trust/collection.ts';

/** A store whose read of a number fails, from when it is told to. */
class FailingStore extends MemoryStore {
  private left = Number.POSITIVE_INFINITY;
  private code: ErrorCode = 'internal';
  hasFailed = false;

  /** @param at 1 for the next read */
  failAt(at: number, code: ErrorCode): void {
    Object.assign(this, { left: at, code, hasFailed: false });
  }

  private count(): void {
    if (--this.left > 0) return;
    this.hasFailed = true;
    throw new BullaError(this.code, 'the read failed', { hint: 'try again' });
  }

  override async fetchManifest(
    ...options: Parameters<MemoryStore['fetchManifest']>
  ): ReturnType<MemoryStore['fetchManifest']> {
    this.count();
    return await super.fetchManifest(...options);
  }

  override async fetchBlob(
    ...options: Parameters<MemoryStore['fetchBlob']>
  ): ReturnType<MemoryStore['fetchBlob']> {
    this.count();
    return await super.fetchBlob(...options);
  }
}

const FAILURES = ['registry-unreachable', 'timeout', 'registry-error', 'unauthorized', 'forbidden'] as const;

interface Heads {
  readonly older: FailingStore;
  readonly newer: FailingStore;
}

/** One collection at two places, with many names, of which the newer has changed a few. */
async function heads(names: number): Promise<Heads> {
  const [older, newer] = [new FailingStore(PLACE), new FailingStore(PLACE)];
  const collection = await newCollection(PLACE);
  for (const store of [older, newer]) await pushHead(store, collection);
  const all = Array.from({ length: names }, (_, at) => `v${at}`);
  const first = setting(all);
  await changeHead(newer, (edit) => edit.apply(NAMES_ROLE, [first]));
  return { older, newer };
}

async function relate(
  offered: MemoryStore,
  present: MemoryStore,
  before?: () => void,
): Promise<HeadRelation> {
  const [ours, theirs] = [await readCarriedHead(offered), await readCarriedHead(present)];
  if (ours === undefined || theirs === undefined) throw new Error('there is no head');
  before?.();
  return await relateHeads(ours, theirs);
}

describe('heads that are compared', () => {
  it.each([
    ['a small head', 2],
    ['a large one, in bins', 1500],
  ])('are not taken for diverged because a read fails: %s', async (_, names) => {
    const { older, newer } = await heads(names);
    expect(await relate(newer, older)).toEqual({ kind: 'newer' });
    expect(await relate(older, newer)).toEqual({ kind: 'older' });
    let failures = 0;
    for (const [offered, present, kind] of [
      [newer, older, 'newer'],
      [older, newer, 'older'],
    ] as const) {
      for (const failing of [offered, present]) {
        for (let at = 1, isReached = true; isReached; at = at < 8 ? at + 1 : at * 2) {
          const code = FAILURES[at % FAILURES.length] as ErrorCode;
          const related = relate(offered, present, () => failing.failAt(at, code));
          const found = await related.catch((error: unknown) => (error as BullaError).code);
          isReached = failing.hasFailed;
          failing.failAt(Number.POSITIVE_INFINITY, code);
          expect(found).toEqual(isReached ? code : { kind });
          if (isReached) failures++;
        }
      }
    }
    expect(failures).toBeGreaterThan(3);
  });
});

import { describe, expect, it } from 'vitest';
import { findPending, type PendingList } from '../../../src/actions/change/pending.ts';
import { utf8 } from '../../../src/encoding/bytes.ts';
import { isBullaError } from '../../../src/errors.ts';
import { type ChangeContent, changeIdOf, isWholeId } from '../../../src/trust/approve/change-id.ts';
import type { CollectionId } from '../../../src/trust/format/binding.ts';
import { composeMetadataFile } from '../../../src/tuf/metadata-file.ts';

const file = (role: string, version: number, signatures: { keyid: string; sig: string }[] = []) =>
  composeMetadataFile(role, { _type: 'targets', version }, signatures);
const CONTENT: ChangeContent = {
  collection: 'a'.repeat(64) as CollectionId,
  files: [file('names', 1), file('-0', 1), file('-1', 1)],
  logs: new Map([['names', utf8('log')]]),
};
const ID = changeIdOf(CONTENT);

describe('the id of a change', () => {
  it.each<[string, Partial<ChangeContent>]>([
    ['the collection', { collection: 'b'.repeat(64) as CollectionId }],
    ['the file of the role', { files: [file('names', 2), file('-0', 1), file('-1', 1)] }],
    ['a bin', { files: [file('names', 1), file('-0', 1), file('-1', 2)] }],
    ['a bin that is missing', { files: [file('names', 1), file('-0', 1)] }],
    ['a bin more', { files: [...CONTENT.files, file('-2', 1)] }],
    ['the role of a file', { files: [file('names', 1), file('-0', 1), file('-2', 1)] }],
    ['a log', { logs: new Map([['names', utf8('gol')]]) }],
    ['a log of another role', { logs: new Map([['ci', utf8('log')]]) }],
    ['no log', { logs: new Map() }],
  ])('is another with %s', (_, change) => {
    expect(changeIdOf({ ...CONTENT, ...change })).not.toBe(ID);
  });

  it('is the same whoever has signed, and in whatever order the files come', () => {
    const signed = file('-0', 1, [{ keyid: 'a', sig: '00' }]);
    expect(changeIdOf({ ...CONTENT, files: [file('-1', 1), signed, file('names', 1)] })).toBe(ID);
    expect(isWholeId(ID)).toBe(true);
  });

  it.each([
    [0, 1, 2, 3],
    [3, 2, 1, 0],
    [1, 3, 0, 2],
    [2, 0, 3, 1],
  ])('is the same for logs and files in the order %i, %i, %i, %i', (...order) => {
    const roles = ['-0', '-1', 'ci', 'names'];
    const inOrder = (places: readonly number[]): ChangeContent => {
      const named = places.map((at) => roles[at] as string);
      const files = named.map((role) => file(role, 1));
      return { ...CONTENT, files, logs: new Map(named.map((role) => [role, utf8(role)])) };
    };
    expect(changeIdOf(inOrder(order))).toBe(changeIdOf(inOrder([0, 1, 2, 3])));
  });

  it('is found by its beginning, where no other has the same and it is not too short', () => {
    const ids = [`${'a'.repeat(16)}${'0'.repeat(48)}`, `${'a'.repeat(16)}${'1'.repeat(48)}`, 'b'.repeat(64)];
    const list = { waiting: ids.map((id) => ({ id })), refused: [] } as unknown as PendingList;
    const found = (id: string) => {
      try {
        return findPending(list, id).id;
      } catch (error) {
        return isBullaError(error) ? error.code : error;
      }
    };
    expect(['aaaaaaaa', 'a'.repeat(16), '', 'b', 'bbbbbbb', 'B'.repeat(8), 'c'.repeat(8)].map(found)).toEqual(
      Array.from({ length: 7 }, () => 'not-found'),
    );
    expect([`${'a'.repeat(16)}0`, 'bbbbbbbb', ids[1]!].map(found)).toEqual([ids[0], ids[2], ids[1]]);
  });
});

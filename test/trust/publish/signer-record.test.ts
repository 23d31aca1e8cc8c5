import { describe, expect, it } from 'vitest';
import { decodeUtf8, utf8 } from '../../../src/encoding/bytes.ts';
import { digestOf } from '../../../src/oci/digest.ts';
import { parseCollectionId } from '../../../src/trust/format/binding.ts';
import { encodeRecord, parseRecord } from '../../../src/trust/publish/signer-record.ts';
import type { SignerRecord } from '../../../src/trust/publish/signer-state.ts';

const ID = parseCollectionId('a'.repeat(64));
const RECORD: SignerRecord = {
  served: {
    digest: digestOf(utf8('head')),
    timestamp: 17_825_792,
    snapshot: 16_777_216,
    keys: ['SHA256:x'],
  },
  used: new Map([
    ['timestamp', 17_825_792],
    ['__proto__', 3],
  ]),
};

describe('the record of a signer', () => {
  it.each([{ record: RECORD }, { record: { used: new Map() } }])(
    'is read as it was written',
    ({ record }) => {
      expect(parseRecord(encodeRecord(ID, record), ID, 'record')).toEqual(record);
    },
  );

  it.each([
    { what: 'cut off', change: (text: string) => text.slice(0, -9) },
    { what: 'empty', change: () => '' },
    { what: 'of another collection', change: (text: string) => text.replace('aaaa', 'bbbb') },
    { what: 'of a newer kind', change: (text: string) => text.replace('"version":1}', '"version":2}') },
    { what: 'without versions', change: (text: string) => text.replace('17825792', '"17825792"') },
    { what: 'without a digest', change: (text: string) => text.replace('sha256:', 'sha1:') },
  ])('is refused where it is $what, never taken for none', ({ change }) => {
    const text = change(decodeUtf8(encodeRecord(ID, RECORD), 'record'));
    expect(() => parseRecord(utf8(text), ID, 'record')).toThrow(
      expect.objectContaining({ code: 'storage-error' }),
    );
  });
});

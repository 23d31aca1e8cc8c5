import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DialectFile } from '../../src/cli/shell/dialect-file.ts';
import { encodeOwn } from '../../src/encoding/canonical.ts';
import { parseJson } from '../../src/encoding/json.ts';
import { isBullaError } from '../../src/errors.ts';
import { describe as describeBytes } from '../../src/oci/descriptor.ts';
import type { Tag } from '../../src/oci/reference.ts';
import { PinFile } from '../../src/state/pins.ts';
import { SignerStateDirectory } from '../../src/state/signer-state.ts';
import { encodeChangeFile, parseChangeFile } from '../../src/trust/approve/change-file.ts';
import type { CollectionId } from '../../src/trust/format/binding.ts';
import { encodeFolded, parseFolded } from '../../src/trust/format/folded.ts';
import {
  type ChangeLog,
  encodeLog,
  type LogEntry,
  leavesSpace,
  parseLog,
} from '../../src/trust/format/log.ts';
import { isPlainText, problemWithEntry } from '../../src/trust/format/plain-text.ts';
import { encodeRecord, parseRecord } from '../../src/trust/publish/signer-record.ts';
import { composeMetadataFile, parseMetadataFile } from '../../src/tuf/metadata-file.ts';
import { temporaryDirectory } from '../support/cli.ts';
import { NOW } from '../support/tuf/editing.ts';

const ODD = [
  '\n',
  '\r',
  '\0',
  '\u001f',
  '\u007f',
  '\u0085',
  '\u2028',
  '\u2029',
  '"',
  '\\',
  '\ufeff',
  '__proto__',
];
/** Any text that JavaScript can hold, halves of surrogate pairs included. */
const anyText = (maxLength: number): fc.Arbitrary<string> =>
  fc
    .array(
      fc.oneof(
        fc.constantFrom(...ODD, '\ud800', '\udfff', '😀'),
        fc.string({ unit: 'binary', maxLength: 8 }),
        fc.integer({ min: 0, max: 0xffff }).map((code) => String.fromCharCode(code)),
      ),
      { maxLength: 12 },
    )
    .map((parts) => parts.join('').slice(0, maxLength));

const tag = fc.oneof(
  fc.constantFrom('__proto__', 'constructor', 'v1'),
  fc.stringMatching(/^[A-Za-z0-9_][A-Za-z0-9._-]{0,20}$/),
);
const time = fc.integer({ min: 0, max: 4_000_000_000 }).map((seconds) => new Date(seconds * 1000));
const content = fc.record(
  { length: fc.nat(), sha256: fc.constant('a'.repeat(64)), mediaType: anyText(255) },
  { requiredKeys: ['length', 'sha256'] },
);
const entry: fc.Arbitrary<LogEntry> = fc
  .tuple(
    fc.record({ at: time, by: anyText(128), origin: anyText(1024) }, { requiredKeys: ['at'] }),
    fc.oneof(
      fc.array(fc.tuple(tag, content), { maxLength: 4 }).map((set) => ({ set: new Map(set) })),
      fc.array(tag, { maxLength: 4 }).map((unset) => ({ unset: new Set(unset) })),
    ),
  )
  .map(([base, change]) => ({ id: '', ...base, ...change }));
const log: fc.Arbitrary<ChangeLog> = fc
  .tuple(time, fc.array(entry, { maxLength: 5 }))
  .map(([since, entries]) => ({
    since,
    entries: entries.map((one, at) => ({ ...one, id: at.toString(16).padStart(32, '0') })),
  }));

/** What was written, or undefined where it was refused by name, which is only where half of a pair is in the text. */
function written(text: string, write: () => Uint8Array): Uint8Array | undefined {
  try {
    return write();
  } catch (error) {
    expect(isBullaError(error, 'content-invalid')).toBe(true);
    expect(text).toMatch(/\\ud[89a-f]/);
    return undefined;
  }
}

const ID = 'a'.repeat(64) as CollectionId;
const runs = { numRuns: 400 };

describe('what we write is read again, whatever text is in it', () => {
  it('in any JSON', () => {
    fc.assert(
      fc.property(fc.dictionary(anyText(40), anyText(40)), (texts) => {
        const json = Object.assign(Object.create(null), texts) as Record<string, string>;
        const bytes = written(JSON.stringify(json), () => encodeOwn(json));
        if (bytes !== undefined)
          expect({ ...(parseJson(bytes, { what: 'it' }) as object) }).toEqual({ ...json });
      }),
      runs,
    );
  });

  it('in logs', () => {
    fc.assert(
      fc.property(log, (made) => {
        const text = JSON.stringify([
          made.entries.map(({ by, origin, set }) => [by, origin, [...(set ?? [])]]),
        ]);
        const bytes = written(text, () => encodeLog(made));
        if (bytes === undefined) return;
        const read = parseLog(bytes, 'names');
        expect(read).toEqual(made);
        expect(Buffer.from(encodeLog(read)).equals(bytes)).toBe(true);
      }),
      runs,
    );
  });

  it('in records of signers', () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(anyText(200), { maxLength: 6 }),
        fc.array(anyText(200), { maxLength: 3 }),
        (roles, keys) => {
          const digest = `sha256:${'b'.repeat(64)}` as const;
          const record = {
            used: new Map(roles.map((role, at) => [role, at] as const)),
            served: { digest: digest as never, timestamp: 1, snapshot: 2, root: 1, keys },
          };
          const bytes = written(JSON.stringify([roles, keys]), () => encodeRecord(ID, record));
          if (bytes !== undefined) expect(parseRecord(bytes, ID, 'record')).toEqual(record);
        },
      ),
      runs,
    );
  });

  it('in files of changes', () => {
    fc.assert(
      fc.property(anyText(1000), fc.array(anyText(300), { maxLength: 4 }), (place, summary) => {
        const change = {
          ...{ collection: place, place, id: ID, made: NOW, summary },
          ...{ base: new Map([[place, new Uint8Array([1])]]), files: new Map(), logs: new Map() },
        };
        const bytes = written(JSON.stringify([place, summary]), () => encodeChangeFile(change));
        if (bytes !== undefined) expect(parseChangeFile(bytes, 'change.json')).toEqual(change);
      }),
      runs,
    );
  });

  it.each([
    ['a line of very many patterns', ['x'.repeat(100_000)]],
    ['very many lines', Array.from({ length: 12_000 }, (_, at) => `line ${at}`)],
  ])('in files of changes, whose summary has %s', (_, summary) => {
    const change = {
      ...{ collection: 'a', place: 'a', id: ID, made: NOW, summary },
      ...{ base: new Map(), files: new Map(), logs: new Map() },
    };
    const read = parseChangeFile(encodeChangeFile(change), 'change.json');
    expect(read.summary[0]?.slice(0, 100)).toBe(summary[0]?.slice(0, 100));
    expect(read.summary.join('\n')).toContain('…');
  });

  it('in metadata, whose canonical form has raw control characters', () => {
    fc.assert(
      fc.property(anyText(200), anyText(200), (name, text) => {
        // Each by itself: two halves of a pair, one at the end of each, would hide each other.
        if ([name, text].some((each) => /\p{Surrogate}/u.test(each))) return;
        const signed = Object.assign(Object.create(null), { [name]: text });
        const { bytes, message } = composeMetadataFile('names', signed, [{ keyid: text, sig: name }]);
        expect(parseMetadataFile(bytes, 'names', 1e6).message).toEqual(message);
      }),
      runs,
    );
  });

  it('in lists of what was folded', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.constantFrom('next', 'stage'), fc.stringMatching(/^[0-9a-f]{12}$/), time)),
        (made) => {
          const list = new Map(made.map(([kind, rest, at]) => [`_trust.${kind}.${rest}` as Tag, at]));
          expect(parseFolded(encodeFolded(list))).toEqual(list);
        },
      ),
      runs,
    );
  });
});

/** Any time that JavaScript can hold, before 1970 and after the year 9999 as well. */
const anyTime = fc
  .integer({ min: -62_167_219_200, max: 8_640_000_000_000 })
  .map((seconds) => new Date(seconds * 1000));

describe('what we keep is read again', () => {
  it('in lists of what was folded, whatever the clocks of others say', () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.tuple(
            fc.constantFrom('next', 'stage'),
            fc.stringMatching(/^[0-9a-f]{16}$/),
            fc.oneof(time, anyTime),
          ),
        ),
        (made) => {
          const list = new Map(made.map(([kind, rest, at]) => [`_trust.${kind}.${rest}` as Tag, at]));
          const read = parseFolded(encodeFolded(list));
          expect([...(read?.keys() ?? [])].sort()).toEqual([...list.keys()].sort());
          for (const [tag, at] of read ?? [])
            if (at.getTime() !== list.get(tag)?.getTime())
              expect([0, 253_402_300_799_000]).toContain(at.getTime());
        },
      ),
      runs,
    );
  });

  it('in what was announced, whatever is in it', async () => {
    const state = new SignerStateDirectory(await temporaryDirectory());
    const blob = fc
      .tuple(anyText(60), fc.uint8Array({ maxLength: 40 }))
      .filter(([mediaType]) => !/\p{Cs}/u.test(mediaType))
      .map(([mediaType, bytes]) => ({ descriptor: describeBytes(mediaType, bytes), bytes }));
    const object = fc.record({
      tag: fc.stringMatching(/^_trust\.(next|stage)\.[A-Za-z0-9._-]{1,20}$/).map((text) => text as Tag),
      ids: fc.array(fc.stringMatching(/^[0-9a-f]{32}$/), { maxLength: 3 }),
      madeAt: time,
      assembly: fc.record({
        blobs: fc.array(blob, { maxLength: 3 }),
        children: fc.array(blob, { maxLength: 2 }),
        top: blob,
      }),
    });
    await fc.assert(
      fc.asyncProperty(object, async (made) => {
        await state.keep(ID, made);
        expect(await state.pending(ID)).toEqual([made]);
        await state.drop(ID, made.tag);
      }),
      { numRuns: 60 },
    );
  });

  it('in pins, by any of their kinds', async () => {
    const file = new PinFile(join(await temporaryDirectory(), 'pins.json'));
    const host = fc.stringMatching(/^[a-z][a-z0-9]{0,8}\.example$/);
    const scope = fc.tuple(host, fc.stringMatching(/^[a-z][a-z0-9]{0,8}$/)).map((parts) => parts.join('/'));
    const pin = fc.record(
      {
        scope,
        trust: fc
          .uniqueArray(fc.stringMatching(/^[0-9a-f]{64}$/), { minLength: 1, maxLength: 3 })
          .map((keyIds) => ({ kind: 'key-ids', keyIds })),
        minRootVersion: fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
        collection: scope,
      },
      { requiredKeys: ['scope', 'trust'] },
    );
    await fc.assert(
      fc.asyncProperty(pin, async (made) => {
        let isTaken = true;
        await file.set(made as never).catch((error: unknown) => {
          expect(isBullaError(error, 'usage')).toBe(true);
          isTaken = false;
        });
        const found = (await file.list()).get(made.scope);
        if (isTaken) expect(found).toMatchObject(made);
      }),
      { numRuns: 60 },
    );
  });

  it('in what was learnt of registries', async () => {
    const notes: string[] = [];
    const dialects = new DialectFile(
      await temporaryDirectory(),
      () => NOW,
      (line) => notes.push(line),
    );
    const dialect = fc.record(
      {
        referrers: fc.constantFrom('api', 'fallback'),
        conditional: fc.constantFrom('etag', 'head'),
        head: fc.constantFrom('works', 'get'),
        tags: fc.constantFrom('after', 'whole'),
      },
      { requiredKeys: [] },
    );
    const registry = fc.oneof(
      fc.constantFrom('constructor', 'a.example:5000', '[::1]:5000', 'localhost'),
      fc.stringMatching(/^[a-z0-9][a-z0-9.-]{0,40}(:[1-9][0-9]{0,4})?$/),
    );
    await fc.assert(
      fc.asyncProperty(registry, dialect, async (name, learnt) => {
        await dialects.set(name, learnt as never);
        expect(await dialects.get(name)).toEqual(learnt);
        expect(notes).toEqual([]);
      }),
      { numRuns: 100 },
    );
  });
});

it('a log of very many names leaves space before the parser would refuse it', () => {
  const many = (first: number): LogEntry => ({
    id: String(first).padStart(32, '0'),
    at: NOW,
    unset: new Set(Array.from({ length: 950_000 }, (_, at) => (first + at).toString(36))),
  });
  const [one, other] = [many(50_000), many(1_200_000)];
  const [small, large] = [[one], [one, other]].map((entries) => ({ since: NOW, entries }));
  expect(leavesSpace(small!, 0)).toBe(true);
  expect(leavesSpace(large!, 0)).toBe(false);
  expect(() => parseLog(encodeLog(small!), 'names')).not.toThrow();
  // As much as fits is read again.
  expect(() => parseLog(encodeLog(large!), 'names')).not.toThrow();
  const third = { since: NOW, entries: [one, other, many(3_000_000)] };
  expect(() => encodeLog(third)).toThrow(expect.objectContaining({ code: 'usage' }));
}, 60_000);

describe('text of others', () => {
  it.each([
    ['a key id', 'd75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a', true],
    ['a name with an umlaut', 'Jürgen', true],
    ['a reference', 'registry.example.com:5000/team/app@sha256:abc', true],
    ['words', 'build server of team A', true],
    ['nothing', '', false],
    ['a line feed', 'a\nb', false],
    ['a tab', 'a\tb', false],
    ['a line separator', 'a\u2028b', false],
    ['a paragraph separator', 'a\u2029b', false],
    ['text that is turned around', 'a\u202eb', false],
    ['an isolate', 'a\u2066b', false],
    ['a soft hyphen', 'a\u00adb', false],
    ['a byte order mark', '\ufeffa', false],
    ['a tag character', 'a\u{e0041}b', false],
    ['private use', 'a\ue000b', false],
    ['half of a pair', 'a\ud800', false],
    ['decomposed letters', 'e\u0301', false],
    ['too much', 'x'.repeat(200), false],
  ])('is plain or not: %s', (_, text, isPlain) => {
    expect(isPlainText(text, 128)).toBe(isPlain);
    expect(problemWithEntry({ id: '', at: NOW, by: text }) === undefined).toBe(isPlain);
  });
});

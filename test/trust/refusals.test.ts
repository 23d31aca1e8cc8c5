import { describe, expect, it } from 'vitest';
import { utf8 } from '../../src/encoding/bytes.ts';
import type { JsonObject, JsonValue } from '../../src/encoding/json.ts';
import { BullaError } from '../../src/errors.ts';
import { digestOf } from '../../src/oci/digest.ts';
import { MemoryStore } from '../../src/oci/memory.ts';
import type { Tag } from '../../src/oci/reference.ts';
import { encodeChangeFile, parseChangeFile } from '../../src/trust/approve/change-file.ts';
import { isWholeId } from '../../src/trust/approve/change-id.ts';
import {
  bindingCheck,
  bindingOf,
  type CollectionId,
  collectionIdOf,
  createdIn,
  parseCollectionId,
  rootBindingOf,
} from '../../src/trust/format/binding.ts';
import { foldedDescriptorOf, parseFolded, readFolded } from '../../src/trust/format/folded.ts';
import {
  encodeLog,
  isSameEntry,
  type LogEntry,
  leavesSpace,
  logDescriptorOf,
  parseLog,
} from '../../src/trust/format/log.ts';
import type { ObjectSource } from '../../src/trust/format/object.ts';
import { isOwnTag, kindOfTag, objectOfTag } from '../../src/trust/format/vocabulary.ts';
import { certificatesOf } from '../../src/trust/read/certified-root.ts';
import { ProcessMemory } from '../../src/trust/read/memory.ts';
import { namesIn } from '../../src/trust/read/names.ts';
import {
  checkCollectionName,
  checkPin,
  checkScope,
  collectionUnder,
  covers,
  findPin,
  isPinnedBy,
  type Pin,
  type PinnedTrust,
} from '../../src/trust/read/pin.ts';
import { composeMetadataFile, type MetadataFile } from '../../src/tuf/metadata-file.ts';
import { parseTargets } from '../../src/tuf/targets.ts';
import { NOW } from '../support/tuf/editing.ts';
import { content, object } from '../support/tuf/repository.ts';

const code = (name: string, details: object = {}) =>
  expect.objectContaining({ code: name, details: expect.objectContaining(details) });
const ID = 'a'.repeat(64) as CollectionId;
const OTHER = 'b'.repeat(64);
const file = (role: string, members: Readonly<Record<string, JsonValue>>): MetadataFile =>
  composeMetadataFile(role, content(role, members), []);
const bound = (role: string, binding: JsonValue, more: object = {}): MetadataFile =>
  file(role, { bulla: binding, ...more });

describe('a binding', () => {
  const check = bindingCheck(ID, (name) => name === 'a.example/x');

  it.each<[string, MetadataFile]>([
    ['none', file('targets', {})],
    ['a list', bound('targets', [ID])],
    ['text', bound('root', ID, { version: 2 })],
    ['another collection', bound('targets', object({ root: OTHER, role: 'targets' }))],
    ['another role', bound('targets', object({ root: ID, role: 'names' }))],
    ['no role', bound('targets', object({ root: ID }))],
    ['a role that is no text', bound('targets', object({ root: ID, role: ['targets'] }))],
    ['no root', bound('targets', object({ role: 'targets' }))],
    [
      'a root of another collection',
      bound('root', object({ collection: 'a.example/x', root: OTHER }), { version: 2 }),
    ],
    [
      'a root of another name',
      bound('root', object({ collection: 'a.example/y', root: ID }), { version: 2 }),
    ],
    ['a root without a name', bound('root', object({ root: ID }), { version: 2 })],
    ['a later root without its first', bound('root', object({ collection: 'a.example/x' }), { version: 2 })],
    ['a first root, which is another', bound('root', object({ collection: 'a.example/x', root: ID }))],
    [
      'no SHA-256',
      bound('root', object({ collection: 'a.example/x', root: ID.toUpperCase() }), { version: 2 }),
    ],
  ])('to %s is refused', (_, made) => {
    expect(() => check(made)).toThrow(code('trust-invalid', { role: made.role, reason: 'binding' }));
  });

  it('is taken where it is the one that is asked for', () => {
    expect(() => check(bound('targets', object({ root: ID, role: 'targets' })))).not.toThrow();
    const root = bound('root', object({ collection: 'a.example/x', root: ID }), { version: 2 });
    expect(() => check(root)).not.toThrow();
    expect(rootBindingOf(root)).toEqual({ collection: 'a.example/x', id: ID });
    expect(bindingOf(root)['collection']).toBe('a.example/x');
  });

  it.each(['', OTHER.toUpperCase(), OTHER.slice(1), `${OTHER}0`])(
    'of a later root is to a hash, not to %j',
    (root) => {
      const later = bound('root', object({ collection: 'a.example/x', root }), { version: 2 });
      expect(() => rootBindingOf(later)).toThrow(code('trust-invalid', { role: 'root', reason: 'binding' }));
    },
  );

  it.each<[string, JsonValue]>([
    ['text', 'AAAA'],
    ['an object', object({ der: 'AAAA' })],
    ['no base64', ['!']],
    ['a number', [7]],
    ['no base64 after what is some', ['AAAA', '!']],
    ['no certificate', ['AAAA']],
  ])('gives no certificates of a key with %s', (_, chain) => {
    const root = bound('root', object({ certificates: object({ k: chain }) }));
    expect(() => certificatesOf(root, 'k')).toThrow(expect.objectContaining({ code: 'certificate-invalid' }));
    expect(certificatesOf(root, 'other')).toEqual([]);
    expect(certificatesOf(bound('root', object({ certificates: [chain] })), 'k')).toEqual([]);
  });

  it('of a first root is its own hash, whatever it says of another', () => {
    const first = bound('root', object({ collection: 'a.example/x', root: ID }));
    const id = collectionIdOf(first.bytes);
    expect(rootBindingOf(first)).toEqual({ collection: 'a.example/x', id });
    expect(rootBindingOf(bound('root', object({ collection: 'a.example/x' }))).id).not.toBe(ID);
    expect(() => bindingCheck(id, () => true)(first)).not.toThrow();
  });

  it.each(['', ID.slice(1), `${ID}a`, ID.toUpperCase(), `${ID}\n`, 'g'.repeat(64)])(
    'has an id, not %j',
    (text) => {
      expect(() => parseCollectionId(text)).toThrow(expect.objectContaining({ code: 'content-invalid' }));
      expect(isWholeId(text)).toBe(false);
    },
  );

  it('has this id', () => {
    expect(parseCollectionId(ID)).toBe(ID);
    expect(isWholeId(ID)).toBe(true);
  });

  it.each<[JsonValue, string | undefined]>([
    ['2030-01-01T00:00:00Z', '2030-01-01T00:00:00.000Z'],
    ['yesterday', undefined],
    [7, undefined],
  ])('tells when a timestamp was made: %j', (created, time) => {
    expect(createdIn(bound('timestamp', object({ created })))?.toISOString()).toBe(time);
  });
});

describe('a pin', () => {
  const scopes = [
    'a.example/x',
    'a.example/x/y',
    'a.example/*',
    'a.example/x/*',
    'a.example:5000/x',
    'localhost/x',
  ];
  const badScopes = [
    '',
    '*',
    '/*',
    'a.example',
    'A.example/x',
    'a.example/X',
    'a.example/',
    'a.example//x',
    'a.example/x*',
    'a.example/*/x',
    'a b/x',
    'a.example/x/',
  ];
  const tofu: PinnedTrust = { kind: 'tofu' };
  const ids: PinnedTrust = { kind: 'key-ids', keyIds: [ID] };
  const usage = expect.objectContaining({ code: 'usage' });

  it.each(scopes)('may be about %s', (scope) => {
    expect(checkScope(scope)).toBe(scope);
  });

  it.each(badScopes)('is not about %j', (scope) => {
    expect(() => checkScope(scope)).toThrow(usage);
    expect(() => checkPin({ scope, trust: tofu })).toThrow(usage);
    expect(covers(scope, 'a.example/x')).toBe(false);
  });

  it.each([...badScopes, 'a.example/*'])('never names the collection %j', (name) => {
    expect(() => checkCollectionName(name)).toThrow(usage);
  });

  it.each<[string, Partial<Pin>]>([
    ['a root of many', { scope: 'a.example/*', trust: { kind: 'root', bytes: utf8('x') } }],
    ['no key ids', { trust: { kind: 'key-ids', keyIds: [] } }],
    ['a key id in capitals', { trust: { kind: 'key-ids', keyIds: [ID, ID.toUpperCase()] } }],
    ['a short key id', { trust: { kind: 'key-ids', keyIds: [ID.slice(1)] } }],
    ['root version 0', { minRootVersion: 0 }],
    ['root version -1', { minRootVersion: -1 }],
    ['root version 1.5', { minRootVersion: 1.5 }],
    ['root version 2^53', { minRootVersion: 2 ** 53 }],
    ['a collection that is none', { collection: 'x' }],
    ['a pattern for one', { collection: 'b.example/*' }],
    ['one for a pattern', { scope: 'a.example/*', collection: 'b.example/x' }],
    ['another place for many', { scope: 'a.example/*', at: 'b.example/x' }],
    ['many places', { at: 'b.example/*' }],
    ['a place that is none', { at: 'b.example' }],
  ])('is refused with %s', (_, change) => {
    expect(() => checkPin({ scope: 'a.example/x', trust: tofu, ...change })).toThrow(usage);
  });

  it.each<[string, Partial<Pin>]>([
    ['a root', { trust: { kind: 'root', bytes: utf8('x') } }],
    ['key ids of many', { scope: 'a.example/*', trust: ids }],
    ['root version 1', { minRootVersion: 1 }],
    ['another collection', { collection: 'b.example/y' }],
    ['other collections', { scope: 'a.example/*', collection: 'b.example/team/*' }],
    ['another place', { at: 'b.example/y' }],
  ])('is taken with %s', (_, change) => {
    const pin = { scope: 'a.example/x', trust: tofu, ...change };
    expect(checkPin(pin)).toBe(pin);
  });

  it('says each time whom to believe, unless it is trust on first use', () => {
    expect(isPinnedBy(undefined)).toBe(false);
    expect(isPinnedBy({ scope: 'a.example/x', trust: tofu })).toBe(false);
    expect(isPinnedBy({ scope: 'a.example/x', trust: ids })).toBe(true);
  });

  it.each([
    ['a.example/x', 'a.example/x', true],
    ['a.example/x', 'a.example:443/x', true],
    ['a.example/x', 'a.example/x/y', false],
    ['a.example/*', 'a.example/x', true],
    ['a.example/x/*', 'a.example/x', false],
    ['a.example/x/*', 'a.example/x/y', true],
    ['a.example/x/*', 'a.example/xy', false],
    ['a.example/x/*', 'b.example/x/y', false],
  ])('of %s covers %s or not', (scope, repository, isCovered) => {
    expect(covers(scope, repository)).toBe(isCovered);
  });

  it('of the longest prefix holds, whatever stands first or is as long', () => {
    const pins = ['a.example/*', 'a.example/team/*', 'b.example/team/*'].map((scope) => ({ scope }));
    for (const list of [pins, pins.toReversed()])
      expect(findPin(list, 'a.example/team/x')?.scope).toBe('a.example/team/*');
    const [first, second] = [{ scope: 'a.example/*' }, { scope: 'a.example:443/*' }];
    expect(findPin([first, second], 'a.example/x')).toBe(first);
  });

  it.each([
    ['a.example/*', 'b.example/team/*', 'b.example/x'],
    ['a.example/*', 'b.example/*/x', 'a.example/x'],
    ['a.example/*', 'b.example', 'a.example/x'],
  ])('of %s that maps to %s makes no name of %s', (scope, collection, repository) => {
    const made = () => collectionUnder({ scope, trust: tofu, collection }, repository);
    expect(made).toThrow(expect.objectContaining({ code: 'config-invalid' }));
  });
});

describe('a log', () => {
  const ENTRY = { id: '0'.repeat(32), at: '2030-01-01T00:00:00Z', unset: ['v1'] };
  const log = (change: object = {}) => ({
    version: 1,
    since: '2030-01-01T00:00:00Z',
    entries: [],
    ...change,
  });
  const parse = (json: unknown) => parseLog(utf8(JSON.stringify(json)), 'names');
  const said = { length: 1, sha256: ID };
  const setting = (names: object) => log({ entries: [{ ...ENTRY, unset: undefined, set: names }] });

  it.each<[string, unknown]>([
    ['another version', log({ version: 2 })],
    ['no time', log({ since: 'once' })],
    ['more members', log({ more: 1 })],
    ['one change twice', log({ entries: [ENTRY, { ...ENTRY, unset: ['v2'] }] })],
    ['a change that does nothing', log({ entries: [{ ...ENTRY, unset: undefined }] })],
    ['a change that does both', log({ entries: [{ ...ENTRY, set: {} }] })],
    ['a change of more', log({ entries: [{ ...ENTRY, more: 1 }] })],
    ['a short id', log({ entries: [{ ...ENTRY, id: '0'.repeat(31) }] })],
    ['an id in capitals', log({ entries: [{ ...ENTRY, id: 'A'.repeat(32) }] })],
    ['a change without a time', log({ entries: [{ ...ENTRY, at: '' }] })],
    ['no tag', log({ entries: [{ ...ENTRY, unset: ['-v'] }] })],
    ['a long tag', log({ entries: [{ ...ENTRY, unset: ['v'.repeat(129)] }] })],
    ['a maker that is too long', log({ entries: [{ ...ENTRY, by: 'x'.repeat(4097) }] })],
    ['names that are a list', setting([])],
    ['a name that is no tag', setting({ 'a/b': said })],
    ['a name without a hash', setting({ v1: { length: 1 } })],
    ['a name with another hash', setting({ v1: { ...said, sha256: 'x' } })],
    ['a length below nothing', setting({ v1: { ...said, length: -1 } })],
    ['half a byte', setting({ v1: { ...said, length: 0.5 } })],
    ['a name with more', setting({ v1: { ...said, more: 1 } })],
  ])('is refused with %s', (_, json) => {
    expect(() => parse(json)).toThrow(expect.objectContaining({ code: 'content-invalid' }));
  });

  it('is read with all that an entry may say', () => {
    const read = parse(
      log({
        entries: [
          { ...ENTRY, by: 'k', origin: 'o' },
          {
            ...ENTRY,
            id: '1'.repeat(32),
            unset: undefined,
            set: { v1: { ...said, length: 0, mediaType: 'm' } },
          },
        ],
      }),
    );
    expect(read.entries).toEqual([
      { id: ENTRY.id, at: NOW, by: 'k', origin: 'o', unset: new Set(['v1']) },
      { id: '1'.repeat(32), at: NOW, set: new Map([['v1', { ...said, length: 0, mediaType: 'm' }]]) },
    ]);
    expect(Object.keys(parse(log({ entries: [ENTRY] })).entries[0] ?? {})).toEqual(['id', 'at', 'unset']);
    expect(parseLog(encodeLog(read), 'names')).toEqual(read);
  });

  it('has two entries that are one only where they say the same', () => {
    const one: LogEntry = { id: ENTRY.id, at: NOW, unset: new Set(['v1']) };
    expect(isSameEntry(one, one)).toBe(true);
    expect(isSameEntry(one, { ...one, unset: new Set(['v1']) })).toBe(true);
    expect(isSameEntry(one, { ...one, unset: new Set(['v2']) })).toBe(false);
    expect(isSameEntry(one, { ...one, by: 'k' })).toBe(false);
    expect(isSameEntry(one, { ...one, id: '1'.repeat(32) })).toBe(false);
  });

  it('leaves space where it has few entries, whether it is measured or is known to be small', () => {
    const few = { since: NOW, entries: [{ id: ENTRY.id, at: NOW, unset: new Set(['v1']) }] };
    expect(leavesSpace(few, 0)).toBe(true);
    expect(leavesSpace(few, Number.POSITIVE_INFINITY)).toBe(true);
  });

  it.each<[string, JsonValue]>([
    ['no binding', null],
    ['no log', object({})],
    ['a log that is a list', object({ log: [1, ID] })],
    ['no length', object({ log: object({ sha256: ID }) })],
    ['a length below nothing', object({ log: object({ length: -1, sha256: ID }) })],
    ['no hash', object({ log: object({ length: 1 }) })],
    ['a hash that is none', object({ log: object({ length: 1, sha256: `${ID}0` }) })],
  ])('is not named by a file with %s', (_, binding) => {
    expect(() => logDescriptorOf(bound('names', binding))).toThrow(
      code('trust-invalid', { role: 'names', reason: 'log' }),
    );
  });

  it.each([0, 1])('of %i bytes is named by its file', (length) => {
    const named = logDescriptorOf(bound('names', object({ log: object({ length, sha256: ID }) })));
    expect(named).toMatchObject({ digest: `sha256:${ID}`, size: length });
  });
});

describe('a list of what was folded', () => {
  const parse = (json: unknown) => parseFolded(utf8(JSON.stringify(json)));
  const REST = '0123456789abcdef';

  it.each<[string, unknown]>([
    ['another version', { version: 2, next: {}, stage: {} }],
    ['no stages', { version: 1, next: {} }],
    ['a list', { version: 1, next: [], stage: {} }],
    ['more', { version: 1, next: {}, stage: {}, more: {} }],
    ['digits that no tag has', { version: 1, next: { '0123': 1 }, stage: {} }],
    ['a time in words', { version: 1, next: {}, stage: { [REST]: '1' } }],
    ['a time before all', { version: 1, next: {}, stage: { [REST]: -1 } }],
    ['a time after all', { version: 1, next: { [REST]: 253_402_300_800 }, stage: {} }],
  ])('is not understood with %s', (_, json) => {
    expect(parse(json)).toBeUndefined();
  });

  it.each([0, 1, 253_402_300_799])('is read, with the time %i', (seconds) => {
    const tag = `_trust.stage.${REST}` as Tag;
    expect(parse({ version: 1, next: {}, stage: { [REST]: seconds } })).toEqual(
      new Map([[tag, new Date(seconds * 1000)]]),
    );
  });

  it.each<[JsonValue, number | undefined]>([
    [null, undefined],
    [object({ length: 1 }), undefined],
    [object({ length: 0, sha256: ID }), undefined],
    [object({ length: '1', sha256: ID }), undefined],
    [object({ length: 1, sha256: ID.slice(1) }), undefined],
    [object({ length: 1, sha256: 7 }), undefined],
    [object({ length: 256 * 1024 + 1, sha256: ID }), undefined],
    [object({ length: 1, sha256: ID }), 1],
    [object({ length: 256 * 1024, sha256: ID }), 256 * 1024],
  ])('is named by a snapshot or not: %j', (folded, size) => {
    expect(foldedDescriptorOf(bound('snapshot', object({ folded })))?.size).toBe(size);
    expect(foldedDescriptorOf(file('snapshot', {}))).toBeUndefined();
  });
});

describe('a list that a head names', () => {
  const snapshot = bound('snapshot', object({ folded: object({ length: 3, sha256: OTHER }) }));
  const failing = (error: unknown): ObjectSource =>
    Object.assign(new MemoryStore(), { fetchBlob: () => Promise.reject(error) });

  it.each(['not-found', 'content-invalid'] as const)('only saves work: %s', async (name) => {
    const source = failing(new BullaError(name, 'no', { hint: 'none' }));
    expect(await readFolded(source, snapshot, {})).toEqual(new Map());
  });

  it.each(['unauthorized', 'registry-error', 'timeout', 'interrupted'] as const)(
    'is not said to be empty after %s',
    async (name) => {
      const error = new BullaError(name, 'no', { hint: 'none' });
      await expect(readFolded(failing(error), snapshot, {})).rejects.toBe(error);
      expect(await readFolded(failing(error), file('snapshot', {}), {})).toEqual(new Map());
    },
  );
});

describe('a change on paper', () => {
  const change = (more: object = {}) => ({
    ...{
      format: 'application/vnd.bulla.trust.change.v1+json',
      collection: 'a.example/x',
      place: 'a.example/x',
    },
    ...{ id: ID, made: '2030-01-01T00:00:00Z', summary: [], base: [], files: [], logs: [], ...more },
  });
  const parse = (json: unknown) => parseChangeFile(utf8(JSON.stringify(json)), 'change.json');
  const part = { name: 'targets', content: 'AAAA' };

  it.each<[string, unknown]>([
    ['another format', change({ format: 'x' })],
    ['another id', change({ id: ID.slice(1) })],
    ['no time', change({ made: '' })],
    ['more', change({ more: 1 })],
    ['one file twice', change({ files: [part, { ...part, content: '' }] })],
    ['one base twice', change({ base: [part, part] })],
    ['one log twice', change({ logs: [part, part] })],
    ['no base64', change({ files: [{ ...part, content: '!' }] })],
    ['a name that is too long', change({ files: [{ ...part, name: 'x'.repeat(1025) }] })],
    ['a list', [change()]],
  ])('is refused with %s', (_, json) => {
    expect(() => parse(json)).toThrow(expect.objectContaining({ code: 'content-invalid' }));
  });

  it('is not written where it could not be read again', () => {
    const made = parse(change());
    const odd = expect.objectContaining({ code: 'content-invalid' });
    for (const text of ['a\ud800', '\udc00'])
      for (const more of [
        { place: text },
        { collection: text },
        { summary: [text] },
        { files: new Map([[text, utf8('')]]) },
      ])
        expect(() => encodeChangeFile({ ...made, ...more })).toThrow(odd);
    const large = { ...made, files: new Map([['targets', new Uint8Array(49 * 1024 * 1024)]]) };
    expect(() => encodeChangeFile(large)).toThrow(expect.objectContaining({ code: 'usage' }));
    expect(parseChangeFile(encodeChangeFile(made), 'change.json')).toEqual(made);
  });

  it('is read, with one name in different lists', () => {
    const read = parse(change({ base: [part], files: [part], logs: [part] }));
    expect([read.base, read.files, read.logs].map((files) => [...files.keys()])).toEqual([
      ['targets'],
      ['targets'],
      ['targets'],
    ]);
    expect(read.files.get('targets')).toEqual(new Uint8Array(3));
  });
});

describe('tags and places', () => {
  const REST = '0123456789abcdef';
  it.each<[string, string | undefined, string | undefined]>([
    ['_trust', 'head', undefined],
    [`_trust.next.${REST}`, 'candidate', 'next'],
    [`_trust.stage.${REST}`, 'stage', 'stage'],
    [`_trust.stage.${REST.slice(4)}`, 'stage', 'stage'],
    [`_trust.stage.${REST.slice(1)}`, 'stage', undefined],
    [`_trust.next.${REST}0`, 'candidate', undefined],
    [`_trust.next.${REST.toUpperCase()}`, 'candidate', undefined],
    ['_trust.other', undefined, undefined],
    ['v1', undefined, undefined],
  ])('%s is a %s', (tag, kind, objectKind) => {
    expect(kindOfTag(tag as Tag)).toBe(kind);
    expect(objectOfTag(tag as Tag)?.kind).toBe(objectKind);
  });

  it('are the own ones of an object by its digest', () => {
    const digest = digestOf(utf8('x'));
    const digits = digest.slice('sha256:'.length);
    expect(isOwnTag(`_trust.next.${digits.slice(0, 16)}` as Tag, digest)).toBe(true);
    expect(isOwnTag(`_trust.stage.${digits.slice(0, 12)}` as Tag, digest)).toBe(true);
    expect(isOwnTag(`_trust.next.${digits.slice(1, 17)}` as Tag, digest)).toBe(false);
    expect(isOwnTag('_trust' as Tag, digest)).toBe(false);
  });

  it('keep their collection until it is forgotten', async () => {
    const memory = new ProcessMemory();
    await memory.note('a.example/x', ID);
    await memory.note('a.example:443/x', ID);
    await expect(memory.note('a.example/x', OTHER as CollectionId)).rejects.toThrow(
      code('trust-invalid', { reason: 'collection', expected: ID, found: OTHER }),
    );
    expect(await memory.seen('A.example/x')).toBe(ID);
    await memory.forget('a.example:443/x');
    expect(await memory.seen('a.example/x')).toBeUndefined();
    await memory.note('a.example/x', OTHER as CollectionId);
    expect(await memory.seen('a.example/x')).toBe(OTHER);
  });

  const target = (hashes: JsonObject, custom?: JsonValue) =>
    parseTargets(
      file('names', {
        _type: 'targets',
        targets: object({ v1: object({ length: 1, hashes, ...(custom !== undefined && { custom }) }) }),
      }),
    );
  it.each<[string, JsonObject, JsonValue?]>([
    ['no SHA-256', object({ sha512: 'a'.repeat(128) })],
    ['a media type that is a number', object({ sha256: ID }), object({ mediaType: 7 })],
    ['a media type that is too long', object({ sha256: ID }), object({ mediaType: 'x'.repeat(256) })],
  ])('are about no manifest with %s', (_, hashes, custom) => {
    expect(() => namesIn(target(hashes, custom), 'names')).toThrow(
      code('trust-invalid', { role: 'names', reason: 'target' }),
    );
  });

  it('are in order, however their file lists them', () => {
    const entry = object({ length: 1, hashes: object({ sha256: ID }) });
    const listed = ['v2', 'a', 'v10', 'b'];
    const targets = object(Object.fromEntries(listed.map((name) => [name, entry])));
    const names = namesIn(parseTargets(file('names', { _type: 'targets', targets })), 'names');
    expect([...names.keys()]).toEqual(['a', 'b', 'v10', 'v2']);
  });

  it('are about a manifest, whose media type may be told', () => {
    const mediaType = 'x'.repeat(255);
    expect(namesIn(target(object({ sha256: ID }), object({ mediaType })), 'names').get('v1')).toEqual({
      digest: `sha256:${ID}`,
      length: 1,
      mediaType,
    });
    expect(namesIn(target(object({ sha256: ID })), 'names').get('v1')).toEqual({
      digest: `sha256:${ID}`,
      length: 1,
    });
  });
});

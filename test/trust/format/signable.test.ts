import { describe, expect, it } from 'vitest';
import type { JsonObject, JsonValue } from '../../../src/encoding/json.ts';
import type { CollectionId } from '../../../src/trust/format/binding.ts';
import type { LogEntry } from '../../../src/trust/format/log.ts';
import {
  assertPlainDelegation,
  assertPlainRoles,
  problemWithEntry,
} from '../../../src/trust/format/plain-text.ts';
import { assertSignable, unknownMembers } from '../../../src/trust/format/signable.ts';
import { NOW } from '../../support/tuf/editing.ts';
import { content, object } from '../../support/tuf/repository.ts';

const code = (name: string, details: object = {}) =>
  expect.objectContaining({ code: name, details: expect.objectContaining(details) });
const ID = 'a'.repeat(64) as CollectionId;
const OTHER = 'b'.repeat(64);

describe('a signed part', () => {
  const HASH = 'c'.repeat(64);
  const FILE = object({ length: 1, sha256: HASH });
  const place = (role: string) => ({ root: ID, role });
  const docker = (value: JsonValue) => ({ ...place('targets'), docker: value });
  const notary = (value: JsonValue) => ({ ...place('targets'), notary: value });

  it.each<[string, Record<string, JsonValue>]>([
    [
      'root',
      {
        collection: 'x',
        root: ID,
        certificates: object({ k: ['AAAA'] }),
        lifetimes: object({ root: 1, timestamp: 9 }),
      },
    ],
    ['targets', { ...place('targets'), after: 0, lifetimes: object({ names: 60, ci: 1 }) }],
    ['targets', docker(object({ releases: [HASH], starters: [ID, OTHER] }))],
    ['targets', notary(object({ gun: 'docker.io/x', evidence: HASH }))],
    ['targets', notary(object({ gun: 'x', evidence: HASH, asOf: '2030-01-01T00:00:00Z' }))],
    ['names', { ...place('names'), log: FILE, names: 0 }],
    ['ci', { ...place('ci'), log: FILE, names: 0 }],
    ['-0a', place('-0a')],
    ['snapshot', { ...place('snapshot'), folded: FILE }],
    ['timestamp', { ...place('timestamp'), created: '2030-01-01T00:00:00Z' }],
  ])('of %s may hold %j', (role, binding) => {
    expect(() => assertSignable(role, content(role, { bulla: object(binding) }))).not.toThrow();
  });

  it.each<[string, string, Record<string, JsonValue>]>([
    ['root', 'root', { root: ID.slice(1) }],
    ['root', 'root', { root: [ID] }],
    ['root', 'collection', { collection: 7 }],
    ['root', 'role', place('root')],
    ['root', 'certificates', { certificates: [] }],
    ['root', 'certificates', { certificates: object({ k: 'AAAA' }) }],
    ['root', 'certificates', { certificates: object({ k: ['AAAA', '!'] }) }],
    ['root', 'certificates', { certificates: object({ k: ['AAAA', 7] }) }],
    ['root', 'lifetimes', { lifetimes: object({ names: 1 }) }],
    ['root', 'lifetimes', { lifetimes: object({ root: 0 }) }],
    ['root', 'lifetimes', { lifetimes: object({ root: -1 }) }],
    ['root', 'lifetimes', { lifetimes: object({ root: 1.5 }) }],
    ['root', 'lifetimes', { lifetimes: object({ root: 1, snapshot: '1' }) }],
    ['root', 'lifetimes', { lifetimes: [1] }],
    ['root', 'log', { log: FILE }],
    ['targets', 'lifetimes', { lifetimes: object({ root: 1 }) }],
    ['targets', 'after', { after: -1 }],
    ['targets', 'after', { after: '1' }],
    ['targets', 'role', { role: 'names' }],
    ['targets', 'log', { log: FILE }],
    ['targets', 'docker', docker(object({}))],
    ['targets', 'docker', docker([HASH])],
    ['targets', 'docker', docker(object({ others: [HASH] }))],
    ['targets', 'docker', docker(object({ releases: [] }))],
    ['targets', 'docker', docker(object({ releases: HASH }))],
    ['targets', 'docker', docker(object({ releases: [HASH, 'x'] }))],
    ['targets', 'docker', docker(object({ releases: [OTHER, ID] }))],
    ['targets', 'docker', docker(object({ releases: [ID, ID] }))],
    ['targets', 'notary', notary(object({ gun: 'x' }))],
    ['targets', 'notary', notary(object({ evidence: HASH }))],
    ['targets', 'notary', notary(object({ gun: '', evidence: HASH }))],
    ['targets', 'notary', notary(object({ gun: 'a b', evidence: HASH }))],
    ['targets', 'notary', notary(object({ gun: 'x'.repeat(513), evidence: HASH }))],
    ['targets', 'notary', notary(object({ gun: 7, evidence: HASH }))],
    ['targets', 'notary', notary(object({ gun: 'x', evidence: 'x' }))],
    ['targets', 'notary', notary(object({ gun: 'x', evidence: HASH, asOf: 'now' }))],
    ['targets', 'notary', notary(object({ gun: 'x', evidence: HASH, more: '2030-01-01T00:00:00Z' }))],
    ['names', 'log', { log: object({ length: 1 }) }],
    ['names', 'log', { log: object({ length: 1, sha256: HASH, more: 1 }) }],
    ['names', 'log', { log: object({ length: -1, sha256: HASH }) }],
    ['names', 'log', { log: object({ length: 1, md5: HASH }) }],
    ['names', 'log', { log: [1, HASH] }],
    ['names', 'names', { names: -1 }],
    ['names', 'names', { names: 2 ** 53 }],
    ['names', 'folded', { folded: FILE }],
    ['-0a', 'log', { log: FILE }],
    ['snapshot', 'folded', { folded: object({ length: '1', sha256: HASH }) }],
    ['snapshot', 'names', { names: 1 }],
    ['timestamp', 'created', { created: 'today' }],
    ['timestamp', 'created', { created: 7 }],
    ['timestamp', 'log', { log: FILE }],
  ])('of %s is refused for its %s: %j', (role, member, binding) => {
    const signed = content(role, { bulla: object(binding) });
    expect(unknownMembers(role, signed).map(({ path }) => path.join('.'))).toEqual([`bulla.${member}`]);
    expect(() => assertSignable(role, signed)).toThrow(
      code('trust-invalid', { role, reason: 'unknown-member', member: ['bulla', member] }),
    );
  });

  it.each<[string, JsonValue, number, boolean, boolean]>([
    ['as many as there are', 2, 2, false, true],
    ['none', 0, 0, false, true],
    ['one too many', 3, 2, false, false],
    ['one too few', 1, 2, false, false],
    ['any number in bins', 7, 0, true, true],
    ['fewer than none in bins', -1, 0, true, false],
    ['half a name in bins', 0.5, 0, true, false],
    ['a number in words', '2', 2, false, false],
  ])('counts names: %s', (_, names, present, isBinned, isTaken) => {
    const targets = object(
      Object.fromEntries(Array.from({ length: present }, (_, at) => [`v${at}`, object({})])),
    );
    const succinct = object({ keyids: [], threshold: 1, bit_length: 1, name_prefix: '' });
    const delegations = isBinned
      ? { delegations: object({ keys: object({}), succinct_roles: succinct }) }
      : {};
    const binding = object({ ...place('names'), names });
    const unknown = unknownMembers('names', content('names', { bulla: binding, targets, ...delegations }));
    expect(unknown.map(({ path }) => path.join('.'))).toEqual(isTaken ? [] : ['bulla.names']);
  });

  it.each<[string, JsonValue, string | undefined]>([
    ['nothing', object({}), 'targets.v1.custom'],
    ['a media type', object({ mediaType: 'application/json' }), undefined],
    ['a media type with parameters', object({ mediaType: 'text/html; a=b' }), 'targets.v1.custom.mediaType'],
    ['a media type without a slash', object({ mediaType: 'text' }), 'targets.v1.custom.mediaType'],
    ['a media type that is a number', object({ mediaType: 7 }), 'targets.v1.custom.mediaType'],
    ['something else', object({ other: 'text/html' }), 'targets.v1.custom.other'],
    ['text', 'text/html', 'targets.v1.custom'],
    ['a list', ['text/html'], 'targets.v1.custom'],
  ])('says of a name: %s', (_, custom, unknown) => {
    const signed = content('names', { targets: object({ v1: object({ custom }) }) });
    expect(unknownMembers('names', signed).map(({ path }) => path.join('.'))[0]).toBe(unknown);
  });

  it.each<[string, string]>([
    ['a binding that is a list', 'bulla'],
    ['a member beside it', 'x-more'],
  ])('is refused with %s', (_, member) => {
    expect(() => assertSignable('names', content('names', { [member]: [] }))).toThrow(
      code('trust-invalid', { member: [member] }),
    );
  });

  const role = (name: string, more: Record<string, JsonValue> = {}) =>
    object({ name, keyids: [], threshold: 1, terminating: false, paths: ['*'], ...more });
  const bins = (prefix: string) => object({ keyids: [], threshold: 1, bit_length: 1, name_prefix: prefix });
  const delegating = (members: Record<string, JsonValue>) => object({ keys: object({}), ...members });

  it.each<[string, string, JsonObject]>([
    ['names to bins', 'names', delegating({ succinct_roles: bins('') })],
    ['names to nothing', 'names', delegating({ roles: [] })],
    ['targets to names', 'targets', delegating({ roles: [role('names')] })],
    [
      'targets to a signer',
      'targets',
      delegating({ roles: [role('names'), role('ci', { paths: ['v*', 'x'] })] }),
    ],
  ])('delegates: %s', (_, name, delegations) => {
    expect(() => assertSignable(name, content(name, { delegations }))).not.toThrow();
  });

  it.each<[string, string, JsonObject]>([
    ['a signer to another', 'ci', delegating({ roles: [role('x')] })],
    ['a signer to nothing', 'ci', delegating({ roles: [] })],
    ['a bin', '-0a', delegating({ roles: [] })],
    ['names to a role', 'names', delegating({ roles: [role('x')] })],
    ['names to other bins', 'names', delegating({ succinct_roles: bins('x') })],
    ['targets to nothing', 'targets', delegating({ roles: [] })],
    ['targets to bins', 'targets', delegating({ succinct_roles: bins('') })],
    [
      'targets to names and to bins',
      'targets',
      delegating({ roles: [role('names')], succinct_roles: bins('') }),
    ],
    ['targets to a signer first', 'targets', delegating({ roles: [role('ci'), role('names')] })],
    ['names for some', 'targets', delegating({ roles: [role('names', { paths: ['v*'] })] })],
    ['names for more', 'targets', delegating({ roles: [role('names', { paths: ['*', 'a/*'] })] })],
    ['names for nothing', 'targets', delegating({ roles: [role('names', { paths: [] })] })],
    ['names that ends the search', 'targets', delegating({ roles: [role('names', { terminating: true })] })],
    [
      'a signer that ends the search',
      'targets',
      delegating({ roles: [role('names'), role('ci', { terminating: true })] }),
    ],
    [
      'a signer of hashes',
      'targets',
      delegating({ roles: [role('names'), role('ci', { path_hash_prefixes: ['0'] })] }),
    ],
    ['a signer called like a bin', 'targets', delegating({ roles: [role('names'), role('-0a')] })],
  ])('does not delegate: %s', (_, name, delegations) => {
    expect(() => assertSignable(name, content(name, { delegations }))).toThrow(
      code('trust-invalid', { role: name, reason: 'delegations' }),
    );
  });
});

describe('text of others', () => {
  const entry = (change: Partial<LogEntry>): LogEntry => ({ id: '', at: NOW, ...change });
  const set = (mediaType: string | undefined) => new Map([['v1', { length: 1, sha256: ID, mediaType }]]);

  it.each<[string, Partial<LogEntry>, boolean]>([
    ['as long as may be', { by: 'x'.repeat(128), origin: 'x'.repeat(1024), set: set('x'.repeat(255)) }, true],
    ['without anything', {}, true],
    ['a maker that is too long', { by: 'x'.repeat(129) }, false],
    ['an origin that is too long', { origin: 'x'.repeat(1025) }, false],
    ['an origin on two lines', { origin: 'a\nb' }, false],
    ['a media type that is too long', { set: set('x'.repeat(256)) }, false],
    ['an empty media type', { set: set('') }, false],
    ['a media type on two lines', { set: set('text/plain\n') }, false],
    ['no media type', { set: set(undefined) }, true],
  ])('is taken in or not: %s', (_, change, isTaken) => {
    expect(problemWithEntry(entry(change)) === undefined).toBe(isTaken);
  });

  const delegations = (...roles: readonly (readonly [string, ...string[]])[]) => ({
    keys: new Map(),
    roles: roles.map(([name, ...paths]) => ({ name, keyids: [], threshold: 1, terminating: false, paths })),
  });
  it.each<[string, string, string[], boolean]>([
    ['plain', 'ci', ['v*'], true],
    ['the longest', 'x'.repeat(128), ['x'.repeat(512)], true],
    ['a name that is too long', 'x'.repeat(129), ['*'], false],
    ['a pattern that is too long', 'ci', ['*', 'x'.repeat(513)], false],
    ['a name on two lines', 'a\nb', ['*'], false],
    ['a pattern on two lines', 'ci', ['a\nb'], false],
    ['no name', '', ['*'], false],
    ['an empty pattern', 'ci', [''], false],
  ])('is the name of a role and a pattern, or not: %s', (_, name, paths, isTaken) => {
    const made = () =>
      assertPlainRoles(delegations(['names', '*']), delegations(['names', '*'], [name, ...paths]));
    const own = () => assertPlainDelegation({ name, paths });
    if (isTaken) {
      expect(made).not.toThrow();
      expect(own).not.toThrow();
      return;
    }
    expect(made).toThrow(code('trust-invalid', { reason: 'text' }));
    expect(own).toThrow(code('usage', { reason: 'text' }));
    // What is there already stays.
    const present = delegations([name, ...paths]);
    expect(() => assertPlainRoles(present, present)).not.toThrow();
    expect(() => assertPlainRoles(undefined, present)).toThrow(code('trust-invalid', { reason: 'text' }));
  });

  it('is no new pattern of a role that is there', () => {
    const before = delegations(['a\nb', 'x']);
    expect(() => assertPlainRoles(before, delegations(['a\nb', 'x', 'y']))).not.toThrow();
    expect(() => assertPlainRoles(before, delegations(['a\nb', 'x', 'y\n']))).toThrow(
      code('trust-invalid', { reason: 'text' }),
    );
  });
});

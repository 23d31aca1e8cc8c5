import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { utf8 } from '../../src/encoding/bytes.ts';
import { canonicalOlpc } from '../../src/encoding/canonical.ts';
import { type JsonObject, type JsonValue, parseJsonObject } from '../../src/encoding/json.ts';
import { mergeTargets } from '../../src/tuf/merge.ts';
import { composeMetadataFile } from '../../src/tuf/metadata-file.ts';
import { patternsOverlap } from '../../src/tuf/path-overlap.ts';
import { matchesPathPattern } from '../../src/tuf/path-pattern.ts';
import { parseTargets } from '../../src/tuf/targets.ts';

const json = (value: unknown): JsonObject => parseJsonObject(utf8(JSON.stringify(value)), { what: 'test' });
const text = (value: JsonValue | undefined) =>
  value === undefined ? undefined : new TextDecoder().decode(canonicalOlpc(value));

/** A role whose names stand for the digits of their content, and whose delegations for their keys. */
function role(names: Record<string, string>, delegations?: unknown, more: object = {}): JsonObject {
  const targets: JsonObject = Object.create(null);
  for (const [name, digit] of Object.entries(names))
    targets[name] = json({ length: 1, hashes: { sha256: digit.repeat(64) } });
  const rest = json({
    _type: 'targets',
    version: 1,
    expires: '2030-01-01T00:00:00Z',
    spec_version: '1.0.34',
    ...more,
  });
  return Object.assign(
    rest,
    { targets },
    delegations === undefined ? {} : { delegations: json(delegations) },
  );
}

interface Delegate {
  readonly name: string;
  readonly key?: string;
  readonly paths?: readonly string[];
}
const delegating = (...roles: (Delegate | string)[]) => {
  const list = roles.map((one) => (typeof one === 'string' ? { name: one } : one) as Delegate);
  const keyOf = ({ name, key }: Delegate) => key ?? `k-${name}`;
  const entryOf = (one: Delegate) => {
    const { name, paths } = one;
    return {
      name,
      keyids: [keyOf(one)],
      paths: paths ?? [`${name}/*`],
      threshold: 1,
      terminating: false,
    };
  };
  return {
    keys: Object.fromEntries(list.map((one) => [keyOf(one), { scheme: keyOf(one) }])),
    roles: list.map(entryOf),
  };
};
const bins = (bits: number) => ({
  keys: { k: { scheme: 'k' } },
  succinct_roles: { keyids: ['k'], threshold: 1, bit_length: bits, name_prefix: 'b' },
});
const namesOf = (signed: JsonObject | undefined) =>
  Object.entries((signed?.['targets'] ?? {}) as Record<string, { hashes: { sha256: string } }>)
    .map(([name, { hashes }]) => `${name}=${hashes.sha256[0]}`)
    .sort();
const rolesOf = (signed: JsonObject | undefined) => {
  const { roles } = signed!['delegations'] as JsonObject;
  return (roles as JsonObject[]).map(({ name }) => name);
};

describe('merging names', () => {
  const base = { a: '1', b: '1' };
  it.each([
    ['nothing', base, base, ['a=1', 'b=1']],
    ['what each side adds', { ...base, c: '1' }, { ...base, d: '1' }, ['a=1', 'b=1', 'c=1', 'd=1']],
    ['an addition and a removal', { ...base, c: '1' }, { a: '1' }, ['a=1', 'c=1']],
    ['changes of different names', { a: '2', b: '1' }, { a: '1', b: '2' }, ['a=2', 'b=2']],
    ['the same change on both sides', { a: '2', b: '1' }, { a: '2', b: '1' }, ['a=2', 'b=1']],
    ['the same removal on both sides', { b: '1' }, { b: '1' }, ['b=1']],
    [
      'a name that belongs to Object',
      { ...base, constructor: '1' },
      { ...base, toString: '1' },
      ['a=1', 'b=1', 'constructor=1', 'toString=1'],
    ],
  ])('%s', (_what, ours, theirs, expected) => {
    for (const [one, other] of [
      [ours, theirs],
      [theirs, ours],
    ]) {
      const { merged, conflicts } = mergeTargets(role(base), role({ ...one }), role({ ...other }));
      expect([namesOf(merged), conflicts]).toEqual([expected, []]);
    }
  });

  it.each([
    ['two changes of one name', { a: '2', b: '1' }, { a: '3', b: '1' }],
    ['a change and a removal of one name', { a: '2', b: '1' }, { b: '1' }],
    ['two additions of one name', { ...base, c: '1' }, { ...base, c: '2' }],
  ])('%s: a conflict, and no half merge', (_what, ours, theirs) => {
    const { merged, conflicts } = mergeTargets(role(base), role(ours), role(theirs));
    expect(merged).toBeUndefined();
    expect(conflicts).toHaveLength(1);
    expect(conflicts[0]).toMatchObject({ kind: 'target', name: _what.includes('additions') ? 'c' : 'a' });
  });

  it('takes extra members of one side, and no two different ones', () => {
    const one = mergeTargets(role({}), role({}, undefined, { bulla: { log: 1 } }), role({ a: '1' }));
    expect(one.merged).toMatchObject({ bulla: { log: 1 }, targets: { a: {} } });
    const two = mergeTargets(
      role({}),
      role({}, undefined, { bulla: { log: 1 } }),
      role({}, undefined, { bulla: { log: 2 } }),
    );
    expect(two.conflicts).toMatchObject([{ kind: 'member', name: 'bulla' }]);
  });

  it('does not mind that both sides have versions and expiries of their own', () => {
    const [ours, theirs] = [2, 3].map((version) =>
      role({ [`v${version}`]: '1' }, undefined, { version, expires: `203${version}-01-01T00:00:00Z` }),
    );
    expect(mergeTargets(role({}), ours!, theirs!).merged).toMatchObject({ version: 1 });
  });
});

describe('merging delegations', () => {
  const merge = (base: unknown, ours: unknown, theirs: unknown) =>
    mergeTargets(role({}, base), role({}, ours), role({}, theirs));
  const kinds = (result: { conflicts: readonly { kind: string }[] }) =>
    result.conflicts.map(({ kind }) => kind);

  it.each([
    ['one side adds', ['a'], ['a', 'b'], ['a'], ['a', 'b']],
    ['both add in different places', ['a', 'b'], ['x', 'a', 'b'], ['a', 'b', 'y'], ['x', 'a', 'b', 'y']],
    ['both add in one place, for other paths', ['a'], ['a', 'y'], ['a', 'x'], ['a', 'x', 'y']],
    ['both add the same', ['a'], ['a', 'b'], ['a', 'b'], ['a', 'b']],
    ['one removes, one adds', ['a', 'b'], ['b'], ['a', 'b', 'c'], ['b', 'c']],
    ['one reorders', ['a', 'b'], ['b', 'a'], ['a', 'b'], ['b', 'a']],
    ['one reorders, one removes', ['a', 'b', 'c'], ['c', 'b', 'a'], ['a', 'b'], ['b', 'a']],
    ['names are numbers', ['10', '9'], ['10', '9', '2'], ['1', '10', '9'], ['1', '10', '9', '2']],
    ['there were none', [], ['a'], [], ['a']],
  ])('%s', (_what, base, ours, theirs, expected) => {
    for (const [one, other] of [
      [ours, theirs],
      [theirs, ours],
    ] as const) {
      const result = merge(delegating(...base), delegating(...one), delegating(...other));
      expect(result.conflicts).toEqual([]);
      expect(rolesOf(result.merged)).toEqual(expected);
      const { keys } = result.merged!['delegations'] as JsonObject;
      expect(Object.keys(keys as JsonObject).sort()).toEqual(expected.map((name) => `k-${name}`).sort());
    }
  });

  const star = ['*'];
  it.each<[string, unknown, unknown, unknown, string[]]>([
    [
      'both add one role',
      delegating(),
      delegating('a'),
      delegating({ name: 'a', key: 'other' }),
      ['delegation'],
    ],
    [
      'one removes what the other changes',
      delegating('a'),
      delegating(),
      delegating({ name: 'a', paths: star }),
      ['delegation'],
    ],
    [
      'both reorder',
      delegating('a', 'b', 'c'),
      delegating('b', 'a', 'c'),
      delegating('a', 'c', 'b'),
      ['order'],
    ],
    [
      'one reorders, one adds',
      delegating('a', 'b'),
      delegating('b', 'a'),
      delegating('a', 'b', 'c'),
      ['order'],
    ],
    [
      'both add in one place, for paths that overlap',
      delegating(),
      delegating({ name: 'x', paths: ['v*'] }),
      delegating({ name: 'y', paths: ['?1'] }),
      ['order'],
    ],
    [
      'one rotates a key away that the other gives a new role',
      delegating({ name: 'a', key: 'stolen' }),
      delegating({ name: 'a', key: 'fresh' }),
      delegating({ name: 'a', key: 'stolen' }, { name: 'b', key: 'stolen' }),
      ['key'],
    ],
    ['two sizes of bins', bins(2), bins(3), bins(4), ['bins']],
    ['bins here, delegations there', delegating(), bins(2), delegating('a'), ['bins']],
  ])('%s: a conflict', (_what, base, ours, theirs, expected) => {
    const results = [merge(base, ours, theirs), merge(base, theirs, ours)];
    for (const result of results) expect([kinds(result), result.merged]).toEqual([expected, undefined]);
  });

  it('leaves succinct bins as they are while names change', () => {
    const result = mergeTargets(role({}, bins(4)), role({ a: '1' }, bins(4)), role({ b: '1' }, bins(4)));
    expect(text(result.merged?.['delegations'])).toBe(text(json(bins(4))));
  });
});

describe('merges at random', () => {
  const names = fc.dictionary(
    fc.constantFrom('a', 'b', 'c', 'd', '1', '__proto__'),
    fc.constantFrom('1', '2', '3'),
  );
  const delegates = fc.uniqueArray(
    fc.record({ name: fc.constantFrom('p', 'q', '7', 'r'), key: fc.constantFrom('k1', 'k2') }),
    { selector: ({ name }) => name },
  );
  const roles = fc
    .tuple(names, fc.option(delegates, { nil: undefined }))
    .map(([targets, list]) => role(targets, list && delegating(...list)));
  const targetsIn = (signed: JsonObject) => (signed['targets'] ?? {}) as JsonObject;

  it('are the same from either side', () => {
    fc.assert(
      fc.property(roles, roles, roles, (base, ours, theirs) => {
        const [one, other] = [mergeTargets(base, ours, theirs), mergeTargets(base, theirs, ours)];
        expect(text(one.merged)).toBe(text(other.merged));
        expect(one.conflicts.map(({ kind, name }) => `${kind} ${name}`).sort()).toEqual(
          other.conflicts.map(({ kind, name }) => `${kind} ${name}`).sort(),
        );
      }),
      { numRuns: 1000 },
    );
  });

  it('lose no name that nobody removed, and bring none back', () => {
    fc.assert(
      fc.property(roles, roles, roles, (base, ours, theirs) => {
        const { merged } = mergeTargets(base, ours, theirs);
        if (merged === undefined) return;
        const [was, our, their, now] = [base, ours, theirs, merged].map(targetsIn) as JsonObject[] as [
          JsonObject,
          JsonObject,
          JsonObject,
          JsonObject,
        ];
        for (const name of new Set([was, our, their].flatMap((side) => Object.keys(side)))) {
          const isRemoved = name in was && !(name in our && name in their);
          expect([name, name in now]).toEqual([name, !isRemoved]);
        }
      }),
      { numRuns: 1000 },
    );
  });

  it('with one side unchanged are the other side, and always a valid role', () => {
    fc.assert(
      fc.property(roles, roles, roles, (base, ours, theirs) => {
        const { delegations, targets } = mergeTargets(base, base, theirs).merged ?? {};
        expect([text(delegations), text(targets)]).toEqual([
          text(theirs['delegations']),
          text(theirs['targets']),
        ]);
        const { merged } = mergeTargets(base, ours, theirs);
        if (merged !== undefined) parseTargets(composeMetadataFile('x', merged, []));
      }),
      { numRuns: 500 },
    );
  });
});

describe('patterns', () => {
  it.each([
    ['a', 'a', true],
    ['a', 'b', false],
    ['*', '', true],
    ['*', 'x/y', false],
    ['a*', '*b', true],
    ['a*c', 'ab*', true],
    ['a*b', 'c*', false],
    ['?', '', false],
    ['??', '*a', true],
    ['?/b', 'a/*', true],
    ['a?', 'a', false],
    ['**', 'a', true],
  ])('%s and %s overlap: %s', (a, b, expected) => {
    expect([patternsOverlap(a, b), patternsOverlap(b, a)]).toEqual([expected, expected]);
  });

  it('that both match some path overlap', () => {
    const pattern = fc.string({ unit: fc.constantFrom('a', 'b', '*', '?', '/'), maxLength: 6 });
    const path = fc.string({ unit: fc.constantFrom('a', 'b', '/'), maxLength: 6 });
    fc.assert(
      fc.property(pattern, pattern, path, (a, b, text) => {
        if (matchesPathPattern(a, text) && matchesPathPattern(b, text))
          expect(patternsOverlap(a, b)).toBe(true);
      }),
      { numRuns: 5000 },
    );
  });
});

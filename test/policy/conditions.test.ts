import { describe, expect, it } from 'vitest';
import { utf8 } from '../../src/encoding/bytes.ts';
import { parseJsonObject } from '../../src/encoding/json.ts';
import {
  type ConditionDocument,
  MAX_MATCHED_CHARACTERS,
  MAX_PATH_VALUES,
  parseCondition,
} from '../../src/policy/conditions.ts';
import { checkConditions } from '../../src/policy/judgement.ts';

const now = new Date('2026-12-01T00:00:00Z');
const read = (value: unknown) =>
  parseJsonObject(utf8(JSON.stringify(value)), { what: 'a predicate', floats: true });
const vsa = read({
  verifier: { id: 'https://example.com/verifier' },
  timeVerified: '2026-11-30T00:00:00Z',
  verificationResult: 'PASSED',
  verifiedLevels: ['SLSA_BUILD_LEVEL_3', 'FEDRAMP_HIGH'],
  scores: [{ value: 7.5 }, { value: 3 }],
  nothing: null,
});
const isMet = (document: ConditionDocument, predicate = vsa): boolean =>
  parseCondition(document).unmet(predicate, now) === undefined;

describe('a condition on', () => {
  it.each<[string, ConditionDocument, boolean]>([
    ['a value', { path: 'verificationResult', equals: 'PASSED' }, true],
    ['another value', { path: 'verificationResult', equals: 'FAILED' }, false],
    ['a value with $', { path: '$.verifier.id', equals: 'https://example.com/verifier' }, true],
    ['a value of another type', { path: 'verificationResult', equals: true }, false],
    ['one of some values', { path: 'verificationResult', in: ['PASSED', 'SKIPPED'] }, true],
    ['none of some values', { path: 'verificationResult', in: ['FAILED'] }, false],
    ['an expression', { path: 'verifier.id', matches: 'https://example\\.com/.*' }, true],
    ['an expression that matches a part', { path: 'verifier.id', matches: 'example' }, false],
    ['each element, of which one fails', { path: 'verifiedLevels[*]', matches: 'SLSA_.*' }, false],
    ['one element', { path: 'verifiedLevels[*]', some: true, equals: 'SLSA_BUILD_LEVEL_3' }, true],
    ['one element that is not there', { path: 'verifiedLevels[*]', some: true, equals: 'X' }, false],
    ['an element by its place', { path: 'verifiedLevels[0]', equals: 'SLSA_BUILD_LEVEL_3' }, true],
    ['an element beyond the end', { path: 'verifiedLevels[9]', exists: true }, false],
    ['a missing value', { path: 'dependencyLevels', exists: false }, true],
    ['a missing value that is there', { path: 'verifier', exists: false }, false],
    ['every element of nothing', { path: 'none[*]', matches: '.*' }, false],
    ['a time after another', { path: 'timeVerified', atLeast: '2026-11-01T00:00:00Z' }, true],
    ['a time before another', { path: 'timeVerified', lessThan: '2026-11-01T00:00:00Z' }, false],
    ['an age', { path: 'timeVerified', maxAge: '2d' }, true],
    ['an age that is exceeded', { path: 'timeVerified', maxAge: '1h' }, false],
    ['an age of what is not a time', { path: 'verifier.id', maxAge: '1h' }, false],
    ['a number where there is a text', { path: 'verificationResult', atLeast: 0 }, false],
    ['a quoted name', { path: '["verifier"]["id"]', exists: true }, true],
    ['members that every object has elsewhere', { path: '__proto__', exists: true }, false],
    ['the length of a list', { path: 'verifiedLevels.length', exists: true }, false],
    ['numbers, all of them', { path: 'scores[*].value', atMost: 7.5 }, true],
    ['numbers, of which one is too large', { path: 'scores[*].value', lessThan: 7.5 }, false],
    ['numbers, of which one suffices', { path: 'scores[*].value', some: true, lessThan: 7.5 }, true],
    ['a number in a range', { path: 'scores[1].value', greaterThan: 2, lessThan: 4 }, true],
    ['every member of an object', { path: 'verifier[*]', matches: 'https://.*' }, true],
    ['null', { path: 'nothing', equals: null }, true],
    ['a missing value that should be null', { path: 'verifier.nothing', equals: null }, false],
    ['an object where there should be a text', { path: 'verifier', matches: '.*' }, false],
    ['a member of a text', { path: 'verificationResult.length', exists: true }, false],
    ['an age of a time to come', { path: 'when', maxAge: '1d' }, false],
    ['an age without a value', { path: 'none', maxAge: '1d' }, false],
    ['a line of several', { path: 'lines', matches: 'a' }, false],
  ])('%s', (_, document, met) => {
    const predicate = read({ ...vsa, when: '2026-12-01T00:00:01Z', lines: 'a\nb' });
    expect(isMet(document, predicate)).toBe(met);
  });

  it.each<[string, unknown, Omit<ConditionDocument, 'path'>, boolean]>([
    ['an element without the member', [{ s: 'low' }, {}], { in: ['low'] }, false],
    ['an element that is null', [{ s: 'low' }, null], { in: ['low'] }, false],
    ['an element of another type', [{ s: 'low' }, 'high'], { matches: 'l.*' }, false],
    ['an element that is a list', [{ s: 'low' }, [{ s: 'low' }]], { equals: 'low' }, false],
    ['the member in one element of two', [{ s: 1 }, { t: 1 }], { exists: true }, false],
    ['a member of an object without it', { a: { s: 1 }, b: {} }, { atMost: 1 }, false],
    ['the member, and one that has it suffices', [{ s: 'low' }, {}], { equals: 'low', some: true }, true],
    ['the member in every element', [{ s: 'low' }, { s: 'low', t: 1 }], { equals: 'low' }, true],
    ['a member that no element has', [{}, { t: 1 }], { exists: false }, true],
  ])('every element, of which one is silent: %s', (_, list, document, met) => {
    expect(isMet({ path: 'list[*].s', ...document }, read({ list }))).toBe(met);
  });

  it.each<[string, unknown, boolean]>([
    ['has no findings', { findings: [] }, true],
    ['does not say its findings', {}, false],
    ['has findings that are no list', { findings: 'none' }, false],
  ])('a list in a list, where one element %s', (_, element, met) => {
    const predicate = read({ results: [{ findings: [{ s: 1 }] }, element] });
    expect(isMet({ path: 'results[*].findings[*].s', atMost: 1 }, predicate)).toBe(met);
  });

  it('what is too long or too much is not met', () => {
    const long = read({
      a: 'x'.repeat(MAX_MATCHED_CHARACTERS + 1),
      b: Array.from({ length: MAX_PATH_VALUES + 1 }, () => 1),
    });
    expect(isMet({ path: 'a', matches: 'x*' }, long)).toBe(false);
    expect(isMet({ path: 'b[*]', equals: 1 }, long)).toBe(false);
    expect(isMet({ path: 'b[*]', some: true, equals: 1 }, long)).toBe(false);
  });

  it('an attestation without a predicate is not met', () => {
    const conditions = [parseCondition({ path: 'a', exists: true })];
    expect(() => checkConditions(conditions, undefined, now, 'x')).toThrow(
      expect.objectContaining({ code: 'signature-mismatch' }),
    );
  });

  it.each<[string, ConditionDocument]>([
    ['a condition that says nothing', { path: 'a' }],
    ['a path with a space', { path: 'a b', exists: true }],
    ['an empty path', { path: '$', exists: true }],
    ['a path with two dots', { path: 'a..b', exists: true }],
    ['a path with a filter', { path: 'a[?(@.b)]', exists: true }],
    ['an expression that is not one', { path: 'a', matches: '(' }],
    ['a comparison with a text', { path: 'a', atLeast: 'high' }],
    ['an age that is not a duration', { path: 'a', maxAge: 'short' }],
    ['something that is missing and has a value', { path: 'a', exists: false, equals: 1 }],
    ['a place that is not a number', { path: 'a[b]', exists: true }],
    ['a negative place', { path: 'a[-1]', exists: true }],
    ['a bracket that is not closed', { path: 'a[0', exists: true }],
    ['a name with a broken escape', { path: 'a["\\x"]', exists: true }],
    ['a dot at the end', { path: 'a.', exists: true }],
  ])('refuses %s', (_, document) => {
    expect(() => parseCondition(document)).toThrow(expect.objectContaining({ code: 'policy-invalid' }));
  });
});

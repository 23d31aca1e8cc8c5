import { describe, expect, it } from 'vitest';
import { isBuiltUpon, planFold } from '../../../src/trust/change/fold.ts';
import type { ChangeLog, LogEntry } from '../../../src/trust/format/log.ts';

const at = new Date('2030-01-01T00:00:00Z');

function logOf(...entries: LogEntry[]): ChangeLog {
  return { since: at, entries };
}

function set(id: string, ...names: string[]): LogEntry {
  return { id, at, set: new Map(names.map((name) => [name, { length: 1, sha256: id }])) };
}

function unset(id: string, ...names: string[]): LogEntry {
  return { id, at, unset: new Set(names) };
}

describe('planFold', () => {
  it('takes over what the head lacks, in its order', () => {
    const [one, two] = [set('one', 'v1'), set('two', 'v1')];
    expect(planFold(logOf(set('other', 'v2')), logOf(one, two)).apply).toEqual([one, two]);
  });

  it('does not set a name that somebody took out who did not know of it', () => {
    const plan = planFold(logOf(unset('revoke', 'v1')), logOf(set('late', 'v1')));
    expect(plan).toMatchObject({ apply: [], conflicts: [{ entry: { id: 'late' }, reason: 'names' }] });
  });

  it('does not set a name again that the sibling itself took out later, by a change that the head has', () => {
    const revoke = unset('revoke', 'v1');
    const plan = planFold(logOf(revoke), logOf(set('early', 'v1'), revoke));
    expect(plan).toMatchObject({ apply: [], conflicts: [{ entry: { id: 'early' }, names: ['v1'] }] });
    expect(isBuiltUpon(logOf(set('early', 'v1'), revoke), logOf(revoke))).toBe(false);
  });

  it('does not put an older content above the one that the sibling and the head have', () => {
    const newer = set('newer', 'v1');
    expect(planFold(logOf(newer), logOf(set('older', 'v1'), newer)).apply).toEqual([]);
  });

  it('sets a name after it was taken out where its maker knew of that', () => {
    const revoke = unset('revoke', 'v1');
    const again = set('again', 'v1');
    expect(planFold(logOf(revoke), logOf(revoke, again)).apply).toEqual([again]);
  });

  it('takes a name out whatever the head knows of it', () => {
    const revoke = unset('revoke', 'v1');
    expect(planFold(logOf(set('other', 'v1')), logOf(revoke)).apply).toEqual([revoke]);
  });
});

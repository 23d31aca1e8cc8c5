import { describe, expect, it } from 'vitest';
import { collectionUnder, findPin, type Pin } from '../../../src/trust/read/pin.ts';

const scopes = [
  'a.example/*',
  'a.example/team/*',
  'a.example/team/app',
  'a.example/team/deep/*',
  'b.example/__proto__x',
].map((scope) => ({ scope }));

describe('findPin', () => {
  it.each([
    ['a.example/team/app', 'a.example/team/app'],
    ['a.example/team/app/x', 'a.example/team/*'],
    ['a.example/team/other', 'a.example/team/*'],
    ['a.example/team/deep/x/y', 'a.example/team/deep/*'],
    ['a.example/team', 'a.example/*'],
    ['a.example/team2/app', 'a.example/*'],
    ['a.example.com/team/app', undefined],
    ['b.example/team/app', undefined],
    ['a.example:443/team/app', 'a.example/team/app'],
    ['a.example:80/team/app/x', 'a.example/team/*'],
    ['A.Example/team/app', 'a.example/team/app'],
    ['a.example:8443/team/app', undefined],
  ])('holds for %s: %s', (repository, scope) => {
    expect(findPin(scopes, repository)?.scope).toBe(scope);
    expect(findPin([...scopes].reverse(), repository)?.scope).toBe(scope);
  });
});

describe('collectionUnder', () => {
  const pin = (scope: string, collection?: string): Pin => ({ scope, trust: { kind: 'tofu' }, collection });

  it.each([
    [pin('a.example/x'), 'a.example/x', 'a.example/x'],
    [pin('a.example/x', 'b.example/y'), 'a.example/x', 'b.example/y'],
    [pin('a.example/*', 'b.example/team/*'), 'a.example/x/y', 'b.example/team/x/y'],
    [pin('a.example/m/*', 'b.example/*'), 'a.example/m/x', 'b.example/x'],
  ])('maps by %j', (from, repository, name) => {
    expect(collectionUnder(from, repository)).toBe(name);
  });

  it('never lets the mapping itself match: the neighbour of what it names is another name', () => {
    const from = pin('a.example/*', 'b.example/team/*');
    expect(collectionUnder(from, 'a.example/app')).not.toBe('b.example/team/other');
  });
});

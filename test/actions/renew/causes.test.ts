import { describe, expect, it } from 'vitest';
import { type Alarm, AlarmBook, type AlarmKind } from '../../../src/actions/renew/alarms.ts';
import { Causes } from '../../../src/actions/renew/causes.ts';
import type { ErrorCode } from '../../../src/errors.ts';

const NOW = new Date('2030-01-01T00:00:00Z');
const later = (minutes: number): Date => new Date(NOW.getTime() + minutes * 60_000);

const alarm = (kind: AlarmKind, place: string, code: ErrorCode = 'trust-rollback'): Alarm => ({
  ...{ kind, place, code },
  message: `${kind} at ${place}`,
});

/** What people are told by a re-signer, from one start to the next. */
class Told {
  readonly said: string[] = [];
  private book: AlarmBook;
  private causes: Causes;

  constructor() {
    this.book = new AlarmBook();
    this.causes = new Causes();
  }

  update(place: string, alarms: readonly Alarm[], now: Date = NOW): void {
    for (const { state, alarm: told, places } of this.causes.take(this.book.update(place, alarms, now), now))
      this.said.push(
        `${state} ${told.kind} ${told.place}${places === undefined ? '' : ` of ${places.length}`}`,
      );
  }

  restart(): void {
    const standing = [...this.book.all()];
    [this.book, this.causes] = [new AlarmBook(standing), new Causes(standing)];
  }
}

const places = (count: number, registry = 'a.example.com'): string[] =>
  Array.from({ length: count }, (_, at) => `${registry}/team/app${at}`);

describe('the messages of the re-signer', () => {
  it.each<[string, AlarmKind, ErrorCode]>([
    ['a registry that is away', 'failing', 'registry-unreachable'],
    ['a registry that does not let in', 'failing', 'unauthorized'],
    ['a key that does not serve', 'key', 'untrusted-identity'],
    ['a disk that is full', 'state', 'storage-error'],
  ])('are one for %s, and one when it is over', (_, kind, code) => {
    const told = new Told();
    for (const place of places(50)) told.update(place, [alarm(kind, place, code)]);
    expect(told.said).toEqual([`firing ${kind} a.example.com/team/app0`]);
    for (const place of places(50).slice(0, 49)) told.update(place, [], later(5));
    expect(told.said).toHaveLength(1);
    told.update('a.example.com/team/app49', [], later(6));
    expect(told.said.slice(1)).toEqual([`resolved ${kind} a.example.com/team/app0`]);
  });

  it('are separate for another registry and for another cause', () => {
    const told = new Told();
    for (const place of [...places(3), ...places(3, 'b.example.com')])
      told.update(place, [alarm('failing', place, 'timeout'), alarm('rollback', place)]);
    expect(told.said.filter((line) => line.includes('failing'))).toHaveLength(2);
    expect(told.said.filter((line) => line.includes('rollback'))).toHaveLength(6);
  });

  it('tell each day of what still stands, with all of its places', () => {
    const told = new Told();
    for (const place of places(5)) told.update(place, [alarm('failing', place, 'timeout')]);
    for (const place of places(5)) told.update(place, [alarm('failing', place, 'timeout')], later(25 * 60));
    expect(told.said).toEqual([
      'firing failing a.example.com/team/app0',
      'firing failing a.example.com/team/app0 of 5',
    ]);
  });

  it('are few in a flood of repositories with junk at their heads', () => {
    const told = new Told();
    for (const place of places(3000)) told.update(place, [alarm('invalid', place, 'trust-invalid')]);
    expect(told.said.length).toBeLessThanOrEqual(21);
    // It does not hide what happens elsewhere, or of another kind.
    told.update('b.example.com/x', [alarm('invalid', 'b.example.com/x', 'trust-invalid')]);
    told.update('a.example.com/y', [alarm('rollback', 'a.example.com/y')]);
    expect(told.said.slice(-2)).toEqual([
      'firing invalid b.example.com/x',
      'firing rollback a.example.com/y',
    ]);
    for (const place of places(3000)) told.update(place, [], later(10));
    expect(told.said.filter((line) => line.startsWith('resolved'))).toHaveLength(21);
  });

  it('are few where someone makes one come and go, and end with what is so', () => {
    const told = new Told();
    const place = 'a.example.com/team/app';
    for (let round = 0; round < 200; round++) {
      told.update(place, [alarm('missing-head', place)], later(round / 10));
      told.update(place, [], later(round / 10 + 0.05));
    }
    expect(told.said.length).toBeLessThanOrEqual(6);
    told.update(place, [alarm('missing-head', place)], later(25));
    const before = told.said.length;
    told.update(place, [alarm('missing-head', place)], later(95));
    expect(told.said.slice(before)).toEqual([`firing missing-head ${place}`]);
    told.update(place, [], later(96));
    expect(told.said.at(-1)).toBe(`resolved missing-head ${place}`);
  });

  it('tell after a restart that it is over, and do not tell again that it began', () => {
    const told = new Told();
    const [one = '', other = ''] = places(2);
    told.update(one, [alarm('rollback', one)]);
    told.update(other, [alarm('failing', other, 'timeout')]);
    told.restart();
    told.update(one, [alarm('rollback', one)], later(1));
    told.update(other, [], later(2));
    told.restart();
    told.update(one, [], later(3));
    expect(told.said).toEqual([
      `firing rollback ${one}`,
      `firing failing ${other}`,
      `resolved failing ${other}`,
      `resolved rollback ${one}`,
    ]);
  });

  it('remember a shared cause after a restart until all of its places are well', () => {
    const told = new Told();
    for (const place of places(3)) told.update(place, [alarm('key', place, 'key-invalid')]);
    told.restart();
    for (const place of places(2)) told.update(place, [], later(1));
    expect(told.said).toHaveLength(1);
    told.update('a.example.com/team/app2', [], later(2));
    expect(told.said.at(-1)).toMatch(/^resolved key/);
  });
});

import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { dailyWork, PLANNED, UNIT_COSTS } from '../bench/fleet.ts';
import {
  arrivals,
  publishedPerDay,
  ratesOf,
  renewalsPerDay,
  USUAL_LIVES,
} from '../bench/renewal-arrivals.ts';

const page = await readFile(new URL('../../docs/scale.md', import.meta.url), 'utf8');
const sum = (hours: Uint32Array): number => hours.reduce((total, count) => total + count, 0);
const ALL = { collections: 3_000, days: 140, seed: 5 } as const;

describe('the arrival of renewals', () => {
  it('follows from its seed alone', () => {
    const played = arrivals(USUAL_LIVES, { ...ALL, days: 20, begin: 'spread' });
    expect(arrivals(USUAL_LIVES, { ...ALL, days: 20, begin: 'spread' })).toEqual(played);
    expect(arrivals(USUAL_LIVES, { ...ALL, days: 20, begin: 'spread', seed: 6 })).not.toEqual(played);
  });

  it.each([
    ['nothing is published', [{ share: 1, perDay: 0 }]],
    ['all publish now and then', [{ share: 1, perDay: 0.1 }]],
    ['some publish often', USUAL_LIVES.publishers],
    ['all publish all the time', [{ share: 1, perDay: 5 }]],
  ])('is in the long run what arithmetic says, where %s', (_, publishers) => {
    const lives = { ...USUAL_LIVES, publishers };
    const { renewals, published } = arrivals(lives, { ...ALL, collections: 1_500, begin: 'spread' });
    const days = ALL.days * 1_500;
    // The first ones were signed before, so that as many are due as later.
    expect(sum(renewals) / days).toBeCloseTo(renewalsPerDay(lives), 2);
    expect(sum(published) / days / Math.max(publishedPerDay(lives), 1)).toBeCloseTo(
      publishedPerDay(lives) / Math.max(publishedPerDay(lives), 1),
      1,
    );
  });

  it('is a wave after a common beginning, within the bounds of the schedule, which flattens', () => {
    const idle = { ...USUAL_LIVES, publishers: [{ share: 1, perDay: 0 }] };
    const { renewals } = arrivals(idle, { ...ALL, days: 70, begin: 'at once' });
    const first = 24 * 14 * (0.5 - 0.1);
    expect(sum(renewals.slice(0, Math.floor(first)))).toBe(0);
    expect(sum(renewals.slice(0, 24 * 7 + 1))).toBe(ALL.collections);
    const most = (week: number): number => ratesOf(renewals, 7 * week, 7 * week + 7, 1).most;
    expect(most(9)).toBeLessThan(most(0) / 2);
  });

  it('never flattens without the random part', () => {
    const { renewals } = arrivals(
      { ...USUAL_LIVES, jitter: 0, publishers: [{ share: 1, perDay: 0 }] },
      { collections: 100, days: 22, begin: 'at once', seed: 1 },
    );
    expect([7, 14, 21].map((day) => renewals[24 * day])).toEqual([100, 100, 100]);
  });
});

describe('docs/scale.md', () => {
  it('has the unit costs and the sums of the plan', () => {
    const { renewal, change, look, signature, name } = UNIT_COSTS;
    for (const { cpuMs, requests, writes, bytes } of [renewal, change, look, signature, name])
      expect(page).toContain(`| ${cpuMs} | ${requests} | ${writes} | ${bytes} |`);
    const day = 86_400;
    for (const each of dailyWork(PLANNED)) {
      const cells = [
        ...[each.name, `${(each.pieces / 1e6).toFixed(1)} million`, Math.round(each.requests / day)],
        ...[Math.round(each.writes / day), `${Math.round(each.bytes / 1e9)} GB`, each.cpuHours.toFixed(1)],
      ];
      expect(page).toContain(`| ${cells.join(' | ')} |`);
    }
  });

  it('draws from them what it says', () => {
    const work = dailyWork(PLANNED);
    const perSecond = (names: RegExp, of: 'requests' | 'writes'): number =>
      Math.round(
        work.filter(({ name }) => names.test(name)).reduce((all, each) => all + each[of], 0) / 86_400,
      );
    const resigners = /renewals|changes|looks/;
    const said = (pattern: RegExp): number[] =>
      (pattern.exec(page)?.slice(1) ?? []).map((text) => Number(text.replace(',', '')));
    expect(said(/and ([\d,]+) requests a second, of which ([\d,]+) write, reach the registries/)).toEqual([
      perSecond(resigners, 'requests'),
      perSecond(resigners, 'writes'),
    ]);
    const gates = perSecond(/verified/, 'requests');
    expect(said(/all clusters together, and ([\d,]+) requests a second/)).toEqual([gates]);
    expect(
      said(
        /per registry ([\d,]+) requests a second from re-signers, of which ([\d,]+) write, and ([\d,]+) from/,
      ),
    ).toEqual(
      [perSecond(resigners, 'requests') / 20, perSecond(resigners, 'writes') / 20, gates / 20].map(
        Math.round,
      ),
    );
  });
});

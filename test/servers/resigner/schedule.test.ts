import { describe, expect, it } from 'vitest';
import { BullaError } from '../../../src/errors.ts';
import { LIFETIME, pinOf, places, World } from '../../support/resign/world.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const failure = (code: 'registry-unreachable' | 'registry-throttled' | 'trust-rollback', details = {}) =>
  new BullaError(code, code, { hint: 'none', details });

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}

describe('the schedule', () => {
  it('looks at an idle collection with one conditional request and one short list', async () => {
    const world = new World({ places: places(1) });
    world.resigner.start();
    await world.time.pass(10 * MINUTE);
    const looks = world.count('check');
    expect(looks).toBeGreaterThan(250);
    expect(world.count('list')).toBeLessThanOrEqual(looks + 1);
    expect(world.count('pass')).toBe(1);
    expect(world.count('resolve')).toBe(0);
  });

  it('does without the list where it is told', async () => {
    const world = new World({
      places: places(1),
      timing: { pollMs: MINUTE },
      config: { listEveryMs: 10 * MINUTE },
    });
    world.resigner.start();
    await world.time.pass(HOUR);
    expect(world.count('check')).toBeGreaterThan(50);
    expect(world.count('list')).toBeLessThan(10);
  });

  it('signs anew at half of the lifetime, not all at once, and never lets anything expire', async () => {
    const world = new World({ places: places(20), timing: { pollMs: 6 * HOUR } });
    world.resigner.start();
    await world.time.pass(30 * DAY);
    const renewals = [...world.collections.values()];
    for (const { version, signedAt } of renewals) {
      expect(version).toBeGreaterThanOrEqual(5);
      expect(version).toBeLessThanOrEqual(7);
      expect(world.time.now().getTime() - signedAt.getTime()).toBeLessThan(LIFETIME / 2 + 12 * HOUR);
    }
    expect(new Set(renewals.map(({ signedAt }) => signedAt.getTime())).size).toBeGreaterThan(10);
  });

  it('folds a stage within two seconds by polling, in the median', async () => {
    const world = new World({ places: places(20) });
    world.resigner.start();
    await world.time.pass(MINUTE);
    const waited: number[] = [];
    for (let round = 0; round < 40; round++) {
      const collection = world.at(places(20)[round % 20] as string);
      const since = world.time.monotonic();
      collection.stage(String(round));
      await world.time.pass(3_137);
      waited.push((collection.foldedAt.get(`_trust.stage.${round}`) ?? Infinity) - since);
    }
    expect(median(waited)).toBeLessThanOrEqual(2_000);
    expect(Math.max(...waited)).toBeLessThan(3_000);
  });

  it('folds a stage at once when it is told', async () => {
    const world = new World({
      places: places(20),
      timing: { pollMs: MINUTE },
      config: { listEveryMs: 10 * MINUTE },
    });
    world.resigner.start();
    await world.time.pass(MINUTE);
    const collection = world.at(places(20)[7] as string);
    collection.stage('x');
    expect(world.resigner.notified('team/app7')).toBe(1);
    await world.time.pass(300);
    expect(collection.foldedAt.size).toBe(1);
  });

  it('ignores what it is told of repositories that are not its own', async () => {
    const world = new World({ places: places(2) });
    world.resigner.start();
    await world.time.pass(MINUTE);
    expect(world.resigner.notified('team/app99')).toBe(0);
    expect(world.resigner.notified('somebody/else')).toBe(0);
    await world.time.pass(MINUTE);
    expect(new Set(world.requests.map(({ place }) => place))).toEqual(new Set(places(2)));
  });

  it('does not take its own writing for news', async () => {
    const world = new World({ places: places(1) });
    world.resigner.start();
    await world.time.pass(MINUTE);
    world.at(places(1)[0] as string).stage('x');
    await world.time.pass(HOUR);
    expect(world.at(places(1)[0] as string).passes).toBeLessThanOrEqual(3);
  });
});

describe('which collections', () => {
  it('finds those of a prefix in the catalogue, also later ones, and leaves others alone', async () => {
    const world = new World({
      places: [...places(3), 'registry.example.com/other/app'],
      pins: [pinOf('registry.example.com/team/*')],
    });
    world.resigner.start();
    await world.time.pass(MINUTE);
    expect(world.at('registry.example.com/team/app2').passes).toBe(1);
    world.collections.set('registry.example.com/team/late', world.at('registry.example.com/team/app0'));
    await world.time.pass(2 * MINUTE);
    expect(world.requests.some(({ place }) => place.endsWith('late'))).toBe(true);
    expect(world.requests.some(({ place }) => place.includes('/other/'))).toBe(false);
  });

  it('looks rarely where a repository of a prefix has no collection, and raises no alarm', async () => {
    const world = new World({ places: places(1), pins: [pinOf('registry.example.com/*')] });
    world.at(places(1)[0] as string).exists = false;
    world.resigner.start();
    await world.time.pass(HOUR);
    expect(world.requests.filter(({ what }) => what !== 'catalogue').length).toBeLessThan(20);
    expect(world.alarms).toEqual([]);
    world.at(places(1)[0] as string).exists = true;
    await world.time.pass(10 * MINUTE);
    expect(world.at(places(1)[0] as string).passes).toBe(1);
  });

  it('shares them between shards, each to one', async () => {
    const worlds = [0, 1, 2].map((index) => new World({ places: places(60), shard: { index, count: 3 } }));
    for (const world of worlds) {
      world.resigner.start();
      await world.time.pass(MINUTE);
    }
    const served = worlds.map((world) => new Set(world.requests.map(({ place }) => place)));
    expect(served.reduce((sum, set) => sum + set.size, 0)).toBe(60);
    for (const set of served) expect(set.size).toBeGreaterThan(8);
  });

  it('takes other pins while it runs', async () => {
    const world = new World({ places: places(2), pins: [pinOf(places(2)[0] as string)] });
    world.resigner.start();
    await world.time.pass(MINUTE);
    expect(world.at(places(2)[1] as string).passes).toBe(0);
    world.resigner.use({ ...materialOf(world), pins: [pinOf(places(2)[1] as string)] });
    await world.time.pass(100);
    const at = world.time.monotonic();
    await world.time.pass(MINUTE);
    expect(world.at(places(2)[1] as string).passes).toBe(1);
    const later = world.requests.filter((request) => request.at > at).map(({ place }) => place);
    expect(new Set(later)).toEqual(new Set([places(2)[1]]));
  });

  it('stands by while another replica leads', async () => {
    const world = new World({ places: places(2) });
    world.resigner.activate(false);
    world.resigner.start();
    await world.time.pass(HOUR);
    expect(world.requests).toEqual([]);
    world.resigner.activate(true);
    await world.time.pass(MINUTE);
    expect(world.at(places(2)[0] as string).passes).toBe(1);
  });

  it('looks into the catalogue as soon as it leads', async () => {
    const world = new World({ places: places(2), pins: [pinOf('registry.example.com/*')] });
    world.resigner.activate(false);
    world.resigner.start();
    await world.time.pass(10_000);
    expect(world.requests).toEqual([]);
    world.resigner.activate(true);
    await world.time.pass(2_000);
    expect(world.at(places(2)[0] as string).passes).toBe(1);
  });
});

describe('a registry in trouble', () => {
  it('is left alone while it is away for an hour, and all is fresh soon after', async () => {
    const world = new World({ places: places(50) });
    world.resigner.start();
    await world.time.pass(MINUTE);
    world.outage = failure('registry-unreachable');
    const since = world.time.monotonic();
    await world.time.pass(HOUR);
    expect(world.requests.filter(({ at }) => at >= since).length).toBeLessThan(300);
    for (const collection of world.collections.values()) collection.stage('meanwhile');
    world.outage = undefined;
    await world.time.pass(3 * MINUTE);
    for (const collection of world.collections.values()) expect(collection.foldedAt.size).toBe(1);
  });

  it('gets the pause that it asks for', async () => {
    const world = new World({ places: places(100) });
    world.resigner.start();
    await world.time.pass(MINUTE);
    world.outage = failure('registry-throttled', { status: 429, retryAfterSeconds: 120 });
    const began = world.time.monotonic();
    await world.time.pass(10_000);
    const since = world.time.monotonic();
    world.outage = undefined;
    await world.time.pass(100_000);
    expect(world.requests.filter(({ at }) => at >= since)).toEqual([]);
    expect(world.requests.filter(({ at }) => at >= began).length).toBeLessThanOrEqual(8);
    await world.time.pass(30_000);
    expect(world.count('check', since)).toBeGreaterThan(50);
  });

  it('does not slow another registry down', async () => {
    const good = places(5, 'good.example.com');
    const world = new World({ places: [...places(5), ...good] });
    world.resigner.start();
    await world.time.pass(MINUTE);
    for (const place of places(5)) world.at(place).failure = failure('registry-unreachable');
    const since = world.time.monotonic();
    await world.time.pass(10 * MINUTE);
    const looks = world.requests.filter(({ at, place }) => at >= since && good.includes(place)).length;
    expect(looks).toBeGreaterThan(5 * 250);
  });
});

describe('clocks that are wrong', () => {
  it('that jump ahead make it sign anew once, and back again do no harm', async () => {
    const world = new World({ places: places(10), timing: { pollMs: MINUTE } });
    world.resigner.start();
    await world.time.pass(MINUTE);
    world.time.shift = 10 * DAY;
    await world.time.pass(2 * MINUTE);
    for (const { version } of world.collections.values()) expect(version).toBe(2);
    world.time.shift = -10 * DAY;
    await world.time.pass(HOUR);
    world.time.shift = 0;
    await world.time.pass(HOUR);
    for (const { version } of world.collections.values()) expect(version).toBeLessThanOrEqual(3);
    const looks = world.count('check', world.time.monotonic() - 10 * MINUTE);
    expect(looks).toBeGreaterThan(80);
  });
});

describe('hostile collections', () => {
  /** Time from stage to head of honest collections while others misbehave. */
  async function waitsBeside(
    misbehave: (world: World, place: string, round: number) => void,
  ): Promise<number[]> {
    const all = places(60);
    const [bad, good] = [all.slice(0, 40), all.slice(40)];
    const world = new World({ places: all });
    world.resigner.start();
    await world.time.pass(MINUTE);
    const waited: number[] = [];
    for (let round = 0; round < 60; round++) {
      for (const place of bad) misbehave(world, place, round);
      const collection = world.at(good[round % good.length] as string);
      const since = world.time.monotonic();
      collection.stage(String(round));
      if (round % 2 === 0) world.resigner.notified((good[round % good.length] as string).slice(21));
      await world.time.pass(8_111);
      waited.push((collection.foldedAt.get(`_trust.stage.${round}`) ?? Infinity) - since);
    }
    // At the first only: when all of them begin to misbehave at once, they have to be found out.
    return waited.slice(8);
  }

  it.each([
    {
      what: 'that answer slowly',
      misbehave: (world: World, place: string) => {
        world.at(place).answerMs = 1_000_000;
      },
    },
    {
      what: 'that answer just fast enough not to be slow',
      misbehave: (world: World, place: string) => {
        world.at(place).answerMs = 1_600;
      },
    },
    {
      what: 'that are flooded with stages, and say so each time',
      misbehave: (world: World, place: string, round: number) => {
        for (let n = 0; n < 20; n++) world.at(place).stage(`${round}.${n}`, false);
        for (let n = 0; n < 5; n++) world.resigner.notified(place.slice(21));
      },
    },
    {
      what: 'whose heads are never what they should be',
      misbehave: (world: World, place: string, round: number) => {
        world.at(place).version = round + 2;
        world.at(place).refusal = failure('trust-rollback');
        world.resigner.notified(place.slice(21));
      },
    },
  ])('$what do not starve others', async ({ misbehave }) => {
    const waited = await waitsBeside(misbehave);
    expect(median(waited)).toBeLessThanOrEqual(3_000);
    expect(Math.max(...waited)).toBeLessThan(8_000);
  });

  it('make ever less work by a stage flood', async () => {
    const world = new World({ places: places(1) });
    const [place] = places(1) as [string];
    world.resigner.start();
    await world.time.pass(MINUTE);
    const before = world.at(place).passes;
    for (let minute = 0; minute < 120; minute++) {
      for (let n = 0; n < 60; n++) {
        world.at(place).stage(`${minute}.${n}`, false);
        if (world.at(place).tags.size > 200) world.at(place).tags.clear();
        world.resigner.notified('team/app0');
        await world.time.pass(1_000);
      }
    }
    expect(world.at(place).passes - before).toBeLessThan(60);
  });
});

describe('alarms', () => {
  const [place] = places(1) as [string];

  it.each([
    { reason: 'a head that went back', refusal: failure('trust-rollback'), kind: 'rollback' },
    {
      reason: 'a head that is gone',
      refusal: new BullaError('trust-invalid', 'gone', { hint: 'none', details: { reason: 'missing-head' } }),
      kind: 'missing-head',
    },
    {
      reason: 'a collection of somebody else',
      refusal: new BullaError('trust-invalid', 'binding', { hint: 'none', details: { reason: 'binding' } }),
      kind: 'invalid',
    },
    {
      reason: 'a key that does not sign here',
      refusal: new BullaError('threshold-not-met', 'key', { hint: 'none' }),
      kind: 'key',
    },
    {
      reason: 'a disk that is full',
      refusal: new BullaError('storage-error', 'full', { hint: 'none' }),
      kind: 'state',
    },
  ])('are raised at once for $reason, once, and taken back', async ({ refusal, kind }) => {
    const world = new World({ places: places(1) });
    world.at(place).refusal = refusal;
    world.resigner.start();
    await world.time.pass(HOUR);
    expect(world.alarms.map(({ state, alarm }) => [state, alarm.kind, alarm.place])).toEqual([
      ['firing', kind, place],
    ]);
    world.at(place).refusal = undefined;
    await world.time.pass(10 * MINUTE);
    expect(world.alarms.map(({ state }) => state)).toEqual(['firing', 'resolved']);
  });

  it('are repeated every day', async () => {
    const world = new World({ places: places(1), timing: { pollMs: MINUTE } });
    world.at(place).refusal = failure('trust-rollback');
    world.resigner.start();
    await world.time.pass(3.5 * DAY);
    expect(world.alarms).toHaveLength(4);
  });

  it('wait some time where the cause may pass', async () => {
    const world = new World({ places: places(1) });
    world.outage = failure('registry-unreachable');
    world.resigner.start();
    await world.time.pass(10 * MINUTE);
    expect(world.alarms).toEqual([]);
    await world.time.pass(20 * MINUTE);
    expect(world.alarms.map(({ alarm }) => alarm.kind)).toEqual(['failing']);
  });

  it('are raised for what expires and only people can sign', async () => {
    const world = new World({ places: places(1), timing: { pollMs: HOUR } });
    world.at(place).expires = new Date(world.time.now().getTime() + 40 * DAY);
    world.resigner.start();
    await world.time.pass(9 * DAY);
    expect(world.alarms).toEqual([]);
    await world.time.pass(2 * DAY);
    expect(world.alarms.map(({ alarm }) => [alarm.kind, alarm.role, alarm.code])).toEqual([
      ['expiring', 'root', 'trust-expired'],
    ]);
  });
});

function materialOf(world: World) {
  return (
    world.resigner as unknown as {
      material: import('../../../src/servers/resigner/worker.ts').SigningMaterial;
    }
  ).material;
}

import { describe, expect, it } from 'vitest';
import { MemoryStore } from '../../../src/oci/memory.ts';
import type { PushManifestOptions } from '../../../src/oci/target.ts';
import { Rivals } from '../../../src/trust/candidates/competing-candidates.ts';
import type { Sibling } from '../../../src/trust/candidates/siblings.ts';
import type { Clock } from '../../../src/trust/format/ports.ts';
import { HEAD_TAG } from '../../../src/trust/format/vocabulary.ts';
import { publishNames } from '../../../src/trust/publish/publish.ts';
import { newCollection, pushHead } from '../../support/trust/collection.ts';
import { crowdCost, SharedClock } from '../../support/trust/crowd-cost.ts';
import { logOf, naming, publisher } from '../../support/trust/publishing.ts';
import { NOW } from '../../support/tuf/editing.ts';

/** A store whose requests take some time, and which counts heads and what announces them. */
class FarStore extends MemoryStore {
  heads = 0;
  candidates = 0;
  private readonly clock: Clock;
  private readonly latency: () => number;

  constructor(clock: Clock, latency: () => number) {
    super();
    this.clock = clock;
    this.latency = latency;
  }

  override async fetchManifest(
    ...args: Parameters<MemoryStore['fetchManifest']>
  ): ReturnType<MemoryStore['fetchManifest']> {
    await this.clock.sleep(this.latency());
    return await super.fetchManifest(...args);
  }

  override async listTags(...args: Parameters<MemoryStore['listTags']>): ReturnType<MemoryStore['listTags']> {
    await this.clock.sleep(this.latency());
    return await super.listTags(...args);
  }

  override async pushManifest(
    content: Parameters<MemoryStore['pushManifest']>[0],
    { expected: _, ...options }: PushManifestOptions = {},
  ): Promise<void> {
    await this.clock.sleep(this.latency());
    if (options.tag === HEAD_TAG) this.heads += 1;
    else this.candidates += 1;
    // As on registries without conditional requests.
    await super.pushManifest(content, options);
  }
}

describe('a crowd of publishers', () => {
  it.each([
    [4, 20, 0],
    [12, 200, 0],
    [24, 100, 20_000],
  ])(
    'of %i, with %i ms for a request, that come within %i ms, takes turns',
    async (size, latency, within) => {
      const clock = new SharedClock();
      const people = Array.from({ length: size }, (_, at) => publisher(at + 1, { clock }));
      const { chance } = publisher(1000).options;
      const store = new FarStore(clock, () => latency * (0.5 + chance.fraction()));
      await clock.run(newCollection().then((made) => pushHead(store, made)));
      [store.heads, store.candidates] = [0, 0];
      const durations: number[] = [];
      const publish = people.map(async ({ read, options }, at) => {
        await clock.sleep(within * chance.fraction());
        const begun = clock.now().getTime();
        const { ids } = await publishNames(store, read, naming({ [`v${at}`]: `image ${at}` }), options);
        durations.push(clock.now().getTime() - begun);
        return ids;
      });
      const ids = (await clock.run(Promise.all(publish))).flat();
      expect(new Set((await clock.run(logOf(store))).map(({ id }) => id))).toEqual(new Set(ids));
      // Whoever announces anew while others wait keeps them waiting, and they do the same to it.
      expect(Math.max(...durations)).toBeLessThan(10_000);
      expect(store.heads).toBeLessThan(size);
      expect(store.candidates).toBeLessThan(3 * size);
    },
  );

  it.each([
    [20, 0],
    [20, 5000],
  ])(
    'of 16, with %i ms for a request, that come within %i ms, hardly reads what it need not',
    async (latency, within) => {
      const { requests, lost, counts } = await crowdCost({ size: 16, latency, within, seed: 1 });
      expect(lost).toBe(0);
      // Each announces once, for about 15 requests, and all read the head a few times.
      expect(counts['candidate']).toBeLessThan(within === 0 ? 24 : 32);
      expect(requests).toBeLessThan(within === 0 ? 800 : 1100);
    },
  );
});

describe('the candidates that a publisher waits for', () => {
  const candidate = (version: number, identity: string) =>
    ({ timestamp: { version, identity } }) as unknown as Sibling;

  it('are those above its own that came lately, each once, whatever tags they lie at', () => {
    const rivals = new Rivals();
    const seen = [candidate(5, 'a'), candidate(6, 'b'), candidate(6, 'b'), candidate(2, 'c')];
    rivals.addOwn('d');
    rivals.note([...seen, candidate(9, 'd')], NOW);
    expect(rivals.countAbove([...seen, candidate(9, 'd')], 4, NOW)).toBe(2);
    // What a dead publisher has left, or what is in conflict, holds nobody up.
    expect(rivals.countAbove(seen, 4, new Date(NOW.getTime() + 16_000))).toBe(0);
    expect(rivals.countAbove([{ timestamp: undefined } as unknown as Sibling], 0, NOW)).toBe(0);
  });
});

import { describe, expect, it } from 'vitest';
import { MemoryStore } from '../../../src/oci/memory.ts';
import type { PushManifestOptions } from '../../../src/oci/target.ts';
import type { Clock } from '../../../src/trust/format/ports.ts';
import { HEAD_TAG } from '../../../src/trust/format/vocabulary.ts';
import { publishNames } from '../../../src/trust/publish/publish.ts';
import { newCollection, pushHead } from '../../support/trust/collection.ts';
import { logOf, naming, publisher } from '../../support/trust/publishing.ts';
import { NOW } from '../../support/tuf/editing.ts';

/** Time that all share, and that goes on only when everybody sleeps. */
class SharedClock implements Clock {
  private time = NOW.getTime();
  private readonly sleepers: { readonly until: number; readonly wake: () => void }[] = [];

  now(): Date {
    return new Date(this.time);
  }

  sleep(ms: number): Promise<void> {
    return new Promise((wake) => this.sleepers.push({ until: this.time + ms, wake }));
  }

  /** Lets time pass until the work ends. */
  async run<T>(work: Promise<T>): Promise<T> {
    let isOver = false;
    const over = () => {
      isOver = true;
    };
    work.then(over, over);
    while (!isOver) {
      // Whoever was woken goes on until it sleeps again.
      for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
      this.sleepers.sort((a, b) => a.until - b.until);
      const next = this.sleepers.shift();
      if (next === undefined) continue;
      this.time = next.until;
      next.wake();
    }
    return await work;
  }
}

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
});

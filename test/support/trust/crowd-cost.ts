import { MemoryStore } from '../../../src/oci/memory.ts';
import type { Clock } from '../../../src/trust/format/ports.ts';
import { publishNames } from '../../../src/trust/publish/publish.ts';
import type { TufSigner } from '../../../src/tuf/edit/signing.ts';
import { NOW, ONLINE, PUBLISHER, signersOf } from '../tuf/editing.ts';
import { poolKey } from '../tuf/keys.ts';
import { newCollection, pushHead } from './collection.ts';
import { logOf, naming, publisher } from './publishing.ts';

/** Time that all share, and that goes on only when all of them sleep. */
export class SharedClock implements Clock {
  private time = NOW.getTime();
  private readonly sleepers: { readonly until: number; readonly wake: () => void }[] = [];

  now(): Date {
    return new Date(this.time);
  }

  sleep(ms: number): Promise<void> {
    return new Promise((wake) => this.sleepers.push({ until: this.time + ms, wake }));
  }

  async run<T>(work: Promise<T>): Promise<T> {
    let isOver = false;
    const over = () => {
      isOver = true;
    };
    work.then(over, over);
    while (!isOver) {
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

/** Cores that all share: work takes turns on them. */
class Cores {
  private readonly free: number[];
  used = 0;
  private readonly clock: Clock;

  constructor(clock: Clock, count: number) {
    this.clock = clock;
    this.free = Array.from({ length: count }, () => clock.now().getTime());
  }

  async work(ms: number): Promise<void> {
    this.used += ms;
    const now = this.clock.now().getTime();
    const at = this.free.indexOf(Math.min(...this.free));
    const begin = Math.max(now, this.free[at] as number);
    this.free[at] = begin + ms;
    await this.clock.sleep(begin + ms - now);
  }
}

type Counts = Record<string, number>;

/** The store as one publisher reaches it: each request takes time, and some processor time on both sides. */
function reach(
  store: MemoryStore,
  clock: Clock,
  cores: Cores,
  counts: Counts,
  latency: () => number,
  cpu: number,
): MemoryStore {
  const requests: Record<string, number> = { pushBlob: 3 };
  return new Proxy(store, {
    get(target, name, receiver) {
      const value = Reflect.get(target, name, receiver) as unknown;
      const isCall = [
        'fetchManifest',
        'fetchManifestUnless',
        'listTags',
        'pushManifest',
        'pushBlob',
        'fetchBlob',
        'deleteTag',
        'deleteManifest',
      ].includes(String(name));
      if (typeof value !== 'function' || !isCall)
        return typeof value === 'function' ? value.bind(target) : value;
      return async (...args: unknown[]) => {
        const [content, options] = args as [unknown, { tag?: string; expected?: unknown } | undefined];
        const label =
          name === 'pushManifest' ? (options?.tag === '_trust' ? 'head' : 'candidate') : String(name);
        const times = requests[String(name)] ?? 1;
        counts[label] = (counts[label] ?? 0) + 1;
        counts['requests'] = (counts['requests'] ?? 0) + times;
        await cores.work(cpu * times);
        await clock.sleep(latency() * times);
        if (name === 'pushManifest')
          return await target.pushManifest(content as never, { ...options, expected: undefined } as never);
        return await (value as (...all: unknown[]) => unknown).apply(target, args);
      };
    },
  });
}

export interface CrowdCost {
  readonly requests: number;
  readonly wall: number;
  readonly cpu: number;
  readonly counts: Counts;
  readonly lost: number;
  readonly rounds: number;
}

export interface CrowdSetting {
  readonly size: number;
  /** Of one request, in milliseconds, beside what the processors take. */
  readonly latency: number;
  readonly within: number;
  readonly seed: number;
  readonly cores?: number;
}

/** Lets a crowd publish one name each, and counts what that takes. */
export async function crowdCost({
  size,
  latency,
  within,
  seed,
  cores: count = 2,
}: CrowdSetting): Promise<CrowdCost> {
  const clock = new SharedClock();
  const { chance } = publisher(seed).options;
  const store = new MemoryStore();
  await clock.run(newCollection().then((made) => pushHead(store, made)));
  const cores = new Cores(clock, count);
  const counts: Counts = {};
  let rounds = 0;
  const begun = clock.now().getTime();
  const work = Array.from({ length: size }, async (_, at) => {
    const slow = (signer: TufSigner): TufSigner => ({
      key: signer.key,
      sign: async (message) => {
        await cores.work(15);
        return await signer.sign(message);
      },
    });
    const signers = signersOf(poolKey(PUBLISHER), poolKey(ONLINE)).map(slow);
    const { read, options } = publisher(seed * 1000 + at, { clock, signers });
    await clock.sleep(within * chance.fraction());
    // Node starts.
    await cores.work(350);
    const own = reach(store, clock, cores, counts, () => latency * (0.5 + chance.fraction()), 4);
    const result = await publishNames(own, read, naming({ [`v${at}`]: `image ${at}` }), options);
    rounds += result.rounds;
    return result.ids;
  });
  const ids = (await clock.run(Promise.all(work))).flat();
  const wall = clock.now().getTime() - begun;
  const held = new Set((await clock.run(logOf(store))).map(({ id }) => id));
  const lost = ids.filter((id) => !held.has(id)).length;
  return { requests: counts['requests'] ?? 0, wall, cpu: cores.used, counts, lost, rounds };
}

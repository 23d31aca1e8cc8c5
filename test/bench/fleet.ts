import { type Lives, publishedPerDay, renewalsPerDay, USUAL_LIVES } from './renewal-arrivals.ts';

/** What one piece of work takes: `make bench BENCH=renewals BENCH_SIZE=full` measures it. */
export interface UnitCost {
  readonly cpuMs: number;
  readonly requests: number;
  readonly writes: number;
  /** Of bodies, both ways. */
  readonly bytes: number;
}

/** As measured for docs/scale.md, rounded up. */
export const UNIT_COSTS: {
  readonly renewal: UnitCost;
  readonly change: UnitCost;
  readonly look: UnitCost;
  readonly signature: UnitCost;
  readonly name: UnitCost;
} = {
  renewal: { cpuMs: 47, requests: 22, writes: 6, bytes: 31_400 },
  change: { cpuMs: 91, requests: 33, writes: 8, bytes: 27_500 },
  look: { cpuMs: 1.4, requests: 2, writes: 0, bytes: 80 },
  signature: { cpuMs: 7.3, requests: 3, writes: 0, bytes: 2_800 },
  name: { cpuMs: 14, requests: 2, writes: 0, bytes: 400 },
};

/** How much there is to do. */
export interface Fleet {
  readonly collections: number;
  readonly lives: Lives;
  /** How often a head is looked at that no notification is about. */
  readonly looksPerDay: number;
  readonly clusters: number;
  readonly podsPerDay: number;
  readonly imagesPerPod: number;
}

/** A thousand clusters and ten million collections. */
export const PLANNED: Fleet = {
  collections: 10_000_000,
  lives: USUAL_LIVES,
  looksPerDay: 4,
  clusters: 1_000,
  podsPerDay: 10_000,
  imagesPerPod: 3,
};

/** Work of one kind in one day. */
export interface DailyWork {
  readonly name: string;
  readonly pieces: number;
  readonly requests: number;
  readonly writes: number;
  readonly bytes: number;
  readonly cpuHours: number;
}

/** What a fleet has to do in a day, by kind. */
export function dailyWork(fleet: Fleet, costs: typeof UNIT_COSTS = UNIT_COSTS): readonly DailyWork[] {
  const { collections, lives, looksPerDay, clusters, podsPerDay, imagesPerPod } = fleet;
  const images = clusters * podsPerDay * imagesPerPod;
  return [
    work('renewals', collections * renewalsPerDay(lives), costs.renewal),
    work('adopted changes', collections * publishedPerDay(lives), costs.change),
    work('looks', collections * looksPerDay, costs.look),
    work('verified signatures', images, costs.signature),
    work('verified names', images, costs.name),
  ];
}

function work(name: string, pieces: number, { cpuMs, requests, writes, bytes }: UnitCost): DailyWork {
  return {
    ...{ name, pieces, requests: pieces * requests, writes: pieces * writes, bytes: pieces * bytes },
    cpuHours: (pieces * cpuMs) / 3_600_000,
  };
}

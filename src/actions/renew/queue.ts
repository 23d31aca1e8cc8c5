import { Heap } from './heap.ts';
import type { Failure, Outcome } from './report.ts';
import { backOff, type ResignTiming } from './timing.ts';

/** A collection whose turn it is. */
export interface Ticket {
  readonly place: string;
  readonly registry: string;
  /** When it was handed out. */
  readonly since: number;
}

/** What the queue has to know of how a step ended. */
export interface StepResult {
  readonly outcome: Outcome;
  /** It was useful: it did work, or another publisher had moved the head. */
  readonly isProductive: boolean;
}

interface Entry {
  readonly place: string;
  readonly registry: Registry;
  /** Number of its present place in a heap: older items of it there are void. */
  stamp: number;
  /** It may not be served before, whatever triggers it. */
  notBefore: number;
  /** Failures in a row, or changes to no purpose. */
  troubles: number;
  /** What serving it takes when there is nothing to do for it, in milliseconds; it falls slower than it rises. */
  cost: number;
  isSlow: boolean;
  isRunning: boolean;
  wasWoken: boolean;
  isGone: boolean;
}

interface Item {
  readonly entry: Entry;
  readonly stamp: number;
}

interface Registry {
  readonly name: string;
  /** By cost, the cheapest first: of each class those that something happened to, then the others. */
  readonly quick: readonly Heap<Item>[];
  readonly slow: Heap<Item>;
  readonly running: Map<Entry, { readonly since: number; isSlow: boolean }>;
  /** Collections that could not reach it since it last answered. */
  readonly failing: Set<Entry>;
  pauses: number;
  pausedUntil: number;
  turn: number;
}

/** Longest that one Retry-After is obeyed, in milliseconds. */
const LONGEST_RETRY_AFTER_MS = 10 * 60_000;
const LONGEST_OUTAGE_PAUSE_MS = 60_000;
/** Bounds of the classes of cost, in milliseconds. */
const COST_CLASSES = [100, 400, 1600] as const;
/** Every so many-th slot rotates among those that are not the first in line, so that none starves. */
const OTHERS_TURN = 4;

/**
 * Whose turn it is, with fairness in mind: one registry's troubles don't touch another's; in one registry,
 * what takes little goes before what takes much, what is slow has places of its own, and what fails or keeps
 * changing to no purpose rests for ever longer.
 * Pure: times are milliseconds of a clock that never goes back, handed in.
 */
export class ResignQueue {
  private readonly timing: ResignTiming;
  private readonly quickSlots: number;
  private readonly slowSlots: number;
  private readonly fraction: () => number;
  private readonly entries = new Map<string, Entry>();
  private readonly registries = new Map<string, Registry>();

  /** @param slots steps at the same time in one registry @param fraction chance, in [0, 1) */
  constructor(timing: ResignTiming, slots: number, fraction: () => number) {
    this.timing = timing;
    this.slowSlots = Math.max(1, Math.floor(slots / 4));
    this.quickSlots = Math.max(1, slots - this.slowSlots);
    this.fraction = fraction;
  }

  get size(): number {
    return this.entries.size;
  }

  has(place: string): boolean {
    return this.entries.has(place);
  }

  /** Adds a collection, to be served at once. */
  add(place: string, registry: string, now: number): void {
    if (this.entries.has(place)) return;
    const entry: Entry = {
      place,
      registry: this.registryOf(registry),
      stamp: 0,
      notBefore: now,
      troubles: 0,
      cost: 0,
      isSlow: false,
      isRunning: false,
      wasWoken: false,
      isGone: false,
    };
    this.entries.set(place, entry);
    this.schedule(entry, now, false);
  }

  /** Takes one out; a step that is running may end. */
  remove(place: string): void {
    const entry = this.entries.get(place);
    if (entry === undefined) return;
    entry.isGone = true;
    entry.stamp++;
    this.entries.delete(place);
  }

  /** Something happened there: it is served as soon as it may. @returns whether it is known */
  wake(place: string, now: number): boolean {
    const entry = this.entries.get(place);
    if (entry === undefined) return false;
    if (entry.isRunning) entry.wasWoken = true;
    else this.schedule(entry, Math.max(now, entry.notBefore), true);
    return true;
  }

  /** The next one that is due; undefined if none is due, or all slots are taken. */
  take(now: number): Ticket | undefined {
    for (const registry of this.registries.values()) {
      const entry = this.takeFrom(registry, now);
      if (entry === undefined) continue;
      entry.isRunning = true;
      entry.stamp++;
      registry.running.set(entry, { since: now, isSlow: entry.isSlow });
      return { place: entry.place, registry: registry.name, since: now };
    }
    return undefined;
  }

  /** When {@link take} may find one that is due, if nothing else happens. */
  nextAt(now: number): number | undefined {
    let next: number | undefined;
    for (const registry of this.registries.values()) {
      for (const [heap, free] of this.lanes(registry, now)) {
        const at = free ? topOf(heap)?.at : undefined;
        if (at !== undefined) next = Math.min(next ?? Infinity, Math.max(at, registry.pausedUntil));
      }
      // A quick place is given back when what sits in it turns out to be slow.
      for (const { since, isSlow } of registry.running.values())
        if (!isSlow) next = Math.min(next ?? Infinity, Math.max(now + 1, since + this.timing.quickMs));
    }
    return next;
  }

  /** A step has ended. */
  done({ place, registry: name, since }: Ticket, { outcome, isProductive }: StepResult, now: number): void {
    const registry = this.registryOf(name);
    const entry = [...registry.running.keys()].find((running) => running.place === place);
    if (entry === undefined) return;
    registry.running.delete(entry);
    entry.isRunning = false;
    const took = now - since;
    entry.isSlow = took > this.timing.quickMs;
    // Useful work does not count against a collection.
    if (!isProductive) entry.cost = Math.max(took, 0.8 * entry.cost + 0.2 * took);
    const { pollMs, absentMs } = this.timing;
    if (outcome.kind === 'failed') this.noteFailure(entry, outcome.failure, now, took);
    else {
      answered(registry);
      entry.troubles = isProductive || outcome.kind !== 'passed' ? 0 : entry.troubles + 1;
      const rest = entry.troubles === 0 ? 0 : this.pauseOf(entry, took);
      entry.notBefore = now + rest;
      const usual = outcome.kind === 'absent' ? absentMs : pollMs;
      if (!entry.wasWoken) this.schedule(entry, now + Math.max(rest, this.spread(usual)), false);
    }
    if (entry.wasWoken && !entry.isGone) this.schedule(entry, Math.max(now, entry.notBefore), true);
    entry.wasWoken = false;
    if (entry.isGone) entry.stamp++;
  }

  /** Registries that are left alone for now, and until when. */
  *paused(now: number): Iterable<{ readonly registry: string; readonly until: number }> {
    for (const { name, pausedUntil } of this.registries.values())
      if (pausedUntil > now) yield { registry: name, until: pausedUntil };
  }

  private noteFailure(entry: Entry, failure: Failure, now: number, took: number): void {
    const { registry } = entry;
    const wasPaused = registry.pauses > 0;
    if (isOfRegistry(failure)) this.noteOutage(entry, failure, now);
    // That it used up its time does not tell whether the registry answers others.
    else if (failure.isOverBudget !== true) answered(registry);
    if (failure.isOverBudget === true) entry.isSlow = true;
    // Where the registry is away, its own pause is enough: afterwards all are to be fresh soon.
    if (!wasPaused || registry.pauses === 0) entry.troubles++;
    entry.notBefore = now + this.pauseOf(entry, took);
    if (!entry.wasWoken) this.schedule(entry, entry.notBefore, false);
  }

  private noteOutage(entry: Entry, { retryAfterMs }: Failure, now: number): void {
    const { registry } = entry;
    registry.failing.add(entry);
    if (retryAfterMs !== undefined) {
      registry.pausedUntil = Math.max(
        registry.pausedUntil,
        now + Math.min(retryAfterMs, LONGEST_RETRY_AFTER_MS),
      );
      registry.pauses ||= 1;
      return;
    }
    // One collection alone could be the cause of its own trouble.
    const isAlone = this.countIn(registry) === 1;
    if (registry.failing.size < 2 && !isAlone) return;
    if (now < registry.pausedUntil) return;
    registry.pauses++;
    registry.pausedUntil = now + backOff(registry.pauses, LONGEST_OUTAGE_PAUSE_MS, this.fraction());
  }

  private countIn(registry: Registry): number {
    let count = 0;
    for (const entry of this.entries.values()) if (entry.registry === registry && ++count > 1) break;
    return count;
  }

  /** What took long waits long: a slow collection takes a fifth of one slot, not all of it. */
  private pauseOf(entry: Entry, took: number): number {
    const { longestPauseMs } = this.timing;
    const pause = backOff(Math.max(1, entry.troubles), longestPauseMs, this.fraction());
    return Math.min(longestPauseMs, Math.max(pause, 4 * took));
  }

  private spread(ms: number): number {
    return ms * (0.9 + this.fraction() / 5);
  }

  private schedule(entry: Entry, at: number, isUrgent: boolean): void {
    if (entry.isGone) return;
    entry.stamp++;
    const { slow, quick } = entry.registry;
    const heap = entry.isSlow ? slow : quick[2 * classOf(entry.cost) + (isUrgent ? 0 : 1)];
    heap?.push(at, { entry, stamp: entry.stamp });
  }

  private takeFrom(registry: Registry, now: number): Entry | undefined {
    if (now < registry.pausedUntil) return undefined;
    const ready = this.lanes(registry, now).flatMap(([heap, free]) => {
      const top = free ? topOf(heap) : undefined;
      return top !== undefined && top.at <= now ? [heap] : [];
    });
    if (ready.length === 0) return undefined;
    const turn = registry.turn++;
    const isForOthers = turn % OTHERS_TURN === OTHERS_TURN - 1 && ready.length > 1;
    const at = isForOthers ? 1 + (Math.floor(turn / OTHERS_TURN) % (ready.length - 1)) : 0;
    return ready[at]?.pop()?.entry;
  }

  /** Who waits, by how soon they are served, and whether there is a place for them. */
  private lanes(registry: Registry, now: number): readonly (readonly [Heap<Item>, boolean])[] {
    let [quick, slow] = [0, 0];
    for (const running of registry.running.values()) {
      if (!running.isSlow && now - running.since >= this.timing.quickMs) running.isSlow = true;
      if (running.isSlow) slow++;
      else quick++;
    }
    // After an outage one asks first.
    const isProbing = registry.pauses > 0 && registry.running.size > 0;
    const quickFree = !isProbing && quick < this.quickSlots;
    return [
      [registry.slow, !isProbing && slow < this.slowSlots],
      ...registry.quick.map((heap) => [heap, quickFree] as const),
    ];
  }

  private registryOf(name: string): Registry {
    let registry = this.registries.get(name);
    if (registry === undefined) {
      registry = {
        name,
        quick: Array.from({ length: 2 * (COST_CLASSES.length + 1) }, () => new Heap<Item>()),
        slow: new Heap(),
        running: new Map(),
        failing: new Set(),
        pauses: 0,
        pausedUntil: Number.NEGATIVE_INFINITY,
        turn: 0,
      };
      this.registries.set(name, registry);
    }
    return registry;
  }
}

/** Whether a failure says something about the registry rather than about one collection. */
function isOfRegistry({ code, isOverBudget, retryAfterMs, status }: Failure): boolean {
  if (isOverBudget === true) return false;
  if (code === 'registry-error') return (status ?? 0) >= 500 || retryAfterMs !== undefined;
  return code === 'registry-unreachable' || code === 'registry-throttled' || code === 'timeout';
}

function classOf(cost: number): number {
  const at = COST_CLASSES.findIndex((bound) => cost <= bound);
  return at < 0 ? COST_CLASSES.length : at;
}

function answered(registry: Registry): void {
  registry.failing.clear();
  registry.pauses = 0;
}

/** The first item that still counts. */
function topOf(heap: Heap<Item>): { readonly at: number; readonly value: Item } | undefined {
  for (let top = heap.peek(); top !== undefined; top = heap.peek()) {
    if (top.value.stamp === top.value.entry.stamp) return top;
    heap.pop();
  }
  return undefined;
}

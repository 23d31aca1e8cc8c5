import { createHash } from 'node:crypto';
import { throwIfAborted } from '../../../src/errors.ts';
import type { MemoryStore } from '../../../src/oci/memory.ts';
import type { LogEntry, NamedContent } from '../../../src/trust/format/log.ts';
import type { Clock, Random, TrustTarget } from '../../../src/trust/format/ports.ts';
import { NAMES_ROLE } from '../../../src/trust/format/vocabulary.ts';
import type { PublishOptions } from '../../../src/trust/publish/publish-options.ts';
import { ProcessSignerState } from '../../../src/trust/publish/signer-state.ts';
import type { NameChange } from '../../../src/trust/publish/work.ts';
import {
  anyFirstRoot,
  type Collection,
  type ReadOptions,
  readCollection,
} from '../../../src/trust/read/collection.ts';
import { ProcessMemory } from '../../../src/trust/read/memory.ts';
import { WorkingCopy } from '../../../src/trust/read/working-copy.ts';
import { NOW, ONLINE, PUBLISHER, signersOf } from '../tuf/editing.ts';
import { poolKey } from '../tuf/keys.ts';
import { PLACE } from './collection.ts';

/** A clock that goes on only by waiting, or when it is told to. */
export class FakeClock implements Clock {
  private time: number;
  /** Called after each sleep: others get their turn then. */
  onSleep: (() => Promise<void> | void) | undefined;

  constructor(start: Date = NOW) {
    this.time = start.getTime();
  }

  now(): Date {
    return new Date(this.time);
  }

  async sleep(ms: number, signal?: AbortSignal): Promise<void> {
    throwIfAborted(signal);
    this.time += ms;
    await new Promise((resolve) => setImmediate(resolve));
    await this.onSleep?.();
  }

  pass(ms: number): void {
    this.time += ms;
  }
}

/** Random that repeats itself from a seed (mulberry32). */
export class FakeChance implements Random {
  private state: number;

  constructor(seed = 1) {
    this.state = seed;
  }

  fraction(): number {
    this.state = (this.state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(this.state ^ (this.state >>> 15), 1 | this.state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }

  below(range: number): number {
    return Math.floor(this.fraction() * range);
  }

  changeId(): string {
    return Array.from({ length: 32 }, () => Math.floor(this.fraction() * 16).toString(16)).join('');
  }
}

export function reading(change: Partial<ReadOptions> = {}): ReadOptions {
  return {
    place: PLACE,
    now: NOW,
    memory: new ProcessMemory(),
    anchor: anyFirstRoot,
    isPinned: false,
    isNamed: (name) => name === PLACE,
    ...change,
  };
}

/** A publisher with the keys of `names` and online, a clock and chance of its own, and lasting state. */
export interface TestPublisher {
  readonly read: ReadOptions;
  readonly options: PublishOptions;
  readonly clock: FakeClock;
}

export function publisher(
  seed = 1,
  change: Partial<PublishOptions> = {},
  clock: FakeClock = new FakeClock(),
): TestPublisher {
  const options: PublishOptions = {
    clock,
    chance: new FakeChance(seed),
    signers: signersOf(poolKey(PUBLISHER), poolKey(ONLINE)),
    state: new ProcessSignerState(true),
    ...change,
  };
  return { read: reading(), options, clock };
}

export function contentOf(text: string): NamedContent {
  return { length: text.length, sha256: createHash('sha256').update(text).digest('hex') };
}

/** Names to be set, each to a content of that text. */
export function naming(names: Readonly<Record<string, string>>, role: string = NAMES_ROLE): NameChange[] {
  return [{ role, set: new Map(Object.entries(names).map(([name, text]) => [name, contentOf(text)])) }];
}

export function revoking(...names: string[]): NameChange[] {
  return [{ unset: new Set(names) }];
}

/** The collection as a client without memory finds it. */
export async function freshRead(store: TrustTarget, now: Date = NOW): Promise<Collection> {
  return (await readCollection(store, reading({ now }))) as Collection;
}

/** What a client without memory reads of names: the hash, or undefined. */
export async function hashesOf(
  store: TrustTarget,
  names: readonly string[],
  now: Date = NOW,
): Promise<Record<string, string | undefined>> {
  const { client } = await freshRead(store, now);
  const found: Record<string, string | undefined> = {};
  for (const name of names) {
    found[name] = undefined;
    for await (const { target } of client.findTargets(name)) {
      found[name] = target.hashes.get('sha256');
      break;
    }
  }
  return found;
}

/** The entries in the log of a role, as a client without memory finds them. */
export async function logOf(
  store: TrustTarget,
  role: string = NAMES_ROLE,
  now: Date = NOW,
): Promise<readonly LogEntry[]> {
  return (await (await WorkingCopy.open(await freshRead(store, now))).log(role)).entries;
}

export type { MemoryStore };

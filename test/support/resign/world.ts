import { onTestFinished } from 'vitest';
import type { AlarmEvent } from '../../../src/actions/renew/alarms.ts';
import { DEFAULT_ALARMS } from '../../../src/actions/renew/alarms.ts';
import type { RenewedCollection } from '../../../src/actions/renew/report.ts';
import { DEFAULT_TIMING } from '../../../src/actions/renew/timing.ts';
import { utf8 } from '../../../src/encoding/bytes.ts';
import { BullaError } from '../../../src/errors.ts';
import { type Digest, digestOf } from '../../../src/oci/digest.ts';
import type { RegistryReference, Tag } from '../../../src/oci/reference.ts';
import { Resigner, type ResignerOptions } from '../../../src/servers/resigner/resigner.ts';
import type { ServedTarget } from '../../../src/servers/resigner/worker.ts';
import { ProcessSignerState } from '../../../src/trust/publish/signer-state.ts';
import { ProcessMemory } from '../../../src/trust/read/memory.ts';
import type { Pin } from '../../../src/trust/read/pin.ts';
import { VirtualTime } from './virtual-time.ts';

const DAY = 86_400_000;
export const LIFETIME: number = 14 * DAY;

/** One repository of a pretended registry: a counter for a head, and what is staged. */
export class FakeCollection {
  version = 1;
  readonly tags: Set<string> = new Set();
  signedAt: Date;
  /** How long each answer takes, in milliseconds. */
  answerMs = 1;
  /** What each request fails with. */
  failure: BullaError | undefined;
  /** What a pass fails with. */
  refusal: BullaError | undefined;
  exists = true;
  /** Stages that a pass takes in; others are litter that it has to look at. */
  readonly good: Set<string> = new Set();
  passes = 0;
  readonly foldedAt: Map<string, number> = new Map();
  /** Expiry of roles that only people sign. */
  expires: Date;

  constructor(now: Date) {
    this.signedAt = now;
    this.expires = new Date(now.getTime() + 365 * DAY);
  }

  get head(): Digest {
    return digestOf(utf8(`head ${this.version}`));
  }

  stage(name: string, isGood = true): void {
    const tag = `_trust.stage.${name}`;
    this.tags.add(tag);
    if (isGood) this.good.add(tag);
  }
}

export interface WorldOptions {
  readonly places: readonly string[];
  readonly pins?: readonly Pin[];
  readonly config?: Partial<ResignerOptions['config']>;
  readonly timing?: Partial<ResignerOptions['config']['timing']>;
  readonly shard?: ResignerOptions['shard'];
}

/** A registry of pretended collections and a re-signer that looks after them, in virtual time. */
export class World {
  readonly time: VirtualTime = new VirtualTime();
  readonly collections: Map<string, FakeCollection> = new Map();
  readonly requests: { readonly at: number; readonly what: string; readonly place: string }[] = [];
  readonly log: Readonly<Record<string, unknown>>[] = [];
  readonly alarms: AlarmEvent[] = [];
  readonly resigner: Resigner;
  /** What every request to this registry fails with. */
  outage: BullaError | undefined;
  private seed = 1;

  constructor({ places, pins, config, timing, shard }: WorldOptions) {
    for (const place of places) this.collections.set(place, new FakeCollection(this.time.now()));
    this.resigner = new Resigner({
      config: {
        timing: { ...DEFAULT_TIMING, ...timing },
        catalogueMs: 60_000,
        concurrency: 8,
        listEveryMs: 0,
        alarms: DEFAULT_ALARMS,
        ...config,
      },
      material: {
        pins: pins ?? places.map(pinOf),
        signers: [{} as never],
        state: new ProcessSignerState(true),
        memory: () => new ProcessMemory(),
      },
      core: (target, _read, { renew, signal }) => this.pass(target.name, renew, signal),
      clock: this.time,
      monotonic: this.time.monotonic,
      fraction: () => this.fraction(),
      target: async (reference) => this.target(reference),
      list: (registry) => this.list(registry),
      ...(shard !== undefined && { shard }),
      log: (entry) => this.log.push(entry),
      alarms: { send: (events) => this.alarms.push(...events), close: async () => undefined },
    });
    onTestFinished(() => this.time.until(this.resigner.close(1_000)));
  }

  at(place: string): FakeCollection {
    return this.collections.get(place) as FakeCollection;
  }

  /** Requests since some time, by what was asked. */
  count(what: string, since = 0): number {
    return this.requests.filter((request) => request.what === what && request.at >= since).length;
  }

  /** Chance that is the same in each run. */
  private fraction(): number {
    this.seed = (this.seed * 48_271) % 2_147_483_647;
    return this.seed / 2_147_483_647;
  }

  private target({ registry, repository }: RegistryReference): ServedTarget {
    const name = `${registry}/${repository}`;
    const ask = (what: string, signal?: AbortSignal): Promise<FakeCollection> => this.ask(what, name, signal);
    return {
      name,
      resolve: async (_: Tag, options: { signal?: AbortSignal } = {}) => {
        const { head } = await ask('resolve', options.signal);
        return { mediaType: 'application/json', digest: head, size: 1 };
      },
      fetchManifestUnless: async (_: Tag, known: Digest, options: { signal?: AbortSignal } = {}) =>
        (await ask('check', options.signal)).head === known ? undefined : {},
      listTags: async (options: { signal?: AbortSignal } = {}) => [
        ...(await ask('list', options.signal)).tags,
      ],
    } as unknown as ServedTarget;
  }

  private async ask(what: string, place: string, signal?: AbortSignal): Promise<FakeCollection> {
    this.requests.push({ at: this.time.monotonic(), what, place });
    const collection = this.collections.get(place);
    await this.time.sleep(collection?.answerMs ?? 1, signal);
    if (this.outage !== undefined) throw this.outage;
    if (collection?.failure !== undefined) throw collection.failure;
    if (collection?.exists === true || what === 'list')
      return collection ?? new FakeCollection(this.time.now());
    throw new BullaError('not-found', 'no such tag', { hint: 'none' });
  }

  private async pass(place: string, renew: boolean, signal: AbortSignal): Promise<RenewedCollection> {
    const collection = await this.ask('pass', place, signal);
    collection.passes++;
    if (collection.refusal !== undefined) throw collection.refusal;
    // Each thing that lies there has to be looked at.
    for (const tag of collection.tags) if (!collection.good.has(tag)) await this.time.sleep(50, signal);
    const folded = [...collection.good].filter((tag) => collection.tags.delete(tag));
    collection.good.clear();
    for (const tag of folded) collection.foldedAt.set(tag, this.time.monotonic());
    const isDone = folded.length > 0 || renew;
    if (isDone) {
      collection.version++;
      collection.signedAt = this.time.now();
    }
    const expires = new Date(collection.signedAt.getTime() + LIFETIME);
    return {
      head: collection.head,
      work: folded.length > 0 ? 'folded' : renew ? 'renewed' : 'fresh',
      folded: folded.length,
      conflicts: [],
      expiries: new Map([
        ['timestamp', expires],
        ['snapshot', expires],
        ['root', collection.expires],
      ]),
      renewAt: new Date(expires.getTime() - LIFETIME / 2),
      lifetimeMs: LIFETIME,
    };
  }

  private async *list(registry: string): AsyncGenerator<string> {
    this.requests.push({ at: this.time.monotonic(), what: 'catalogue', place: registry });
    if (this.outage !== undefined) throw this.outage;
    for (const place of this.collections.keys())
      if (place.startsWith(`${registry}/`)) yield place.slice(registry.length + 1);
  }
}

export function pinOf(scope: string): Pin {
  return { scope, trust: { kind: 'key-ids', keyIds: ['a'.repeat(64)] } };
}

/** Names of so many repositories of one registry. */
export function places(count: number, registry = 'registry.example.com'): string[] {
  return Array.from({ length: count }, (_, n) => `${registry}/team/app${n}`);
}

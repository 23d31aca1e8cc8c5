import { onTestFinished } from 'vitest';
import { type AlarmEvent, DEFAULT_ALARMS } from '../../../src/actions/renew/alarms.ts';
import { resignOnce } from '../../../src/actions/renew/core.ts';
import { DEFAULT_TIMING, type ResignTiming } from '../../../src/actions/renew/timing.ts';
import type { BullaError } from '../../../src/errors.ts';
import type { Digest } from '../../../src/oci/digest.ts';
import type { ManifestContent } from '../../../src/oci/manifest.ts';
import { MemoryStore } from '../../../src/oci/memory.ts';
import type { Tag } from '../../../src/oci/reference.ts';
import type { CallOptions, PushManifestOptions } from '../../../src/oci/target.ts';
import { Resigner } from '../../../src/servers/resigner/resigner.ts';
import { collectionIdOf } from '../../../src/trust/format/binding.ts';
import { HEAD_TAG } from '../../../src/trust/format/vocabulary.ts';
import type { PublishOptions } from '../../../src/trust/publish/publish-options.ts';
import { ProcessSignerState, type SignerState } from '../../../src/trust/publish/signer-state.ts';
import { ProcessMemory, type TrustMemory } from '../../../src/trust/read/memory.ts';
import type { Pin } from '../../../src/trust/read/pin.ts';
import type { TufSigner } from '../../../src/tuf/edit/signing.ts';
import { newCollection, pushHead } from '../trust/collection.ts';
import { FakeChance } from '../trust/publishing.ts';
import { ONLINE, PUBLISHER, ROOT, signersOf } from '../tuf/editing.ts';
import { poolKey } from '../tuf/keys.ts';
import { VirtualTime } from './virtual-time.ts';

/** A repository in memory that counts, and that can be told to fail. */
export class WatchedStore extends MemoryStore {
  readonly heads: Digest[] = [];
  requests = 0;
  outage: BullaError | undefined;

  override async fetchManifest(reference: Tag | Digest, options?: CallOptions): Promise<ManifestContent> {
    this.requests++;
    if (this.outage !== undefined) throw this.outage;
    return await super.fetchManifest(reference, options);
  }

  override async pushManifest(content: ManifestContent, options: PushManifestOptions = {}): Promise<void> {
    this.requests++;
    if (this.outage !== undefined) throw this.outage;
    await super.pushManifest(content, options);
    if (options.tag === HEAD_TAG) this.heads.push(content.descriptor.digest);
  }
}

export interface RunOptions {
  readonly state?: SignerState;
  readonly memory?: () => TrustMemory;
  readonly signers?: readonly TufSigner[];
  readonly pins?: readonly Pin[];
  readonly timing?: Partial<ResignTiming>;
  readonly seed?: number;
}

/** A re-signer that runs, and what it said. */
export interface Run {
  readonly resigner: Resigner;
  readonly alarms: AlarmEvent[];
  readonly log: Readonly<Record<string, unknown>>[];
  stop(): Promise<void>;
}

/** Collections with real keys and metadata in memory, looked after in virtual time. */
export class RealWorld {
  readonly time: VirtualTime = new VirtualTime();
  readonly stores: Map<string, WatchedStore> = new Map();
  private readonly ids = new Map<string, string>();

  /** A collection at a place. @param name that it carries, if not the place's */
  async add(place: string, name: string = place): Promise<WatchedStore> {
    const store = new WatchedStore(place);
    const made = await newCollection(name, this.time.now());
    await pushHead(store, made);
    store.heads.length = 0;
    this.stores.set(place, store);
    this.ids.set(place, collectionIdOf((made.files.roots[0] as { bytes: Uint8Array }).bytes));
    return store;
  }

  run(options: RunOptions = {}): Run {
    const alarms: AlarmEvent[] = [];
    const log: Readonly<Record<string, unknown>>[] = [];
    const chance = new FakeChance(options.seed ?? 1);
    const memory = new ProcessMemory();
    const resigner = new Resigner({
      config: {
        timing: { ...DEFAULT_TIMING, ...options.timing },
        catalogueMs: 60_000,
        concurrency: 8,
        listEveryMs: 0,
        alarms: DEFAULT_ALARMS,
      },
      material: {
        pins: options.pins ?? [...this.stores.keys()].map(rootPin),
        signers: options.signers ?? signersOf(poolKey(ONLINE)),
        state: options.state ?? new ProcessSignerState(true),
        memory: options.memory ?? (() => memory),
      },
      core: (target, read, { signers, state, renew, signal, onWarning }) =>
        resignOnce(target, read, {
          clock: this.time,
          chance,
          signers,
          state,
          renew,
          renewAt: DEFAULT_TIMING.renewAt,
          signal,
          onWarning,
        }),
      clock: this.time,
      monotonic: this.time.monotonic,
      fraction: () => chance.fraction(),
      target: async ({ registry, repository }) =>
        this.stores.get(`${registry}/${repository}`) as WatchedStore,
      list: () => this.repositories(),
      log: (entry) => log.push(entry),
      alarms: { send: (events) => alarms.push(...events), close: async () => undefined },
    });
    resigner.start();
    const stop = () => this.time.until(resigner.close(1_000));
    onTestFinished(stop);
    return { resigner, alarms, log, stop };
  }

  /** Somebody who has the key of `names` and not the online key. */
  publisher(seed: number, change: Partial<PublishOptions> = {}): PublishOptions {
    return {
      clock: this.time,
      chance: new FakeChance(seed),
      signers: signersOf(poolKey(PUBLISHER)),
      state: new ProcessSignerState(true),
      ...change,
    };
  }

  private async *repositories(): AsyncGenerator<string> {
    for (const place of this.stores.keys()) yield place.slice(place.indexOf('/') + 1);
  }
}

/** Pins the root key of the pool. */
export function rootPin(scope: string): Pin {
  return { scope, trust: { kind: 'key-ids', keyIds: [poolKey(ROOT).key.keyid] } };
}

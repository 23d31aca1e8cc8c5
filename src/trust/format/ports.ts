import type { BlobPusher, Deleter, ManifestPusher, TagLister } from '../../oci/target.ts';
import type { ObjectSource } from './object.ts';

/** Where a collection is written: a repository of a registry, a layout, a memory store. */
export interface TrustTarget extends ObjectSource, BlobPusher, ManifestPusher, TagLister, Deleter {}

/** The clock of the publisher; virtual in simulations. */
export interface Clock {
  now(): Date;
  /** @throws BullaError interrupted */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

/** The randomness of the publisher; seeded in simulations. */
export interface Random {
  /** A random integer from 0 to `range` − 1, for versions that do not collide. */
  below(range: number): number;
  /** 32 random hex digits: the id of a change. */
  changeId(): string;
  /** In [0, 1): jitter and samples. */
  fraction(): number;
}

import type { ListenerLimits } from '../listener.ts';

/** Bounds on what clients can ask for. */
export interface RegistryLimits extends ListenerLimits {
  /** Largest manifest in bytes; a larger one is answered with 413. */
  readonly manifestBytes: number;
  /** Largest blob in bytes. */
  readonly blobBytes: number;
  /** Uploads in progress at a time. */
  readonly uploads: number;
  /** Idle uploads are dropped after this time, in milliseconds. */
  readonly uploadExpiryMs: number;
  /** A body must come faster than this, in bytes per second, once it took longer than `idleMs`. */
  readonly minBytesPerSecond: number;
}

export const DEFAULT_LIMITS: RegistryLimits = {
  manifestBytes: 4 * 1024 * 1024,
  blobBytes: 1024 ** 4,
  uploads: 10_000,
  uploadExpiryMs: 60 * 60_000,
  connections: 4_096,
  headerBytes: 32 * 1024,
  headersMs: 20_000,
  idleMs: 60_000,
  minBytesPerSecond: 1024,
  graceMs: 10_000,
};

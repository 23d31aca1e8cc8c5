/** How often and how hard the re-signer works. Times in milliseconds. */
export interface ResignTiming {
  /** Pause between two looks at a collection. */
  readonly pollMs: number;
  /** Pause between two looks at a repository that has no collection. */
  readonly absentMs: number;
  /** Part of the lifetime after which it is re-signed. */
  readonly renewAt: number;
  /** It may happen earlier by this part of the lifetime, so that collections made together do not stay together. */
  readonly jitter: number;
  /** What one step over one collection may take. */
  readonly budgetMs: number;
  /** What takes longer than this is put among the slow ones. */
  readonly quickMs: number;
  /** Longest pause of a collection that keeps failing or keeps changing to no purpose. */
  readonly longestPauseMs: number;
}

export const DEFAULT_TIMING: ResignTiming = {
  pollMs: 2_000,
  absentMs: 5 * 60_000,
  renewAt: 0.5,
  jitter: 0.1,
  budgetMs: 60_000,
  quickMs: 5_000,
  longestPauseMs: 5 * 60_000,
};

const FIRST_PAUSE_MS = 1_000;

/** Pause after so many failures in a row: it doubles from one to the next, and chance spreads it. */
export function backOff(failures: number, longestMs: number, fraction: number): number {
  const whole = Math.min(longestMs, FIRST_PAUSE_MS * 2 ** Math.min(failures - 1, 30));
  return whole * (0.5 + fraction / 2);
}

/** A renewal brought forward by chance, never by more than the jitter. */
export function withJitter(renewal: Date, lifetimeMs: number, jitter: number, fraction: number): Date {
  return new Date(renewal.getTime() - lifetimeMs * jitter * fraction);
}

/** What a repository may make a client do. Sizes are in bytes. */
export interface TufLimits {
  /** Largest root metadata (W of TUF 1.0.34 §5.3.3). */
  readonly rootBytes: number;
  /** Largest timestamp metadata (X of §5.4.1). */
  readonly timestampBytes: number;
  /** Largest snapshot metadata whose length timestamp does not tell (Y of §5.5.1). */
  readonly snapshotBytes: number;
  /** Largest targets metadata whose length snapshot does not tell (Z of §5.6.1). */
  readonly targetsBytes: number;
  /** Largest length that snapshot or timestamp may tell. */
  readonly listedBytes: number;
  /** Most new root files in one refresh (Y of §5.3.3); the next refresh goes on from there. */
  readonly rootRotations: number;
  /** Most roles, top-level targets included, that one search may visit (§5.6.7.1). */
  readonly visitedRoles: number;
}

export const DEFAULT_LIMITS: TufLimits = {
  rootBytes: 512_000,
  timestampBytes: 16_384,
  snapshotBytes: 2_000_000,
  targetsBytes: 5_000_000,
  listedBytes: 64_000_000,
  rootRotations: 256,
  visitedRoles: 33,
};

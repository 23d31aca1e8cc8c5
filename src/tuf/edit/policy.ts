import { BullaError } from '../../errors.ts';

/**
 * The next version of a role.
 * @param top highest version of the role that verified files have shown; 0 where there was none
 */
export type VersionPolicy = (top: number) => number;

/** One after the other, as TUF 1.0.34 prescribes for root and as most repositories number all roles. */
export const consecutiveVersions: VersionPolicy = (top) => top + 1;

/** Random numbers below this follow the epoch in a version that cannot collide. */
const RANDOM_RANGE = 2 ** 20;

/**
 * Versions that two writers who do not know of each other will not both choose, because two different
 * files of one version stop every client that has seen the other: the next epoch of 2²⁰ versions, and
 * 20 random bits in it.
 * @param random20 gives a random integer from 0 to 2²⁰ − 1 at each call
 */
export function collisionFreeVersions(random20: () => number): VersionPolicy {
  return (top) => {
    const random = random20();
    if (!Number.isInteger(random) || random < 0 || random >= RANDOM_RANGE) {
      throw new BullaError('internal', `a random number below 2^20 was expected, and ${random} came`, {
        hint: 'please report this with the command that was run',
      });
    }
    return (Math.floor(top / RANDOM_RANGE) + 1) * RANDOM_RANGE + random;
  };
}

/** A collision-free version for people: epoch and random part, `17.3f2a1`; a plain number stays one. */
export function formatVersion(version: number): string {
  if (version < RANDOM_RANGE) return String(version);
  const random = (version % RANDOM_RANGE).toString(16).padStart(5, '0');
  return `${Math.floor(version / RANDOM_RANGE)}.${random}`;
}

/** How long a new file of a role is valid, in milliseconds from when it is made. */
export type LifetimePolicy = (role: string) => number;

const DAY_MS = 86_400_000;

/** A year; 14 days for what an online key signs. */
export const defaultLifetime: LifetimePolicy = (role) =>
  role === 'snapshot' || role === 'timestamp' ? 14 * DAY_MS : 365 * DAY_MS;

/** The choices of whoever edits a repository, as values. */
export interface EditPolicy {
  /** Versions of every role but root, whose versions are consecutive. */
  readonly versions: VersionPolicy;
  readonly lifetime: LifetimePolicy;
  /**
   * Whether snapshot tells the length and SHA-256 of each role's file too. Timestamp always does of
   * snapshot; a hash for each of many bins would cost more than they save.
   */
  readonly hashesInSnapshot: boolean;
}

export const DEFAULT_POLICY: EditPolicy = {
  versions: consecutiveVersions,
  lifetime: defaultLifetime,
  hashesInSnapshot: false,
};

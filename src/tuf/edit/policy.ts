import { BullaError } from '../../errors.ts';
import type { SignedCheck } from './known-members.ts';

/**
 * The next version of a role.
 * @param top highest version of the role that verified files have shown; 0 where there was none
 */
export type VersionPolicy = (top: number, role: string) => number;

/** One after the other, as TUF 1.0.34 prescribes for root and as most repositories number all roles. */
export const consecutiveVersions: VersionPolicy = (top) => top + 1;

/** How many random bits follow the epoch in a version that cannot collide, where nothing else is said. */
export const VERSION_BITS = 26;

/**
 * Versions that two writers who do not know of each other will not both choose, because two different
 * files of one version stop every client that has seen the other: the next epoch of 2^bits versions, and
 * so many random bits in it. With 26 of them there are 2²⁷ epochs before versions are used up.
 * @param below gives a random integer from 0 to its argument − 1 at each call
 */
export function collisionFreeVersions(
  below: (range: number) => number,
  bits: number = VERSION_BITS,
): VersionPolicy {
  const range = 2 ** bits;
  return (top) => {
    const random = below(range);
    if (!Number.isInteger(random) || random < 0 || random >= range) {
      throw new BullaError('internal', `a random number below 2^${bits} was expected, and ${random} came`, {
        hint: 'please report this with the command that was run',
      });
    }
    return (Math.floor(top / range) + 1) * range + random;
  };
}

/** A collision-free version for people: epoch and random part, `17.03f2a1c`; a plain number stays one. */
export function formatVersion(version: number): string {
  const range = 2 ** VERSION_BITS;
  if (version < range) return String(version);
  const random = (version % range).toString(16).padStart(Math.ceil(VERSION_BITS / 4), '0');
  return `${Math.floor(version / range)}.${random}`;
}

/** How long a new file of a role is valid, in milliseconds from when it is made. */
export type LifetimePolicy = (role: string) => number;

const DAY_MS = 86_400_000;

/** A year; 14 days for what an online key signs. */
export const defaultLifetime: LifetimePolicy = (role) =>
  role === 'snapshot' || role === 'timestamp' ? 14 * DAY_MS : 365 * DAY_MS;

/** The choices of the editor of a repository, as values. */
export interface EditPolicy {
  /** Versions of every role but root, whose versions are consecutive. */
  readonly versions: VersionPolicy;
  readonly lifetime: LifetimePolicy;
  /**
   * Whether snapshot tells the length and SHA-256 of each role's file too. Timestamp always does of
   * snapshot; a hash for each of many bins would cost more than they save.
   */
  readonly hashesInSnapshot: boolean;
  /**
   * Refuses what is about to be signed here and is not known. Without it, members that TUF does not define are
   * carried on from one version to the next, as they are; with it, snapshot and timestamp leave them out.
   */
  readonly check?: SignedCheck;
}

export const DEFAULT_POLICY: EditPolicy = {
  versions: consecutiveVersions,
  lifetime: defaultLifetime,
  hashesInSnapshot: false,
};

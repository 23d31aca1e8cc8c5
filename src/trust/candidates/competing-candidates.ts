import type { Sibling } from './siblings.ts';

/** A candidate that was first seen less long ago may be moved to by its maker any moment, in milliseconds. */
export const YOUNG_MS = 1500;
/** For so long after it was seen first, its maker may be waiting for its turn, in milliseconds. */
export const RECENT_MS: number = 15_000;

/**
 * Remembers when candidates were first seen. A candidate is its signed timestamp: copies under other tags
 * and in other wrappers are not younger than the first of them.
 */
export class Rivals {
  private readonly firstSeen = new Map<string, Date>();
  private readonly own = new Set<string>();

  /** Notes a candidate of one's own, by the identity of its timestamp. */
  addOwn(identity: string): void {
    this.own.add(identity);
  }

  note(siblings: readonly Sibling[], now: Date): void {
    for (const { timestamp } of siblings)
      if (timestamp !== undefined && !this.firstSeen.has(timestamp.identity))
        this.firstSeen.set(timestamp.identity, now);
  }

  /**
   * How many candidates above a version were first seen lately: their makers may be at work. An older one may be what a
   * publisher left that has died, or one in conflict.
   */
  countAbove(siblings: readonly Sibling[], above: number, now: Date): number {
    const makers = new Set<string>();
    for (const { timestamp } of siblings) {
      if (timestamp === undefined || timestamp.version <= above || this.own.has(timestamp.identity)) continue;
      const seen = this.firstSeen.get(timestamp.identity) ?? now;
      if (now.getTime() - seen.getTime() < RECENT_MS) makers.add(timestamp.identity);
    }
    return makers.size;
  }

  /**
   * How long until no candidate above a version is young any more, in milliseconds.
   * @param above version of the head's timestamp; of one's own candidate's, where there is one: of several
   *   candidates the highest goes first, because it was made last and knows most, and the others wait for
   *   it. Who waits for whom is the same for all, so that they never all wait.
   */
  remaining(siblings: readonly Sibling[], above: number, now: Date): number {
    let remaining = 0;
    for (const { timestamp } of siblings) {
      if (timestamp === undefined || timestamp.version <= above || this.own.has(timestamp.identity)) continue;
      const seen = this.firstSeen.get(timestamp.identity) ?? now;
      remaining = Math.max(remaining, seen.getTime() + YOUNG_MS - now.getTime());
    }
    return remaining;
  }
}

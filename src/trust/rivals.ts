import type { Sibling } from './siblings.ts';

/** A candidate that was first seen less long ago may be moved to by its maker any moment, in milliseconds. */
export const YOUNG_MS = 1500;

/**
 * Remembers when candidates were first seen. A candidate is its signed timestamp: copies under other tags
 * and in other wrappings are no younger than the first of them.
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
   * How long until no candidate above the head is young any more, in milliseconds.
   * @param version of the head's timestamp
   */
  remaining(siblings: readonly Sibling[], version: number, now: Date): number {
    return Math.max(0, ...this.young(siblings, version, now).map(([, remaining]) => remaining));
  }

  /**
   * Whether a candidate of one's own goes before all young ones. Of candidates that meet, the one with the
   * least identity does: who waits for whom is the same for all, so that they never all wait.
   */
  isFirst(identity: string, siblings: readonly Sibling[], version: number, now: Date): boolean {
    return this.young(siblings, version, now).every(([rival]) => identity < rival);
  }

  private young(siblings: readonly Sibling[], version: number, now: Date): [string, number][] {
    return siblings.flatMap(({ timestamp }): [string, number][] => {
      if (timestamp === undefined || timestamp.version <= version || this.own.has(timestamp.identity))
        return [];
      const seen = this.firstSeen.get(timestamp.identity) ?? now;
      const remaining = seen.getTime() + YOUNG_MS - now.getTime();
      return remaining > 0 ? [[timestamp.identity, remaining]] : [];
    });
  }
}

import { type ChangeLog, isSameEntry, type LogEntry } from '../format/log.ts';

/** Why another publisher's change cannot be included automatically. */
export interface FoldConflict {
  readonly entry: LogEntry;
  /**
   * `names`: the head has a later word on one of its names, of which its publisher did not know;
   * `old`: it is older than what the head's log still lists, so that it may have been applied and undone.
   */
  readonly reason: 'names' | 'old';
  /** The names that stand against it. */
  readonly names: readonly string[];
}

/** What folding one log into another comes to. */
export interface FoldPlan {
  /** Changes to be applied, in this order. */
  readonly apply: readonly LogEntry[];
  readonly conflicts: readonly FoldConflict[];
}

/**
 * What a role's head has to take over from a sibling that was published or staged beside it
 * (spec/trust.md, "Folding"). An entry that the head lists is never applied again; one older than what it
 * lists is a conflict; one whose names were touched by an entry that the sibling did not know, or lists
 * only after it, is a conflict, but that taking a name out always wins.
 */
export function planFold(head: ChangeLog, sibling: ChangeLog): FoldPlan {
  const places = new Map(sibling.entries.map(({ id }, place) => [id, place]));
  const applied = new Set(head.entries.map(({ id }) => id));
  const touched = lastTouches(head.entries, places);
  const apply: LogEntry[] = [];
  const conflicts: FoldConflict[] = [];
  for (const [place, entry] of sibling.entries.entries()) {
    if (applied.has(entry.id)) continue;
    const names = [...namesOf(entry)];
    const later = names.filter((name) => (touched.get(name) ?? -1) > place);
    if (entry.at < head.since) conflicts.push({ entry, reason: 'old', names });
    else if (entry.unset === undefined && later.length > 0)
      conflicts.push({ entry, reason: 'names', names: later });
    else apply.push(entry);
  }
  return { apply, conflicts };
}

/**
 * Whether a sibling's file can replace the head's as it is, without the role's key: it was made with all
 * that the head lists, and what it adds is not older than that.
 */
export function isBuiltUpon(sibling: ChangeLog, head: ChangeLog): boolean {
  const { apply, conflicts } = planFold(head, sibling);
  return (
    sibling.since.getTime() === head.since.getTime() &&
    holdsAll(sibling, head.entries) &&
    conflicts.length === 0 &&
    apply.length > 0
  );
}

/** Whether a log lists each of these entries as it is: the same id with other words is another change. */
export function holdsAll(log: ChangeLog, entries: readonly LogEntry[]): boolean {
  const listed = new Map(log.entries.map((entry) => [entry.id, entry]));
  return entries.every((entry) => {
    const found = listed.get(entry.id);
    return found !== undefined && isSameEntry(found, entry);
  });
}

/**
 * The log after these changes. Entries made before `cut` are dropped; later changes as old as that could
 * not be told from them, so `since` moves along.
 * @param cut only where all tags of the collection were listed, so that nothing is left to be folded
 */
export function extendLog(log: ChangeLog, changes: readonly LogEntry[], cut?: Date): ChangeLog {
  const entries = [...log.entries, ...changes];
  if (cut === undefined || cut <= log.since) return { since: log.since, entries };
  const since = new Date(Math.floor(cut.getTime() / 1000) * 1000);
  return { since, entries: entries.filter(({ at }) => at >= since) };
}

/** Names that a change sets or takes out. */
export function namesOf(entry: LogEntry): Iterable<string> {
  return entry.set?.keys() ?? entry.unset ?? [];
}

/** Where the sibling lists the last entry of the head that touches a name; infinitely late where it lists it not. */
function lastTouches(
  entries: readonly LogEntry[],
  places: ReadonlyMap<string, number>,
): ReadonlyMap<string, number> {
  const touched = new Map<string, number>();
  for (const entry of entries) {
    const place = places.get(entry.id) ?? Infinity;
    for (const name of namesOf(entry)) touched.set(name, Math.max(place, touched.get(name) ?? -1));
  }
  return touched;
}

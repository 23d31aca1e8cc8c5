import { versionOf } from '../../tuf/edit/repository.ts';
import { describeChange } from '../change/describe-change.ts';
import type { LogEntry } from '../format/log.ts';
import type { WorkingCopy } from '../read/working-copy.ts';

/** A change of a role's names. */
export interface PastChange {
  readonly role: string;
  readonly entry: LogEntry;
}

/** What the signed logs of a collection tell. */
export interface History {
  /** How far back the log of each role goes: nothing older is listed. Roles without a readable log are not here. */
  readonly since: ReadonlyMap<string, Date>;
  /** Newest first; what was made in the same second stands in the order in which it was applied, last first. */
  readonly changes: readonly PastChange[];
  /** Changes of keys and thresholds, newest first; roots carry no dates. */
  readonly roots: readonly { readonly version: number; readonly changes: readonly string[] }[];
}

/**
 * Reads the history of names and of root keys.
 * @throws BullaError content-invalid; what the source throws
 */
export async function historyOf(copy: WorkingCopy): Promise<History> {
  const since = new Map<string, Date>();
  const changes: PastChange[] = [];
  for (const { name: role } of copy.delegations.roles) {
    const log = await copy.readableLog(role);
    if (!('entries' in log)) {
      // A role that another tool has made names no log.
      if (log.details['reason'] === 'log') continue;
      throw log;
    }
    since.set(role, log.since);
    for (const entry of log.entries.toReversed()) changes.push({ role, entry });
  }
  changes.sort((a, b) => b.entry.at.getTime() - a.entry.at.getTime());
  return { since, changes, roots: rootChanges(copy) };
}

function rootChanges({ collection, files: { roots } }: WorkingCopy): History['roots'] {
  const changes = roots.map((file, at) => ({
    version: versionOf(file),
    // The first line repeats version and expiry.
    changes: describeChange(at === 0 ? undefined : roots[at - 1], file, collection.id)
      .slice(1)
      .map((line) => line.trim())
      // Which collection it is was checked when it was read, and stands above.
      .filter((line) => !line.startsWith('bulla.collection is ')),
  }));
  return changes.toReversed();
}

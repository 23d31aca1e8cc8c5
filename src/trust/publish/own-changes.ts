import { BullaError } from '../../errors.ts';
import { delegationOf } from '../../tuf/delegations.ts';
import type { TufSigner } from '../../tuf/edit/signing.ts';
import { namesOf } from '../change/fold.ts';
import type { ChangeLog, LogEntry, NamedContent } from '../format/log.ts';
import { problemWithEntry } from '../format/plain-text.ts';
import type { Chance } from '../format/ports.ts';
import { NAMES_ROLE } from '../format/vocabulary.ts';
import type { WorkingCopy } from '../read/working-copy.ts';

/** What a publisher wants a role to say, or to say no longer. */
export interface NameChange {
  /** `names` if left out; else a signer's role. */
  readonly role?: string | undefined;
  readonly set?: ReadonlyMap<string, NamedContent> | undefined;
  readonly unset?: ReadonlySet<string> | undefined;
  /** Reference that the names were copied from, as evidence. */
  readonly origin?: string | undefined;
}

/**
 * The changes of one publish: each keeps its id, whatever head it is applied to, so that it is applied
 * once. They come later than whatever is in the head by then, but for what takes the same name out.
 */
export class OwnChanges {
  readonly ids: readonly string[];
  private readonly changes: readonly (NameChange & { readonly role: string; readonly id: string })[];
  /** What the role's log listed when the publish began, by role. */
  private readonly first = new Map<string, ReadonlySet<string>>();
  /** When each role's changes were made: once and for all, so that every copy of an entry is the same. */
  private readonly times = new Map<string, Date>();

  /** @throws BullaError usage where there is nothing to change */
  constructor(changes: readonly NameChange[], chance: Chance) {
    this.changes = changes.flatMap(({ role = NAMES_ROLE, set, unset, origin }) => [
      ...(unset === undefined || unset.size === 0 ? [] : [{ role, unset, origin, id: chance.changeId() }]),
      ...(set === undefined || set.size === 0 ? [] : [{ role, set, origin, id: chance.changeId() }]),
    ]);
    this.ids = this.changes.map(({ id }) => id);
  }

  get roles(): ReadonlySet<string> {
    return new Set(this.changes.map(({ role }) => role));
  }

  /** Ids that belong into the log of a role. */
  idsFor(role: string): readonly string[] {
    return this.changes.filter((change) => change.role === role).map(({ id }) => id);
  }

  /** Remembers what was there when the publish began; later calls change nothing. */
  begin(role: string, log: ChangeLog): void {
    if (!this.first.has(role)) this.first.set(role, new Set(log.entries.map(({ id }) => id)));
  }

  /** Whether a log holds all changes of its role. */
  isIn(role: string, log: ChangeLog): boolean {
    const ids = new Set(log.entries.map(({ id }) => id));
    return this.idsFor(role).every((id) => ids.has(id));
  }

  /**
   * Entries that a log lacks.
   * @throws BullaError conflict where a name of theirs was taken out since the publish began
   */
  entriesFor(
    role: string,
    log: ChangeLog,
    now: Date,
    copy: WorkingCopy,
    signers: readonly TufSigner[],
  ): LogEntry[] {
    const present = new Set(log.entries.map(({ id }) => id));
    const missing = this.changes.filter((change) => change.role === role && !present.has(change.id));
    const at = this.timeFor(role, log, now);
    const by = keyOf(role, copy, signers);
    const entries: LogEntry[] = missing.map(({ id, origin, set, unset }) => ({
      id,
      at,
      ...(by !== undefined && { by }),
      ...(origin !== undefined && { origin }),
      ...(set !== undefined ? { set } : { unset: unset as ReadonlySet<string> }),
    }));
    for (const entry of entries) {
      const problem = problemWithEntry(entry);
      if (problem !== undefined) throw notPlain(problem);
      if (entry.set !== undefined) this.assertNotRevoked(entry, role, log);
    }
    return entries;
  }

  /** To the second, and never before the log begins: such an entry would count as an old one. */
  private timeFor(role: string, log: ChangeLog, now: Date): Date {
    const known = this.times.get(role);
    const made = known ?? new Date(Math.floor(now.getTime() / 1000) * 1000);
    const at = made < log.since ? log.since : made;
    this.times.set(role, at);
    return at;
  }

  private assertNotRevoked(entry: LogEntry, role: string, log: ChangeLog): void {
    const first = this.first.get(role);
    const own = new Set(this.ids);
    const wanted = new Set(namesOf(entry));
    for (const later of log.entries) {
      if (later.unset === undefined || own.has(later.id) || first?.has(later.id) === true) continue;
      const name = [...later.unset].find((unset) => wanted.has(unset));
      if (name !== undefined) throw revoked(name, role, later);
    }
  }
}

/** Id of the first key in hand that the role lists. */
function keyOf(role: string, copy: WorkingCopy, signers: readonly TufSigner[]): string | undefined {
  const { delegations } = copy;
  const fingerprints = new Set(signers.map(({ key }) => key.fingerprint));
  const listed = delegationOf(delegations, role)?.keyids ?? [];
  return listed.find((keyid) => {
    if (problemWithEntry({ id: '', at: new Date(0), by: keyid }) !== undefined) return false;
    const fingerprint = delegations.keys.get(keyid)?.fingerprint;
    return fingerprint !== undefined && fingerprints.has(fingerprint);
  });
}

/** Nobody else would take it in. */
function notPlain(problem: string): BullaError {
  return new BullaError('usage', `the change cannot be published: ${problem}`, {
    hint: 'correct it where it comes from: the media type is what the registry says of a manifest that does not say it',
  });
}

function revoked(name: string, role: string, { id, by }: LogEntry): BullaError {
  return new BullaError(
    'conflict',
    `${JSON.stringify(name)} was taken out of ${role} by somebody else while it was being signed`,
    {
      hint: 'ask whoever revoked it; if it is to be signed all the same, run the command again',
      details: { name, role, id, ...(by !== undefined && { by }) },
    },
  );
}

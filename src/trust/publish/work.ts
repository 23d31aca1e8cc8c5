import { equalBytes } from '../../encoding/bytes.ts';
import { parseTime } from '../../encoding/time.ts';
import { BullaError } from '../../errors.ts';
import { delegationOf } from '../../tuf/delegations.ts';
import type { RepositoryFiles } from '../../tuf/edit/repository.ts';
import type { TufSigner } from '../../tuf/edit/signing.ts';
import type { MetadataFile } from '../../tuf/metadata-file.ts';
import type { StagedNames } from '../approve/staged-names.ts';
import { TrustAfter } from '../candidates/intake.ts';
import { CollectionEdit } from '../change/collection-edit.ts';
import { namesOf } from '../change/fold.ts';
import { type ChangeLog, doesSame, type LogEntry, type NamedContent } from '../format/log.ts';
import { problemWithEntry } from '../format/plain-text.ts';
import type { Random } from '../format/ports.ts';
import { trustVersions } from '../format/versions.ts';
import { NAMES_ROLE } from '../format/vocabulary.ts';
import type { WorkingCopy } from '../read/working-copy.ts';
import type { Base } from './publish-base.ts';
import type { PublishOptions } from './publish-options.ts';

/** What one publish wants the head to hold. It is applied to whichever head it meets. */
export interface PublishWork {
  /** Ids of the changes that must be in the logs. */
  readonly ids: readonly string[];
  /** Roles whose names it changes: their files are not adopted from elsewhere in the same edit. */
  readonly roles: ReadonlySet<string>;
  /** Whether it changes keys or delegations: then what can be folded is published first, in a head of its own. */
  readonly isStructural?: boolean;
  /** Whether a head holds it. @throws BullaError conflict where no head can */
  isDone(base: Base): Promise<boolean>;
  /** Applies it to an edit, after what was folded. @throws BullaError conflict, usage */
  apply(edit: CollectionEdit, base: Base): Promise<void>;
  /** Of a change of roles: who may sign once it is made on this base. @throws BullaError what `apply` throws */
  trustAfter?(base: Base, now: Date): Promise<TrustAfter>;
  /**
   * Takes a change that waits for one's own, if it does the same: from then on it is that change that must be in the
   * logs. @param isStaged whether one's own waits too: then only the earlier of both is taken
   */
  join?(base: Base, waiting: StagedNames, isStaged: boolean): Promise<boolean>;
  /** Called with what was signed, before it is announced. */
  noteMade?(files: RepositoryFiles, base: Base): void;
}

/** No changes of one's own: only folding. */
export const NO_WORK: PublishWork = {
  ids: [],
  roles: new Set(),
  isDone: async () => true,
  apply: async () => undefined,
};

/** What a publisher wants a role to say, or to say no longer. */
export interface NameChange {
  /** `names` if left out; else a signer's role. */
  readonly role?: string | undefined;
  readonly set?: ReadonlyMap<string, NamedContent> | undefined;
  readonly unset?: ReadonlySet<string> | undefined;
  /** Reference that the names were copied from, as evidence. */
  readonly origin?: string | undefined;
}

/** @property entry as another publisher made it, where one's own was found to be the same */
type OwnChange = NameChange & {
  readonly role: string;
  readonly id: string;
  readonly entry?: LogEntry | undefined;
};

/**
 * The changes of one publish: each keeps its id, whatever head it is applied to, so that it is applied
 * once. They come later than whatever is in the head by then, but for what takes the same name out.
 */
export class OwnChanges {
  private changes: readonly OwnChange[];
  /** What the role's log listed when the publish began, by role. */
  private readonly first = new Map<string, ReadonlySet<string>>();
  /** When each role's changes were made: once and for all, so that every copy of an entry is the same. */
  private readonly times = new Map<string, Date>();

  /** @throws BullaError usage where there is nothing to change */
  constructor(changes: readonly NameChange[], chance: Random) {
    this.changes = changes.flatMap(({ role = NAMES_ROLE, set, unset, origin }) => [
      ...(unset === undefined || unset.size === 0 ? [] : [{ role, unset, origin, id: chance.changeId() }]),
      ...(set === undefined || set.size === 0 ? [] : [{ role, set, origin, id: chance.changeId() }]),
    ]);
  }

  get ids(): readonly string[] {
    return this.changes.map(({ id }) => id);
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
    const entries: LogEntry[] = missing.map(
      ({ id, origin, set, unset, entry }) =>
        entry ?? {
          id,
          at,
          ...(by !== undefined && { by }),
          ...(origin !== undefined && { origin }),
          ...(set !== undefined ? { set } : { unset: unset as ReadonlySet<string> }),
        },
    );
    for (const entry of entries) {
      const problem = problemWithEntry(entry);
      if (problem !== undefined) throw notPlain(problem);
      if (entry.set !== undefined) this.assertNotRevoked(entry, role, log);
    }
    return entries;
  }

  /**
   * Takes another publisher's entries for one's own, as they are: a change has one id, one author and one time.
   * @param own those that a log lacks, as {@link entriesFor} gave them @param others what does the same, in that order
   */
  take(own: readonly LogEntry[], others: readonly LogEntry[]): void {
    const taken = new Map(own.map(({ id }, at) => [id, others[at]]));
    this.changes = this.changes.map((change) => {
      const entry = taken.get(change.id);
      return entry === undefined ? change : { ...change, id: entry.id, entry };
    });
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

/** Id of the first available key that the role lists. */
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

/** Other publishers would not adopt it. */
function notPlain(problem: string): BullaError {
  return new BullaError('usage', `the change cannot be published: ${problem}`, {
    hint: 'correct it at its source: the registry states this media type for a manifest without one',
  });
}

function revoked(name: string, role: string, { id, by }: LogEntry): BullaError {
  return new BullaError(
    'conflict',
    `${JSON.stringify(name)} was removed from ${role} by another publisher while it was being signed`,
    {
      hint: 'ask the publisher who revoked it; to sign it anyway, run the command again',
      details: { name, role, id, ...(by !== undefined && { by }) },
    },
  );
}

/** Own changes of names as a piece of work. */
export class NameWork implements PublishWork {
  private readonly own: OwnChanges;
  private readonly options: Pick<PublishOptions, 'clock' | 'signers'>;

  constructor(own: OwnChanges, options: Pick<PublishOptions, 'clock' | 'signers'>) {
    this.own = own;
    this.options = options;
  }

  get ids(): readonly string[] {
    return this.own.ids;
  }

  get roles(): ReadonlySet<string> {
    return this.own.roles;
  }

  async isDone({ copy }: Base): Promise<boolean> {
    let isDone = true;
    for (const role of this.own.roles) {
      const log = await copy.log(role);
      this.own.begin(role, log);
      isDone &&= this.own.isIn(role, log);
    }
    return isDone;
  }

  async join({ copy }: Base, { offer, entries }: StagedNames, isStaged: boolean): Promise<boolean> {
    const { clock, signers } = this.options;
    const { role } = offer;
    // A stage of several roles is published in parts only by its own publisher.
    if (this.own.roles.size !== 1 || !this.own.roles.has(role)) return false;
    const own = this.own.entriesFor(role, await copy.log(role), clock.now(), copy, signers);
    const isSame =
      own.length === entries.length && own.every((one, at) => doesSame(one, entries[at] as LogEntry));
    if (!isSame || (isStaged && isEarlier(own[0], entries[0]))) return false;
    this.own.take(own, entries);
    return true;
  }

  async apply(edit: CollectionEdit, { copy }: Base): Promise<void> {
    const { clock, signers } = this.options;
    for (const role of this.own.roles) {
      const entries = this.own.entriesFor(role, await edit.log(role), clock.now(), copy, signers);
      if (entries.length > 0) await edit.apply(role, entries);
    }
  }
}

/** Of two who stage the same at the same time, both say alike whose stays. */
function isEarlier(a: LogEntry | undefined, b: LogEntry | undefined): boolean {
  if (a === undefined || b === undefined) return false;
  const [first, second] = [a.at.getTime(), b.at.getTime()];
  return first < second || (first === second && a.id < b.id);
}

/** A change of keys, delegations or expiry: made anew on whatever the head is by then. */
export interface StructuralChange {
  (edit: CollectionEdit, copy: WorkingCopy): Promise<void> | void;
  /** Whether what can be folded goes into the same head, because nothing can be signed before it. */
  readonly isRepair?: boolean;
}

/** Who may sign once a change is made on a state. @throws BullaError what `change` throws */
export async function trustAfterChange(
  change: StructuralChange,
  copy: WorkingCopy,
  now: Date,
): Promise<TrustAfter> {
  const edit = new CollectionEdit(copy, { now, policy: { versions: trustVersions(() => 0) } });
  await change(edit, copy);
  const made = edit.prepare().edit.pending();
  return new TrustAfter(
    copy.files,
    made.map(({ file }) => file),
  );
}

/** A structural change as a piece of work. */
export class EditWork implements PublishWork {
  readonly ids: readonly string[] = [];
  readonly roles: ReadonlySet<string> = new Set();
  readonly isStructural: boolean;
  private readonly change: StructuralChange;
  /** What the last edit made, but for snapshot and timestamp. */
  private made: readonly MetadataFile[] | undefined;

  constructor(change: StructuralChange) {
    this.change = change;
    this.isStructural = change.isRepair !== true;
  }

  async isDone({ copy }: Base): Promise<boolean> {
    return this.made?.every((file) => isIn(copy.files, file)) ?? false;
  }

  async apply(edit: CollectionEdit, base: Base): Promise<void> {
    await this.change(edit, base.copy);
  }

  async trustAfter({ copy }: Base, now: Date): Promise<TrustAfter> {
    return await trustAfterChange(this.change, copy, now);
  }

  noteMade(files: RepositoryFiles, { copy }: Base): void {
    const before = copy.files;
    this.made = [
      ...files.roots.slice(before.roots.length),
      ...[...files.roles.values()].filter((file) => before.roles.get(file.role) !== file),
    ];
  }
}

/**
 * Whether a head holds a file that was made for it. Root and targets must say the very same: whatever is
 * signed by them follows from that, however the file is serialized. Of other roles a later file does as well, if it
 * lasts as long.
 */
function isIn({ roots, roles }: RepositoryFiles, file: MetadataFile): boolean {
  if (file.role === 'root') return roots.some(({ message }) => equalBytes(message, file.message));
  const present = roles.get(file.role);
  // Bins are loaded only if something was changed in them.
  if (present === undefined) return file.role !== 'targets';
  if (equalBytes(present.message, file.message)) return true;
  return file.role !== 'targets' && expiryOf(present) >= expiryOf(file);
}

function expiryOf({ signed }: MetadataFile): number {
  return parseTime(String(signed['expires']))?.getTime() ?? 0;
}

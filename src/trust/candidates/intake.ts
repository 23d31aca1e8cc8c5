import { createHash } from 'node:crypto';
import { Keyring } from '../../tuf/edit/demands.ts';
import { type RepositoryFiles, withFiles } from '../../tuf/edit/repository.ts';
import { DEFAULT_LIMITS } from '../../tuf/limits.ts';
import { type MetadataFile, parseMetadataFile } from '../../tuf/metadata-file.ts';
import { countSignatures } from '../../tuf/threshold.ts';
import { type ChangeLog, type LogEntry, spellLog } from '../format/log.ts';
import type { OfferedRole } from './adoption.ts';
import type { StructuralOffer } from './key-change-offer.ts';
import type { Sibling } from './siblings.ts';

/**
 * Who may sign once a change of roles is made. Nothing is taken in from others with it that would not count
 * under that: what a thief has staged must not get in with the change that takes the key away
 * (spec/trust-publishing.md, "Structural changes").
 */
export class TrustAfter {
  private readonly before: Keyring;
  private readonly after: Keyring;

  /** @param made new files of the change, signed or not; snapshot and timestamp are not looked at */
  constructor(base: RepositoryFiles, made: readonly MetadataFile[]) {
    this.before = new Keyring(base);
    this.after = new Keyring(withFiles(base, made));
  }

  /** Whether a file of a role, with the signatures that it has, counts under the new state as well. */
  counts(file: MetadataFile): boolean {
    const demands = this.after.demandsOn(file.role);
    return demands.length > 0 && demands.every(({ keys, role }) => countSignatures(file, keys, role).isMet);
  }

  /** Whether a staged change of roles does: its root, which says who may sign its targets; else its targets. */
  countsOffer({ files }: StructuralOffer): boolean {
    const role = files.has('root') ? 'root' : 'targets';
    const bytes = files.get(role);
    return bytes === undefined || this.counts(parseMetadataFile(bytes, role, DEFAULT_LIMITS.targetsBytes));
  }

  /** Whether an entry says itself that a key made it which the role loses. */
  isByLoser(role: string, { by }: LogEntry): boolean {
    if (by === undefined) return false;
    const lists = (keyring: Keyring): boolean =>
      keyring.demandsOn(role).some(({ role: listed }) => listed.keyids.includes(by));
    return lists(this.before) && !lists(this.after);
  }
}

/** A change of others that a change of roles does not take in. */
export interface LeftChange {
  readonly role: string;
  readonly entry: LogEntry;
  /** `key`: its signer loses trust; `unseen`: it was not shown before. */
  readonly reason: 'key' | 'unseen';
}

/** What a change of roles may take in from others, over the rounds of one publish. */
export class Intake {
  /** Identities of entries, and of staged changes of roles, that were agreed to; undefined: all. */
  private readonly allowed: ReadonlySet<string> | undefined;
  /** Ids of entries that came from keys that lose trust, wherever else they are listed. */
  private readonly tainted = new Set<string>();
  private trust: readonly TrustAfter[] = [];

  constructor(allowed?: ReadonlySet<string>) {
    this.allowed = allowed;
  }

  /**
   * Says who may sign after each change of roles that is under way, on the base that it is made on now; what was found
   * tainted stays so.
   */
  judgeBy(trust: readonly TrustAfter[]): void {
    this.trust = trust;
  }

  /** Leaves out candidates that online keys have signed which lose trust. */
  candidates(siblings: readonly Sibling[]): readonly Sibling[] {
    return siblings.filter(({ timestamp }) => timestamp === undefined || this.counts(timestamp.file));
  }

  /** Leaves out what is signed by keys that lose trust, and notes which entries came of them. */
  offers(offers: readonly OfferedRole[], log: ChangeLog): readonly OfferedRole[] {
    if (this.trust.length === 0) return offers;
    const known = new Set(log.entries.map(({ id }) => id));
    for (const {
      role,
      file,
      log: { entries },
    } of offers)
      for (const entry of entries)
        if (
          !known.has(entry.id) &&
          (!this.counts(file) || this.trust.some((one) => one.isByLoser(role, entry)))
        )
          this.tainted.add(entry.id);
    return offers.filter(({ file }) => this.counts(file));
  }

  /**
   * Why an entry is not taken in; undefined where it may be.
   * @param keyids of the role now: who made it by its own account may have lost trust before
   */
  reasonAgainst(role: string, entry: LogEntry, keyids: readonly string[]): LeftChange['reason'] | undefined {
    if (this.tainted.has(entry.id)) return 'key';
    if (entry.by !== undefined && !keyids.includes(entry.by)) return 'key';
    const { allowed } = this;
    return allowed === undefined || allowed.has(identityOfEntry(role, entry)) ? undefined : 'unseen';
  }

  private counts(file: MetadataFile): boolean {
    return this.trust.every((one) => one.counts(file));
  }

  /**
   * Whether a staged change of roles may be taken over. A next root that keeps its signers is never made a second
   * time: clients who saw the one could not follow to the other.
   */
  allowsOffer(offer: StructuralOffer): boolean {
    if (!this.trust.every((one) => one.countsOffer(offer))) return false;
    return offer.files.has('root') || this.allowed === undefined || this.allowed.has(identityOf(offer));
  }
}

/** Identifies a change of names by its content: an id alone is only claimed, and may be reused. */
export function identityOfEntry(role: string, entry: LogEntry): string {
  const log = spellLog({ since: entry.at, entries: [entry] });
  return createHash('sha256')
    .update(`${JSON.stringify(role)}\n`)
    .update(log)
    .digest('hex');
}

/** What a staged change of roles is, however it is spelled: hex SHA-256 of what is signed in root and targets. */
export function identityOf({ files }: StructuralOffer): string {
  const hash = createHash('sha256');
  for (const role of ['root', 'targets']) {
    const bytes = files.get(role);
    if (bytes !== undefined) hash.update(parseMetadataFile(bytes, role, DEFAULT_LIMITS.targetsBytes).message);
  }
  return hash.digest('hex');
}

import { Keyring } from '../../tuf/edit/demands.ts';
import type { RepositoryFiles } from '../../tuf/edit/repository.ts';
import { withFiles } from '../../tuf/edit/repository.ts';
import { DEFAULT_LIMITS } from '../../tuf/limits.ts';
import { type MetadataFile, parseMetadataFile } from '../../tuf/metadata-file.ts';
import { countSignatures } from '../../tuf/threshold.ts';
import type { LogEntry } from '../format/log.ts';
import type { StructuralOffer } from './key-change-offer.ts';

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

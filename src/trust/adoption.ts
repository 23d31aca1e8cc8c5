import { BullaError } from '../errors.ts';
import { type Delegations, delegationOf } from '../tuf/delegations.ts';
import { publishedVersion, versionOf } from '../tuf/edit/repository.ts';
import { PendingFile } from '../tuf/edit/signing.ts';
import { binFor, binNames } from '../tuf/hash-bins.ts';
import { DEFAULT_LIMITS } from '../tuf/limits.ts';
import { type MetadataFile, parseMetadataFile } from '../tuf/metadata-file.ts';
import { assertUnexpired } from '../tuf/refusals.ts';
import { metadataFileName } from '../tuf/role-name.ts';
import { parseTargets, type Targets } from '../tuf/targets.ts';
import { assertThreshold } from '../tuf/threshold.ts';
import type { LogEntry, NamedContent } from './log.ts';
import { fetchFile, type TrustObject } from './object.ts';
import { ObjectFetcher } from './object-fetcher.ts';
import type { TrustTarget } from './ports.ts';
import { findRoleFile, type SiblingRole } from './sibling-files.ts';
import type { Sibling } from './siblings.ts';
import type { WorkingCopy } from './working-copy.ts';

/** A role's file that is taken as its publishers signed it, with its bins. */
export interface Adoption {
  readonly role: string;
  readonly file: Uint8Array;
  readonly log: Uint8Array;
  readonly bins: ReadonlyMap<string, Uint8Array>;
  /** What its log adds. */
  readonly entries: readonly LogEntry[];
}

/** Brings what belongs to a staged file, and demands that it says what its log says. */
export class AdoptionReader {
  private readonly target: TrustTarget;
  private readonly copy: WorkingCopy;
  private readonly now: Date;

  constructor(target: TrustTarget, copy: WorkingCopy, now: Date) {
    this.target = target;
    this.copy = copy;
    this.now = now;
  }

  /**
   * @param entries what the file's log adds to the head's
   * @throws BullaError trust-invalid, trust-expired, content-invalid; what the target throws
   */
  async read(
    offer: SiblingRole & { readonly from: readonly Sibling[] },
    entries: readonly LogEntry[],
  ): Promise<Adoption> {
    const { role, file, content, logBytes: log, from } = offer;
    const succinct = content.delegations?.succinct;
    const contents = new Map<string, Targets>([[role, content]]);
    const bins = new Map<string, Uint8Array>();
    const words = lastWords(entries);
    if (succinct !== undefined && content.delegations !== undefined) {
      const isNew = this.copy.bins?.bitLength !== succinct.bitLength;
      const touched = isNew ? binNames(succinct) : [...words.keys()].map((name) => binFor(succinct, name));
      for (const bin of new Set(touched)) {
        const found = await this.readBin(bin, content.delegations, from);
        bins.set(bin, found.bytes);
        contents.set(bin, parseTargets(found));
      }
    }
    for (const [name, word] of words) {
      const holder = succinct === undefined ? role : binFor(succinct, name);
      if (!says(contents.get(holder), name, word)) throw notReflected(role, holder, name);
    }
    return { role, file: file.bytes, log, bins, entries };
  }

  private async readBin(
    bin: string,
    delegations: Delegations,
    from: readonly Sibling[],
  ): Promise<MetadataFile> {
    const delegated = delegationOf(delegations, bin);
    if (delegated === undefined) throw missingBin(bin);
    let pending: PendingFile | undefined;
    for (const { object } of from) {
      const bytes = await this.fetchBin(object, bin);
      if (bytes === undefined) continue;
      const file = parseMetadataFile(bytes, bin, DEFAULT_LIMITS.targetsBytes);
      pending ??= new PendingFile(bin, file.signed, [
        { delegator: 'names', keys: delegations.keys, role: delegated },
      ]);
      pending.addFile(bytes);
    }
    if (pending === undefined) throw missingBin(bin);
    const { file } = pending;
    assertThreshold(file, delegations.keys, delegated, 'names');
    this.copy.collection.check(file);
    assertUnexpired(bin, parseTargets(file).expires, this.now);
    if (versionOf(file) <= publishedVersion(this.copy.files, bin)) throw missingBin(bin);
    return file;
  }

  private async fetchBin(object: TrustObject, bin: string): Promise<Uint8Array | undefined> {
    const maxBytes = DEFAULT_LIMITS.targetsBytes;
    const descriptor = findRoleFile(object, bin);
    if (descriptor !== undefined) return await fetchFile(this.target, descriptor, maxBytes);
    // A shard knows its bins by their place alone, whatever their version.
    return await new ObjectFetcher(this.target, object).fetchMetadata(metadataFileName(bin, 1), maxBytes);
  }
}

/** What the last of these changes says of each name; null where it is taken out. */
function lastWords(entries: readonly LogEntry[]): ReadonlyMap<string, NamedContent | null> {
  const words = new Map<string, NamedContent | null>();
  for (const { set, unset } of entries) {
    for (const [name, content] of set ?? []) words.set(name, content);
    for (const name of unset ?? []) words.set(name, null);
  }
  return words;
}

function says(targets: Targets | undefined, name: string, word: NamedContent | null): boolean {
  const target = targets?.targets.get(name);
  if (word === null) return targets !== undefined && target === undefined;
  return target?.length === word.length && target.hashes.get('sha256') === word.sha256;
}

function missingBin(bin: string): BullaError {
  return new BullaError('trust-invalid', `a staged change lacks the bin ${bin} that belongs to it`, {
    hint: 'somebody took a part of it away: whoever staged it has to make the change again',
    details: { role: bin, reason: 'missing' },
  });
}

function notReflected(role: string, holder: string, name: string): BullaError {
  return new BullaError(
    'trust-invalid',
    `the log staged for ${role} says of ${JSON.stringify(name)} what ${holder} does not`,
    {
      hint: 'parts of different changes were put together; whoever staged it has to make the change again',
      details: { role, holder, name, reason: 'log' },
    },
  );
}

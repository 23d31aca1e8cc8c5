import { equalBytes } from '../../encoding/bytes.ts';
import { canonicalOlpc } from '../../encoding/canonical.ts';
import type { JsonObject } from '../../encoding/json.ts';
import { BullaError, isBullaError } from '../../errors.ts';
import { type Delegations, delegationOf, type SuccinctRoles } from '../../tuf/delegations.ts';
import { publishedVersion, versionOf } from '../../tuf/edit/repository.ts';
import { PendingFile, type SignatureDemand } from '../../tuf/edit/signing.ts';
import { binFor, binNames } from '../../tuf/hash-bins.ts';
import { DEFAULT_LIMITS } from '../../tuf/limits.ts';
import { type MetadataFile, parseMetadataFile } from '../../tuf/metadata-file.ts';
import { metadataFileName } from '../../tuf/role-name.ts';
import { parseTargets, type TargetFile, type Targets } from '../../tuf/targets.ts';
import { countSignatures } from '../../tuf/threshold.ts';
import { namesIn } from '../format/bins.ts';
import type { LogEntry, NamedContent } from '../format/log.ts';
import { fetchFile, type TrustObject } from '../format/object.ts';
import type { TrustTarget } from '../format/ports.ts';
import { findRoleFile } from '../format/role-files.ts';
import { assertSignableFile } from '../format/signable.ts';
import { leavesVersions } from '../format/versions.ts';
import { ObjectFetcher } from '../read/object-fetcher.ts';
import type { WorkingCopy } from '../read/working-copy.ts';
import type { SiblingRole } from './sibling-files.ts';
import type { Sibling } from './siblings.ts';

/** A role's file that is taken as its publishers signed it, with its bins. */
export interface Adoption {
  readonly role: string;
  readonly file: Uint8Array;
  readonly log: Uint8Array;
  readonly bins: ReadonlyMap<string, Uint8Array>;
  /** What its log adds. */
  readonly entries: readonly LogEntry[];
}

/** A role as one or several siblings have it: several where their signatures were pooled. */
export interface OfferedRole extends SiblingRole {
  readonly from: readonly Sibling[];
}

/**
 * Brings what belongs to a staged file, and demands that head and log together are all that it says: the
 * names of the head, changed as its log tells, and not one that is otherwise. So parts of different
 * changes can't be put together, though each of them is signed.
 */
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
  async read(offer: OfferedRole, entries: readonly LogEntry[]): Promise<Adoption> {
    return await this.readFile(offer, entries, false);
  }

  /**
   * The same of a file that says what the head's says, and lasts longer: all of its bins come along.
   * @throws BullaError trust-invalid, trust-expired, content-invalid; what the target throws
   */
  async readRenewal(offer: OfferedRole): Promise<Adoption> {
    return await this.readFile(offer, [], true);
  }

  /**
   * Demands of a staged file, and of the bins that lie beside it, that they say what its log says and nothing
   * else, regardless of their signers: a publisher with all keys folds what the log says, and the others adopt the file.
   * @param entries what the file's log adds to the head's
   * @throws BullaError trust-invalid; what the source throws
   */
  async assertReflected(
    { role, file, content }: SiblingRole,
    entries: readonly LogEntry[],
    bins: ReadonlyMap<string, MetadataFile>,
  ): Promise<void> {
    const words = lastWords(entries);
    const { succinct } = content.delegations ?? {};
    const present = this.copy.contentOf(role);
    if (succinct === undefined) {
      const isPlain = bins.size === 0 && present.delegations === undefined;
      if (!isPlain || !isChangedBy(content, present.targets, words)) throw notReflected(role, role);
      return;
    }
    if (content.targets.size > 0 || !this.hasOwnKeys(role, file, succinct)) throw notReflected(role, role);
    const expected = await this.expectedBins(role, succinct, words, false);
    for (const bin of bins.keys()) if (!expected.has(bin)) throw notReflected(role, bin);
    for (const [bin, { before, words: said }] of expected) {
      const found = bins.get(bin);
      if (found === undefined) throw missingBin(bin);
      if (!isChangedBy(parseTargets(found), before, said)) throw notReflected(role, bin);
    }
    this.assertCounted(role, file, expected.values());
  }

  /** The next signer continues from the number of names that a role with bins states: it must follow from its log. */
  private assertCounted(
    role: string,
    { signed }: MetadataFile,
    expected: Iterable<{ readonly before: Names; readonly words: Words }>,
  ): void {
    const present = this.copy.files.roles.get(role);
    const known = present && (namesIn(present.signed) ?? parseTargets(present).targets.size);
    let count = known ?? 0;
    for (const { before, words } of expected)
      for (const [name, word] of words)
        count += Number(word !== null && !before.has(name)) - Number(word === null && before.has(name));
    if (namesIn(signed) !== Math.max(count, 0)) throw notReflected(role, role);
  }

  /** Whether bins are delegated to as before, or, where they are spread anew, to those who sign for the role. */
  private hasOwnKeys(role: string, { signed }: MetadataFile, succinct: SuccinctRoles): boolean {
    const before = this.copy.files.roles.get(role)?.signed['delegations'];
    const isSpread = this.copy.bins?.bitLength !== succinct.bitLength;
    if (!isSpread && before !== undefined)
      return equalBytes(canonicalOlpc(before), canonicalOlpc(signed['delegations'] as JsonObject));
    const delegated = delegationOf(this.copy.delegations, role);
    return (
      delegated?.threshold === succinct.threshold &&
      delegated.keyids.join('\n') === succinct.keyids.join('\n')
    );
  }

  private async readFile(
    offer: OfferedRole,
    entries: readonly LogEntry[],
    isRenewal: boolean,
  ): Promise<Adoption> {
    const { role, file, content, logBytes: log, from } = offer;
    const { delegations } = content;
    const words = lastWords(entries);
    if (delegations?.succinct === undefined) {
      if (this.copy.contentOf(role).delegations?.succinct !== undefined) throw notReflected(role, role);
      if (!isChangedBy(content, this.copy.contentOf(role).targets, words)) throw notReflected(role, role);
      return { role, file: file.bytes, log, bins: new Map(), entries };
    }
    if (content.targets.size > 0) throw notReflected(role, role);
    const bins = new Map<string, Uint8Array>();
    const all = await this.expectedBins(role, delegations.succinct, words, isRenewal);
    this.assertCounted(role, file, all.values());
    for (const [bin, expected] of all) {
      const found = await this.readBin(bin, delegations, from, (targets) =>
        isChangedBy(targets, expected.before, expected.words),
      );
      bins.set(bin, found.bytes);
    }
    return { role, file: file.bytes, log, bins, entries };
  }

  /** The bins that a change must bring: those of its names, or all of them where they are spread anew or renewed. */
  private async expectedBins(
    role: string,
    succinct: SuccinctRoles,
    words: Words,
    isRenewal: boolean,
  ): Promise<ReadonlyMap<string, { readonly before: Names; readonly words: Words }>> {
    const { copy } = this;
    const isNew = copy.bins?.bitLength !== succinct.bitLength;
    await copy.loadBins(isNew || isRenewal ? undefined : words.keys());
    const present = isNew ? [role, ...(copy.bins === undefined ? [] : binNames(copy.bins))] : [];
    const bins = new Map<string, { before: Map<string, TargetFile>; words: Map<string, Word> }>();
    const binOf = (bin: string) => {
      const known = bins.get(bin) ?? {
        before: new Map(isNew ? [] : copy.contentOf(bin).targets),
        words: new Map(),
      };
      bins.set(bin, known);
      return known;
    };
    if (isNew || isRenewal) for (const bin of binNames(succinct)) binOf(bin);
    for (const holder of present)
      for (const [name, target] of copy.contentOf(holder).targets)
        binOf(binFor(succinct, name)).before.set(name, target);
    for (const [name, word] of words) binOf(binFor(succinct, name)).words.set(name, word);
    return bins;
  }

  /** The first file of a bin, of all that lie beside the role's, that is signed and says what it should. */
  private async readBin(
    bin: string,
    delegations: Delegations,
    from: readonly Sibling[],
    isRight: (content: Targets) => boolean,
  ): Promise<MetadataFile> {
    const delegated = delegationOf(delegations, bin);
    if (delegated === undefined) throw missingBin(bin);
    const found: MetadataFile[] = [];
    for (const { object } of from) {
      const file = await this.fetchBin(object, bin).catch(ignoringDefects);
      if (file !== undefined) found.push(file);
    }
    const published = publishedVersion(this.copy.files, bin);
    for (const { pending } of poolFiles(found, {
      delegator: 'names',
      keys: delegations.keys,
      role: delegated,
    })) {
      if (pending.missing().length > 0) continue;
      const { file } = pending;
      this.copy.collection.check(file);
      const content = parseTargets(file);
      const isNext = versionOf(file) > published && leavesVersions(versionOf(file), published);
      if (content.expires > this.now && isNext && isRight(content)) return file;
    }
    throw missingBin(bin);
  }

  private async fetchBin(object: TrustObject, bin: string): Promise<MetadataFile | undefined> {
    const maxBytes = DEFAULT_LIMITS.targetsBytes;
    const descriptor = findRoleFile(object, bin)?.descriptor;
    // A shard knows its bins by their place alone, whatever their version.
    const bytes =
      descriptor === undefined
        ? await new ObjectFetcher(this.target, object).fetchMetadata(metadataFileName(bin, 1), maxBytes)
        : await fetchFile(this.target, descriptor, maxBytes);
    const file = bytes && parseMetadataFile(bytes, bin, maxBytes);
    if (file !== undefined) assertSignableFile(file);
    return file;
  }
}

/** Files of one content, with the signatures that are valid: one of each key. */
export interface PooledFile {
  readonly pending: PendingFile;
  /** Which of the files went into it, by their place in the list. */
  readonly members: readonly number[];
}

/** Pools signatures over the same content; an invalid one is ignored and does not invalidate the others. */
export function poolFiles(files: readonly MetadataFile[], demand: SignatureDemand): readonly PooledFile[] {
  const pools: { readonly pending: PendingFile; readonly members: number[] }[] = [];
  for (const [index, file] of files.entries()) {
    const { valid } = countSignatures(file, demand.keys, demand.role);
    if (valid.length === 0) continue;
    let pool = pools.find(({ pending }) => equalBytes(pending.message, file.message));
    if (pool === undefined) {
      pool = { pending: new PendingFile(file.role, file.signed, [demand]), members: [] };
      pools.push(pool);
    }
    for (const signature of file.signatures) if (valid.includes(signature.keyid)) pool.pending.add(signature);
    pool.members.push(index);
  }
  return pools;
}

function ignoringDefects(error: unknown): undefined {
  if (!isBullaError(error, 'trust-invalid', 'content-invalid', 'not-found')) throw error;
  return undefined;
}

type Word = NamedContent | null;
type Words = ReadonlyMap<string, Word>;
type Names = ReadonlyMap<string, TargetFile>;

/** Whether these names are those of before, changed as the words tell. */
function isChangedBy({ targets }: Targets, before: Names, words: Words): boolean {
  for (const [name, word] of words) if (!says(targets.get(name), word)) return false;
  for (const [name, { json }] of before) {
    const now = targets.get(name);
    if (!words.has(name) && (now === undefined || !equalBytes(canonicalOlpc(now.json), canonicalOlpc(json))))
      return false;
  }
  for (const name of targets.keys()) if (!words.has(name) && !before.has(name)) return false;
  return true;
}

/** What the last of these changes says of each name; null where it is taken out. */
function lastWords(entries: readonly LogEntry[]): Words {
  const words = new Map<string, Word>();
  for (const { set, unset } of entries) {
    for (const [name, content] of set ?? []) words.set(name, content);
    for (const name of unset ?? []) words.set(name, null);
  }
  return words;
}

function says(target: TargetFile | undefined, word: Word): boolean {
  if (word === null || target === undefined) return word === null && target === undefined;
  return equalBytes(canonicalOlpc(target.json), canonicalOlpc(targetJson(word)));
}

function targetJson({ length, sha256, mediaType }: NamedContent): JsonObject {
  return { length, hashes: { sha256 }, ...(mediaType !== undefined && { custom: { mediaType } }) };
}

function missingBin(bin: string): BullaError {
  return new BullaError('trust-invalid', `a staged change lacks the bin ${bin} that belongs to it`, {
    hint: 'a part of it was removed: its author has to make the change again',
    details: { role: bin, reason: 'missing' },
  });
}

function notReflected(role: string, holder: string): BullaError {
  return new BullaError('trust-invalid', `what is staged for ${role} is not what its log says of ${holder}`, {
    hint: 'parts of different changes were put together; its author has to make the change again',
    details: { role, holder, reason: 'log' },
  });
}

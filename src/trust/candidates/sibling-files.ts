import { createHash } from 'node:crypto';
import { equalBytes } from '../../encoding/bytes.ts';
import { BullaError, isBullaError } from '../../errors.ts';
import type { Descriptor } from '../../oci/descriptor.ts';
import type { CallOptions } from '../../oci/target.ts';
import { type Delegations, delegationOf } from '../../tuf/delegations.ts';
import { versionOf } from '../../tuf/edit/repository.ts';
import { DEFAULT_LIMITS } from '../../tuf/limits.ts';
import { type MetadataFile, parseMetadataFile } from '../../tuf/metadata-file.ts';
import { assertUnexpired } from '../../tuf/refusals.ts';
import { metadataFileName } from '../../tuf/role-name.ts';
import { topLevelKeys } from '../../tuf/root.ts';
import { parseSnapshot, parseTimestamp, type Snapshot, type Timestamp } from '../../tuf/snapshot.ts';
import { parseTargets, type Targets } from '../../tuf/targets.ts';
import { assertThreshold, countSignatures } from '../../tuf/threshold.ts';
import { createdIn } from '../format/binding.ts';
import {
  type ChangeLog,
  LOG_KEPT_MS,
  type LogEntry,
  logDescriptorOf,
  MAX_LOG_BYTES,
  parseLog,
} from '../format/log.ts';
import { fetchFile, type ObjectSource, type TrustObject } from '../format/object.ts';
import { problemWithEntry } from '../format/plain-text.ts';
import { findRoleFile, roleFilesIn } from '../format/role-files.ts';
import { assertSignableFile } from '../format/signable.ts';
import type { WorkingCopy } from '../read/working-copy.ts';
import { readStructuralOffer, type StructuralOffer } from './key-change-offer.ts';

/** A role's file that meets the threshold which the head's targets demand, and the log it was signed with. */
export interface SiblingRole {
  readonly role: string;
  readonly file: MetadataFile;
  readonly content: Targets;
  readonly log: ChangeLog;
  readonly logBytes: Uint8Array;
}

/** The same with some of the signatures: for pooling. */
export interface PartialRole extends SiblingRole {
  /** Ids of the keys whose signatures are valid. */
  readonly valid: readonly string[];
}

/** What a candidate's timestamp says. */
export interface SiblingTimestamp {
  readonly version: number;
  /** Hex SHA-256 of what is signed in it: what a candidate is, however often, wrapped and spelled it is pushed. */
  readonly identity: string;
  readonly file: MetadataFile;
  /** When it was made, by its maker's clock. */
  readonly created: Date | undefined;
  /** The snapshot that belongs to it, read when it is asked for. @throws BullaError trust-invalid, … */
  snapshot(): Promise<Snapshot>;
}

interface VerifiedFiles {
  readonly roles: ReadonlyMap<string, SiblingRole>;
  readonly partial: ReadonlyMap<string, PartialRole>;
  readonly timestamp?: SiblingTimestamp | undefined;
  readonly structure?: StructuralOffer | undefined;
  /** Whether there is nothing else in it: no file that could not be verified. */
  readonly isWhole: boolean;
  /** A stage of root or targets that the head has: whatever its signatures are, it brings nothing. */
  readonly isTakenIn?: boolean | undefined;
}

/** Verifies the files of siblings under one state of root and targets; the same file costs once. */
export class SiblingFiles {
  private readonly source: ObjectSource;
  private readonly copy: WorkingCopy;
  private readonly options: CallOptions;
  private readonly maxBytes: number;
  private readonly judged = new Map<string, Promise<SiblingRole | PartialRole>>();
  private now: Date;
  private left: number;

  constructor(source: ObjectSource, copy: WorkingCopy, now: Date, maxBytes: number, options: CallOptions) {
    this.source = source;
    this.copy = copy;
    this.options = options;
    this.maxBytes = maxBytes;
    this.now = now;
    this.left = maxBytes;
  }

  /** Whether this was made for the same root and the same delegations. */
  isFor(copy: WorkingCopy): boolean {
    const filesOf = ({ collection, files }: WorkingCopy) => [
      collection.client.trusted.root.file.bytes,
      files.roles.get('targets')?.bytes ?? new Uint8Array(),
    ];
    return filesOf(copy).every(
      (bytes, at) => Buffer.compare(bytes, filesOf(this.copy)[at] as Uint8Array) === 0,
    );
  }

  /** Begins a round, which may fetch as much again. */
  refill(now: Date): void {
    this.now = now;
    this.left = this.maxBytes;
  }

  /**
   * What of an object is verified. One file that is not spoils the others not: keys change, and what they
   * signed before stays beside what is valid still.
   * @throws BullaError trust-invalid, trust-expired, content-invalid where nothing is; what the target throws
   */
  async verify(object: TrustObject): Promise<VerifiedFiles> {
    const { delegations } = this.copy;
    const roles = new Map<string, SiblingRole>();
    const partial = new Map<string, PartialRole>();
    const problems: unknown[] = [];
    const timestamp =
      object.kind === 'head' ? await this.verifyTimestamp(object).catch(noting(problems)) : undefined;
    for (const { name } of delegations.roles) {
      const descriptor = findRoleFile(object, name)?.descriptor;
      if (descriptor === undefined) continue;
      const judged = await this.judge(object, name, descriptor, delegations).catch(noting(problems));
      if (judged === undefined) continue;
      if ('valid' in judged) partial.set(name, judged);
      else roles.set(name, judged);
    }
    const fetch = (descriptor: Descriptor, maxBytes: number) => this.fetch(descriptor, maxBytes);
    const structure = await readStructuralOffer(object, this.copy, this.now, fetch).catch(noting(problems));
    if (roles.size > 0 || partial.size > 0 || timestamp !== undefined || structure !== undefined)
      return { roles, partial, timestamp, structure, isWhole: problems.length === 0 };
    if (object.kind === 'stage' && (await this.isTakenIn(object).catch(noting(problems))) === true)
      return { roles, partial, isWhole: true, isTakenIn: true };
    throw problems[0] ?? unsigned(object);
  }

  /** Whether the head has each of its files, with the same signed content. */
  private async isTakenIn(object: TrustObject): Promise<boolean> {
    const { roots, roles } = this.copy.files;
    const files = [...roleFilesIn(object)];
    for (const { role, version, descriptor } of files) {
      const present = role === 'root' ? roots.find((root) => versionOf(root) === version) : roles.get(role);
      if (present === undefined || versionOf(present) !== version) return false;
      const bytes = await this.fetch(descriptor, DEFAULT_LIMITS.targetsBytes);
      const file = parseMetadataFile(bytes, role, DEFAULT_LIMITS.targetsBytes);
      if (!equalBytes(file.message, present.message)) return false;
    }
    return files.length > 0;
  }

  private judge(
    object: TrustObject,
    role: string,
    descriptor: Descriptor,
    delegations: Delegations,
  ): Promise<SiblingRole | PartialRole> {
    const key = `${role} ${descriptor.digest}`;
    const known = this.judged.get(key);
    if (known !== undefined) return known;
    const judging = this.judgeFile(object, role, descriptor, delegations);
    this.judged.set(key, judging);
    // It may be a blob that is not there yet, or a budget that was spent.
    judging.catch(() => this.judged.delete(key));
    return judging;
  }

  private async judgeFile(
    object: TrustObject,
    role: string,
    descriptor: Descriptor,
    delegations: Delegations,
  ): Promise<SiblingRole | PartialRole> {
    const delegated = delegationOf(delegations, role);
    if (delegated === undefined) throw undelegated(role);
    const bytes = await this.fetch(descriptor, DEFAULT_LIMITS.targetsBytes);
    const file = parseMetadataFile(bytes, role, DEFAULT_LIMITS.targetsBytes);
    const { valid, isMet } = countSignatures(file, delegations.keys, delegated);
    if (valid.length === 0) assertThreshold(file, delegations.keys, delegated, 'targets');
    this.copy.collection.check(file);
    assertSignableFile(file);
    const content = parseTargets(file);
    assertUnexpired(role, content.expires, this.now);
    const log = logDescriptorOf(file);
    const logBytes = await this.fetch({ ...log, ...inlined(object, role, log) }, MAX_LOG_BYTES);
    const judged = { role, file, content, log: parseLog(logBytes, role), logBytes };
    await this.assertFit(judged);
    return isMet ? judged : { ...judged, valid };
  }

  /**
   * Refuses entries that must not be included. One that is dated far ahead would stay in the log until then, and a thief
   * could fill it for good; text that is not plain is displayed as something else.
   */
  private async assertFit({ role, log }: SiblingRole): Promise<void> {
    const latest = this.now.getTime() + LOG_KEPT_MS;
    const odd = log.entries.filter(
      (entry) => entry.at.getTime() > latest || problemWithEntry(entry) !== undefined,
    );
    if (odd.length === 0) return;
    const head = await this.copy.readableLog(role);
    const known = new Set('entries' in head ? head.entries.map(({ id }) => id) : []);
    const news = odd.find(({ id }) => !known.has(id));
    if (news === undefined) return;
    throw news.at.getTime() > latest ? datedAhead(role, news) : notPlain(role, news);
  }

  private async verifyTimestamp(object: TrustObject): Promise<SiblingTimestamp> {
    const { trusted } = this.copy.collection.client;
    const root = trusted.root.content;
    const read = async (
      role: 'timestamp' | 'snapshot',
      fileName: string,
      maxBytes: number,
    ): Promise<MetadataFile> => {
      const descriptor = object.files.get(fileName);
      if (descriptor === undefined) throw incomplete(object, fileName);
      const file = parseMetadataFile(await this.fetch(descriptor, maxBytes), role, maxBytes);
      assertThreshold(file, root.keys, topLevelKeys(root, role), 'root');
      this.copy.collection.check(file);
      return file;
    };
    const file = await read('timestamp', 'timestamp.json', DEFAULT_LIMITS.timestampBytes);
    const content: Timestamp = parseTimestamp(file);
    return {
      version: content.version,
      file,
      identity: createHash('sha256').update(file.message).digest('hex'),
      created: createdIn(file),
      snapshot: async () => {
        const { version } = content.snapshot;
        return parseSnapshot(
          await read('snapshot', metadataFileName('snapshot', version), DEFAULT_LIMITS.snapshotBytes),
        );
      },
    };
  }

  /** @throws BullaError content-invalid (details.reason `budget` where the round has fetched enough) */
  private async fetch(descriptor: Descriptor, maxBytes: number): Promise<Uint8Array> {
    if (descriptor.size > this.left) throw spent(this.maxBytes);
    if (descriptor.data === undefined) this.left -= descriptor.size;
    return await fetchFile(this.source, descriptor, maxBytes, this.options);
  }
}

/** The log's bytes, where the object carries them itself. */
function inlined({ logs }: TrustObject, role: string, log: Descriptor): Pick<Descriptor, 'data'> {
  const listed = logs.get(role);
  return listed?.digest === log.digest && listed.data !== undefined ? { data: listed.data } : {};
}

/** Notes what is wrong with a file, and goes on without it; what says nothing about the file ends it. */
function noting(problems: unknown[]): (error: unknown) => undefined {
  return (error) => {
    const isAboutFile =
      isBullaError(error, 'trust-invalid', 'trust-expired', 'content-invalid', 'not-found', 'key-invalid') &&
      error.details['reason'] !== 'budget';
    if (!isAboutFile) throw error;
    problems.push(error);
    return undefined;
  };
}

function unsigned({ content }: TrustObject): BullaError {
  return new BullaError(
    'trust-invalid',
    `${content.descriptor.digest} holds no file of a role of this collection`,
    {
      hint: 'it is left alone; if a removed signer staged it, a present one has to make the change',
      details: { reason: 'signatures' },
    },
  );
}

function datedAhead(role: string, { id, at }: LogEntry): BullaError {
  return new BullaError('trust-invalid', `the change ${id} of ${role} is dated ${at.toISOString()}`, {
    hint: 'the clock of its author, or of this machine, is wrong by more than a day',
    details: { role, id, reason: 'ahead' },
  });
}

function notPlain(role: string, entry: LogEntry): BullaError {
  return new BullaError(
    'trust-invalid',
    `the change ${entry.id} of ${role} is refused: ${problemWithEntry(entry)}`,
    {
      hint: 'it was not made by bulla; its publisher has to make the change again',
      details: { role, id: entry.id, reason: 'text' },
    },
  );
}

function undelegated(role: string): BullaError {
  return new BullaError('trust-invalid', `no role delegates to ${JSON.stringify(role)} any more`, {
    hint: 'the signer was removed; a present one has to make the change',
    details: { role, reason: 'undelegated' },
  });
}

function incomplete({ content }: TrustObject, fileName: string): BullaError {
  return new BullaError('trust-invalid', `the candidate ${content.descriptor.digest} has no ${fileName}`, {
    hint: 'it was assembled by someone else; it is left alone',
    details: { reason: 'missing', fileName },
  });
}

function spent(maxBytes: number): BullaError {
  return new BullaError('content-invalid', `candidates and stages have more than ${maxBytes} bytes`, {
    hint: 'the collection is being flooded with them: remove them with the registry, and restrict who may push',
    details: { reason: 'budget', maxBytes },
  });
}

import { BullaError, isBullaError } from '../errors.ts';
import type { RoleKeys } from './delegation-keys.ts';
import type { DelegatedRole } from './delegations.ts';
import { assertFileMeta, type FileMeta } from './file-meta.ts';
import type { TufKey } from './keys.ts';
import { DEFAULT_LIMITS, type TufLimits } from './limits.ts';
import { type MetadataFile, parseMetadataFile } from './metadata-file.ts';
import { assertNoRollback, assertUnexpired, assertVersion, unlistedRole } from './refusals.ts';
import { metadataFileName, metaPath, type TopLevelRole } from './role-name.ts';
import { parseRoot, type Root, topLevelKeys } from './root.ts';
import { keysWereRemoved } from './rotation.ts';
import { parseSnapshot, parseTimestamp, type Snapshot, type Timestamp } from './snapshot.ts';
import { parseTargets, type Targets } from './targets.ts';
import { assertThreshold, countSignatures, isSignedByAny } from './threshold.ts';

/** A verified file and what it says. */
export interface Trusted<T> {
  readonly file: MetadataFile;
  readonly content: T;
}

/** A file that is needed next. */
export interface MetadataRequest {
  readonly role: string;
  readonly fileName: string;
  readonly maxBytes: number;
}

/** The role that vouches for another, and with which keys. */
export interface Delegator {
  readonly name: string;
  readonly keys: ReadonlyMap<string, TufKey>;
  readonly role: RoleKeys;
}

export interface TrustedMetadataOptions {
  readonly limits?: Partial<TufLimits>;
  /** Whether keys whose id is not their hash may count; false where keys are pinned by id. */
  readonly strictKeyIds?: boolean;
  /**
   * A further demand on every file whose signatures were found good, cached ones included, before
   * anything of it is used; it throws what is to be said where it is not met.
   */
  readonly demand?: (file: MetadataFile) => void;
}

/** What a cached file is good for. */
export type CachedUse =
  /** As if it had just been fetched. */
  | 'current'
  /** Only to compare versions with. */
  | 'floor'
  /** Nothing: no key that is trusted now has signed it. */
  | 'none';

/**
 * The client workflow of TUF 1.0.34 §5, except for getting files. Bytes go in, in the order root,
 * timestamp, snapshot, targets; each is verified before anything of it is used, or refused with an
 * error that changes nothing here. Invariants: whatever this object returns is signed by a threshold of
 * the keys that the role's delegator lists now; the clock stands still (§5.1).
 */
export class TrustedMetadata {
  /** When the update began (§5.1). */
  readonly now: Date;
  readonly limits: TufLimits;
  private readonly strictKeyIds: boolean;
  private readonly demand: (file: MetadataFile) => void;
  private trustedRoot: Trusted<Root>;
  private rootIsFinal = false;
  private timestampFloor: Timestamp | undefined;
  private snapshotFloor: Snapshot | undefined;
  private trustedTimestamp: Trusted<Timestamp> | undefined;
  private trustedSnapshot: Trusted<Snapshot> | undefined;
  private readonly roles = new Map<string, Trusted<Targets> & { readonly vouchedBy: Set<string> }>();

  /**
   * Begins with a root that is trusted already (§5.2). It must still meet its own threshold, so that a
   * damaged file or a wrong one is noticed before anything is fetched.
   * @throws BullaError content-invalid, trust-invalid; usage if `now` is an invalid time
   */
  constructor(rootBytes: Uint8Array, now: Date, options: TrustedMetadataOptions = {}) {
    if (Number.isNaN(now.getTime())) throw timeless();
    this.now = now;
    this.limits = { ...DEFAULT_LIMITS, ...options.limits };
    this.strictKeyIds = options.strictKeyIds ?? false;
    this.demand = options.demand ?? (() => undefined);
    const file = parseMetadataFile(rootBytes, 'root', this.limits.rootBytes);
    const content = parseRoot(file);
    this.verify(file, this.delegatorOf(content, 'root'));
    this.trustedRoot = { file, content };
  }

  get root(): Trusted<Root> {
    return this.trustedRoot;
  }

  /** The next root to try (§5.3.3). It may not exist: then call {@link finishRoot}. */
  rootRequest(): MetadataRequest {
    const version = this.trustedRoot.content.version + 1;
    return { role: 'root', fileName: metadataFileName('root', version), maxBytes: this.limits.rootBytes };
  }

  /**
   * Takes the next root (§5.3.4 to §5.3.7): signed by a threshold of the present root's keys and of its
   * own, and of exactly the next version.
   * @returns whether the cached timestamp and snapshot must go now (§5.3.11): keys of theirs were removed
   * @throws BullaError content-invalid, trust-invalid
   */
  updateRoot(bytes: Uint8Array): boolean {
    if (this.rootIsFinal) throw outOfOrder('a root after the last');
    const file = parseMetadataFile(bytes, 'root', this.limits.rootBytes);
    const old = this.trustedRoot.content;
    this.verify(file, this.delegatorOf(old, 'root'));
    const content = parseRoot(file);
    this.verify(file, { ...this.delegatorOf(content, 'root'), name: 'the new root itself' });
    assertVersion('root', old.version + 1, content.version);
    this.trustedRoot = { file, content };
    return keysWereRemoved(old, content, 'timestamp') || keysWereRemoved(old, content, 'snapshot');
  }

  /** Ends the chain of roots: the last must not be expired (§5.3.10). @throws BullaError trust-expired */
  finishRoot(): void {
    assertUnexpired('root', this.trustedRoot.content.expires, this.now);
    this.rootIsFinal = true;
  }

  timestampRequest(): MetadataRequest {
    return {
      role: 'timestamp',
      fileName: metadataFileName('timestamp'),
      maxBytes: this.limits.timestampBytes,
    };
  }

  /**
   * Takes the timestamp of an earlier refresh. Expired or not, and even if it no longer meets the
   * threshold, it bounds versions from below, as long as one key that is trusted now has signed it, under
   * whatever id.
   * @throws BullaError content-invalid where it cannot be read
   */
  loadTimestamp(bytes: Uint8Array): CachedUse {
    const file = parseMetadataFile(bytes, 'timestamp', this.limits.timestampBytes);
    const use = this.judgeCached(file);
    if (use === 'none') return use;
    const content = parseTimestamp(file);
    this.timestampFloor = content;
    if (use === 'current') this.trustedTimestamp = { file, content };
    return use;
  }

  /**
   * Takes a fetched timestamp (§5.4.2 to §5.4.4).
   * @returns false where it has the version that is known already: that one stays, whatever this one says
   * @throws BullaError content-invalid, trust-invalid, trust-rollback, trust-expired
   */
  updateTimestamp(bytes: Uint8Array): boolean {
    if (!this.rootIsFinal) throw outOfOrder('timestamp before root');
    const file = parseMetadataFile(bytes, 'timestamp', this.limits.timestampBytes);
    this.verify(file, this.delegatorOf(this.trustedRoot.content, 'timestamp'));
    const content = parseTimestamp(file);
    if (this.timestampFloor !== undefined) {
      assertNoRollback('timestamp', this.timestampFloor.version, content.version);
      if (this.trustedTimestamp?.content.version === content.version) return false;
      assertNoRollback('snapshot', this.timestampFloor.snapshot.version, content.snapshot.version);
    }
    assertUnexpired('timestamp', content.expires, this.now);
    this.timestampFloor = content;
    this.trustedTimestamp = { file, content };
    return true;
  }

  /** The timestamp that counts. @throws BullaError trust-expired where it is a cached one that has expired */
  get timestamp(): Trusted<Timestamp> {
    if (this.trustedTimestamp === undefined) throw outOfOrder('no timestamp yet');
    assertUnexpired('timestamp', this.trustedTimestamp.content.expires, this.now);
    return this.trustedTimestamp;
  }

  /** The snapshot to fetch (§5.5.1); undefined where a cached one is current. */
  snapshotRequest(): MetadataRequest | undefined {
    const { snapshot } = this.timestamp.content;
    return this.trustedSnapshot === undefined
      ? this.requestFor('snapshot', snapshot, this.limits.snapshotBytes)
      : undefined;
  }

  /**
   * Takes the snapshot of an earlier refresh: `current` only if it is the one that the timestamp names.
   * Its hash is not held against the new timestamp for `floor`: an old file has an old hash.
   * @throws BullaError content-invalid where it cannot be read
   */
  loadSnapshot(bytes: Uint8Array): CachedUse {
    const meta = this.timestamp.content.snapshot;
    const file = parseMetadataFile(bytes, 'snapshot', this.limits.listedBytes);
    const use = this.judgeCached(file);
    if (use === 'none') return use;
    const content = parseSnapshot(file);
    this.snapshotFloor = content;
    const isCurrent =
      use === 'current' &&
      content.version === meta.version &&
      content.expires > this.now &&
      agrees(bytes, meta);
    if (isCurrent) this.trustedSnapshot = { file, content };
    return isCurrent ? 'current' : 'floor';
  }

  /** What {@link loadSnapshot} would find, before there is a timestamp. @throws BullaError content-invalid, trust-invalid */
  judgeSnapshot(bytes: Uint8Array): CachedUse {
    const file = parseMetadataFile(bytes, 'snapshot', this.limits.listedBytes);
    parseSnapshot(file);
    return this.judgeCached(file);
  }

  /**
   * Takes a fetched snapshot (§5.5.2 to §5.5.6).
   * @throws BullaError content-invalid, trust-invalid, trust-rollback, trust-expired
   */
  updateSnapshot(bytes: Uint8Array): void {
    const meta = this.timestamp.content.snapshot;
    assertFileMeta(bytes, meta, 'snapshot');
    const file = parseMetadataFile(bytes, 'snapshot', this.maxBytesOf(meta, this.limits.snapshotBytes));
    this.verify(file, this.delegatorOf(this.trustedRoot.content, 'snapshot'));
    const content = parseSnapshot(file);
    assertVersion('snapshot', meta.version, content.version);
    for (const [path, { version }] of this.snapshotFloor?.meta ?? []) {
      assertNoRollback(path.replace(/\.json$/, ''), version, content.meta.get(path)?.version);
    }
    assertUnexpired('snapshot', content.expires, this.now);
    this.trustedSnapshot = { file, content };
  }

  get snapshot(): Trusted<Snapshot> {
    if (this.trustedSnapshot === undefined) throw outOfOrder('no snapshot yet');
    return this.trustedSnapshot;
  }

  /** When the first of the files that count now expires. */
  get expires(): Date {
    const files = [this.root, this.trustedTimestamp, this.trustedSnapshot, ...this.roles.values()];
    return new Date(Math.min(...files.flatMap((file) => file?.content.expires.getTime() ?? [])));
  }

  /** Forgets cached timestamp and snapshot (§5.3.11); for a caller that loaded them before. */
  forgetCached(): void {
    this.timestampFloor = undefined;
    this.snapshotFloor = undefined;
    this.trustedTimestamp = undefined;
    this.trustedSnapshot = undefined;
  }

  /**
   * File of targets or a delegated role (§5.6.1).
   * @throws BullaError trust-invalid where snapshot does not list it
   */
  roleRequest(role: string): MetadataRequest {
    return this.requestFor(role, this.metaOf(role), this.limits.targetsBytes);
  }

  /** The role's content, if it is known and this delegator vouches for it. @throws BullaError trust-invalid */
  knownRole(role: string, delegator: Delegator): Trusted<Targets> | undefined {
    const known = this.roles.get(role);
    if (known === undefined) return undefined;
    // Another delegator may trust other keys: what it vouched for says nothing about this path.
    if (!known.vouchedBy.has(delegator.name)) {
      this.verify(known.file, delegator);
      known.vouchedBy.add(delegator.name);
    }
    return known;
  }

  /**
   * Takes the file of targets or of a delegated role, fetched or cached (§5.6.2 to §5.6.5).
   * @throws BullaError content-invalid, trust-invalid, trust-expired
   */
  updateRole(role: string, bytes: Uint8Array, delegator: Delegator): Trusted<Targets> {
    const meta = this.metaOf(role);
    assertFileMeta(bytes, meta, role);
    const file = parseMetadataFile(bytes, role, this.maxBytesOf(meta, this.limits.targetsBytes));
    this.verify(file, delegator);
    const content = parseTargets(file);
    assertVersion(role, meta.version, content.version);
    assertUnexpired(role, content.expires, this.now);
    const trusted = { file, content, vouchedBy: new Set([delegator.name]) };
    this.roles.set(role, trusted);
    return trusted;
  }

  /** Drops a role's file, so that a reader of many bins holds a few at a time; it is verified anew if asked for. */
  forgetRole(role: string): void {
    this.roles.delete(role);
  }

  /** Root as the delegator of top-level targets. */
  targetsDelegator(): Delegator {
    return this.delegatorOf(this.trustedRoot.content, 'targets');
  }

  /** A targets role as the delegator of another. */
  delegatorFor(name: string, targets: Targets, delegated: DelegatedRole): Delegator {
    return { name, keys: targets.delegations?.keys ?? new Map(), role: delegated };
  }

  private delegatorOf(root: Root, role: TopLevelRole): Delegator {
    return { name: 'root', keys: root.keys, role: topLevelKeys(root, role) };
  }

  private verify(file: MetadataFile, delegator: Delegator): void {
    assertThreshold(file, delegator.keys, delegator.role, delegator.name, {
      strictKeyIds: this.strictKeyIds,
    });
    this.demand(file);
  }

  private judgeCached(file: MetadataFile): CachedUse {
    const { keys, role } = this.delegatorOf(this.trustedRoot.content, file.role as TopLevelRole);
    const options = { strictKeyIds: this.strictKeyIds };
    const count = countSignatures(file, keys, role, options);
    if (count.valid.length === 0 && !isSignedByAny(file, keys, role, options)) return 'none';
    this.demand(file);
    return count.isMet ? 'current' : 'floor';
  }

  private metaOf(role: string): FileMeta {
    const meta = this.snapshot.content.meta.get(metaPath(role));
    if (meta === undefined) throw unlistedRole(role);
    return meta;
  }

  private requestFor(role: string, meta: FileMeta, limit: number): MetadataRequest {
    const version = this.trustedRoot.content.consistentSnapshot ? meta.version : undefined;
    return { role, fileName: metadataFileName(role, version), maxBytes: this.maxBytesOf(meta, limit) };
  }

  private maxBytesOf(meta: FileMeta, limit: number): number {
    return meta.length === undefined ? limit : Math.min(meta.length, this.limits.listedBytes);
  }
}

function agrees(bytes: Uint8Array, meta: FileMeta): boolean {
  try {
    assertFileMeta(bytes, meta, 'snapshot');
    return true;
  } catch (error) {
    if (isBullaError(error, 'trust-invalid')) return false;
    throw error;
  }
}

function timeless(): BullaError {
  return new BullaError('usage', 'the time of the update is not a time', {
    hint: 'give a valid Date: without it expiry cannot be checked',
  });
}

function outOfOrder(what: string): BullaError {
  return new BullaError('internal', `the TUF workflow was called out of order: ${what}`, {
    hint: 'please report this with the command that was run',
  });
}

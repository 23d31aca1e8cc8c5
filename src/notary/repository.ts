import { formatTime } from '../encoding/time.ts';
import { BullaError, isBullaError } from '../errors.ts';
import {
  compactJson,
  mismatchOf,
  type NotaryDelegation,
  type NotaryFileMeta,
  type NotaryMeta,
  type NotaryRoleKeys,
  type NotaryTargets,
  parseNotarySnapshot,
  parseNotaryTargets,
  parseNotaryTimestamp,
} from './content.ts';
import { type NotaryFile, parseNotaryFile } from './file.ts';
import type { ListedKey } from './keys.ts';
import type { NotaryPin } from './pin.ts';
import {
  certificatesExpired,
  type ReadRoot,
  type RootChain,
  readRoot,
  verifyRootChain,
} from './root-chain.ts';
import type { NotaryMemory, NotaryMemoryState, NotarySource } from './source.ts';
import { assertNotaryThreshold } from './threshold.ts';

const MAX_TIMESTAMP_BYTES = 64 * 1024;
/** Largest file that snapshot or timestamp may list, in bytes. */
const MAX_LISTED_BYTES = 64 * 1024 * 1024;
/** All files of a repository together, in bytes. */
const DEFAULT_BUDGET = 256 * 1024 * 1024;
/** Most delegations of a repository. */
const MAX_ROLES = 1024;

export interface NotaryVerifyOptions {
  /** Globally unique name: `docker.io/library/alpine`. Root certificates must carry it. */
  readonly gun: string;
  readonly now: Date;
  /** Whose root is trusted; left out, only what is remembered. */
  readonly pin?: NotaryPin | undefined;
  readonly memory?: NotaryMemory | undefined;
  /** Take what has expired, and say so in the result: for servers that have stopped re-signing. */
  readonly allowExpired?: boolean | undefined;
  /**
   * What to do where a delegation cannot be verified (expired, signed by others, missing): refuse the
   * repository, or keep its problem in {@link NotaryRole.problem} and none of its content.
   */
  readonly badDelegation?: 'refuse' | 'report' | undefined;
  /** Which delegations to read, by name and listed length in bytes; all where it is left out. */
  readonly wanted?: ((role: string, length: number) => boolean) | undefined;
  /** Most bytes that are read in all. */
  readonly maxBytes?: number | undefined;
}

/** A verified file of snapshot or timestamp. */
export interface ReadMeta {
  readonly file: NotaryFile;
  readonly content: NotaryMeta;
}

/** `targets`, or a role below it. */
export interface NotaryRole extends NotaryRoleKeys {
  readonly name: string;
  /** Prefixes of the names it may sign, within those of the roles above it; `['']` is every name. */
  readonly paths: readonly string[];
  /** Keys that its delegator lists; those of the role are {@link keyids}. */
  readonly keys: ReadonlyMap<string, ListedKey>;
  /** Undefined where the role has signed nothing yet, or has a problem. */
  readonly file?: NotaryFile | undefined;
  readonly content?: NotaryTargets | undefined;
  /** Why nothing of the role counts, with `badDelegation: 'report'`. */
  readonly problem?: BullaError | undefined;
  /** With a problem: its file is not there, or is not the one that snapshot lists. No publisher leaves it so. */
  readonly isUnlisted?: true | undefined;
  /** It was not wanted, and so is not known. */
  readonly isUnread?: true | undefined;
}

/** An expired file that was taken. */
export interface ExpiredRole {
  readonly role: string;
  readonly expires: Date;
}

/** The verified metadata of one repository. */
export interface NotaryRepository {
  readonly gun: string;
  readonly place: string;
  readonly roots: RootChain['roots'];
  readonly root: ReadRoot;
  readonly timestamp: ReadMeta;
  readonly snapshot: ReadMeta;
  /** `targets` first, then delegations, breadth first in the order of their delegators: their priority. */
  readonly roles: ReadonlyMap<string, NotaryRole>;
  /** When the first of the verified files expires. */
  readonly expires: Date;
  /** With `allowExpired`: what had expired. Then the state is as of the earliest of these instants. */
  readonly expired: readonly ExpiredRole[];
  /** Whether something was remembered of the repository before. */
  readonly wasKnown: boolean;
  readonly warnings: readonly string[];
}

/**
 * Verifies all metadata of a Notary v1 repository (spec/notary.md): the chain of roots from what is pinned
 * or remembered, then timestamp, snapshot, targets and every delegation, each by threshold, version, expiry,
 * length and hashes. What was verified is kept in the memory, if one is given.
 * @returns undefined where there is no trust data, and none is remembered
 * @throws BullaError trust-unpinned, trust-invalid, trust-expired, trust-rollback, content-invalid; what source
 *   and memory throw
 */
export async function verifyNotaryRepository(
  source: NotarySource,
  options: NotaryVerifyOptions,
): Promise<NotaryRepository | undefined> {
  const known = await options.memory?.load();
  const early = source.fetch({ role: 'timestamp' }, MAX_TIMESTAMP_BYTES);
  early.catch(() => undefined);
  const chain = await verifyRootChain(source, {
    gun: options.gun,
    pin: options.pin,
    remembered: known?.root,
    validAt: options.allowExpired === true ? undefined : options.now,
  });
  if (chain === undefined) {
    if (known === undefined) return undefined;
    throw vanished(options.gun, source.place);
  }
  const verification = new Verification(source, options, chain, known);
  const repository = await verification.run(early);
  await options.memory?.keep(memoryOf(repository, known));
  return repository;
}

class Verification {
  private readonly source: NotarySource;
  private readonly options: NotaryVerifyOptions;
  private readonly chain: RootChain;
  private readonly known: NotaryMemoryState | undefined;
  private readonly knownVersions: ReadonlyMap<string, number>;
  private readonly expired: ExpiredRole[] = [];
  private readonly expiries: Date[] = [];
  private readonly warnings: string[] = [];
  private readonly mismatches: BullaError[] = [];
  /** Roles whose file is not the one that snapshot lists. */
  private readonly unlisted = new Set<string>();
  private left: number;

  constructor(
    source: NotarySource,
    options: NotaryVerifyOptions,
    chain: RootChain,
    known: NotaryMemoryState | undefined,
  ) {
    this.source = source;
    this.options = options;
    this.chain = chain;
    this.known = known;
    this.knownVersions = known === undefined ? new Map() : stillCounting(known, chain.newest);
    this.left = options.maxBytes ?? DEFAULT_BUDGET;
  }

  async run(early: Promise<Uint8Array | undefined>): Promise<NotaryRepository> {
    const { newest } = this.chain;
    const { gun, now, allowExpired } = this.options;
    const { expires } = newest.content;
    // Where it is not allowed the chain of roots has refused it.
    const uncertified = allowExpired === true ? certificatesExpired(newest, gun, now) : undefined;
    this.noteExpiry('root', uncertified !== undefined && uncertified < expires ? uncertified : expires);
    const timestampFile = await early;
    if (timestampFile === undefined) throw missing('timestamp');
    const timestamp = this.meta(timestampFile, 'timestamp', MAX_TIMESTAMP_BYTES, parseNotaryTimestamp);
    const listed = listedMeta(timestamp.content, 'snapshot');
    const snapshotFile = await this.fetch('snapshot', listed);
    const snapshot = this.meta(snapshotFile, 'snapshot', snapshotFile.byteLength, parseNotarySnapshot);
    this.bind(snapshotFile, 'snapshot', listed);
    this.bind(newest.file.bytes, 'root', listedMeta(snapshot.content, 'root'));
    const roles = await this.roles(snapshot.content);
    // What is expired, unsigned or malformed says more than that it does not fit: that is told last.
    const [mismatch] = this.mismatches;
    if (mismatch !== undefined) throw mismatch;
    return {
      gun: this.options.gun,
      place: this.source.place,
      roots: this.chain.roots,
      root: newest,
      timestamp,
      snapshot,
      roles,
      expires: this.expiries.reduce((a, b) => (a < b ? a : b)),
      expired: this.expired,
      wasKnown: this.known !== undefined,
      warnings: this.warnings,
    };
  }

  private meta(
    bytes: Uint8Array,
    role: 'timestamp' | 'snapshot',
    maxBytes: number,
    parse: (file: NotaryFile) => NotaryMeta,
  ): ReadMeta {
    const { content: root } = this.chain.newest;
    const file = parseNotaryFile(bytes, role, maxBytes);
    const content = parse(file);
    assertNotaryThreshold(file, root.keys, rootRole(this.chain.newest, role), 'root');
    this.check(role, content);
    return { file, content };
  }

  /** Targets and everything below it, level by level. */
  private async roles(snapshot: NotaryMeta): Promise<ReadonlyMap<string, NotaryRole>> {
    const { newest } = this.chain;
    const roles = new Map<string, NotaryRole>();
    let level: NotaryRole[] = [
      { name: 'targets', paths: [''], keys: newest.content.keys, ...rootRole(newest, 'targets') },
    ];
    while (level.length > 0) {
      if (roles.size + level.length > MAX_ROLES) throw tooManyRoles();
      const loaded = await Promise.all(level.map((role) => this.role(role, snapshot)));
      for (const role of loaded) roles.set(role.name, role);
      level = loaded.flatMap(({ content, paths }) =>
        (content?.delegations ?? []).map((child) => childOf(child, paths, content as NotaryTargets)),
      );
    }
    return roles;
  }

  private async role(role: NotaryRole, snapshot: NotaryMeta): Promise<NotaryRole> {
    try {
      return await this.loadRole(role, snapshot);
    } catch (error) {
      const isReported = this.options.badDelegation === 'report' && role.name !== 'targets';
      if (!isReported || !isBullaError(error, ...BAD_ROLE)) throw error;
      return { ...role, problem: error, ...(this.unlisted.has(role.name) && { isUnlisted: true }) };
    }
  }

  private async loadRole(role: NotaryRole, snapshot: NotaryMeta): Promise<NotaryRole> {
    const { name } = role;
    const listed = snapshot.meta.get(name);
    if (listed === undefined) {
      // What was listed before and is still delegated to cannot be unsigned again.
      assertNoRollback(name, this.knownVersions.get(name), undefined);
      return role;
    }
    if (name !== 'targets' && this.options.wanted?.(name, listed.length) === false)
      return { ...role, isUnread: true };
    this.unlisted.add(name);
    const bytes = await this.fetch(name, listed);
    const mismatch = this.bindingProblem(bytes, name, listed);
    if (mismatch === undefined) this.unlisted.delete(name);
    const file = parseNotaryFile(bytes, name, bytes.byteLength);
    const content = parseNotaryTargets(file);
    const delegator = name === 'targets' ? 'root' : name.slice(0, name.lastIndexOf('/'));
    assertNotaryThreshold(file, role.keys, role, delegator);
    this.check(name, content);
    if (mismatch !== undefined) {
      if (this.options.badDelegation === 'report' && name !== 'targets') throw mismatch;
      this.mismatches.push(mismatch);
    }
    return { ...role, file, content };
  }

  private check(role: string, { version, expires }: { version: number; expires: Date }): void {
    assertNoRollback(role, this.knownVersions.get(role), version);
    this.noteExpiry(role, expires);
  }

  private noteExpiry(role: string, expires: Date): void {
    const { now, allowExpired } = this.options;
    if (expires.getTime() <= now.getTime()) {
      if (allowExpired !== true) throw hasExpired(role, expires, now);
      this.expired.push({ role, expires });
    }
    this.expiries.push(expires);
  }

  private async fetch(role: string, listed: NotaryFileMeta): Promise<Uint8Array> {
    if (listed.length > Math.min(MAX_LISTED_BYTES, this.left)) throw tooLarge(role, listed.length);
    // A file that a tool has laid out is larger than it was; more than that is not honest.
    const most = Math.min(4 * listed.length + 4096, MAX_LISTED_BYTES, this.left);
    const sha256 = listed.hashes.get('sha256');
    const bytes = await this.source.fetch({ role, ...(sha256 !== undefined && { sha256 }) }, most);
    if (bytes === undefined) throw missing(role);
    this.left -= bytes.byteLength;
    return bytes;
  }

  private bind(bytes: Uint8Array, role: string, listed: NotaryFileMeta): void {
    const mismatch = this.bindingProblem(bytes, role, listed);
    if (mismatch !== undefined) this.mismatches.push(mismatch);
  }

  private bindingProblem(bytes: Uint8Array, role: string, listed: NotaryFileMeta): BullaError | undefined {
    const found = mismatchOf(bytes, listed);
    if (found === undefined) return undefined;
    if (mismatchOf(compactJson(bytes), listed) === undefined) {
      this.warnings.push(`${role}.json was laid out anew; without white space it is what was signed`);
      return undefined;
    }
    return new BullaError('trust-invalid', `metadata of ${JSON.stringify(role)}: ${found}`, {
      hint: 'files of different states were mixed: the server is inconsistent, or the file was altered',
      details: { role, reason: 'hash' },
    });
  }
}

/** What may be wrong with a role by itself, beside which others still count. */
const BAD_ROLE = ['trust-expired', 'trust-invalid', 'trust-rollback', 'content-invalid'] as const;

/** A role with the names that it may sign: of its paths those that are within its delegator's. */
function childOf(child: NotaryDelegation, within: readonly string[], { keys }: NotaryTargets): NotaryRole {
  const paths = child.paths.filter((path) => within.some((prefix) => path.startsWith(prefix)));
  return { ...child, paths, keys };
}

function rootRole({ content }: ReadRoot, role: 'timestamp' | 'snapshot' | 'targets'): NotaryRoleKeys {
  return content.roles.get(role) ?? { keyids: [], threshold: 1 };
}

function listedMeta({ meta }: NotaryMeta, role: string): NotaryFileMeta {
  return meta.get(role) ?? { length: 0, hashes: new Map() };
}

/** What is to be remembered of a verified repository; of roles that were not verified now, what was known. */
function memoryOf(
  { root, timestamp, snapshot, roles }: NotaryRepository,
  known: NotaryMemoryState | undefined,
): NotaryMemoryState {
  const versions = new Map([
    ['timestamp', timestamp.content.version],
    ['snapshot', snapshot.content.version],
  ]);
  for (const { name, content } of roles.values()) {
    const version = content?.version ?? known?.versions.get(name);
    if (version !== undefined) versions.set(name, version);
  }
  // What is below a role that was not read is not known to be gone.
  for (const [name, version] of known?.versions ?? [])
    if (!versions.has(name) && isBelowUnread(name, roles)) versions.set(name, version);
  return { root: root.file.bytes, versions };
}

function isBelowUnread(name: string, roles: NotaryRepository['roles']): boolean {
  return [...roles.values()].some((role) => role.content === undefined && name.startsWith(`${role.name}/`));
}

/**
 * The remembered versions that still count: where timestamp or snapshot got other keys, their versions
 * begin anew, so that who had the old keys cannot have put them out of reach.
 */
function stillCounting({ root, versions }: NotaryMemoryState, newest: ReadRoot): ReadonlyMap<string, number> {
  const before = readRoot(root);
  const keysOf = (read: ReadRoot): string =>
    JSON.stringify(
      (['timestamp', 'snapshot'] as const).map((role) => [...rootRole(read, role).keyids].sort()),
    );
  if (keysOf(before) === keysOf(newest)) return versions;
  return new Map([...versions].filter(([role]) => role !== 'timestamp' && role !== 'snapshot'));
}

function assertNoRollback(role: string, from: number | undefined, to: number | undefined): void {
  if (from === undefined || (to !== undefined && to >= from)) return;
  const what = to === undefined ? 'is no longer listed' : `went back to version ${to}`;
  throw new BullaError(
    'trust-rollback',
    `metadata of ${JSON.stringify(role)} ${what}; version ${from} has been seen here`,
    {
      hint: 'an old state of the repository is being served; use a server that is up to date',
      details: { role, from, to: to ?? null },
    },
  );
}

function hasExpired(role: string, expires: Date, now: Date): BullaError {
  return new BullaError(
    'trust-expired',
    `metadata of ${JSON.stringify(role)} expired at ${formatTime(expires)}, and it is ${formatTime(now)}`,
    {
      hint: 'the server withholds newer files or has stopped re-signing, or the publisher must sign again; check the clock of this machine too',
      details: { role, expires: formatTime(expires), now: formatTime(now) },
    },
  );
}

function missing(role: string): BullaError {
  return new BullaError('trust-invalid', `there is no ${role}.json, and it must be there`, {
    hint: 'the server withholds the file, or the copy is incomplete',
    details: { role, reason: 'missing', fileName: `${role}.json` },
  });
}

function tooLarge(role: string, length: number): BullaError {
  return new BullaError(
    'content-invalid',
    `metadata of ${JSON.stringify(role)} would have ${length} bytes, more than is read`,
    {
      hint: 'no honest metadata is that large; nothing of it was used',
      details: { role },
    },
  );
}

function tooManyRoles(): BullaError {
  return new BullaError('content-invalid', `there are more than ${MAX_ROLES} roles`, {
    hint: 'no honest repository has that many signers',
  });
}

function vanished(gun: string, place: string): BullaError {
  return new BullaError(
    'trust-rollback',
    `${place} has no trust data of ${gun}, which was verified there before`,
    {
      hint: 'it was removed, or is being withheld; bulla pin rm forgets what was seen',
      details: { role: 'root', to: null },
    },
  );
}

import { BullaError, isBullaError } from '../errors.ts';
import { contentPath, verifiedContent } from './content.ts';
import { keyIdWarnings } from './key-warnings.ts';
import type { MetadataFetcher, StateChange, TargetFetcher, TrustedStateStore } from './ports.ts';
import { missingFile } from './refusals.ts';
import { type FoundTarget, type SearchOptions, searchTargets } from './search.ts';
import type { Targets } from './targets.ts';
import {
  type CachedUse,
  type Delegator,
  type MetadataRequest,
  type Trusted,
  TrustedMetadata,
  type TrustedMetadataOptions,
} from './trusted-metadata.ts';

export interface RefreshOptions extends TrustedMetadataOptions {
  /** The root to begin with where the store has none. */
  readonly initialRoot?: Uint8Array;
  /**
   * Whether timestamp and snapshot come as one and are kept as one: a timestamp whose snapshot is refused is
   * not kept then, so that what was verified before goes on being valid. TUF 1.0.34 §5.4 keeps it.
   */
  readonly isWhole?: boolean;
  /**
   * What must be stored beside a root of which nothing was forgotten: timestamp and snapshot, or both of them or
   * neither. Left out, a snapshot needs its timestamp.
   */
  readonly stored?: 'both' | 'both-or-neither' | undefined;
  /** What a person can do about damaged state, for the hint. */
  readonly repair?: string | undefined;
  /** Told what is odd and no reason to stop. */
  readonly onWarning?: (message: string) => void;
}

/** Roles whose files bound versions, in the order in which they are stored. */
const STORED_ROLES = ['timestamp', 'snapshot', 'root'] as const;
type StoredRole = (typeof STORED_ROLES)[number];

/** How often a refresh starts over because another process changed the trusted state meanwhile. */
const MAX_RESTARTS = 16;

/**
 * Brings trusted metadata up to date (TUF 1.0.34 §5.1 to §5.6.6), and stores what it has verified,
 * also where it fails later. No lock is held while it waits for the network: what it stores says what
 * it replaces, and where another process was faster it starts over from what that one has found.
 * @param now when the update begins; no other clock is read
 * @throws BullaError trust-unpinned where there is no root to begin with; storage-error (details.reason
 *   `damaged-state`) where what is stored cannot be read, or is not what was stored; trust-expired, trust-rollback,
 *   trust-invalid, content-invalid (details.role); what fetcher and store throw
 */
export async function refresh(
  fetcher: MetadataFetcher,
  store: TrustedStateStore,
  now: Date,
  options: RefreshOptions = {},
): Promise<TufClient> {
  for (let restarts = 0; ; restarts++) {
    const update = new Update(fetcher, store, now, options);
    try {
      return await update.run();
    } catch (error) {
      // What is damaged may only have been read while another process replaced it.
      const isTransient = error instanceof StateMoved || (error instanceof StateDamaged && restarts === 0);
      if (!isTransient || restarts === MAX_RESTARTS) throw error;
    }
  }
}

/** A repository as of one refresh. */
export class TufClient {
  readonly trusted: TrustedMetadata;
  private readonly loadRole: (role: string, delegator: Delegator) => Promise<Targets>;

  /** Made by {@link refresh}. */
  constructor(trusted: TrustedMetadata, loadRole: (role: string, delegator: Delegator) => Promise<Targets>) {
    this.trusted = trusted;
    this.loadRole = loadRole;
  }

  /**
   * Verified file of top-level targets (its delegator: {@link TrustedMetadata.targetsDelegator}) or of a role
   * that `delegator` delegates to (§5.6.1 to §5.6.6).
   * @throws BullaError trust-invalid, trust-expired, content-invalid; what fetcher and store throw
   */
  async role(role: string, delegator: Delegator): Promise<Trusted<Targets>> {
    const content = await this.loadRole(role, delegator);
    const known = this.trusted.knownRole(role, delegator);
    if (known !== undefined) return known;
    throw new BullaError('internal', `${JSON.stringify(role)} was loaded and is not known`, {
      hint: 'please report this with the command that was run',
      details: { role, version: content.version },
    });
  }

  /** Every statement about a target path, by priority (§5.6.7). See {@link searchTargets}. */
  findTargets(path: string, options: SearchOptions = {}): AsyncGenerator<FoundTarget> {
    return searchTargets(this.trusted, path, this.loadRole, options);
  }

  /**
   * The statement about a target path that counts (§5.6.7).
   * @throws BullaError name-not-signed where no role that may speak of it names it; trust-invalid,
   *   trust-expired, content-invalid where a role on the way can't be verified; what fetcher and store throw
   */
  async findTarget(path: string, options: SearchOptions = {}): Promise<FoundTarget> {
    for await (const found of this.findTargets(path, options)) return found;
    throw new BullaError('name-not-signed', `no role names ${JSON.stringify(path)}`, {
      hint: 'check the name; if it is right, it was never signed by an authorized key, or it was revoked',
      details: { path },
    });
  }

  /**
   * Content of a target, verified while it is read (§5.7). The last piece comes only once all is verified.
   * @param options.hashPrefix false where files are named without their hashes, whatever root says of
   *   consistent snapshots (`prefix_targets_with_hash` of python-tuf): PyPI's repositories are such
   * @throws BullaError trust-invalid where the repository does not have it; digest-mismatch while reading
   */
  async fetchTarget(
    found: FoundTarget,
    fetcher: TargetFetcher,
    options: { readonly hashPrefix?: boolean | undefined } = {},
  ): Promise<AsyncIterable<Uint8Array>> {
    const isPrefixed = this.trusted.root.content.consistentSnapshot && options.hashPrefix !== false;
    const path = contentPath(found, isPrefixed);
    const content = await fetcher.fetchTarget(path);
    if (content === undefined) throw missingFile(found.role, path);
    return verifiedContent(found, content);
  }
}

/** Another process changed the trusted state. */
class StateMoved extends BullaError {
  constructor(role: string) {
    super(
      'storage-error',
      `the trusted state of ${JSON.stringify(role)} keeps being changed by other processes`,
      {
        hint: 'run the command again; if nothing else is running, check the folder of the trusted state',
        details: { role },
      },
    );
  }
}

/** What limits versions cannot be used: continuing without it would be continuing without memory. */
class StateDamaged extends BullaError {
  constructor(role: string, why: string, repair: string | undefined, cause?: unknown) {
    super('storage-error', `the trusted state of ${JSON.stringify(role)} is damaged: ${why}`, {
      hint:
        repair ??
        'restore it from a backup, or forget it on purpose and begin with a root that you have compared',
      cause,
      details: { role, reason: 'damaged-state' },
    });
  }
}

/** One pass through the workflow. */
class Update {
  private readonly fetcher: MetadataFetcher;
  private readonly store: TrustedStateStore;
  private readonly now: Date;
  private readonly options: RefreshOptions;
  /** Stored files whose reading was begun early. */
  private readonly ahead = new Map<string, Promise<Uint8Array | undefined>>();
  /** Roles that are being loaded: several who ask at the same time get one answer. */
  private readonly loading = new Map<string, Promise<Targets>>();
  private readonly changes = new Map<StoredRole, StateChange>();
  /** Whether what was stored of timestamp and snapshot counts no more. */
  private isForgotten = false;

  constructor(fetcher: MetadataFetcher, store: TrustedStateStore, now: Date, options: RefreshOptions) {
    this.fetcher = fetcher;
    this.store = store;
    this.now = now;
    this.options = options;
  }

  async run(): Promise<TufClient> {
    for (const role of ['timestamp', 'snapshot', 'targets']) this.readAhead(role);
    try {
      const trusted = await this.updateRoot();
      await this.assertWhole();
      await this.updateTimestamp(trusted);
      await this.updateSnapshot(trusted);
      const loadRole = (role: string, delegator: Delegator) => this.loadRole(trusted, role, delegator);
      // While the one is written, the other is fetched.
      const [saved, targets] = await Promise.allSettled([
        this.save(),
        loadRole('targets', trusted.targetsDelegator()),
      ]);
      if (saved.status === 'rejected') throw saved.reason;
      if (targets.status === 'rejected') throw targets.reason;
      return new TufClient(trusted, loadRole);
    } catch (error) {
      // What was verified before is kept; and where the state moved meanwhile, that may be why.
      if (this.options.isWhole === true) this.takeBack();
      await this.save();
      throw error;
    }
  }

  /** §5.2 and §5.3. */
  private async updateRoot(): Promise<TrustedMetadata> {
    const stored = await this.load('root');
    const initial = stored ?? this.options.initialRoot;
    if (
      initial === undefined &&
      ((await this.peek('timestamp')) ?? (await this.peek('snapshot'))) !== undefined
    )
      throw this.damaged('root', 'it is missing, and others are there');
    if (initial === undefined) throw noRoot();
    const trusted = this.startingWith(initial, stored !== undefined);
    if (stored === undefined) this.change('root', undefined, initial);
    let isNew = stored === undefined;
    for (let rotations = 0; rotations < trusted.limits.rootRotations; rotations++) {
      const bytes = await this.fetch(trusted.rootRequest());
      if (bytes === undefined) break;
      if (trusted.updateRoot(bytes)) await this.forgetVersions();
      this.change('root', stored, bytes);
      isNew = true;
    }
    trusted.finishRoot();
    // Once for each root, and not by each command that reads it.
    if (isNew) for (const warning of keyIdWarnings(trusted.root.content)) this.warn(warning);
    return trusted;
  }

  /** What cannot be a root that was verified when it was stored is damaged; not so what is bound to something else. */
  private startingWith(initial: Uint8Array, isStored: boolean): TrustedMetadata {
    try {
      return new TrustedMetadata(initial, this.now, this.options);
    } catch (error) {
      const isDamage =
        isBullaError(error, 'content-invalid', 'trust-invalid') && error.details['reason'] !== 'binding';
      throw isStored && isDamage ? this.damaged('root', error.message, error) : error;
    }
  }

  /** Files that are gone bound nothing any more, and would leave no trace. */
  private async assertWhole(): Promise<void> {
    const root = this.changes.get('root');
    const isFirst = root !== undefined && root.expected === undefined;
    if (this.isForgotten || isFirst) return;
    const { stored } = this.options;
    const [timestamp, snapshot] = [await this.peek('timestamp'), await this.peek('snapshot')];
    const isPartial = (timestamp === undefined) !== (snapshot === undefined);
    const isDamaged =
      stored === 'both'
        ? timestamp === undefined || snapshot === undefined
        : isPartial && (stored === 'both-or-neither' || timestamp === undefined);
    if (isDamaged) throw this.damaged(timestamp === undefined ? 'timestamp' : 'snapshot', 'it is missing');
  }

  private damaged(role: string, why: string, cause?: unknown): StateDamaged {
    return new StateDamaged(role, why, this.options.repair, cause);
  }

  /** §5.3.11: recovery from fast-forward. */
  private async forgetVersions(): Promise<void> {
    this.isForgotten = true;
    for (const role of ['timestamp', 'snapshot'] as const) {
      this.change(role, await this.take(role), undefined);
      this.ahead.set(role, Promise.resolve(undefined));
    }
  }

  /** §5.4. */
  private async updateTimestamp(trusted: TrustedMetadata): Promise<void> {
    const stored = await this.loadCached('timestamp', (bytes) => trusted.loadTimestamp(bytes));
    try {
      const bytes = await this.demand(trusted.timestampRequest());
      if (trusted.updateTimestamp(bytes)) this.change('timestamp', stored, bytes);
    } catch (error) {
      // That the state is damaged is to be told whatever is served; it would go unnoticed until it is needed.
      await this.loadCached('snapshot', (bytes) => trusted.judgeSnapshot(bytes));
      throw error;
    }
  }

  /** §5.5. */
  private async updateSnapshot(trusted: TrustedMetadata): Promise<void> {
    const stored = await this.loadCached('snapshot', (bytes) => trusted.loadSnapshot(bytes));
    const request = trusted.snapshotRequest();
    if (request === undefined) return;
    const bytes = await this.demand(request);
    trusted.updateSnapshot(bytes);
    this.change('snapshot', stored, bytes);
  }

  /** §5.6.1 to §5.6.6, for top-level targets and for each delegated role when it is asked. */
  private async loadRole(trusted: TrustedMetadata, role: string, delegator: Delegator): Promise<Targets> {
    const known = trusted.knownRole(role, delegator);
    if (known !== undefined) return known.content;
    // Another delegator may trust other keys, and is asked for itself.
    const key = JSON.stringify([role, delegator.name]);
    const loading = this.loading.get(key) ?? this.fetchRole(trusted, role, delegator);
    this.loading.set(key, loading);
    try {
      return await loading;
    } finally {
      this.loading.delete(key);
    }
  }

  private async fetchRole(trusted: TrustedMetadata, role: string, delegator: Delegator): Promise<Targets> {
    const request = trusted.roleRequest(role);
    const stored = await this.take(role);
    if (stored !== undefined) {
      try {
        return trusted.updateRole(role, stored, delegator).content;
      } catch (error) {
        // Most often just an older version than snapshot lists now.
        if (!isBullaError(error, 'trust-invalid', 'trust-expired', 'content-invalid')) throw error;
      }
    }
    const bytes = await this.demand(request);
    const { content } = trusted.updateRole(role, bytes, delegator);
    await this.store.keep(role, bytes);
    return content;
  }

  private async loadCached(
    role: string,
    use: (bytes: Uint8Array) => CachedUse,
  ): Promise<Uint8Array | undefined> {
    const stored = await this.take(role);
    if (stored === undefined) return undefined;
    let found: CachedUse;
    try {
      found = use(stored);
    } catch (error) {
      if (!isBullaError(error, 'content-invalid', 'trust-invalid')) throw error;
      throw this.damaged(role, error.message, error);
    }
    // Where a key of it was removed since, it was forgotten with the key.
    if (found === 'none') throw this.damaged(role, 'it is signed by no key that is trusted now');
    return stored;
  }

  /** The store knows what is damaged; what a person can do about it, who uses it. */
  private async load(role: string): Promise<Uint8Array | undefined> {
    try {
      return await this.store.load(role);
    } catch (error) {
      const isDamage = isBullaError(error, 'storage-error') && error.details['reason'] === 'damaged-state';
      throw isDamage ? this.damaged(role, error.message, error) : error;
    }
  }

  /** Begins to read a stored file that will be needed. */
  private readAhead(role: string): void {
    const reading = this.load(role);
    // The reader gets the failure; that is later, or, after another failure, never.
    reading.catch(() => undefined);
    this.ahead.set(role, reading);
  }

  /** As {@link take}, which then takes the same. */
  private peek(role: string): Promise<Uint8Array | undefined> {
    const reading = this.take(role);
    reading.catch(() => undefined);
    this.ahead.set(role, reading);
    return reading;
  }

  /** What was stored for a role when the pass began, or now. */
  private take(role: string): Promise<Uint8Array | undefined> {
    const reading = this.ahead.get(role) ?? this.load(role);
    this.ahead.delete(role);
    return reading;
  }

  private async demand(request: MetadataRequest): Promise<Uint8Array> {
    const bytes = await this.fetch(request);
    if (bytes === undefined) throw missingFile(request.role, request.fileName);
    return bytes;
  }

  private fetch({ fileName, maxBytes }: MetadataRequest): Promise<Uint8Array | undefined> {
    return this.fetcher.fetchMetadata(fileName, maxBytes);
  }

  /** Notes what is to be stored; `expected` is what was there when the pass began. */
  private change(role: StoredRole, expected: Uint8Array | undefined, bytes: Uint8Array | undefined): void {
    const before = this.changes.get(role);
    this.changes.set(role, { role, expected: before === undefined ? expected : before.expected, bytes });
  }

  /** Leaves timestamp and snapshot as they are stored, or forgotten. New roots stay. */
  private takeBack(): void {
    for (const role of ['timestamp', 'snapshot'] as const) {
      const change = this.changes.get(role);
      if (change === undefined) continue;
      this.changes.set(role, { ...change, bytes: this.isForgotten ? undefined : change.expected });
    }
  }

  /**
   * Stores what was verified. Root comes last: after a kill in between, the next refresh finds the same
   * new root, and forgets the versions of the old keys (§5.3.11) again.
   */
  private async save(): Promise<void> {
    const changes = STORED_ROLES.flatMap((role) => this.changes.get(role) ?? []);
    this.changes.clear();
    if (changes.length === 0 || (await this.store.replace(changes))) return;
    throw new StateMoved(changes.map(({ role }) => role).join(', '));
  }

  private warn(message: string): void {
    this.options.onWarning?.(message);
  }
}

function noRoot(): BullaError {
  return new BullaError('trust-unpinned', 'there is no root metadata to begin with', {
    hint: 'give a root.json that you got from a source you trust, for example with: bulla tuf init REPOSITORY ROOT.json',
  });
}

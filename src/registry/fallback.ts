import { BullaError } from '../errors.ts';
import { orInterrupted } from '../http/failure.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import type { Digest } from '../oci/digest.ts';
import { MAX_MANIFEST_BYTES } from '../oci/manifest.ts';
import { MANIFEST_TYPES } from '../oci/media-types.ts';
import { fallbackTag } from '../oci/reference.ts';
import { applyReferrersChange, buildReferrersIndex } from '../oci/referrers.ts';
import type { CallOptions } from '../oci/target.ts';
import { Claim } from './claim.ts';
import { tooLarge } from './manifests.ts';
import { STALE_MS } from './recent-writes.ts';
import { type FallbackIndex, readFallback } from './referrers.ts';
import { reasonOf, refusalError } from './refusal.ts';
import { lookBehind } from './refused-manifest.ts';
import type { RepositoryContext } from './repository-context.ts';
import { manifestPath } from './urls.ts';

/** A change that must be in the fallback index of a subject when it is done. */
export interface FallbackChange {
  readonly add?: Descriptor;
  readonly remove?: Digest;
}

interface Waiting {
  readonly change: FallbackChange;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** Rounds of reading, merging and writing before it is given up. */
const MAX_ROUNDS = 60;
/** Longest that the index is watched after a write, in milliseconds, for each look. */
const MAX_SETTLE_MS = 3000;
/** Versions that are claimed, and replaced by others meanwhile, before one is written without a claim. */
const MAX_CLAIMS = 2;
/** Indexes that are claimed and not yet changed; of more, the oldest claims are made again when they are needed. */
const MAX_PREPARED = 1_000;
/** Part of the time that an index is watched, where no other writer has claimed the version that was replaced. */
const ALONE_SETTLE = 0.125;

/**
 * Changes fallback indexes on registries that have no compare-and-swap: the last writer wins, and
 * of 16 that write at once, 15 lose without being told. So a writer claims the version that it is about to replace,
 * and one that finds no other claim on it afterwards is done. If there is one, it stays and watches until the index
 * was left alone for longer than another writer needs from reading to writing, and brings back what it
 * saw disappear meanwhile, its own or not. Changes of one process to one index go together.
 */
export class FallbackWriter {
  private readonly waiting = new Map<string, Waiting[]>();
  /** What was written a moment ago, and may not be shown yet. */
  private readonly recent = new Map<string, RecentIndex>();
  private readonly prepared = new Map<string, Promise<Claim | undefined>>();

  /** Claims an index that is about to be changed, while something else is done; nothing need follow. */
  prepare(room: RepositoryContext, subject: Digest): void {
    const key = keyOf(room, subject);
    // What is being changed has another version soon.
    if (this.waiting.has(key) || this.prepared.has(key)) return;
    // It can only save time; the change reports what fails.
    const claim = claimPresent(room, subject).catch(() => undefined);
    this.prepared.set(key, claim);
    const [oldest] = this.prepared.keys();
    if (this.prepared.size > MAX_PREPARED && oldest !== undefined) this.prepared.delete(oldest);
  }

  /** @throws BullaError conflict, registry-error, content-invalid and what reading and writing can fail with */
  async change(
    room: RepositoryContext,
    subject: Digest,
    change: FallbackChange,
    options: CallOptions = {},
  ): Promise<void> {
    const key = keyOf(room, subject);
    const done = new Promise<void>((resolve, reject) => {
      const mine = { change, resolve, reject };
      const queue = this.waiting.get(key);
      if (queue !== undefined) {
        queue.push(mine);
        return;
      }
      this.waiting.set(key, [mine]);
      void this.work(key, room, subject);
    });
    await orInterrupted(done, options.signal);
  }

  private recall(key: string, { session }: RepositoryContext): RecentIndex | undefined {
    const recent = this.recent.get(key);
    const now = session.timing.now();
    // Also where the clock was put back: how long ago that was is not known then.
    for (const [known, { until }] of this.recent)
      if (until < now || until > now + STALE_MS) this.recent.delete(known);
    return this.recent.has(key) ? recent : undefined;
  }

  /** Belongs to all who wait, so no single one can call it off. */
  private async work(key: string, room: RepositoryContext, subject: Digest): Promise<void> {
    for (;;) {
      // One turn of the event loop, so that those who come at the same time go together.
      await new Promise<void>((resolve) => setImmediate(resolve));
      const batch = this.waiting.get(key) ?? [];
      if (batch.length === 0) {
        this.waiting.delete(key);
        return;
      }
      this.waiting.set(key, []);
      try {
        const changes = batch.map(({ change }) => change);
        const claim = await this.prepared.get(key);
        this.prepared.delete(key);
        const rewrite = new Rewrite(room, subject, changes, this.recall(key, room), claim);
        await rewrite.run();
        this.recent.set(key, rewrite.outcome());
        for (const { resolve } of batch) resolve();
      } catch (error) {
        for (const { reject } of batch) reject(error);
      }
    }
  }
}

function keyOf({ repository }: RepositoryContext, subject: Digest): string {
  return `${repository} ${subject}`;
}

async function claimPresent(room: RepositoryContext, subject: Digest): Promise<Claim | undefined> {
  const { isSubject, digest } = await readFallback(room, subject);
  return isSubject ? undefined : await Claim.make(room, subject, digest, true);
}

/** Entries that were listed and removed, and until when an index that says otherwise may be an old one. */
interface RecentIndex {
  readonly entries: readonly Descriptor[];
  readonly removed: ReadonlySet<Digest>;
  /** In milliseconds since the epoch. */
  readonly until: number;
}

/** The state of a tag that does not exist. */
const NONE = 'none';

class Rewrite {
  private readonly room: RepositoryContext;
  private readonly subject: Digest;
  private readonly remove: Set<Digest>;
  /** What must be listed: ours, and what others were seen to have listed. */
  private readonly known = new Map<Digest, Descriptor>();
  private readonly ours: ReadonlySet<Digest>;
  /** Of the index as it was last written or seen by us; undefined before the first write. */
  private last: Digest | typeof NONE | undefined;
  private settleMs: number;
  /** On the version that is replaced, or was replaced last. */
  private claim: Claim | undefined;
  /** Claims that were made for the next write. */
  private claims = 0;
  /** No other writer was seen, and ours can be seen. */
  private isAlone = true;
  /** Whether another writer has claimed the version that was replaced: asked for when it was, while it is watched. */
  private asked: Promise<boolean> | undefined;

  constructor(
    room: RepositoryContext,
    subject: Digest,
    changes: readonly FallbackChange[],
    recent: RecentIndex | undefined,
    prepared: Claim | undefined,
  ) {
    this.room = room;
    this.subject = subject;
    this.claim = prepared;
    if (prepared?.isShared === true) this.isAlone = false;
    this.settleMs = room.settleMs;
    this.remove = new Set(changes.flatMap(({ remove }) => (remove === undefined ? [] : [remove])));
    for (const { add } of changes) {
      if (add !== undefined && !this.remove.has(add.digest)) this.known.set(add.digest, add);
    }
    this.ours = new Set(this.known.keys());
    // What is read may be from before our last write: nothing of that is lost, and nothing removed comes back.
    for (const digest of recent?.removed ?? []) if (!this.ours.has(digest)) this.remove.add(digest);
    for (const entry of recent?.entries ?? [])
      if (!this.remove.has(entry.digest) && !this.ours.has(entry.digest)) this.known.set(entry.digest, entry);
  }

  /** What the index has, for the next change. */
  outcome(): RecentIndex {
    const until = this.room.session.timing.now() + STALE_MS;
    return { entries: [...this.known.values()], removed: this.remove, until };
  }

  async run(): Promise<void> {
    for (let round = 0; round < MAX_ROUNDS; round++) if (await this.isDoneAfter()) return;
    throw new BullaError(
      'conflict',
      `${this.room.name}: others kept overwriting the list of referrers of ${this.subject}`,
      {
        hint: 'the manifest is stored, but perhaps not listed: run the command again when fewer write at once',
      },
    );
  }

  /** One round: the index is read, and then claimed, written or watched, if it is not as it should be. */
  private async isDoneAfter(): Promise<boolean> {
    const { timing } = this.room.session;
    const began = timing.now();
    const { asked } = this;
    this.asked = undefined;
    const index = await readFallback(this.room, this.subject);
    if (this.last !== undefined && index.isSubject) throw takenForSubject(this.room, this.subject);
    const entries = await this.merge(index);
    const version = index.digest ?? NONE;
    const isMoved = this.last !== undefined && this.last !== version;
    if (isSame(entries, index.entries)) {
      const isContested = (await asked) === true;
      if (!isMoved && !isContested) return true;
      this.isAlone = false;
      this.last = version;
      await this.settle(timing.now() - began);
    } else if (isMoved) {
      // Another writer overwrote us, or others: all that watch see it, and one must repair it.
      this.isAlone = false;
      this.last = version;
      await this.pause(2 * this.settleMs * timing.random());
    } else if (await this.isClaimed(index.digest)) {
      if (await this.write(index, entries)) await this.settle(timing.now() - began);
    }
    return false;
  }

  /**
   * Claims the version that is about to be replaced, unless that is done. What is claimed is read again before it is
   * replaced: a writer that did not see the claim has written by then. Where others are faster, it is written without.
   */
  private async isClaimed(version: Digest | undefined): Promise<boolean> {
    if (this.claim !== undefined && this.claim.version === version) {
      this.claims = 0;
      return true;
    }
    // What was claimed, now or beforehand, was replaced meanwhile.
    if (this.claims > 0 || (this.last === undefined && this.claim !== undefined)) this.isAlone = false;
    if (this.claims >= MAX_CLAIMS) {
      this.claims = 0;
      this.claim = undefined;
      return true;
    }
    this.claims++;
    this.claim = await Claim.make(this.room, this.subject, version, this.isAlone);
    if (this.claim?.isShared !== false) this.isAlone = false;
    // A registry that keeps no claims is written to without, and watched for longer.
    if (this.claim === undefined) this.claims = MAX_CLAIMS;
    return false;
  }

  /** What the index should be: an entry of ours that it has with another type counts as missing. */
  private async merge(index: FallbackIndex): Promise<readonly Descriptor[]> {
    const listed = new Map(index.entries.map((entry) => [entry.digest, entry]));
    const add: Descriptor[] = [];
    for (const [digest, entry] of this.known) {
      const there = listed.get(digest);
      if (this.ours.has(digest)) {
        if (there === undefined || there.artifactType !== entry.artifactType) add.push(entry);
      } else if (there === undefined) {
        // Lost, or removed on purpose: then its manifest is gone as well.
        if (await this.exists(entry)) add.push(entry);
        else this.known.delete(digest);
      }
    }
    for (const [digest, entry] of listed) {
      if (!this.ours.has(digest) && !this.remove.has(digest)) this.known.set(digest, entry);
    }
    return applyReferrersChange(index.entries, { add, remove: this.remove });
  }

  /**
   * Waits for longer than a writer needs that has read before us and not yet written. Alone, it waits for those who make
   * no claims, as long as it needed itself.
   */
  private async settle(tookMs: number): Promise<void> {
    if (this.isAlone) return await this.pause(Math.max(this.room.settleMs * ALONE_SETTLE, tookMs));
    this.settleMs = Math.min(MAX_SETTLE_MS, Math.max(this.settleMs, 3 * tookMs));
    await this.pause(this.settleMs);
  }

  private async pause(ms: number): Promise<void> {
    const { timing } = this.room.session;
    await timing.sleep(ms * (0.75 + timing.random() / 2));
  }

  /** False where it was not written and is to be tried again. */
  private async write(index: FallbackIndex, entries: readonly Descriptor[]): Promise<boolean> {
    const { session, repository, scopes } = this.room;
    const tag = fallbackTag(this.subject);
    const content = buildReferrersIndex(entries);
    if (content.bytes.byteLength > MAX_MANIFEST_BYTES)
      throw tooLarge(`${this.room.name}:${tag}`, content.bytes.byteLength);
    const call = {
      method: 'PUT',
      to: manifestPath(repository, tag),
      access: scopes.write(),
      headers: {
        'content-type': content.descriptor.mediaType,
        // A registry may ignore both, and then a 201 proves nothing.
        ...(index.digest === undefined ? { 'if-none-match': '*' } : { 'if-match': `"${index.digest}"` }),
      },
      body: content.bytes,
      expect: 'any',
      writes: 'manifest',
    } as const;
    const response = await session.call(call);
    if (response.status < 300) {
      await response.body.discard();
      this.last = content.descriptor.digest;
      // Of other writers only a writer needs to know that would not stay to see them.
      this.asked = this.isAlone ? this.claim?.isContested() : undefined;
      this.asked?.catch(() => undefined);
      return true;
    }
    const failure = await session.failure(response);
    if (response.status === 412 && reasonOf(failure, 'manifest') === undefined) return false;
    if (failure.codes.includes('MANIFEST_BLOB_UNKNOWN') && (await this.prune(entries))) return false;
    const { found, reason } = await lookBehind(this.room, content, tag, failure, {});
    // Written by an earlier try whose answer was lost, or by others meanwhile: it is read again.
    if (found !== undefined && found !== (index.digest ?? null)) return false;
    throw refusalError(failure, session.where(call), 'manifest', { reference: tag, reason });
  }

  /** Marks entries whose manifest is gone for removal: one of them makes distribution refuse the whole index. */
  private async prune(entries: readonly Descriptor[]): Promise<boolean> {
    const before = this.remove.size;
    for (const entry of entries) {
      if (this.ours.has(entry.digest) || (await this.exists(entry))) continue;
      this.remove.add(entry.digest);
      this.known.delete(entry.digest);
    }
    return this.remove.size > before;
  }

  /** GET decides where HEAD is not known to tell the truth: what is taken for gone is lost to all who look for it. */
  private async exists({ digest, mediaType }: Descriptor): Promise<boolean> {
    const { session, dialect, repository, scopes } = this.room;
    const ask = async (method: 'HEAD' | 'GET', expect: 'any' | readonly number[]): Promise<number> => {
      const response = await session.call({
        method,
        to: manifestPath(repository, digest),
        access: scopes.read(),
        headers: { accept: [mediaType, ...MANIFEST_TYPES].join(', ') },
        expect,
      });
      await response.body.discard();
      return response.status;
    };
    const { head } = await dialect.get();
    if (head !== 'get') {
      const status = await ask('HEAD', 'any');
      if (status === 200) return true;
      if (status === 404 && head === 'works') return false;
    }
    return (await ask('GET', [200, 404])) === 200;
  }
}

function isSame(a: readonly Descriptor[], b: readonly Descriptor[]): boolean {
  return a.length === b.length && a.every((entry, at) => entry === b[at]);
}

function takenForSubject(room: RepositoryContext, subject: Digest): BullaError {
  return new BullaError(
    'registry-error',
    `${room.name} takes the tag ${fallbackTag(subject)} for the image itself`,
    {
      hint: 'this registry can list no referrers: it has neither the referrers API nor a usable fallback tag (GitLab is known for it)',
    },
  );
}

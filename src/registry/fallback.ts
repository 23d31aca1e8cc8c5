import { BullaError } from '../errors.ts';
import { orInterrupted } from '../http/failure.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import type { Digest } from '../oci/digest.ts';
import { MAX_MANIFEST_BYTES } from '../oci/manifest.ts';
import { MANIFEST_TYPES } from '../oci/media-types.ts';
import { fallbackTag } from '../oci/reference.ts';
import { applyReferrersChange, buildReferrersIndex } from '../oci/referrers.ts';
import type { CallOptions } from '../oci/target.ts';
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

/**
 * Changes fallback indexes on registries that have no compare-and-swap: the last writer wins, and
 * of 16 that write at once, 15 lose without being told. So a writer stays and watches until the index
 * was left alone for longer than another writer needs from reading to writing, and brings back what it
 * saw disappear meanwhile, its own or not. Changes of one process to one index go together.
 */
export class FallbackWriter {
  private readonly waiting = new Map<string, Waiting[]>();
  /** What was written a moment ago, and may not be shown yet. */
  private readonly recent = new Map<string, RecentIndex>();

  /** @throws BullaError conflict, registry-error, content-invalid and what reading and writing can fail with */
  async change(
    room: RepositoryContext,
    subject: Digest,
    change: FallbackChange,
    options: CallOptions = {},
  ): Promise<void> {
    const key = `${room.repository} ${subject}`;
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
        const rewrite = new Rewrite(room, subject, changes, this.recall(key, room));
        await rewrite.run();
        this.recent.set(key, rewrite.outcome());
        for (const { resolve } of batch) resolve();
      } catch (error) {
        for (const { reject } of batch) reject(error);
      }
    }
  }
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

  constructor(
    room: RepositoryContext,
    subject: Digest,
    changes: readonly FallbackChange[],
    recent: RecentIndex | undefined,
  ) {
    this.room = room;
    this.subject = subject;
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
    const { timing } = this.room.session;
    for (let round = 0; round < MAX_ROUNDS; round++) {
      const began = timing.now();
      const index = await readFallback(this.room, this.subject);
      if (this.last !== undefined && index.isSubject) throw takenForSubject(this.room, this.subject);
      const entries = await this.merge(index);
      const took = timing.now() - began;
      if (isSame(entries, index.entries)) {
        if (this.last === undefined || this.last === (index.digest ?? NONE)) return;
        this.last = index.digest ?? NONE;
        await this.settle(took);
      } else if (this.last !== undefined && this.last !== (index.digest ?? NONE)) {
        // Another writer overwrote us, or others: all that watch see it, and one must repair it.
        this.last = index.digest ?? NONE;
        await this.pause(2 * this.settleMs * timing.random());
      } else if (await this.write(index, entries)) {
        await this.settle(timing.now() - began);
      }
    }
    throw new BullaError(
      'conflict',
      `${this.room.name}: others kept overwriting the list of referrers of ${this.subject}`,
      {
        hint: 'the manifest is stored, but perhaps not listed: run the command again when fewer write at once',
      },
    );
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

  /** Waits for longer than a writer needs that has read before us and not yet written. */
  private async settle(tookMs: number): Promise<void> {
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

import { BullaError } from '../errors.ts';
import { orInterrupted } from '../http/failure.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import type { Digest } from '../oci/digest.ts';
import { MAX_MANIFEST_BYTES } from '../oci/manifest.ts';
import { fallbackTag } from '../oci/reference.ts';
import { applyReferrersChange, buildReferrersIndex } from '../oci/referrers.ts';
import type { CallOptions } from '../oci/target.ts';
import { failureError, isImmutableTag } from './failure.ts';
import { tooLarge } from './manifests.ts';
import { type FallbackIndex, readFallback } from './referrers.ts';
import type { Room } from './room.ts';
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
const MAX_ROUNDS = 40;
/** Times that the index must be found right after writing, with a pause between. */
const CONFIRMATIONS = 2;
const MIN_SETTLE_MS = 50;
const MAX_SETTLE_MS = 2000;

/**
 * Changes fallback indexes on registries that have no compare-and-swap: whoever writes last wins, and
 * of 16 that write at once, 15 lose without being told. So each change is read back, twice, the second
 * time after every writer that could have read the index before us has written; and merged and written
 * again where it is gone. Changes of one process to one index go together in one write.
 */
export class FallbackWriter {
  private readonly waiting = new Map<string, Waiting[]>();

  /** @throws BullaError conflict, registry-error, content-invalid and what reading and writing can fail with */
  async change(
    room: Room,
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

  /** Belongs to all who wait, so no single one can call it off. */
  private async work(key: string, room: Room, subject: Digest): Promise<void> {
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
        await new Rewrite(
          room,
          subject,
          batch.map(({ change }) => change),
        ).run();
        for (const { resolve } of batch) resolve();
      } catch (error) {
        for (const { reject } of batch) reject(error);
      }
    }
  }
}

class Rewrite {
  private readonly room: Room;
  private readonly subject: Digest;
  private readonly add: Descriptor[];
  private readonly remove: Set<Digest>;
  private wrote = false;
  private confirmed = 0;
  private settleMs = MIN_SETTLE_MS;

  constructor(room: Room, subject: Digest, changes: readonly FallbackChange[]) {
    this.room = room;
    this.subject = subject;
    this.remove = new Set(changes.flatMap(({ remove }) => (remove === undefined ? [] : [remove])));
    this.add = changes
      .flatMap(({ add }) => (add === undefined ? [] : [add]))
      .filter(({ digest }) => !this.remove.has(digest));
  }

  async run(): Promise<void> {
    const { timing } = this.room.session;
    for (let round = 0; round < MAX_ROUNDS; round++) {
      const began = timing.now();
      const index = await readFallback(this.room, this.subject);
      if (this.wrote && index.isSubject) throw takenForSubject(this.room, this.subject);
      const entries = applyReferrersChange(index.entries, { add: this.missing(index), remove: this.remove });
      if (isSame(entries, index.entries)) {
        if (!this.wrote || ++this.confirmed >= CONFIRMATIONS) return;
        await this.pause(this.settleMs);
        continue;
      }
      // Somebody wrote over us: step aside for a random while, or we do the same to them for ever.
      if (this.wrote && this.confirmed === 0) await this.pause(this.settleMs * timing.random());
      this.confirmed = 0;
      if (!(await this.write(index, entries))) continue;
      this.wrote = true;
      const took = timing.now() - began;
      this.settleMs = Math.min(MAX_SETTLE_MS, Math.max(MIN_SETTLE_MS, this.settleMs, 3 * took));
    }
    throw new BullaError(
      'conflict',
      `${this.room.name}: others kept overwriting the list of referrers of ${this.subject}`,
      {
        hint: 'the manifest is stored, but not listed: run the command again when fewer write at once',
      },
    );
  }

  /** What is to be added and is not listed; a listed entry that lost its type or annotations is replaced. */
  private missing(index: FallbackIndex): readonly Descriptor[] {
    const listed = new Map(index.entries.map((entry) => [entry.digest, entry]));
    return this.add.filter((entry) => {
      const there = listed.get(entry.digest);
      return there === undefined || there.artifactType !== entry.artifactType;
    });
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
      expect: [201, 400, 403, 404, 405, 409, 412],
    } as const;
    const response = await session.call(call);
    if (response.status === 201) {
      await response.body.discard();
      return true;
    }
    const failure = await session.failure(response);
    if (isImmutableTag(failure)) throw immutable(this.room, tag);
    if (response.status === 412) return false;
    if (failure.codes.includes('MANIFEST_BLOB_UNKNOWN') && (await this.prune(entries))) return false;
    throw failureError(failure, session.where(call));
  }

  /** Marks entries whose manifest is gone for removal: one of them makes distribution refuse the whole index. */
  private async prune(entries: readonly Descriptor[]): Promise<boolean> {
    const before = this.remove.size;
    for (const { digest } of entries) {
      if (this.add.some((entry) => entry.digest === digest)) continue;
      const response = await this.room.session.call({
        method: 'HEAD',
        to: manifestPath(this.room.repository, digest),
        access: this.room.scopes.read(),
        headers: {
          accept: entries
            .map(({ mediaType }) => mediaType)
            .filter(isFirst)
            .join(', '),
        },
        expect: [200, 404],
      });
      await response.body.discard();
      if (response.status === 404) this.remove.add(digest);
    }
    return this.remove.size > before;
  }
}

function isFirst<T>(item: T, at: number, all: readonly T[]): boolean {
  return all.indexOf(item) === at;
}

function isSame(a: readonly Descriptor[], b: readonly Descriptor[]): boolean {
  return a.length === b.length && a.every((entry, at) => entry === b[at]);
}

function takenForSubject(room: Room, subject: Digest): BullaError {
  return new BullaError(
    'registry-error',
    `${room.name} takes the tag ${fallbackTag(subject)} for the image itself`,
    {
      hint: 'this registry can list no referrers: it has neither the referrers API nor a usable fallback tag (GitLab is known for it)',
    },
  );
}

/** A registry whose tags never move can list one signature for each image, and no second one. */
export function immutable(room: Room, tag: string): BullaError {
  return new BullaError('conflict', `${room.name}: the tag ${tag} may not be overwritten there`, {
    hint: 'except tags that begin with "sha256-" and "_trust" from the immutability of tags in the settings of the registry',
    details: { reason: 'immutable-tag' },
  });
}

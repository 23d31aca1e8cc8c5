import { createHash, type Hash, randomUUID } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open, rm, stat } from 'node:fs/promises';
import { storageError } from '../../../disk/atomic.ts';
import type { Digest, DigestAlgorithm } from '../../../oci/digest.ts';
import { algorithmOf } from '../../../oci/digest.ts';
import { WriteFailure, Writer } from './writer.ts';

/** An upload that has been started and not ended. */
export interface StoredUpload {
  readonly id: string;
  readonly repository: string;
  /** Bytes received and written so far. */
  readonly offset: number;
  /** Whether a request is working on it. */
  readonly busy: boolean;
}

interface State {
  readonly id: string;
  readonly repository: string;
  readonly path: string;
  readonly algorithm: DigestAlgorithm;
  hash: Hash;
  offset: number;
  busy: boolean;
  /** A write failed, so the hash is ahead of the file. */
  broken: boolean;
  /** When a request last worked on it, in milliseconds of the monotonic clock. */
  used: number;
}

export interface UploadsOptions {
  readonly pathOf: (id: string) => string;
  /** Idle uploads are dropped after this time, in milliseconds. */
  readonly expiryMs: number;
  /** Most uploads at a time; the oldest one without content makes room. */
  readonly maxUploads: number;
}

/** The uploads in progress. They live in memory: a restart ends them, and clients begin anew. */
export class Uploads {
  private readonly uploads = new Map<string, State>();
  private readonly options: UploadsOptions;
  private readonly sweeper: NodeJS.Timeout;

  constructor(options: UploadsOptions) {
    this.options = options;
    this.sweeper = setInterval(() => this.sweep(), Math.min(options.expiryMs, 30_000));
    this.sweeper.unref();
  }

  get count(): number {
    return this.uploads.size;
  }

  /** Starts an upload; undefined where there are too many. No file is made before there is content. */
  start(repository: string, algorithm: DigestAlgorithm): StoredUpload | undefined {
    if (this.uploads.size >= this.options.maxUploads && !this.makeRoom()) return undefined;
    const id = randomUUID();
    const upload: State = {
      id,
      repository,
      path: this.options.pathOf(id),
      algorithm,
      hash: createHash(algorithm),
      offset: 0,
      busy: false,
      broken: false,
      used: performance.now(),
    };
    this.uploads.set(id, upload);
    return upload;
  }

  /** The upload of this id in this repository, if there is one. */
  find(repository: string, id: string): StoredUpload | undefined {
    const upload = this.uploads.get(id);
    return upload?.repository === repository && !upload.broken ? upload : undefined;
  }

  /** Keeps other requests off an upload while `work` runs. The caller has looked at `busy` before. */
  async claim<T>(upload: StoredUpload, work: () => Promise<T>): Promise<T> {
    const state = upload as State;
    state.busy = true;
    try {
      return await work();
    } finally {
      state.busy = false;
      state.used = performance.now();
      if (state.broken) await this.cancel(state);
    }
  }

  /**
   * Appends what comes. When the source fails, what came before stays, so that the client can go on.
   * @param exactly bytes that must come, where the client said so; what came is undone if they don't
   * @returns whether as many bytes came as were to come
   * @throws BullaError storage-error, and the upload is lost; whatever the source throws
   */
  async append(upload: StoredUpload, source: AsyncIterable<Uint8Array>, exactly?: number): Promise<boolean> {
    const state = upload as State;
    const undo = exactly === undefined ? undefined : { hash: state.hash.copy(), offset: state.offset };
    let writer: Writer | undefined;
    let sourceError: { readonly error: unknown } | undefined;
    const start = state.offset;
    try {
      for await (const chunk of source) {
        writer ??= new Writer(await open(state.path, state.offset === 0 ? 'w' : 'r+', 0o600), state.offset);
        if (exactly !== undefined && state.offset + chunk.byteLength - start > exactly) {
          state.offset += chunk.byteLength;
          break;
        }
        state.hash.update(chunk);
        state.offset += chunk.byteLength;
        await writer.push(chunk);
      }
    } catch (error) {
      sourceError = { error };
    }
    try {
      await writer?.end();
    } catch (error) {
      state.broken = true;
      throw storageError('cannot store the upload', error);
    }
    if (sourceError !== undefined) throw this.explain(state, sourceError.error);
    if (undo === undefined || state.offset - start === exactly) return true;
    state.hash = undo.hash;
    state.offset = undo.offset;
    return false;
  }

  /**
   * Ends an upload: its content is durable in a file of its own, if it has this digest.
   * @returns path of the file, or undefined where the content has another digest; the upload is over either way
   * @throws BullaError storage-error
   */
  async finish(upload: StoredUpload, digest: Digest): Promise<string | undefined> {
    const state = upload as State;
    try {
      if (state.offset === 0) await (await open(state.path, 'w', 0o600)).close();
      const algorithm = algorithmOf(digest);
      const found =
        algorithm === state.algorithm
          ? state.hash.digest('hex')
          : await hashFile(state.path, algorithm, state.offset);
      if (`${algorithm}:${found}` !== digest) {
        await this.cancel(state);
        return undefined;
      }
      await settle(state.path, state.offset);
      this.uploads.delete(state.id);
      return state.path;
    } catch (error) {
      await this.cancel(state);
      throw storageError('cannot store the upload', error);
    }
  }

  /** Drops an upload with its content. */
  async cancel(upload: StoredUpload): Promise<void> {
    this.uploads.delete(upload.id);
    await rm((upload as State).path, { force: true });
  }

  async close(): Promise<void> {
    clearInterval(this.sweeper);
    for (const upload of [...this.uploads.values()]) await this.cancel(upload);
  }

  private explain(state: State, error: unknown): unknown {
    if (!(error instanceof WriteFailure)) return error;
    state.broken = true;
    return storageError('cannot store the upload', error.cause);
  }

  private sweep(): void {
    const oldest = performance.now() - this.options.expiryMs;
    for (const upload of this.uploads.values()) {
      if (!upload.busy && upload.used < oldest) this.drop(upload);
    }
  }

  private makeRoom(): boolean {
    for (const upload of this.uploads.values()) {
      if (upload.busy || upload.offset > 0) continue;
      this.drop(upload);
      return true;
    }
    return false;
  }

  private drop(upload: State): void {
    // A file that cannot be removed now is removed when the server starts again.
    this.cancel(upload).catch(() => undefined);
  }
}

/** Cuts off what a chunk that was undone may have left, and makes the content durable. */
async function settle(path: string, size: number): Promise<void> {
  const file = await open(path, 'r+');
  try {
    if ((await file.stat()).size !== size) await file.truncate(size);
    await file.chmod(0o644);
    await file.sync();
  } finally {
    await file.close();
  }
}

async function hashFile(path: string, algorithm: DigestAlgorithm, size: number): Promise<string> {
  const hash = createHash(algorithm);
  if (size > 0) {
    const content = createReadStream(path, { end: size - 1, highWaterMark: 256 * 1024 });
    for await (const chunk of content as AsyncIterable<Uint8Array>) hash.update(chunk);
  }
  if ((await stat(path)).size < size) throw new Error('the file of the upload was cut off');
  return hash.digest('hex');
}

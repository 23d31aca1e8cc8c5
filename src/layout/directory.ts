import type { BigIntStats, Stats } from 'node:fs';
import { lstat, mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import {
  createTemporary,
  discard,
  isErrno,
  makeDirectory,
  openForReading,
  readFileBounded,
  storageError,
  sweepTemporaries,
  syncDirectory,
  TEMPORARY_PREFIX,
  writeFileAtomic,
} from '../disk/atomic.ts';
import { withLock } from '../disk/lock.ts';
import { utf8 } from '../encoding/bytes.ts';
import { parseJsonObject } from '../encoding/json.ts';
import { BullaError, throwIfAborted } from '../errors.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import { algorithmOf, type Digest, type DigestAlgorithm, hexOf } from '../oci/digest.ts';
import type { CallOptions } from '../oci/target.ts';
import { ChangeQueue } from './change-queue.ts';
import type { IndexChange, LayoutFiles } from './files.ts';
import {
  EMPTY_INDEX,
  encodeLayoutIndex,
  type LayoutIndex,
  MAX_INDEX_BYTES,
  parseLayoutIndex,
} from './index-file.ts';

const VERSION = '{"imageLayoutVersion":"1.0.0"}';
const MAX_VERSION_BYTES = 4096;
const PIECE_BYTES = 256 * 1024;

/**
 * A layout in a directory. Every file appears whole, by rename; index.json changes under a lock. No
 * symbolic link is followed below the directory, and no path is made of anything but checked digests.
 */
export class DirectoryFiles implements LayoutFiles {
  readonly name: string;
  readonly writable: boolean = true;
  private readonly path: string;
  private readonly changes: ChangeQueue;
  private readonly checked = new Set<DigestAlgorithm>();
  private cached: { readonly version: string; readonly index: LayoutIndex } | undefined;

  private constructor(path: string) {
    this.name = `oci:${path}`;
    this.path = path;
    this.changes = new ChangeQueue((step) => this.changeLocked(step));
  }

  /**
   * Opens a directory that is a layout. With `create`, to be written: makes one where there is nothing,
   * finishes one whose making was interrupted, and removes what killed processes left in it.
   * @throws BullaError not-found, content-invalid, usage, storage-error
   */
  static async open(path: string, options: { readonly create?: boolean } = {}): Promise<DirectoryFiles> {
    const create = options.create === true;
    const files = new DirectoryFiles(path);
    const state = await files.look();
    if (state === 'nothing' && !create) throw nothing(path);
    if (state === 'other' || (state === 'begun' && !create)) throw notALayout(path);
    if (state !== 'layout') await files.create();
    await files.checkVersion();
    if (create) await sweepTemporaries(path);
    return files;
  }

  private async look(): Promise<'layout' | 'begun' | 'nothing' | 'other'> {
    let names: readonly string[];
    try {
      names = await readdir(this.path);
    } catch (error) {
      if (isErrno(error, 'ENOENT')) return 'nothing';
      throw storageError(`cannot open the layout ${this.path}`, error);
    }
    if (names.includes('oci-layout')) return 'layout';
    const ours = (name: string): boolean =>
      name === 'blobs' || name.startsWith('index.json') || name.startsWith(TEMPORARY_PREFIX);
    return names.every(ours) ? 'begun' : 'other';
  }

  private async create(): Promise<void> {
    await makeDirectory(this.path);
    await this.makeOwn('blobs');
    if (!(await this.exists('index.json'))) {
      await this.change(async (index) => ({ index }));
    }
    await writeFileAtomic(join(this.path, 'oci-layout'), utf8(VERSION));
  }

  private async checkVersion(): Promise<void> {
    const path = join(this.path, 'oci-layout');
    const json = parseJsonObject(await readFileBounded(path, MAX_VERSION_BYTES, { noFollow: true }), {
      what: path,
    });
    if (json['imageLayoutVersion'] === '1.0.0') return;
    throw new BullaError(
      'content-invalid',
      `${path} should say imageLayoutVersion 1.0.0 and says ${JSON.stringify(json['imageLayoutVersion'])}`,
      { hint: 'the layout is of a version that is not known here' },
    );
  }

  async index(): Promise<LayoutIndex> {
    const path = join(this.path, 'index.json');
    const version = await versionOf(path);
    if (version === undefined) return EMPTY_INDEX;
    if (this.cached?.version !== version) {
      const bytes = await readFileBounded(path, MAX_INDEX_BYTES, { noFollow: true });
      // Where it was replaced in between, the content is newer than the version, and is read again.
      this.cached = { version, index: parseLayoutIndex(bytes, path) };
    }
    return this.cached.index;
  }

  change(step: (index: LayoutIndex) => Promise<IndexChange>): Promise<void> {
    return this.changes.add(step);
  }

  private async changeLocked(step: (index: LayoutIndex) => Promise<IndexChange>): Promise<void> {
    const path = join(this.path, 'index.json');
    await withLock(`${path}.lock`, async (lock) => {
      const before = await this.index();
      const { index, remove = [] } = await step(before);
      if (index !== before || !(await this.exists('index.json'))) {
        await lock.assertHeld();
        await writeFileAtomic(path, encodeLayoutIndex(index));
      }
      for (const digest of remove) await discard(await this.blobPath(digest));
    });
  }

  async blobSize(digest: Digest): Promise<number | undefined> {
    const path = await this.blobPath(digest);
    try {
      const found = await lstat(path);
      if (!found.isFile()) throw notARegularFile(path);
      return found.size;
    } catch (error) {
      if (isErrno(error, 'ENOENT')) return undefined;
      throw storageError(`cannot look at ${path}`, error);
    }
  }

  async openBlob(digest: Digest, options: CallOptions = {}): Promise<AsyncIterable<Uint8Array>> {
    const path = await this.blobPath(digest);
    if ((await this.blobSize(digest)) === undefined) throw missingBlob(this.name, digest);
    return readPieces(path, options.signal);
  }

  async putBlob(descriptor: Descriptor, stream: AsyncIterable<Uint8Array>): Promise<void> {
    const path = await this.blobPath(descriptor.digest);
    await this.makeOwn('blobs');
    await this.makeOwn(join('blobs', algorithmOf(descriptor.digest)));
    // In the root, where tools that list blobs/ don't see it.
    const file = await createTemporary(join(this.path, 'blob'));
    try {
      for await (const piece of stream) await file.write(piece);
      await file.commit(path);
    } catch (error) {
      await file.discard();
      throw error;
    }
  }

  async close(): Promise<void> {}

  async abandon(): Promise<void> {}
  /** Path of a blob, after a look that no link stands in the way. */
  private async blobPath(digest: Digest): Promise<string> {
    const algorithm = algorithmOf(digest);
    if (!this.checked.has(algorithm)) {
      const isThere = (await this.checkOwn('blobs')) && (await this.checkOwn(join('blobs', algorithm)));
      if (isThere) this.checked.add(algorithm);
    }
    return join(this.path, 'blobs', algorithm, hexOf(digest));
  }

  /** Whether a directory of the layout is there; refuses a link or a file in its place. */
  private async checkOwn(name: string): Promise<boolean> {
    const path = join(this.path, name);
    const found = await lookAt(path);
    if (found === undefined) return false;
    if (found.isDirectory()) return true;
    throw new BullaError('storage-error', `${path} is not a directory`, {
      hint: 'symbolic links inside a layout are not followed; copy the layout with its content',
    });
  }

  private async makeOwn(name: string): Promise<void> {
    try {
      await mkdir(join(this.path, name));
      await syncDirectory(this.path);
    } catch (error) {
      if (!isErrno(error, 'EEXIST')) throw storageError(`cannot create ${join(this.path, name)}`, error);
      await this.checkOwn(name);
    }
  }

  private async exists(name: string): Promise<boolean> {
    return (await lookAt(join(this.path, name))) !== undefined;
  }
}

async function lookAt(path: string): Promise<Stats | undefined> {
  try {
    return await lstat(path);
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return undefined;
    throw storageError(`cannot look at ${path}`, error);
  }
}

/** Tells one content of a file from the next, without reading it; undefined where there is no file. */
async function versionOf(path: string): Promise<string | undefined> {
  let found: BigIntStats;
  try {
    found = await lstat(path, { bigint: true });
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return undefined;
    throw storageError(`cannot look at ${path}`, error);
  }
  return [found.ino, found.size, found.mtimeNs, found.ctimeNs].join(' ');
}

/** Opens the file only when it is read, so that a stream that is never started holds nothing. */
async function* readPieces(path: string, signal: AbortSignal | undefined): AsyncGenerator<Uint8Array> {
  const file = await openForReading(path, { noFollow: true });
  try {
    for (;;) {
      throwIfAborted(signal);
      const piece = Buffer.allocUnsafeSlow(PIECE_BYTES);
      const { bytesRead } = await file.read(piece, 0, PIECE_BYTES, null);
      if (bytesRead === 0) return;
      yield piece.subarray(0, bytesRead);
    }
  } catch (error) {
    throw storageError(`cannot read ${path}`, error);
  } finally {
    await file.close();
  }
}

/** What asking for a blob that a layout does not have comes to. */
export function missingBlob(name: string, digest: Digest): BullaError {
  return new BullaError('not-found', `${name} has no ${digest}`, {
    hint: 'the layout is incomplete, or what names it is wrong',
  });
}

function nothing(path: string): BullaError {
  return new BullaError('not-found', `there is no layout at ${path}`, { hint: 'check the path' });
}

function notALayout(path: string): BullaError {
  return new BullaError('content-invalid', `${path} is not an OCI image layout: it has no oci-layout file`, {
    hint: 'name a layout; to write one, a directory that is empty or does not exist yet',
  });
}

function notARegularFile(path: string): BullaError {
  return new BullaError('storage-error', `${path} is not a regular file`, {
    hint: 'symbolic links inside a layout are not followed; copy the layout with its content',
  });
}

import { type FileHandle, stat } from 'node:fs/promises';
import { arch } from 'node:os';
import { dirname } from 'node:path';
import { isErrno, makeDirectory, storageError, sweepTemporaries } from '../disk/atomic.ts';
import { acquireLock, type Lock } from '../disk/lock.ts';
import { utf8 } from '../encoding/bytes.ts';
import { BullaError, isBullaError } from '../errors.ts';
import { readVerified } from '../oci/content.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import type { Digest } from '../oci/digest.ts';
import type { CallOptions } from '../oci/target.ts';
import { type ArchiveContent, NO_CONTENT, readArchive, readArchiveFile } from './archive-content.ts';
import { type Place, placeInMemory, streamPlace } from './byte-source.ts';
import { ChangeQueue } from './change-queue.ts';
import { missingBlob } from './directory.ts';
import { blobName, buildDockerManifest } from './docker-manifest.ts';
import type { IndexChange, LayoutFiles } from './files.ts';
import { encodeLayoutIndex, type LayoutIndex } from './index-file.ts';
import { LayoutStore } from './store.ts';
import { TarWriter } from './tar-writer.ts';

/** How an archive is opened. */
export interface ArchiveOptions {
  /** Make a new one where there is none. */
  readonly create?: boolean | undefined;
  /** Repository under which `docker load` files what is in it, as `registry.example.com/team/app`. */
  readonly imageName?: string | undefined;
}

const SMALL_BYTES = 64 * 1024;
const MAX_MEMORY_BYTES = 64 * 1024 * 1024;

/** What Go, and so docker, calls this machine's architecture. */
const ARCHITECTURES: ReadonlyMap<string, string> = new Map([
  ['x64', 'amd64'],
  ['ia32', '386'],
]);

/**
 * A layout in a tar. It is read in place. Written, it becomes a new file: blobs go to a temporary tar
 * as they come, and `close` adds the rest and moves it to its name, so that others see the old archive
 * or the new. Only one process writes at a time, from its first write until it closes.
 */
export class ArchiveFiles implements LayoutFiles {
  readonly name: string;
  readonly writable: boolean;
  readonly isSaved: boolean;
  private readonly path: string;
  private readonly options: ArchiveOptions;
  private readonly changes: ChangeQueue;
  private base: ArchiveContent;
  private current: LayoutIndex;
  private blobs: Map<Digest, Place>;
  private writing: Promise<{ readonly writer: TarWriter; readonly lock: Lock }> | undefined;
  private isChanged = false;
  /** What was put into this archive since it was opened, whether or not it still belongs to it. */
  private readonly written = new Map<Digest, Promise<Place>>();
  private inMemory = 0;

  private constructor(path: string, base: ArchiveContent, options: ArchiveOptions) {
    this.name = `oci-archive:${path}`;
    this.path = path;
    this.options = options;
    this.base = base;
    this.writable = base.writable;
    this.isSaved = base.isSaved;
    this.current = base.index;
    this.blobs = new Map(base.blobs);
    this.changes = new ChangeQueue((step) => this.apply(step));
  }

  /** @throws BullaError not-found, content-invalid, storage-error */
  static async open(path: string, options: ArchiveOptions = {}): Promise<ArchiveFiles> {
    return new ArchiveFiles(path, await readOrNothing(path, options.create === true), options);
  }

  /** An archive in an open file, only to be read. @param path for messages @throws BullaError content-invalid, storage-error */
  static async ofFile(file: FileHandle, path: string): Promise<ArchiveFiles> {
    return new ArchiveFiles(path, { ...(await readArchiveFile(file, path)), writable: false }, {});
  }

  async index(): Promise<LayoutIndex> {
    return this.current;
  }

  change(step: (index: LayoutIndex) => Promise<IndexChange>): Promise<void> {
    return this.changes.add(step);
  }

  private async apply(step: (index: LayoutIndex) => Promise<IndexChange>): Promise<void> {
    await this.begin();
    const { index, remove = [] } = await step(this.current);
    if (index !== this.current || remove.length > 0) this.isChanged = true;
    this.current = index;
    for (const digest of remove) this.blobs.delete(digest);
  }

  async blobSize(digest: Digest): Promise<number | undefined> {
    return this.blobs.get(digest)?.size;
  }

  async openBlob(digest: Digest, options: CallOptions = {}): Promise<AsyncIterable<Uint8Array>> {
    const place = this.blobs.get(digest);
    if (place === undefined) throw missingBlob(this.name, digest);
    return streamPlace(place, options.signal);
  }

  async putBlob(descriptor: Descriptor, stream: AsyncIterable<Uint8Array>): Promise<void> {
    const { digest, size } = descriptor;
    // A name stands once in the tar, also where its content was removed and comes again.
    for (let other = this.written.get(digest); other !== undefined; other = this.written.get(digest)) {
      const place = await other.catch(() => undefined);
      if (place === undefined) continue;
      this.blobs.set(digest, place);
      return;
    }
    const { writer } = await this.begin();
    const placing = this.holdsInMemory(size)
      ? readVerified(descriptor, stream, size, this.name).then(placeInMemory)
      : writer.put(blobName(digest), size, stream);
    this.written.set(digest, placing);
    try {
      this.blobs.set(digest, await placing);
    } catch (error) {
      this.written.delete(digest);
      throw error;
    }
  }

  /** Small content, manifests above all, waits for the end: what is removed before is never written. */
  private holdsInMemory(size: number): boolean {
    if (size > SMALL_BYTES || this.inMemory + size > MAX_MEMORY_BYTES) return false;
    this.inMemory += size;
    return true;
  }

  private begin(): Promise<{ readonly writer: TarWriter; readonly lock: Lock }> {
    this.writing ??= this.beginOnce();
    return this.writing;
  }

  private async beginOnce(): Promise<{ readonly writer: TarWriter; readonly lock: Lock }> {
    await makeDirectory(dirname(this.path));
    const lock = await acquireLock(`${this.path}.lock`);
    try {
      await sweepTemporaries(dirname(this.path));
      await this.reread();
      return { writer: await TarWriter.create(this.path), lock };
    } catch (error) {
      await lock.release();
      throw error;
    }
  }

  /** Another process may have written a new archive since this one was opened. */
  private async reread(): Promise<void> {
    if ((await versionOf(this.path)) === this.base.version) return;
    const base = await readOrNothing(this.path, true);
    if (!base.writable) {
      await base.close();
      throw new BullaError('conflict', `${this.name} was replaced meanwhile by one that can only be read`, {
        hint: 'check the current state, and try again',
      });
    }
    await this.base.close();
    this.base = base;
    this.current = base.index;
    this.blobs = new Map(base.blobs);
  }

  async close(): Promise<void> {
    const writing = await this.begun();
    try {
      if (writing !== undefined) await this.finish(writing);
    } finally {
      await this.base.close();
    }
  }

  private async finish({ writer, lock }: { writer: TarWriter; lock: Lock }): Promise<void> {
    let last = writer;
    try {
      if (this.isChanged) {
        if (writer.hasHoles) last = await TarWriter.create(this.path);
        await this.copyBlobs(last);
        await this.putFiles(last);
        await last.commit(() => lock.assertHeld());
        if (last !== writer) await writer.discard();
      } else {
        await writer.discard();
      }
    } catch (error) {
      for (const one of new Set([writer, last])) await one.discard();
      throw error;
    } finally {
      await lock.release();
    }
  }

  /** Blobs that are not in the new tar yet. */
  private async copyBlobs(writer: TarWriter): Promise<void> {
    for (const [digest, place] of this.blobs) {
      if (writer.holds(place)) continue;
      this.blobs.set(digest, await writer.put(blobName(digest), place.size, streamPlace(place)));
    }
  }

  private async putFiles(writer: TarWriter): Promise<void> {
    const put = async (name: string, bytes: Uint8Array): Promise<void> => {
      await writer.put(name, bytes.byteLength, streamPlace(placeInMemory(bytes)));
    };
    const docker = await buildDockerManifest(new LayoutStore(this), this.current, {
      architecture: ARCHITECTURES.get(arch()) ?? arch(),
      imageName: this.options.imageName,
      repoTags: this.base.repoTags,
    });
    await put('oci-layout', utf8('{"imageLayoutVersion":"1.0.0"}'));
    await put('index.json', encodeLayoutIndex(this.current));
    await put('manifest.json', docker);
  }

  async abandon(): Promise<void> {
    const writing = await this.begun();
    await writing?.writer.discard();
    await writing?.lock.release();
    await this.base.close();
  }

  /** The writer, if one was started; a failed start was reported to the caller that wrote. */
  private async begun(): Promise<{ readonly writer: TarWriter; readonly lock: Lock } | undefined> {
    const { writing } = this;
    this.writing = undefined;
    return await writing?.catch(() => undefined);
  }
}

async function readOrNothing(path: string, create: boolean): Promise<ArchiveContent> {
  try {
    return await readArchive(path);
  } catch (error) {
    if (create && isBullaError(error, 'not-found')) return NO_CONTENT;
    throw error;
  }
}

async function versionOf(path: string): Promise<string> {
  try {
    const found = await stat(path, { bigint: true });
    return [found.ino, found.size, found.mtimeNs].join(' ');
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return '';
    throw storageError(`cannot look at ${path}`, error);
  }
}

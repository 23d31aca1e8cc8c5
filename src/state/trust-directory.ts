import { readdirSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import {
  isErrno,
  makeDirectory,
  storageError,
  sweepTemporaries,
  syncDirectory,
  writeFileAtomic,
} from '../disk/atomic.ts';
import { readSmallFile, writeSmallFile } from '../disk/small-file.ts';
import { concatBytes, utf8 } from '../encoding/bytes.ts';
import { type JsonObject, parseJsonObject } from '../encoding/json.ts';
import { formatTime, parseTime } from '../encoding/time.ts';
import { BullaError, isBullaError } from '../errors.ts';
import { describe } from '../oci/descriptor.ts';
import { MAX_MANIFEST_BYTES } from '../oci/manifest.ts';
import { type CollectionId, parseCollectionId } from '../trust/format/binding.ts';
import {
  type CollectionMemory,
  type KnownHead,
  otherCollection,
  type TrustMemory,
} from '../trust/read/memory.ts';
import type { StateChange } from '../tuf/ports.ts';
import { mayHaveOldSpellings, ONE_SPELLING, placeFileName } from './head-peek.ts';
import { readOwnFile } from './own-file.ts';
import { canonicalPlace } from './place.ts';
import { TrustedDirectory } from './trusted-directory.ts';

/** Only the owner may read: places reveal what the user works on. */
const OWNER_ONLY = 0o700;
const MAX_PLACE_BYTES = 64 * 1024;
const MAX_HEADER_BYTES = 64 * 1024;

/**
 * What is remembered of collections, in a directory (spec/trust-reading.md, "Memory"):
 * `places/` says which collection was verified where, `collections/ID/metadata/` holds its trusted
 * metadata and nothing else, `collections/ID/heads/` the head last seen at each place. Names of files
 * are hashes, so that no place is another's where the file system ignores case. Every file appears
 * whole, and any number of processes may use it at once.
 */
export class TrustDirectory implements TrustMemory {
  readonly isLasting: boolean = true;
  private readonly path: string;

  /** @param path made when something is to be remembered */
  constructor(path: string) {
    this.path = path;
  }

  async seen(place: string): Promise<CollectionId | undefined> {
    const key = canonicalPlace(place);
    const seen = this.read(key);
    if (seen !== undefined || !mayHaveOldSpellings(this.path)) return seen;
    await this.rename();
    return this.read(key);
  }

  async note(place: string, id: CollectionId): Promise<void> {
    const key = canonicalPlace(place);
    const seen = await this.seen(key);
    if (seen === id) return;
    if (seen !== undefined) throw otherCollection(key, seen, id);
    await this.prepare();
    // That a place was seen must not outlive a power cut that takes what was seen.
    for (const path of [join('collections', id), 'collections', '.'])
      await syncDirectory(join(this.path, path)).catch(ignoreMissing);
    if (await this.make(key, id)) return;
    const other = await this.seen(key);
    if (other !== undefined && other !== id) throw otherCollection(key, other, id);
  }

  async forget(place: string): Promise<void> {
    const key = canonicalPlace(place);
    const id = await this.seen(key).catch(() => 'damaged' as const);
    if (id === undefined) return;
    await rm(this.placeFile(key), { recursive: true, force: true });
    await syncDirectory(this.places);
    if (id !== 'damaged') await (await this.collection(id)).repair(key);
  }

  async open(id: CollectionId): Promise<CollectionMemory> {
    return await this.collection(id);
  }

  private async collection(id: CollectionId): Promise<DirectoryCollection> {
    const path = join(this.path, 'collections', id);
    const heads = join(path, 'heads');
    await makeDirectory(heads, OWNER_ONLY);
    return new DirectoryCollection(id, await TrustedDirectory.open(join(path, 'metadata')), heads);
  }

  private get places(): string {
    return join(this.path, 'places');
  }

  private placeFile(key: string): string {
    return join(this.places, `${placeFileName(key)}.json`);
  }

  private read(key: string): CollectionId | undefined {
    const path = this.placeFile(key);
    const bytes = readOwnFile(path, MAX_PLACE_BYTES, 'remove it, and pin the repository anew: bulla pin');
    return bytes && readPlace(bytes, path, key);
  }

  /** The directory of places, in which all have one spelling. */
  private async prepare(): Promise<void> {
    if (mayHaveOldSpellings(this.path)) await this.rename();
    await makeDirectory(this.places, OWNER_ONLY);
    await sweepTemporaries(this.places);
    if (mayHaveOldSpellings(this.path))
      await writeFileAtomic(join(this.places, ONE_SPELLING), utf8('1\n'), { mode: 0o600 });
  }

  /**
   * Renames once, to its canonical spelling, what earlier versions stored under others. Of two collections that
   * were noted for what is one place, it keeps the one that had the right spelling, else it says that it does
   * not know: what was seen must never become a place that was not.
   */
  private async rename(): Promise<void> {
    const found = new Map<string, Set<string>>();
    for (const name of readdirSync(this.places)) {
      const old = name.endsWith('.json') ? this.readOld(name) : undefined;
      const key = old && canonicalPlace(old.place);
      if (old === undefined || key === undefined || key === old.place) continue;
      found.set(key, (found.get(key) ?? new Set()).add(old.id));
    }
    for (const [key, [id = '', ...others]] of found) await this.make(key, others.length === 0 ? id : '');
    await writeFileAtomic(join(this.places, ONE_SPELLING), utf8('1\n'), { mode: 0o600 });
  }

  /** @returns undefined where the file is not what was noted about a place; asked for by name, that is told */
  private readOld(name: string): { readonly place: string; readonly id: string } | undefined {
    const path = join(this.places, name);
    try {
      const bytes = readSmallFile(path, MAX_PLACE_BYTES);
      const place = bytes && textOf(parseJsonObject(bytes, { what: path }), 'place');
      return bytes === undefined || place === undefined || `${placeFileName(place)}.json` !== name
        ? undefined
        : { place, id: readPlace(bytes, path, place) };
    } catch (error) {
      if (isBullaError(error, 'content-invalid', 'storage-error')) return undefined;
      throw error;
    }
  }

  /** @returns false where something is noted about the place already */
  private async make(key: string, id: string): Promise<boolean> {
    const bytes = utf8(`${JSON.stringify({ place: key, id })}\n`);
    try {
      await writeFileAtomic(this.placeFile(key), bytes, { mode: 0o600, exclusive: true });
      return true;
    } catch (error) {
      if (isBullaError(error, 'conflict')) return false;
      throw error;
    }
  }
}

class DirectoryCollection implements CollectionMemory {
  private readonly metadata: TrustedDirectory;
  private readonly heads: string;
  private readonly id: CollectionId;
  private swept = false;

  constructor(id: CollectionId, metadata: TrustedDirectory, heads: string) {
    this.id = id;
    this.metadata = metadata;
    this.heads = heads;
  }

  load(role: string): Promise<Uint8Array | undefined> {
    return this.metadata.load(role);
  }

  async replace(changes: readonly StateChange[]): Promise<boolean> {
    // A head that is remembered says that its timestamp and snapshot must be, too.
    if (changes.some(({ bytes }) => bytes === undefined)) await this.forgetHeads();
    return await this.metadata.replace(changes);
  }

  /** For a place that is forgotten on purpose: what is whole stays, should it come back; what is damaged goes. */
  async repair(key: string): Promise<void> {
    await rm(this.headFile(key), { recursive: true, force: true });
    const { isWhole } = await import('./whole-memory.ts');
    if (await isWhole(this.metadata, this.id)) return;
    await this.forgetHeads();
    await this.metadata.forget();
  }

  private async forgetHeads(): Promise<void> {
    for (const name of readdirSync(this.heads))
      await rm(join(this.heads, name), { recursive: true, force: true });
    await syncDirectory(this.heads);
  }

  keep(role: string, bytes: Uint8Array): Promise<void> {
    return this.metadata.keep(role, bytes);
  }

  async loadHead(at: string): Promise<KnownHead | undefined> {
    const place = canonicalPlace(at);
    try {
      const bytes = readSmallFile(this.headFile(place), MAX_HEADER_BYTES + MAX_MANIFEST_BYTES);
      return bytes && readHead(bytes, place);
    } catch (error) {
      // A power cut may leave anything, and without it the head is only fetched again.
      if (isBullaError(error, 'content-invalid')) return undefined;
      throw error;
    }
  }

  async keepHead(at: string, { content, refreshedAt }: KnownHead): Promise<void> {
    const { mediaType, digest } = content.descriptor;
    const place = canonicalPlace(at);
    const header = { place, mediaType, digest, refreshedAt: formatTime(refreshedAt) };
    const bytes = concatBytes([utf8(`${JSON.stringify(header)}\n`), content.bytes]);
    // What killed processes left.
    if (!this.swept) await sweepTemporaries(this.heads);
    this.swept = true;
    writeSmallFile(this.headFile(place), bytes);
  }

  private headFile(place: string): string {
    return join(this.heads, placeFileName(place));
  }
}

function ignoreMissing(error: unknown): void {
  if (!isErrno(error, 'ENOENT')) throw storageError('cannot make the trust memory durable', error);
}

function readPlace(bytes: Uint8Array, path: string, place: string): CollectionId {
  try {
    const json = parseJsonObject(bytes, { what: path });
    if (json['place'] === place) return parseCollectionId(textOf(json, 'id'));
    throw damaged(`it is about ${JSON.stringify(json['place'])}`);
  } catch (cause) {
    // Treating it as a place never seen would trust whatever is served now.
    throw new BullaError('storage-error', `what is remembered of ${place} cannot be read: ${path}`, {
      cause,
      hint: `compare the root keys with those you know, then pin the repository again: bulla pin rm ${place}, then bulla pin ${place}`,
    });
  }
}

function readHead(bytes: Uint8Array, place: string): KnownHead {
  const end = bytes.indexOf(0x0a);
  if (end < 0 || end > MAX_HEADER_BYTES) throw damaged('it has no header');
  const header = parseJsonObject(bytes.subarray(0, end), { what: 'the remembered head' });
  const manifest = bytes.subarray(end + 1);
  const descriptor = describe(textOf(header, 'mediaType'), manifest);
  const refreshedAt = parseTime(textOf(header, 'refreshedAt'));
  if (header['place'] !== place || header['digest'] !== descriptor.digest || refreshedAt === undefined)
    throw damaged('header and content do not agree');
  return { content: { descriptor, bytes: manifest }, refreshedAt };
}

function textOf(json: JsonObject, name: string): string {
  const value = json[name];
  if (typeof value === 'string') return value;
  throw damaged(`${name} is missing`);
}

function damaged(why: string): BullaError {
  return new BullaError('content-invalid', `a file of the trust memory is damaged: ${why}`, {
    hint: 'remove it, or pin the repository again: bulla pin',
  });
}
